//! Inputs are prepared as torchvision prepares them.

use idunno::base::InputShape;
use idunno::engine::torch::prepare;

const REFERENCE: &str = include_str!("prepared.txt");
const JPEG: &[u8] = include_bytes!("picture.jpg");

/// Bytes of a PNG: red grows to the right, green downwards, and blue is a board of squares.
pub(crate) fn picture(width: u32, height: u32) -> Vec<u8> {
    let pixel = |place: u32| {
        let (x, y) = (place % width, place / width);
        [x * 255 / (width - 1), y * 255 / (height - 1), 255 * ((x / 16 + y / 16) % 2)]
            .map(|colour| colour as u8)
    };
    let pixels: Vec<u8> = (0..width * height).flat_map(pixel).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

/// The numbers at every `step`th pixel, from `(x, y)` on, of a square picture.
fn grid(numbers: &[f32], side: usize, (x, y): (usize, usize), step: usize) -> Vec<f32> {
    let mut found = Vec::new();
    for colour in 0..3 {
        for row in (y..side).step_by(step) {
            for column in (x..side).step_by(step) {
                found.push(numbers[(colour * side + row) * side + column]);
            }
        }
    }
    found
}

#[test]
fn pictures_are_prepared_as_torchvision_does() {
    // One step of a colour, divided by the least deviation.
    let step = 1.0 / 255.0 / 0.224;
    for line in REFERENCE.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (kind, size) = (words[0], [1, 2].map(|place| words[place].parse::<u32>().unwrap()));
        let wanted: Vec<f32> = words[3..].iter().map(|word| word.parse().unwrap()).collect();
        let bytes = if kind == "jpg" { JPEG.to_vec() } else { picture(size[0], size[1]) };
        let (shape, side, from, every) =
            if kind == "png32" { ("image:32x32", 32, (1, 2), 6) } else { ("image:224", 224, (3, 4), 40) };
        let numbers = prepare(&bytes, &shape.parse::<InputShape>().unwrap()).unwrap();
        assert_eq!(numbers.len(), 3 * side * side);
        let found = grid(&numbers, side, from, every);
        assert_eq!(found.len(), wanted.len());
        // Decoders of JPEG may differ by a few steps.
        let most = if kind == "jpg" { 4.0 * step } else { 1.01 * step };
        let furthest = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest <= most, "{kind} of {size:?}: {furthest} away, at most {most} are allowed");
    }
}

#[test]
fn what_cannot_be_prepared_says_why_within_64_letters() {
    let shape: InputShape = "image:32x32".parse().unwrap();
    let refused = |bytes: &[u8], shape: &InputShape| prepare(bytes, shape).unwrap_err();
    assert_eq!(refused(b"no picture", &shape), "unreadable image: neither PNG nor JPEG");
    let whole = picture(60, 40);
    for cut in [30, whole.len() / 2] {
        let said = refused(&whole[..cut], &shape);
        assert!(said.starts_with("unreadable image: "), "{cut}: {said}");
    }
    assert!(refused(&JPEG[..200], &shape).starts_with("unreadable image: "));
    // Of which the decoder would make grey what is missing.
    for cut in [JPEG.len() / 2, JPEG.len() - 2] {
        assert_eq!(refused(&JPEG[..cut], &shape), "unreadable image: the JPEG is cut off");
    }
    assert!(prepare(&[JPEG, b"what a camera adds"].concat(), &shape).is_ok());
    let arrays: InputShape = "tensor:f32[2]".parse().unwrap();
    let said = refused(&whole, &arrays);
    assert!(said.contains("tensor:f32[2]") && said.len() <= 64, "{said}");
    // One that claims to be as large as a city takes no memory.
    let mut vast = picture(2, 2);
    vast[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
    assert!(refused(&vast, &shape).starts_with("unreadable image: "));
    // Nor does one that would have to grow to that size, so that its shorter side is long enough.
    let usual: InputShape = "image:224".parse().unwrap();
    assert_eq!(refused(&picture(20_000, 2), &usual), "too long and thin: 20000 by 2 pixels");
    assert!(prepare(&picture(2_000, 2), &usual).is_ok());
}

#[test]
fn grey_pictures_and_transparent_ones_have_three_colours() {
    let shape: InputShape = "image:16x16".parse().unwrap();
    for (colour, channels) in
        [(png::ColorType::Grayscale, 1), (png::ColorType::GrayscaleAlpha, 2), (png::ColorType::Rgba, 4)]
    {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 16, 16);
        encoder.set_color(colour);
        encoder.write_header().unwrap().write_image_data(&vec![128; 256 * channels]).unwrap();
        let numbers = prepare(&bytes, &shape).unwrap();
        let red = (128.0 / 255.0 - 0.485) / 0.229;
        assert_eq!(numbers.len(), 768);
        assert!(numbers[..256].iter().all(|number| (number - red).abs() < 1e-5), "{colour:?}");
    }
}
