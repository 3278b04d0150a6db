//! From the bytes of a file to what a network is given: pictures as torchvision prepares them, arrays as they are.

use std::io::Cursor;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{ImageFormat, ImageReader, Limits, RgbImage};

use super::array;
use crate::base::InputShape;

/// The longest side of a picture that is read.
const SIDE_MAX: u32 = 20_000;
/// The most bytes that reading a picture may take.
const MEMORY_MAX: u64 = 1 << 30;
/// The most pixels of a picture once it is shrunk or grown: one that is very long and thin would take more memory than there is.
const RESIZED_MAX: u64 = 1 << 27;
/// The mean of the colours in `ImageNet`, and their standard deviation, which networks expect to be taken out.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
/// A picture is shrunk to 256 where its middle 224 are used, and in the same proportion for other sizes.
const SHRUNK: (u64, u64) = (256, 224);

/// What a network is given for the bytes of a picture (PNG or JPEG) or of an array (`.npy`), or a short reason why there is nothing: the
/// essential first, since a long one is cut.
///
/// A picture for `image:224` is shrunk or grown until its shorter side has 256 pixels, the middle 224 by 224 are cut out, and `ImageNet`'s mean and deviation are
/// taken out: first all numbers of red, row by row, then green, then blue.
pub fn numbers(bytes: &[u8], shape: &InputShape) -> Result<Vec<f32>, String> {
    if array::is_array(bytes) {
        return array::numbers(bytes, &shape.dimensions());
    }
    match *shape {
        InputShape::Picture { width, height, crop } => prepare(&decode(bytes)?, width, height, crop),
        InputShape::Array(_) => Err(format!("no .npy array, but {shape} is wanted")),
    }
}

fn decode(bytes: &[u8]) -> Result<RgbImage, String> {
    let unread = |why: &dyn std::fmt::Display| format!("unreadable image: {why}");
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| unread(&error))?;
    match reader.format() {
        None => return Err(unread(&"neither PNG nor JPEG")),
        Some(ImageFormat::Jpeg) if !is_whole(bytes) => return Err(unread(&"the JPEG is cut off")),
        Some(_) => {}
    }
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(SIDE_MAX), Some(SIDE_MAX));
    limits.max_alloc = Some(MEMORY_MAX);
    reader.limits(limits);
    Ok(reader.decode().map_err(|error| unread(&error))?.into_rgb8())
}

/// Whether a JPEG has its end, without which the decoder makes grey of what is missing: the mark of the end of an image (FF D9) behind
/// the last mark of the start of a scan (FF DA). Neither can stand among the data of a scan.
fn is_whole(bytes: &[u8]) -> bool {
    let last = |mark: [u8; 2]| bytes.windows(2).rposition(|pair| pair == mark);
    last([0xff, 0xd9]) > last([0xff, 0xda])
}

/// Resizes a picture and takes out mean and deviation: first all of red, row by row, then green, then blue.
fn prepare(picture: &RgbImage, width: u32, height: u32, crop: bool) -> Result<Vec<f32>, String> {
    let (wide, high) = if crop { shrunk(picture.dimensions(), width) } else { (width, height) };
    if u64::from(wide) * u64::from(high) > RESIZED_MAX {
        return Err(format!("too long and thin: {} by {} pixels", picture.width(), picture.height()));
    }
    let resized = resize(picture, wide, high)?;
    let (left, top) = (middle(wide, width), middle(high, height));
    let mut numbers = Vec::with_capacity(3 * width as usize * height as usize);
    for colour in 0..3 {
        for y in top..top + height {
            let row = &resized[3 * (y as usize * wide as usize + left as usize)..][..3 * width as usize];
            let number = |pixel: &u8| (f32::from(*pixel) / 255.0 - MEAN[colour]) / DEVIATION[colour];
            numbers.extend(row.iter().skip(colour).step_by(3).map(number));
        }
    }
    Ok(numbers)
}

/// The size to which a picture is shrunk, or grown, before its middle is cut out: the longer side is rounded down.
fn shrunk((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let short = (u64::from(side) * SHRUNK.0 / SHRUNK.1) as u32;
    let long =
        |longer: u32, shorter: u32| (u64::from(short) * u64::from(longer) / u64::from(shorter.max(1))) as u32;
    if width <= height { (short, long(height, width)) } else { (long(width, height), short) }
}

/// Where the middle `part` of `whole` begins; what lies between two pixels goes to the even one.
fn middle(whole: u32, part: u32) -> u32 {
    let spare = whole - part;
    if spare.is_multiple_of(2) { spare / 2 } else { (spare / 2).next_multiple_of(2) }
}

/// Bilinear, over all pixels that one of the result covers.
fn resize(picture: &RgbImage, width: u32, height: u32) -> Result<Vec<u8>, String> {
    if picture.dimensions() == (width, height) {
        return Ok(picture.as_raw().clone());
    }
    let wrong = |error: &dyn std::fmt::Display| format!("cannot be resized: {error}");
    let from = ImageRef::new(picture.width(), picture.height(), picture.as_raw(), PixelType::U8x3);
    let from = from.map_err(|error| wrong(&error))?;
    let mut to = Image::new(width, height, PixelType::U8x3);
    let how = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
    Resizer::new().resize(&from, &mut to, &how).map_err(|error| wrong(&error))?;
    Ok(to.into_vec())
}
