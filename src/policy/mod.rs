//! Scheduling policies: pure functions of a view of the cluster.
//!
//! A policy keeps no state. It has up to three answers, each with a default built on the others: [`Policy::allocate`]
//! (how many workers for each job), [`Policy::pick`] (a worker has a free slot: which job?) and [`Policy::place`] (a
//! query must go somewhere: to which worker?). A new policy is one file that implements [`Policy`] and one line in
//! [`all`]. What a job's weight and priority mean is said with each policy.

mod count_balance;
mod divide;
mod even;
pub mod fair;
mod fair_time;
mod fair_time_dp;
mod fifo;
mod finish_time;
mod least_load;
mod lifetime;
mod max_min;
mod options;
mod random;
mod rate_balance;
mod shortest_remaining;
#[cfg(test)]
mod tests;
mod time_share;
mod view;

use std::fmt::Debug;
use std::sync::Arc;

pub use count_balance::CountBalance;
pub use divide::divide;
pub use even::Even;
pub use fair_time::FairTime;
pub use fair_time_dp::FairTimeDp;
pub use fifo::Fifo;
pub use finish_time::FinishTime;
pub use least_load::LeastLoad;
pub use max_min::MaxMin;
pub use options::{Need, Options};
pub use random::Random;
pub use rate_balance::RateBalance;
pub use shortest_remaining::ShortestRemaining;
pub use time_share::TimeShare;
pub use view::{ClusterView, JobView, WorkerView};

/// A way to divide workers among jobs.
///
/// A policy needs a name, a line about itself and one of the answers; each of the others has a default built on that.
/// Policies that begin with a free worker answer [`Policy::allocate`] or [`Policy::pick`], those that begin with a query
/// answer [`Policy::next`] and [`Policy::place`].
pub trait Policy: Debug + Send + Sync {
    /// What scenarios call it.
    fn name(&self) -> &'static str;

    /// What it does, in a line without a full stop.
    fn about(&self) -> &'static str;

    /// What it has to know about jobs beyond what every caller knows; nothing by default.
    fn needs(&self) -> &'static [Need] {
        &[]
    }

    /// Whether every job that has queries waiting is served sooner or later, however many jobs there are and go on arriving.
    /// By default it does not promise that.
    fn starves_nobody(&self) -> bool {
        false
    }

    /// How many workers each job of `view.jobs` shall have, in their order; together at most the number of workers.
    ///
    /// `None`, the default, is the answer of a policy that only picks: the allocation is what comes of its picks.
    fn allocate(&self, _view: &ClusterView<'_>) -> Option<Vec<u32>> {
        None
    }

    /// [`Self::allocate`] for `workers` equal workers, of which `view` need not tell: the answer of policies to which only
    /// their number matters, so that clusters of any size can be asked about. `None`, the default, is that of all others.
    fn allocate_equal(&self, _view: &ClusterView<'_>, _workers: u32) -> Option<Vec<u32>> {
        None
    }

    /// The position in `view.jobs` of the job whose next query `worker` shall take; `None` when it shall stay idle. Only
    /// jobs with `waiting > 0` may be named.
    ///
    /// By default whatever [`Self::next`] says; and where that says nothing, the worker stays with its job while that has no
    /// more workers than allocated, and otherwise goes where most are missing.
    fn pick(&self, view: &ClusterView<'_>, worker: &WorkerView) -> Option<usize> {
        self.next(view).or_else(|| view::most_below_allocation(view, worker))
    }

    /// The position in `view.jobs` of the job whose query is to be placed next, for policies that begin with a query. Only
    /// jobs with `waiting > 0` may be named.
    ///
    /// `None`, the default, is the answer of a policy that begins with a free worker: the coordinator asks [`Self::pick`].
    fn next(&self, _view: &ClusterView<'_>) -> Option<usize> {
        None
    }

    /// The position in `view.workers` of the worker that shall take a query of the job at position `job`; `None` when
    /// none has a free slot. It is asked after [`Self::next`]; a worker that must not take this query has `free` 0.
    ///
    /// By default the one that holds least, a warm one among equals.
    fn place(&self, view: &ClusterView<'_>, job: usize) -> Option<usize> {
        view::least_loaded(view, job)
    }
}

/// Every policy, in order of their names, each with those of the options that it has a meaning for.
pub fn all(options: &Options) -> Vec<Arc<dyn Policy>> {
    vec![
        Arc::new(CountBalance),
        Arc::new(Even),
        Arc::new(FairTime::new(options)),
        Arc::new(FairTimeDp::new(options)),
        Arc::new(Fifo),
        Arc::new(FinishTime::new(options)),
        Arc::new(LeastLoad),
        Arc::new(MaxMin::new(options)),
        Arc::new(Random),
        Arc::new(RateBalance),
        Arc::new(ShortestRemaining),
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
