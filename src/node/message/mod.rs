//! What nodes say to each other, and what clients ask of them.
//!
//! A message is at most 64 bytes; large parts are shared behind an [`Arc`]. Any message is legal at any moment: late,
//! twice, out of order, from a node that was removed.

mod client;
mod log;
mod membership;
mod standby;
mod store;
mod work;

use serde::{Deserialize, Serialize};

pub use client::*;
pub use log::*;
pub use membership::*;
pub use standby::*;
pub use store::*;
pub use work::*;

use crate::base::ClusterId;

/// One message and the cluster that it belongs to; a node drops those of other clusters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// The sender's cluster.
    pub cluster: ClusterId,
    /// What it says.
    pub body: Body,
}

/// What a message says, by the part of the node that it speaks to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Body {
    /// Who is alive, and who belongs to the cluster.
    Membership(MembershipMessage),
    /// The quorum log among its voters and learners.
    Log(LogMessage),
    /// Dispatch and results between coordinator and workers.
    Work(WorkMessage),
    /// Client requests on their way to the coordinator, and its answers on their way back.
    Client(ClientMessage),
    /// The classic design instead of the quorum log: coordinator and standby.
    Standby(StandbyMessage),
    /// The file store: which members hold which chunks.
    Store(StoreMessage),
}

const _: () = assert!(size_of::<Message>() <= 64, "messages are copied through queues");
