//! What a chart shows, as plain data: a figure knows neither pixels nor files.
//!
//! The reports build figures from their tables, and one painter draws any of them. Times are seconds; every axis says
//! its unit in its label.

/// One chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What is seen, in a few words.
    pub title: String,
    /// Where it comes from: scenario, trial or trials, what to look for. May be empty; long ones are wrapped.
    pub subtitle: String,
    /// The picture itself.
    pub panel: Panel,
}

/// The three kinds of picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Panel {
    /// Values over a continuous axis.
    Curves(Curves),
    /// Values of a few things beside each other, with their spread.
    Bars(Bars),
    /// What each of many things went through over time.
    Lanes(Lanes),
}

/// An axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// What is measured, with its unit: "Time since the beginning of the trial (s)".
    pub label: String,
    /// How values are spread over it.
    pub scale: Scale,
    /// Where it begins; `None` follows from the values (0 for linear axes of values that are not negative).
    pub from: Option<f64>,
    /// Where it ends; `None` follows from the values.
    pub to: Option<f64>,
}

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// By their logarithm; values that are not above zero are left out.
    Log,
}

/// Values over a continuous axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// Left to right.
    pub x: Axis,
    /// Bottom to top.
    pub y: Axis,
    /// What the curves are, as the heading of the legend: "Job".
    pub legend: String,
    /// The curves; the legend names them in this order.
    pub curves: Vec<Curve>,
    /// What happened along the x axis.
    pub marks: Vec<Mark>,
}

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What it is.
    pub name: String,
    /// How its points are joined.
    pub join: Join,
    /// The points, in order of x. A point whose y is NaN interrupts the curve.
    pub points: Vec<(f64, f64)>,
    /// The spread about the points as (x, low, high); empty where there is none.
    pub spread: Vec<(f64, f64, f64)>,
}

/// How points are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Straight lines.
    Lines,
    /// A staircase: each value holds until the next point.
    Steps,
    /// Not at all: a dot for each.
    Dots,
    /// Straight lines with a dot at each point.
    DottedLines,
}

/// Something that happened along an axis of time: a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// When it began.
    pub from: f64,
    /// When it ended, if it lasted.
    pub to: Option<f64>,
    /// What it was, in a few words: "crash n3".
    pub label: String,
}

/// Values of a few things beside each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// The axis of the values.
    pub axis: Axis,
    /// What stands beside each other, in order; each group has one place for every bar.
    pub groups: Vec<String>,
    /// What the bars are, as the heading of the legend: "Until". Empty with a single bar, which needs no legend.
    pub legend: String,
    /// The bars; the legend names them in this order.
    pub bars: Vec<Bar>,
}

/// One bar of each group.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it is.
    pub name: String,
    /// Its value in each group, as many as there are groups; `None` where it has none.
    pub values: Vec<Option<Estimate>>,
}

/// A value with its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The value: how long the bar is.
    pub value: f64,
    /// Where the whisker begins; equal to `value` when the spread is not known.
    pub low: f64,
    /// Where the whisker ends.
    pub high: f64,
}

/// What each of many things went through over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Lanes {
    /// The time.
    pub x: Axis,
    /// The states that stretches can be in; the legend names those that occur, in this order.
    pub states: Vec<State>,
    /// The lanes, from the top.
    pub lanes: Vec<Lane>,
    /// What happened to the whole.
    pub marks: Vec<Mark>,
}

/// A state of a lane, and how it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// What it is: "runs alexnet", "leads".
    pub name: String,
    /// How it looks.
    pub look: Look,
}

/// How a state looks. Those of different kinds can overlap without hiding each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A filled stretch in the palette's colour of this number.
    Filled(usize),
    /// A line along the top of the lane.
    Crowned,
    /// A hatched stretch over what is filled: something is wrong with it, but it is there.
    Hatched,
    /// The lane is empty, with a thin line through it: it is not there.
    Absent,
    /// An outline about the stretch: it is cut off.
    Boxed,
}

/// One lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    /// Whose it is.
    pub name: String,
    /// Its stretches, in any order; those of one state do not overlap.
    pub stretches: Vec<Stretch>,
}

/// A state for a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// The position in [`Lanes::states`].
    pub state: usize,
    /// From when.
    pub from: f64,
    /// Until when.
    pub to: f64,
}
