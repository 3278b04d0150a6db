//! Letters that are drawn rather than collected: labelled pictures for tests and first steps, from nothing but a seed.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::LazyLock;

use resvg::tiny_skia::{FillRule, Mask, Path as Outline, PathBuilder, Transform};
use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, MetadataProvider};

use super::{DatasetError, LABELS};
use crate::base::Rng;

/// How many letters there are, and so how many classes.
pub const CLASSES: u32 = 26;
/// The most pictures of a dataset.
pub const COUNT_MAX: u32 = 1_000_000;

/// How letters lie on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A folder per class.
    Folders,
    /// One folder with a table of labels.
    Flat,
}

/// Which letters to draw. The same ones give the same bytes on every machine, and a larger count only adds pictures.
#[derive(Clone, Copy, Debug)]
pub struct Letters {
    /// How many, at most [`COUNT_MAX`].
    pub count: u32,
    /// What is random about them.
    pub seed: u64,
    /// How wide and high they are, 16 to 512 pixels.
    pub side: u32,
}

impl Letters {
    /// Picture number `number` (from 0): its class, and its pixels from black to white, row by row. The classes take turns.
    pub fn draw(&self, number: u32) -> (u32, Vec<u8>) {
        let class = number % CLASSES;
        let mut rng = Rng::new(self.seed).fork("letters").fork_number(u64::from(number));
        (class, draw(class, self.side, &mut rng))
    }

    /// Writes all of them into a folder, which is made and must be empty. `drawn` is told after each how many there are, and returns
    /// whether to go on. Returns whether all are written: when not, and after an error, the folder is as it was.
    pub fn write(
        &self,
        to: &Path,
        layout: Layout,
        drawn: impl FnMut(u32) -> bool,
    ) -> Result<bool, DatasetError> {
        let was_there = to.exists();
        fs::create_dir_all(to).map_err(disk(to))?;
        if fs::read_dir(to).map_err(disk(to))?.next().is_some() {
            let error = std::io::Error::new(std::io::ErrorKind::DirectoryNotEmpty, "the folder is not empty");
            return Err(DatasetError::Disk { path: to.to_owned(), error });
        }
        let filled = self.fill(to, layout, drawn);
        if !matches!(filled, Ok(true)) {
            clear(to, was_there);
        }
        filled
    }

    fn fill(
        &self,
        to: &Path,
        layout: Layout,
        mut drawn: impl FnMut(u32) -> bool,
    ) -> Result<bool, DatasetError> {
        let digits = self.count.saturating_sub(1).to_string().len();
        let mut table = String::from("file,label\n");
        for number in 0..self.count {
            let (class, pixels) = self.draw(number);
            let (letter, name) = (letter(class), format!("{number:0digits$}.png"));
            let folder = match layout {
                Layout::Folders => to.join(letter.to_string()),
                Layout::Flat => to.to_owned(),
            };
            if number < CLASSES {
                fs::create_dir_all(&folder).map_err(disk(&folder))?;
            }
            let path = folder.join(&name);
            write_png(&path, self.side, &pixels).map_err(disk(&path))?;
            let _ = writeln!(table, "{name},{letter}");
            if !drawn(number + 1) {
                return Ok(false);
            }
        }
        if layout == Layout::Flat {
            let path = to.join(LABELS);
            fs::write(&path, table).map_err(disk(&path))?;
        }
        Ok(true)
    }
}

/// An error of the disk at this path.
fn disk(path: &Path) -> impl FnOnce(std::io::Error) -> DatasetError + use<> {
    let path = path.to_owned();
    move |error| DatasetError::Disk { path, error }
}

