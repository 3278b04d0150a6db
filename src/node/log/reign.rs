//! What a node knows of the reign and of its own seat, and what follows when that changes.

use std::sync::Arc;

use super::super::entry::Seats;
use super::super::observation::{Observation, StepDown};
use super::super::record::Ballot;
use super::lead::Lead;
use super::{Log, LogEvent, Role, Turn};
use crate::base::Epoch;

impl Log {
    pub(super) fn begin(&mut self, t: &mut Turn) {
        self.begun = true;
        self.clock.1 = t.now;
        if let Some(image) = self.store.image() {
            t.tell(LogEvent::Restore(Arc::clone(image.snapshot())));
        }
        let seats = Arc::clone(self.store.seats());
        if seats.number > 0 {
            tell_seats(t, &seats);
        }
        self.reset_timer(t.now);
        if seats.voters == [self.me] || self.is_to_be_first() {
            // There is nobody to wait for.
            self.timer = t.now;
        }
    }

    pub(super) fn tell_reign(&mut self, t: &mut Turn) {
        let reign = (self.epoch(), self.leader);
        if self.told != reign {
            self.told = reign;
            t.tell(LogEvent::Follow { epoch: reign.0, leader: reign.1 });
        }
    }

    /// A term is in force that may be newer than the one known here: writes it, and ends what belongs to an older one.
    pub(super) fn raise(&mut self, t: &mut Turn, epoch: Epoch) {
        if epoch > self.heard {
            let handed_over = self.lead().is_some_and(Lead::hands_over);
            let reason = if handed_over { StepDown::HandedOver } else { StepDown::Superseded };
            self.step_down(t, reason);
            self.heard = epoch;
        }
        if epoch > self.ballot.epoch {
            self.write_ballot(t, Ballot { epoch, vote: None });
        }
    }

    /// Becomes a follower without a leader.
    pub(super) fn step_down(&mut self, t: &mut Turn, reason: StepDown) {
        if self.leads() {
            let epoch = self.epoch();
            t.observe(Observation::SteppedDown { epoch, reason });
            t.tell(LogEvent::Unled { epoch, reason });
            self.reset_timer(t.now);
        }
        self.role = Role::Follower;
        self.leader = None;
        self.heard_at = None;
        self.missing.clear();
    }

    /// The seats may have changed.
    pub(super) fn reseat(&mut self, t: &mut Turn, before: &Arc<Seats>) {
        let seats = Arc::clone(self.store.seats());
        if *before == seats {
            return;
        }
        tell_seats(t, &seats);
        let seated = seats.voters.contains(&self.me);
        if seated && !self.seated {
            self.raise(t, self.heard);
            if !self.leads() {
                self.reset_timer(t.now);
            }
        }
        self.seated = seated;
        if self.leads() {
            self.reseat_followers(t.now, t.out);
        } else if !seated {
            self.role = Role::Follower;
        }
    }
}

fn tell_seats(t: &mut Turn, seats: &Arc<Seats>) {
    t.observe(Observation::Seated { seats: Arc::clone(seats) });
    t.tell(LogEvent::Seated(Arc::clone(seats)));
}
