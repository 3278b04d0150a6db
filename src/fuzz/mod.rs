//! The search for the schedule of faults that breaks the cluster, and for the smallest one that still does.
//!
//! A seed and a [`Profile`] give a scenario ([`scenario`]): a topology, settings, work, and a random subset of all faults, so
//! that rare combinations are not drowned by common ones (swarm testing: Groce and others, 2012). [`Trial::run`] carries it
//! out under the checker and says what it found and what it reached. [`shrink`] makes a failing scenario small. Everything
//! is a scenario file in the end: what is run is the plan that its text gives when it is read again.

mod draw;
mod family;
mod faults;
mod lasting;
mod patterns;
mod points;
mod profile;
mod reached;
mod settings;
mod shrink;
mod trial;

pub use draw::scenario;
pub use points::Point;
pub use profile::Profile;
pub use reached::Reached;
pub use shrink::{Shrunk, shrink};
pub use trial::{Failure, Trial, silence_findings};
