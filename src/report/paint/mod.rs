//! The painter: draws any [`Figure`] as SVG, and an SVG as PNG.
//!
//! Lengths are millimetres on paper, and texts have the size that papers print, about 7 points, at every width: a
//! narrow chart has fewer ticks and its legend below. Equal figures give equal bytes.

mod axes;
mod bars;
mod curves;
#[cfg(test)]
mod examples;
mod fonts;
mod lanes;
mod legend;
mod looks;
mod marks;
mod runs;
mod scale;
mod sketch;
mod style;
mod tame;
#[cfg(test)]
mod tests;
mod width;

use resvg::{tiny_skia, usvg};

use self::fonts::{BODY, TITLE};
use self::sketch::{Anchor, GREY, GRID_MAJOR, INK, Sketch};
pub use self::width::{Width, WidthError};
use super::figure::{Figure, Panel};

/// Why a chart could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The chart could not be laid out, or what was given is not an SVG.
    #[error("cannot draw the chart: {reason}")]
    Draw {
        /// What the drawing library says.
        reason: String,
    },
    /// The bitmap could not be written.
    #[error("cannot write the chart as PNG")]
    Encode(#[from] png::EncodingError),
}

/// Of a bitmap, per inch of paper.
const DOTS_PER_INCH: f32 = 300.0;
/// The longest side of a bitmap in pixels; one that would be larger has fewer dots per inch.
const PIXELS_MAX: f32 = 16_000.0;
/// What stays white on all sides.
const MARGIN: f64 = 2.0;

/// Where something is drawn: between two edges, from the top downwards.
#[derive(Clone, Copy, Debug)]
struct Column {
    left: f64,
    right: f64,
    top: f64,
}

/// The figure as SVG, `width` wide and as high as it needs to be.
pub fn svg(figure: &Figure, width: Width) -> Result<String, ChartError> {
    let figure = &tame::tamed(figure);
    let mut sketch = Sketch::default();
    let mut column = Column { left: MARGIN, right: width.mm() - MARGIN, top: MARGIN };
    head(&mut sketch, &mut column, figure);
    let bottom = match &figure.panel {
        Panel::Curves(panel) => curves::draw(&mut sketch, &column, panel),
        Panel::Bars(panel) => bars::draw(&mut sketch, &column, panel),
        Panel::Lanes(panel) => lanes::draw(&mut sketch, &column, panel),
    };
    sketch.svg(width.mm(), bottom + MARGIN)
}

/// Title and subtitle.
fn head(sketch: &mut Sketch, column: &mut Column, figure: &Figure) {
    let width = column.right - column.left;
    for (text, font, color, lines_max) in [(&figure.title, TITLE, INK, 3), (&figure.subtitle, BODY, GREY, 5)]
    {
        for line in font.wrapped(text, width, lines_max) {
            column.top += font.line();
            sketch.text((column.left, column.top - 0.6), &line, font, color, Anchor::Start);
        }
    }
    column.top += 1.5;
}

/// A frame that says that there is nothing; gives the line below it.
fn nothing(sketch: &mut Sketch, column: &Column) -> f64 {
    let (left, right, top, bottom) = (column.left, column.right, column.top, column.top + 30.0);
    sketch.line(
        vec![(left, top), (right, top), (right, bottom), (left, bottom), (left, top)],
        GRID_MAJOR,
        axes::AXIS,
    );
    let at = (f64::midpoint(left, right), f64::midpoint(top, bottom) + BODY.capital() / 2.0);
    sketch.text(at, "nothing to show", BODY, GREY, Anchor::Middle);
    bottom
}

/// An SVG of [`svg`] as PNG, with 300 dots to the inch of paper.
pub fn png(svg: &str) -> Result<Vec<u8>, ChartError> {
    let failed = |reason: String| ChartError::Draw { reason };
    let options =
        usvg::Options { dpi: DOTS_PER_INCH, fontdb: fonts::FONTS.clone(), ..usvg::Options::default() };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| failed(error.to_string()))?;
    let size = tree.size();
    let scale = (PIXELS_MAX / size.width().max(size.height())).min(1.0);
    let side = |length: f32| (length * scale).round().max(1.0) as u32;
    let (width, height) = (side(size.width()), side(size.height()));
    let mut pixmap =
        tiny_skia::Pixmap::new(width, height).ok_or_else(|| failed("it has no size".to_owned()))?;
    pixmap.fill(tiny_skia::Color::WHITE);
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    encode(&pixmap, scale)
}

/// Writes an opaque bitmap, which says how large it is on paper.
fn encode(pixmap: &tiny_skia::Pixmap, scale: f32) -> Result<Vec<u8>, ChartError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixmap.width(), pixmap.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // Most rows of a chart are like the one above; trying all filters on each would cost more than drawing it.
    encoder.set_filter(png::Filter::Up);
    let per_metre = (DOTS_PER_INCH * scale / 0.0254).round() as u32;
    let unit = png::Unit::Meter;
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: per_metre, yppu: per_metre, unit }));
    let mut writer = encoder.write_header()?;
    let colors: Vec<u8> =
        pixmap.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    writer.write_image_data(&colors)?;
    writer.finish()?;
    Ok(bytes)
}
