//! What a history does not tell: its beginning, or what some nodes observed. What cannot be judged without that is passed over.

use serde::{Deserialize, Serialize};

use super::verdict::Invariant;

/// What a history lacks. One that was told by all nodes from their first start on lacks nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gaps {
    /// It begins in the midst of things: what was before is not known. A process that is up at time zero was up before.
    pub beginning: bool,
    /// Some nodes that belonged to the cluster told nothing.
    pub nodes: bool,
}

impl Gaps {
    /// Whether anything is lacking.
    pub const fn any(self) -> bool {
        self.beginning || self.nodes
    }

    /// Whether nothing is lacking.
    pub const fn none(&self) -> bool {
        !self.any()
    }

    /// Whether an invariant can be judged at all. The others need the clients' side, the faults, or a second run.
    pub const fn judges(self, invariant: Invariant) -> bool {
        match invariant {
            Invariant::OneLeader
            | Invariant::LogKept
            | Invariant::CountedOnce
            | Invariant::Fenced
            | Invariant::ViewsOrdered => true,
            Invariant::PromisesKept
            | Invariant::WholeAgain
            | Invariant::NothingStranded
            | Invariant::Linearizable
            | Invariant::FilesKept
            | Invariant::Repeatable
            | Invariant::Bounded => !self.any(),
        }
    }

    /// What was left out for the lack of it, a phrase each; empty when nothing is lacking.
    pub fn left_out(self) -> Vec<String> {
        let mut left = Vec::new();
        if self.any() {
            left.push("what clients were told, whether all becomes whole again and goes on in time, where files are, and how often leaders change (3, 7 to 10, 12)");
            left.push("whether a majority had voted for each leader (of 1)");
        }
        if self.beginning {
            left.push("jobs that were there before (of 4), and reigns that had begun before (of 5)");
        }
        if self.nodes {
            left.push("whether results came from attempts that were dispatched and ran (of 4)");
        }
        left.into_iter().map(str::to_owned).collect()
    }
}
