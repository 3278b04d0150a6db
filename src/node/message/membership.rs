//! Who is alive, and who belongs to the cluster.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::entry::Seats;
use super::super::update::ViewUpdate;
use super::super::view::Member;
use crate::base::{Epoch, Incarnation, NodeId, Span, ViewId};

/// Membership and failure detection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MembershipMessage {
    /// A member to its observers, 20 times a second: "this life of mine goes on". It carries the newest reign and view
    /// that the sender knows. Not answered, unless the receiver knows that the sender was evicted ([`Self::Expelled`])
    /// or finds the sender's view newer than its own ([`Self::FetchView`]).
    Heartbeat {
        /// The newest reign that the sender knows.
        epoch: Epoch,
        /// Who leads it, as far as the sender knows.
        coordinator: Option<NodeId>,
        /// The newest view that the sender holds.
        view: ViewId,
        /// The sender's life.
        incarnation: Incarnation,
    },
    /// An observer to every voter, every 100 ms while the silence lasts. Not answered, unless the receiver has no vote
    /// ([`Self::Announce`] says who has) or knows that the sender was evicted ([`Self::Expelled`]).
    Alert {
        /// The silent member.
        subject: NodeId,
        /// The life of it that is silent.
        incarnation: Incarnation,
        /// The view in which the sender observes it.
        view: ViewId,
        /// For how long the sender, awake, has heard nothing from it; counted from the end of the grace at the earliest.
        silent_for: Span,
        /// The sender's life.
        by: Incarnation,
    },
    /// One who wants to belong to the cluster, to any member; passed on to the coordinator. Repeated until a view that
    /// contains this very life arrives ([`Self::Announce`]).
    Join(Arc<Member>),
    /// A member that leaves on purpose, to the coordinator or to one who passes it on, repeated until it is told so by
    /// [`Self::Expelled`].
    Leave {
        /// Who leaves.
        node: NodeId,
        /// The life that ends.
        incarnation: Incarnation,
    },
    /// A member to any other, twice a second, and to one who holds a newer view: "do you know a newer view, or newer seats?"
    /// Answered by [`Self::Announce`] if so; a receiver whose own view is older asks in turn.
    FetchView {
        /// The view that the sender holds.
        have: ViewId,
        /// The number of the seats that it knows.
        seats: u64,
    },
    /// The coordinator to every member after a view or seat change; anyone in answer to [`Self::FetchView`], to a
    /// [`Self::Join`] of one who is a member, and to an alert that should have gone to a voter.
    Announce(Arc<Announcement>),
    /// Anyone to a node that is not, or no longer, a member: "the life in which you speak does not belong here".
    Expelled {
        /// The life that was evicted.
        incarnation: Incarnation,
        /// The view by which the sender judges.
        view: ViewId,
    },
    /// Where members watch each other in a ring, an observer to the one that it watches, instead of the latter's heartbeats: "are
    /// you there?" A member answers with a [`Self::Heartbeat`]; otherwise it is treated like one.
    Ping {
        /// The newest reign that the sender knows.
        epoch: Epoch,
        /// Who leads it, as far as the sender knows.
        coordinator: Option<NodeId>,
        /// The newest view that the sender holds.
        view: ViewId,
        /// The sender's life.
        incarnation: Incarnation,
    },
}

/// A view together with who votes and who leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Announcement {
    /// The newest reign that the sender knows.
    pub epoch: Epoch,
    /// Who leads it.
    pub coordinator: Option<NodeId>,
    /// The view.
    pub update: ViewUpdate,
    /// The seats as the sender knows them.
    pub seats: Arc<Seats>,
}
