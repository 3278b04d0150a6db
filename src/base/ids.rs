//! Names of things: nodes, their lives, reigns, views, jobs, queries, attempts.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// A node's identity: 64 random bits made together with its data directory. It dies with that disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(NonZeroU64);

impl NodeId {
    /// The identity made of `bits`; zero, which no node can have, becomes one.
    pub const fn new(bits: u64) -> NodeId {
        match NonZeroU64::new(bits) {
            Some(bits) => NodeId(bits),
            None => NodeId(NonZeroU64::MIN),
        }
    }

    /// The bits, never zero.
    pub const fn bits(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:016x}", self.0))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl $name {
            /// The one after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                $name(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!(concat!($prefix, "{}"), self.0))
            }
        }
    };
}

number!(
    /// One life of a node: counted per start and per readmission, durable before its first message. The first is 1.
    Incarnation(u32), "life "
);
number!(
    /// 64 random bits made when a cluster is founded. Messages of other clusters are refused.
    ClusterId(u64), "cluster "
);
number!(
    /// A coordinator's reign: the term of the quorum log. Later compares greater; each has at most one leader.
    Epoch(u64), "epoch "
);
number!(
    /// The number of a committed membership. Views form one total order; the first is 1, 0 is "none yet".
    ViewId(u64), "view "
);
number!(
    /// A job, numbered by the ledger in the order in which submissions commit, from 1.
    JobId(u32), "job "
);
number!(
    /// A client's session: 64 random bits chosen by the client.
    SessionId(u64), "session "
);

/// One batch of a job, the unit of dispatch: the `number`-th batch of the job's `cut`-th division into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueryId {
    /// The job.
    pub job: JobId,
    /// How often the job's batch size had been changed when this query came to be.
    pub cut: u32,
    /// The place within its cut, from 0.
    pub number: u32,
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}.{}", self.job.0, self.cut, self.number))
    }
}

/// One try at a query: the reign that dispatched it and its serial number within that reign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The reign of the coordinator that made the attempt.
    pub epoch: Epoch,
    /// Counted per reign, from 1.
    pub serial: u64,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.epoch.0, self.serial))
    }
}
