//! A drawing under way, in millimetres: shapes in the order in which they cover each other, written as SVG in the end.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontFamily, FontStyle, FontTransform, RGBAColor, ShapeStyle};

use super::ChartError;
use super::fonts::{self, Font, POINT};

/// Coordinates are whole numbers of this many to a millimetre.
const GRID: f64 = 50.0;
/// What the SVG backend divides font sizes by.
const FONT_SIZE_DIVISOR: f64 = 1.24;
/// How far below its top the SVG backend puts the line that a text stands on, in font sizes.
const BASELINE: f64 = 0.76;

/// A colour with its opacity, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Color {
    pub(super) rgb: (u8, u8, u8),
    pub(super) alpha: f64,
}

impl Color {
    pub(super) const fn new(red: u8, green: u8, blue: u8) -> Color {
        Color { rgb: (red, green, blue), alpha: 1.0 }
    }

    pub(super) fn faded(self, alpha: f64) -> Color {
        Color { alpha, ..self }
    }

    /// Between this colour (0) and another (1).
    pub(super) fn towards(self, other: Color, share: f64) -> Color {
        let mix =
            |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share).round() as u8;
        let (from, to) = (self.rgb, other.rgb);
        Color { rgb: (mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2)), ..self }
    }
}

pub(super) const WHITE: Color = Color::new(255, 255, 255);
/// Text and axes.
pub(super) const INK: Color = Color::new(34, 34, 34);
/// Secondary text, marks.
pub(super) const GREY: Color = Color::new(96, 96, 96);
/// Lines of the grid.
pub(super) const GRID_MAJOR: Color = Color::new(218, 218, 218);
/// Lines of the grid between those that are labelled.
pub(super) const GRID_MINOR: Color = Color::new(240, 240, 240);

/// A place, in millimetres from the left and the top.
pub(super) type Point = (f64, f64);

/// What a text is held by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    shapes: Vec<Shape>,
}

#[derive(Debug)]
enum Shape {
    Area(Vec<Point>, Color),
    Line(Vec<Point>, Color, f64),
    Rect(Point, Point, Color),
    Dot(Point, f64, Color),
    Text(Text),
}

#[derive(Debug)]
struct Text {
    /// Where its line begins, on which it stands.
    at: Point,
    words: String,
    font: Font,
    color: Color,
    anchor: Anchor,
    upwards: bool,
}

impl Sketch {
    /// A filled area.
    pub(super) fn area(&mut self, points: Vec<Point>, color: Color) {
        self.shapes.push(Shape::Area(points, color));
    }

    /// A line of `width` mm.
    pub(super) fn line(&mut self, points: Vec<Point>, color: Color, width: f64) {
        if points.len() > 1 {
            self.shapes.push(Shape::Line(points, color, width));
        }
    }

    /// A filled rectangle.
    pub(super) fn rect(&mut self, from: Point, to: Point, color: Color) {
        self.shapes.push(Shape::Rect(from, to, color));
    }

    /// A filled circle.
    pub(super) fn dot(&mut self, at: Point, radius: f64, color: Color) {
        self.shapes.push(Shape::Dot(at, radius, color));
    }

    /// A text that stands on the line at `at`.
    pub(super) fn text(&mut self, at: Point, text: &str, font: Font, color: Color, anchor: Anchor) {
        self.write(at, text, font, color, anchor, false);
    }

    /// A text that runs upwards.
    pub(super) fn text_upwards(&mut self, at: Point, text: &str, font: Font, color: Color) {
        self.write(at, text, font, color, Anchor::Middle, true);
    }

    fn write(&mut self, at: Point, text: &str, font: Font, color: Color, anchor: Anchor, upwards: bool) {
        let text = fonts::clean(text);
        if !text.is_empty() {
            self.shapes.push(Shape::Text(Text { at, words: text, font, color, anchor, upwards }));
        }
    }

