//! What of a scenario real nodes on this computer cannot suffer, and why.

use nix::unistd::geteuid;

use crate::scenario::{Fault, FaultKind, Plan, Shape, Trigger};

/// A fault that cannot be injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unable {
    /// Its position in the plan.
    pub fault: u32,
    /// Its kind, as scenarios call it.
    pub kind: &'static str,
    /// Why not, and what would help.
    pub why: &'static str,
}

/// The faults of the plan that a drill cannot inject; `netns` says whether each node has a network of its own.
pub fn unable(plan: &Plan, netns: bool) -> Vec<Unable> {
    let judged = (0..).zip(&plan.faults);
    let unable = |(fault, planned): (u32, &Fault)| {
        Some(Unable { fault, kind: planned.kind.name(), why: hindrance(planned, netns)? })
    };
    judged.filter_map(unable).collect()
}

const SIMULATED: &str = "only a simulator can do that";
const NETWORK: &str = "needs --netns, as root";

fn hindrance(fault: &Fault, netns: bool) -> Option<&'static str> {
    if fault.trigger == Some(Trigger::Snapshot) {
        return Some("when a part of a snapshot is on its way only a simulator knows");
    }
    let network = if netns { None } else { Some(NETWORK) };
    match &fault.kind {
        FaultKind::Crash { .. }
        | FaultKind::Restart
        | FaultKind::Leave
        | FaultKind::Pause
        | FaultKind::EngineDeath
        | FaultKind::Stuck => None,
        FaultKind::Partial(Shape::Swizzle) => {
            Some("whose links change all the time: only a simulator can do that")
        }
        FaultKind::Loss(loss) if loss.burst.is_some() => Some("in bursts: only a simulator can do that"),
        FaultKind::Loss(loss) if loss.bytes_min > 0 => Some("by size: packets are not messages"),
        FaultKind::Isolate | FaultKind::Cut { .. } | FaultKind::Partial(_) | FaultKind::Loss(_) => network,
        FaultKind::FullDisk if geteuid().is_root() => None,
        FaultKind::FullDisk => Some("needs root, for disks that are small enough to be filled"),
        FaultKind::SlowLink(_)
        | FaultKind::Jam
        | FaultKind::Starve(_)
        | FaultKind::Skew(_)
        | FaultKind::Suspend
        | FaultKind::Delay(_)
        | FaultKind::Duplicate(_)
        | FaultKind::Reorder(_)
        | FaultKind::Slow(_)
        | FaultKind::LoadFailure { .. }
        | FaultKind::SlowDisk(_)
        | FaultKind::Corrupt
        | FaultKind::Rollback
        | FaultKind::Rot
        | FaultKind::BadOutput(_)
        | FaultKind::RepeatOutput => Some(SIMULATED),
    }
}
