//! What a node has shown itself to be, by what it observed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::{AttemptId, Epoch, Incarnation, NodeId, ViewId};
use crate::node::{Observation, Seats, Status};

/// One life of a process, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Role {
    /// Its life, once that began and while it has not learned that it was evicted.
    pub(super) life: Option<Incarnation>,
    /// The reign that it leads.
    pub(super) leads: Option<Epoch>,
    /// Whether it dispatches in that reign.
    pub(super) opened: bool,
    /// The seats that it acts by.
    pub(super) seats: Option<Arc<Seats>>,
    /// The view that it acts by.
    pub(super) view: ViewId,
    held: BTreeSet<AttemptId>,
}

impl Role {
    /// It has observed something.
    pub(super) fn learn(&mut self, observation: &Observation) {
        match observation {
            Observation::Born { incarnation } => self.life = Some(*incarnation),
            Observation::Expelled { .. } => {
                self.life = None;
                self.held.clear();
            }
            Observation::Led { epoch } => (self.leads, self.opened) = (Some(*epoch), false),
            Observation::SteppedDown { .. } => self.leads = None,
            Observation::Opened { .. } => self.opened = true,
            Observation::Seated { seats } => self.seats = Some(Arc::clone(seats)),
            Observation::Installed { view, .. } => self.view = *view,
            Observation::Accepted { attempt, .. } => {
                self.held.insert(*attempt);
            }
            Observation::Dropped { attempt, .. } | Observation::Ended { attempt, .. } => {
                self.held.remove(attempt);
            }
            _ => {}
        }
    }

    /// The same as the node `id` would say it; `seats` are the newest that are committed, and `member` whether its life belongs to the
    /// newest view.
    pub(super) fn status(&self, id: NodeId, seats: &Seats, member: bool) -> Status {
        Status {
            incarnation: self.life.unwrap_or_default(),
            epoch: self.leads.unwrap_or_default(),
            coordinator: self.leads.map(|_| id),
            leads: self.leads.is_some(),
            votes: seats.voters.contains(&id),
            view: self.view,
            member,
            held: self.held.len(),
        }
    }
}
