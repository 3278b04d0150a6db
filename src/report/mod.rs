//! Results for people: CSV files, statistics, a chart, and the history itself.
//!
//! A [`Gather`] takes in one trial while it goes on and turns it into [`Tables`]; [`Results`] writes the tables of all
//! trials, in order, into a temporary folder that takes the place of earlier results once it is complete. Equal runs give
//! equal bytes: times and numbers have six decimals, rows are in order of time or identity, and no wall clock, path or
//! thread leaves a trace.
//!
//! What each file and column means is said at its row type.

mod allocation;
mod cluster;
pub mod compare;
mod fairness;
mod figure;
mod figures;
mod folder;
mod format;
mod gather;
mod history;
mod hlog;
mod kept;
mod lives;
mod paint;
mod queries;
mod rare;
mod recovery;
mod rows;
mod scratch;
mod serving;
mod stats;
mod stored;
mod summary;
mod sweep;
pub mod tune;
mod work;

#[cfg(test)]
mod example;
#[cfg(test)]
mod tests;

pub use figure::{
    Axis, Bar, Bars, Curve, Curves, Estimate, Figure, Join, Lane, Lanes, Look, Mark, Panel, Scale, State,
    Stretch,
};
pub use folder::{Finished, ReportError, Results};
pub use format::{Number, Seconds};
pub use gather::{Gather, Trial, TrialEnd};
pub use history::{FileLine, Messages, Repetition, TrialLine};
pub use paint::{ChartError, Width, WidthError, png, svg};
pub use rare::Rare;
pub use rows::{
    AllocationRow, AssignmentRow, AttemptRow, FairnessRow, JobRow, MembershipRow, QueryRow, RecoveryRow,
    SummaryRow, Tables,
};
pub use stats::{P99_SAMPLES_MIN, P999_SAMPLES_MIN, Stats};
pub use stored::{Stored, StoredError};
pub use summary::{JobSummary, Summary};
pub use sweep::{Compared, Comparison, Comparisons, Grid, GridError, POINTS_MAX, Sweep, Swept};
