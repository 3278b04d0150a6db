//! Charts of figures that are hard to draw: nothing overlaps, nothing is cut off, equal figures give equal bytes.

use proptest::prelude::*;
use resvg::usvg;

use super::{Width, examples, fonts, png, svg};
use crate::report::figure::{
    Axis, Bar, Bars, Curve, Curves, Estimate, Figure, Join, Lane, Lanes, Look, Mark, Panel, Scale, State,
    Stretch,
};

/// The sizes that charts are looked at.
const WIDTHS: [Width; 2] = [Width::COLUMN, Width::PAGE];
/// No chart's file is larger.
const BYTES_MAX: usize = 1_000_000;

/// A text and its box: left, top, right, bottom, as shares of the chart's width.
type Placed = (String, [f32; 4]);

fn tree(svg: &str) -> usvg::Tree {
    let options = usvg::Options { fontdb: fonts::FONTS.clone(), ..usvg::Options::default() };
    usvg::Tree::from_str(svg, &options).expect("it is an SVG")
}

/// Everything that is written, where it is written.
fn texts(tree: &usvg::Tree) -> Vec<Placed> {
    fn collect(group: &usvg::Group, found: &mut Vec<Placed>) {
        for node in group.children() {
            match node {
                usvg::Node::Group(group) => collect(group, found),
                usvg::Node::Text(text) => {
                    let written = text.chunks().iter().map(usvg::TextChunk::text).collect::<String>();
                    let place = text.flattened().abs_bounding_box();
                    found.push((written, [place.left(), place.top(), place.right(), place.bottom()]));
                }
                usvg::Node::Path(_) | usvg::Node::Image(_) => {}
            }
        }
    }
    let mut found = Vec::new();
    collect(tree.root(), &mut found);
    found
}

/// Pairs of texts that touch, and texts that leave the chart.
fn clashes(svg: &str) -> Vec<String> {
    let tree = tree(svg);
    let texts = texts(&tree);
    let (width, height) = (tree.size().width(), tree.size().height());
    let mut found = Vec::new();
    for (position, (text, [left, top, right, bottom])) in texts.iter().enumerate() {
        if *left < 0.0 || *top < 0.0 || *right > width || *bottom > height {
            found.push(format!("{text:?} leaves the chart"));
        }
        for (other, [other_left, other_top, other_right, other_bottom]) in &texts[..position] {
            if left < other_right && other_left < right && top < other_bottom && other_top < bottom {
                found.push(format!("{text:?} touches {other:?}"));
            }
        }
    }
    found
}

