//! Scheduling policies: pure functions of a view of the cluster.
//!
//! A policy keeps no state. It has up to three answers, each with a default built on the others: [`Policy::allocate`]
//! (how many workers for each job), [`Policy::pick`] (a worker has a free slot: which job?) and [`Policy::place`] (a
//! query must go somewhere: to which worker?). A new policy is one file that implements [`Policy`] and one line in
//! [`all`].

mod even;
pub mod fair;
mod fair_time;
mod fair_time_dp;
mod finish_time;
mod lifetime;
mod max_min;
mod options;
mod rate_balance;
mod time_share;
mod view;

use std::fmt::Debug;
use std::sync::Arc;

pub use even::Even;
pub use fair_time::FairTime;
pub use fair_time_dp::FairTimeDp;
pub use finish_time::FinishTime;
pub use max_min::MaxMin;
pub use options::{Need, Options};
pub use rate_balance::RateBalance;
pub use time_share::TimeShare;
pub use view::{ClusterView, JobView, WorkerView};

/// A way to divide workers among jobs.
pub trait Policy: Debug + Send + Sync {
    /// What scenarios call it.
    fn name(&self) -> &'static str;

    /// What it has to know about jobs beyond what every caller knows; nothing by default.
    fn needs(&self) -> &'static [Need] {
        &[]
    }

    /// How many workers each job of `view.jobs` shall have, in their order; together at most the number of workers.
    ///
    /// `None`, the default, is the answer of a policy that only picks: the allocation is what comes of its picks.
    fn allocate(&self, _view: &ClusterView<'_>) -> Option<Vec<u32>> {
        None
    }

    /// The position in `view.jobs` of the job whose next query `worker` shall take; `None` when it shall stay idle. Only
    /// jobs with `waiting > 0` are asked for.
    ///
    /// By default the worker stays with its job while that has no more workers than allocated, and otherwise goes
    /// where most are missing.
    fn pick(&self, view: &ClusterView<'_>, worker: &WorkerView) -> Option<usize> {
        view::most_below_allocation(view, worker)
    }

    /// The position in `view.workers` of the worker that shall take a query of the job at position `job`; `None` when
    /// none has a free slot.
    ///
    /// By default the one that holds least, a warm one among equals.
    fn place(&self, view: &ClusterView<'_>, job: usize) -> Option<usize> {
        view::least_loaded(view, job)
    }
}

/// Every policy, in order of their names, each with those of the options that it has a meaning for.
pub fn all(options: &Options) -> Vec<Arc<dyn Policy>> {
    vec![
        Arc::new(Even),
        Arc::new(FairTime::new(options)),
        Arc::new(FairTimeDp::new(options)),
        Arc::new(FinishTime::new(options)),
        Arc::new(MaxMin::new(options)),
        Arc::new(RateBalance),
        Arc::new(TimeShare),
    ]
}

/// The policy of this name.
pub fn by_name(name: &str, options: &Options) -> Option<Arc<dyn Policy>> {
    all(options).into_iter().find(|policy| policy.name() == name)
}

/// The policy of clusters that choose none: [`RateBalance`].
pub fn default() -> Arc<dyn Policy> {
    Arc::new(RateBalance)
}