    /// The drawing as SVG, `width` by `height` mm.
    pub(super) fn svg(&self, width: f64, height: f64) -> Result<String, ChartError> {
        let (right, bottom) = (units(width), units(height));
        let mut svg = String::new();
        {
            let mut backend = SVGBackend::with_string(&mut svg, (right as u32, bottom as u32));
            backend
                .draw_rect((0, 0), (right, bottom), &style(WHITE, 0.0), true)
                .map_err(|error| failed(&error))?;
            for shape in &self.shapes {
                draw(&mut backend, shape)?;
            }
            backend.present().map_err(|error| failed(&error))?;
        }
        // The backend knows sizes in pixels only; what is inside counts in units of the view box.
        let (_, rest) = svg.split_once('>').expect("it begins with a tag");
        let size = format!("width=\"{}mm\" height=\"{}mm\"", fixed(width), fixed(f64::from(bottom) / GRID));
        Ok(format!(
            "<svg {size} viewBox=\"0 0 {right} {bottom}\" stroke-linejoin=\"round\" xmlns=\"http://www.w3.org/2000/svg\">{rest}"
        ))
    }
}

/// A length in whole units of the view box.
fn units(mm: f64) -> i32 {
    (mm * GRID).round() as i32
}

/// A number of millimetres as written: no more digits than needed.
fn fixed(mm: f64) -> String {
    let text = format!("{mm:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn place((x, y): Point) -> (i32, i32) {
    (units(x), units(y))
}

fn failed(error: &impl ToString) -> ChartError {
    ChartError::Draw { reason: error.to_string() }
}

/// A colour and a width, as the backend wants them.
fn style(color: Color, width: f64) -> ShapeStyle {
    ShapeStyle { color: rgba(color), filled: true, stroke_width: units(width).max(1) as u32 }
}

fn rgba(color: Color) -> RGBAColor {
    let (red, green, blue) = color.rgb;
    RGBAColor(red, green, blue, color.alpha)
}

fn draw(backend: &mut SVGBackend<'_>, shape: &Shape) -> Result<(), ChartError> {
    let drawn = match shape {
        Shape::Area(points, color) => backend.fill_polygon(distinct(points), &style(*color, 0.0)),
        Shape::Line(points, color, width) => match distinct(points).as_slice() {
            // A line without length would not show.
            [only] => {
                backend.draw_circle(*only, (units(*width) / 2).max(1) as u32, &style(*color, 0.0), true)
            }
            several => backend.draw_path(several.iter().copied(), &style(*color, *width)),
        },
        Shape::Rect(from, to, color) => {
            backend.draw_rect(place(*from), place(*to), &style(*color, 0.0), true)
        }
        Shape::Dot(at, radius, color) => {
            backend.draw_circle(place(*at), units(*radius).max(1) as u32, &style(*color, 0.0), true)
        }
        Shape::Text(text) => return write(backend, text),
    };
    drawn.map_err(|error| failed(&error))
}

/// Places, without those that are the same as the one before.
fn distinct(points: &[Point]) -> Vec<(i32, i32)> {
    let mut places: Vec<(i32, i32)> = points.iter().map(|point| place(*point)).collect();
    places.dedup();
    places
}

fn write(backend: &mut SVGBackend<'_>, text: &Text) -> Result<(), ChartError> {
    let size = text.font.size * POINT;
    let (x, y) = text.at;
    let top = if text.upwards { (x - BASELINE * size, y) } else { (x, y - BASELINE * size) };
    let weight = if text.font.bold { FontStyle::Bold } else { FontStyle::Normal };
    let mut font =
        FontDesc::new(FontFamily::Name(fonts::FAMILY), f64::from(units(size)) * FONT_SIZE_DIVISOR, weight);
    if text.upwards {
        font = font.transform(FontTransform::Rotate270);
    }
    let anchor = match text.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let style = font.color(&rgba(text.color)).pos(Pos::new(anchor, VPos::Top));
    backend.draw_text(&text.words, &style, place(top)).map_err(|error| failed(&error))
}
