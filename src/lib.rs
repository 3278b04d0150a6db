//! idunno rehearses fault-tolerant inference clusters.
pub mod base;
pub mod check;
pub mod history;
pub mod node;
pub mod policy;
pub mod scenario;
