//! Scenarios: TOML as people write it, checked and turned into a plan that a driver can carry out.
//!
//! [`Plan::read`] takes the text to the plan: `document` and `twice` know what stands where, `keys` and `shape` what may stand
//! there, `read` and `units` what it means, `build` and `network` which part of the plan it makes, `check` what does not go together. [`to_toml`] and [`to_brief_toml`] go the
//! other way.

mod aim;
mod build;
mod check;
mod document;
mod error;
mod keys;
mod links;
mod network;
mod plan;
mod read;
mod script;
mod settings;
mod shape;
mod shipped;
mod targets;
#[cfg(test)]
mod tests;
mod turns;
mod twice;
mod units;
mod write;

pub use crate::policy::Options;
pub use aim::{Aim, Scene, can_decide};
pub use error::{Place, Problem, ScenarioError, Wrong, nearest};
pub use keys::{Key, Kind, Preset, SEED_MAX, keys};
pub use links::Links;
pub use plan::{
    Arrivals, Direction, DiskPlan, Errand, Fault, FaultKind, Flaw, JobPlan, Loss, ModelPlan, NetworkPlan,
    NodePlan, Plan, Repeat, RequestPlan, Shape, Target, Trigger, Until,
};
pub use script::{Intent, Script, Wanted, back_off, scripts};
pub use settings::{Settings, settings_of};
pub use shipped::{find_shipped, shipped};
pub use turns::Turns;
pub use units::readable_span as span;
pub use units::{draw_text, magnitude};
pub use write::{model_to_toml, to_brief_toml, to_toml};

/// What plans are made of, for those who make plans without knowing nodes.
pub use crate::node::{
    Config, Detector, DispatchConfig, DispatchMode, Failover, FailoverMode, Inputs, JobSpec,
    MembershipConfig, Mutant, Planted, Scheduler, StandbyRule,
};
pub use crate::policy::{Options as PolicyOptions, all as policies};