/// Removes what is in a folder that was empty, and the folder if it was not there. What cannot be removed stays.
fn clear(folder: &Path, was_there: bool) {
    if !was_there {
        let _ = fs::remove_dir_all(folder);
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

/// The letter of a class.
pub fn letter(class: u32) -> char {
    char::from(b'A' + (class % CLASSES) as u8)
}

fn write_png(path: &Path, side: u32, pixels: &[u8]) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    file.flush()
}

/// A picture of a letter: upright or bold, smaller or larger, turned, slanted and moved a little, in shades of grey that can be told
/// apart, under noise.
fn draw(class: u32, side: u32, rng: &mut Rng) -> Vec<u8> {
    let mut between = |low: f64, high: f64| low + (high - low) * rng.unit();
    let face = usize::from(between(0.0, 1.0) < 0.5);
    let outline = &OUTLINES[face][class as usize];
    let bounds = outline.bounds();
    let whole = f64::from(side);
    let scale = between(0.55, 0.8) * whole / f64::from(bounds.height().max(bounds.width()));
    let (sine, cosine) = libm::sincos(between(-0.3, 0.3));
    let slant = between(-0.2, 0.2);
    let (right, down) = (between(-0.08, 0.08) * whole, between(-0.08, 0.08) * whole);
    let (ground, contrast) = (between(0.0, 255.0), between(90.0, 200.0));
    let ink = if ground < 127.5 { (ground + contrast).min(255.0) } else { (ground - contrast).max(0.0) };
    let noise = between(0.0, 24.0);

    // The middle of the letter comes to the middle of the picture; letters grow upwards, and pictures downwards.
    let middle = (bounds.left() / 2.0 + bounds.right() / 2.0, bounds.top() / 2.0 + bounds.bottom() / 2.0);
    let place = Transform::from_translate(-middle.0, -middle.1)
        .post_concat(Transform::from_row(1.0, 0.0, slant as f32, 1.0, 0.0, 0.0))
        .post_concat(Transform::from_row(
            (scale * cosine) as f32,
            (scale * sine) as f32,
            (scale * sine) as f32,
            (-scale * cosine) as f32,
            (whole / 2.0 + right) as f32,
            (whole / 2.0 + down) as f32,
        ));
    let mut mask = Mask::new(side, side).expect("the side is above zero");
    mask.fill_path(outline, FillRule::Winding, true, place);
    let shade = |covered: &u8| {
        let clean = ground + (ink - ground) * f64::from(*covered) / 255.0;
        (clean + noise * rng.normal()).clamp(0.0, 255.0) as u8
    };
    mask.data().iter().map(shade).collect()
}

/// The outlines of all letters, upright and bold.
static OUTLINES: LazyLock<[Vec<Outline>; 2]> = LazyLock::new(|| {
    [notosans::REGULAR_TTF, notosans::BOLD_TTF].map(|bytes| {
        let font = FontRef::new(bytes).expect("the embedded fonts are fonts");
        (0..CLASSES).map(|class| outline(&font, letter(class))).collect()
    })
});

fn outline(font: &FontRef<'_>, letter: char) -> Outline {
    let glyph = font.charmap().map(letter).and_then(|glyph| font.outline_glyphs().get(glyph));
    let mut pen = Pen(PathBuilder::new());
    let settings = DrawSettings::unhinted(Size::new(100.0), LocationRef::default());
    glyph.expect("the font has the letter").draw(settings, &mut pen).expect("its outline can be drawn");
    pen.0.finish().expect("a letter has an outline")
}

struct Pen(PathBuilder);

impl OutlinePen for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, y);
    }

    fn quad_to(&mut self, cx0: f32, cy0: f32, x: f32, y: f32) {
        self.0.quad_to(cx0, cy0, x, y);
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        self.0.cubic_to(cx0, cy0, cx1, cy1, x, y);
    }

    fn close(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Fold;
    use crate::dataset::Dataset;

    const FEW: Letters = Letters { count: 60, seed: 7, side: 32 };

    #[test]
    fn the_same_seed_draws_the_same_pictures_and_another_one_others() {
        let sum = |letters: Letters| {
            let mut all: Vec<(u32, Vec<u8>)> = Vec::new();
            (0..letters.count).for_each(|number| all.push(letters.draw(number)));
            Fold::of(&all)
        };
        assert_eq!(sum(FEW), sum(Letters { count: 60, ..FEW }));
        assert_ne!(sum(FEW), sum(Letters { seed: 8, ..FEW }));
        assert_eq!(FEW.draw(3), Letters { count: 9_999, ..FEW }.draw(3), "more pictures change none");
        // Frozen: whoever trained on a seed shall find the same pictures in the next version.
        assert_eq!(sum(FEW), 0x5dea_6d6a_85f5_861a_d61e_7823_4112_e89c);
    }

    #[test]
    fn every_letter_can_be_told_from_its_ground() {
        for number in 0..520 {
            let (class, pixels) = FEW.draw(number);
            let mut sorted = pixels.clone();
            sorted.sort_unstable();
            let (dark, light) = (sorted[sorted.len() / 20], sorted[sorted.len() * 19 / 20]);
            assert!(light - dark >= 40, "picture {number}, a {}: from {dark} to {light}", letter(class));
        }
    }

    #[test]
    fn both_layouts_hold_the_same_pictures_with_the_same_labels() {
        let at = tempfile::tempdir().unwrap();
        let (folders, flat) = (at.path().join("folders"), at.path().join("flat"));
        let mut told = Vec::new();
        let hear = |drawn| {
            told.push(drawn);
            true
        };
        assert!(FEW.write(&folders, Layout::Folders, hear).unwrap());
        assert_eq!(told, (1..=60).collect::<Vec<_>>());
        assert!(FEW.write(&flat, Layout::Flat, |_| true).unwrap());
        let [folders, flat] = [folders, flat].map(|path| Dataset::open(&path).unwrap());
        assert_eq!((folders.names().len(), flat.names().len()), (60, 60));
        assert_eq!(folders.classes(), flat.classes());
        assert_eq!(folders.classes().len(), 26);
        for (input, name) in flat.names().iter().enumerate() {
            let label = flat.label(input).unwrap();
            let other = format!("{}/{name}", letter(label));
            let same = folders.names().iter().position(|name| **name == other).unwrap();
            assert_eq!(folders.label(same), Some(label));
            let read = |set: &Dataset, name: &str| fs::read(set.path().join(name)).unwrap();
            assert_eq!(read(&folders, &other), read(&flat, name));
        }
        let said = FEW.write(flat.path(), Layout::Flat, |_| true).unwrap_err().to_string();
        assert!(said.contains("not empty"), "{said}");
    }

    #[test]
    fn who_stops_in_the_midst_of_it_leaves_the_folder_as_it_was() {
        let at = tempfile::tempdir().unwrap();
        let new = at.path().join("new");
        for (to, layout) in [(new.as_path(), Layout::Folders), (at.path(), Layout::Flat)] {
            assert!(!FEW.write(to, layout, |drawn| drawn < 40).unwrap());
            assert_eq!(fs::read_dir(at.path()).unwrap().count(), 0);
        }
        assert!(at.path().is_dir());
    }
}
