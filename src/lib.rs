//! idunno rehearses fault-tolerant inference clusters.
pub mod base;
pub mod history;
pub mod node;
pub mod policy;
pub mod report;
pub mod scenario;
