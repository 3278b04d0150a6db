//! Scenarios: TOML as people write it, checked and turned into a plan that a driver can carry out.

mod plan;

pub use plan::{
    Arrivals, Direction, DiskPlan, Fault, FaultKind, JobPlan, ModelPlan, NetworkPlan, NodePlan, Plan, Target,
    Until,
};