#[test]
fn no_text_touches_another_or_leaves_the_chart() {
    let mut wrong = Vec::new();
    for (name, figure) in examples::all() {
        for width in WIDTHS {
            let svg = svg(&figure, width).expect("it can be drawn");
            wrong.extend(clashes(&svg).into_iter().map(|clash| format!("{name} {width}: {clash}")));
            if svg.len() > BYTES_MAX {
                wrong.push(format!("{name} {width}: {} bytes", svg.len()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `IDUNNO_CHARTS=folder cargo test charts_can_be_looked_at` leaves the charts there.
#[test]
fn equal_figures_give_equal_bytes_and_charts_can_be_looked_at() {
    let folder = std::env::var_os("IDUNNO_CHARTS").map(std::path::PathBuf::from);
    for ((name, figure), (_, again)) in examples::all().into_iter().zip(examples::all()) {
        for width in WIDTHS {
            let begun = std::time::Instant::now();
            let drawn = svg(&figure, width).expect("it can be drawn");
            let svg_took = begun.elapsed();
            assert!(drawn == svg(&again, width).expect("it can be drawn again"), "{name}");
            if folder.is_none() && width != Width::COLUMN {
                continue;
            }
            let begun = std::time::Instant::now();
            let bitmap = png(&drawn).expect("it can be made a bitmap");
            let png_took = begun.elapsed();
            assert!(bitmap == png(&drawn).expect("it can be made a bitmap again"), "{name}");
            if let Some(folder) = &folder {
                let file = |kind: &str| folder.join(format!("{name}_{width}.{kind}"));
                std::fs::write(file("svg"), &drawn).expect("it can be written");
                std::fs::write(file("png"), &bitmap).expect("it can be written");
                let sizes = (drawn.len(), bitmap.len());
                println!("{name} {width}: {sizes:?} bytes, SVG {svg_took:?}, PNG {png_took:?}");
            }
        }
    }
}

#[test]
fn a_bitmap_has_300_dots_to_the_inch_of_paper_and_says_so() {
    let (_, figure) = examples::all().remove(0);
    let svg = svg(&figure, Width::COLUMN).expect("it can be drawn");
    assert!(svg.starts_with("<svg width=\"85mm\""), "{}", &svg[..60]);
    let bytes = png(&svg).expect("it can be made a bitmap");
    let decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    let reader = decoder.read_info().expect("it is a PNG");
    assert_eq!(reader.info().width, 1004);
    assert_eq!(reader.info().pixel_dims.map(|dims| dims.xppu), Some(11_811));
}

fn number() -> impl Strategy<Value = f64> {
    let special =
        prop::sample::select(vec![0.0, -0.0, 1.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE]);
    prop_oneof![4 => -100.0..1000.0, 1 => special, 1 => prop::num::f64::ANY]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-zA-Z0-9_ ,äß;:()-]{0,24}", 1 => "[a-z .]{0,300}"]
}

fn axis() -> impl Strategy<Value = Axis> {
    let bound = || prop::option::weighted(0.3, number());
    (name(), any::<bool>(), bound(), bound()).prop_map(|(label, log, from, to)| {
        let scale = if log { Scale::Log } else { Scale::Linear };
        Axis { label, scale, from, to }
    })
}

fn marks() -> impl Strategy<Value = Vec<Mark>> {
    let mark = (number(), prop::option::of(number()), name());
    prop::collection::vec(mark.prop_map(|(from, to, label)| Mark { from, to, label }), 0..12)
}

fn curves() -> impl Strategy<Value = Panel> {
    let join = prop::sample::select(vec![Join::Lines, Join::Steps, Join::Dots, Join::DottedLines]);
    let points = prop::collection::vec((number(), number()), 0..20);
    let spread = prop::collection::vec((number(), number(), number()), 0..5);
    let curve = (name(), join, points, spread);
    let curve = curve.prop_map(|(name, join, points, spread)| Curve { name, join, points, spread });
    (axis(), axis(), name(), prop::collection::vec(curve, 0..14), marks())
        .prop_map(|(x, y, legend, curves, marks)| Panel::Curves(Curves { x, y, legend, curves, marks }))
}

fn bars() -> impl Strategy<Value = Panel> {
    let estimate =
        (number(), number(), number()).prop_map(|(value, low, high)| Estimate { value, low, high });
    let values = prop::collection::vec(prop::option::of(estimate), 0..12);
    let bar = (name(), values).prop_map(|(name, values)| Bar { name, values });
    let groups = prop::collection::vec(name(), 0..12);
    (axis(), groups, name(), prop::collection::vec(bar, 0..5))
        .prop_map(|(axis, groups, legend, bars)| Panel::Bars(Bars { axis, groups, legend, bars }))
}

fn lanes() -> impl Strategy<Value = Panel> {
    let fixed = vec![Look::Crowned, Look::Hatched, Look::Absent, Look::Boxed];
    let look = prop_oneof![any::<usize>().prop_map(Look::Filled), prop::sample::select(fixed)];
    let state = (name(), look).prop_map(|(name, look)| State { name, look });
    let stretch = (0..9_usize, number(), number()).prop_map(|(state, from, to)| Stretch { state, from, to });
    let lane = (name(), prop::collection::vec(stretch, 0..20));
    let lane = lane.prop_map(|(name, stretches)| Lane { name, stretches });
    (axis(), prop::collection::vec(state, 0..9), prop::collection::vec(lane, 0..30), marks())
        .prop_map(|(x, states, lanes, marks)| Panel::Lanes(Lanes { x, states, lanes, marks }))
}

fn figure() -> impl Strategy<Value = Figure> {
    (name(), name(), prop_oneof![curves(), bars(), lanes()]).prop_map(|(title, subtitle, panel)| Figure {
        title,
        subtitle,
        panel,
    })
}

proptest! {
    #[test]
    fn any_figure_is_drawn_without_texts_that_touch(figure in figure(), mm in 40_u32..300) {
        let width: Width = format!("{mm}mm").parse().expect("it is a width");
        let svg = svg(&figure, width).expect("it can be drawn");
        let clashes = clashes(&svg);
        prop_assert!(clashes.is_empty(), "{clashes:?} {figure:?}");
        prop_assert!(svg.len() <= BYTES_MAX);
    }

    #[test]
    fn any_names_can_be_drawn(names in prop::collection::vec(any::<String>(), 5)) {
        let [title, label, heading, name, mark] = names.try_into().expect("there are five");
        let curve = Curve { name, join: Join::Lines, points: vec![(0.0, 1.0), (1.0, 0.0)], spread: Vec::new() };
        let panel = Curves {
            x: Axis { label, ..Axis::default() },
            y: Axis::default(),
            legend: heading,
            curves: vec![curve],
            marks: vec![Mark { from: 0.5, to: None, label: mark }],
        };
        let figure = Figure { title, subtitle: String::new(), panel: Panel::Curves(panel) };
        tree(&svg(&figure, Width::COLUMN).expect("it can be drawn"));
    }
}
