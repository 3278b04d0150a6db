//! What keeps the state when machines die: the quorum log, or the classic standby, behind one interface.

use std::collections::VecDeque;
use std::sync::Arc;

use super::config::{Failover, FailoverMode};
use super::entry::{Command, Index, Position, Seats};
use super::io::{Outbox, Token};
use super::log::{Log, LogEvent};
use super::membership::Jurors;
use super::message::{LogMessage, StandbyMessage};
use super::mutant::Planted;
use super::observation::StepDown;
use super::record::Disk;
use super::standby::Standby;
use super::timer::Timer;
use super::view::View;
use crate::base::{Epoch, NodeId, Rng, Span, Time};

/// One of the two designs. What a method does stands with the design that does it.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one per node, and the large one is the usual one")]
pub(super) enum Replica {
    Log(Log),
    Standby(Box<Standby>),
}

type Events = VecDeque<LogEvent>;

impl Replica {
    pub(super) fn new(me: NodeId, disk: Option<&Disk>, config: &Failover, rng: Rng) -> Replica {
        match (config.mode, disk) {
            (FailoverMode::Log, Some(disk)) => Replica::Log(Log::restart(me, disk, config, rng)),
            (FailoverMode::Log, None) => Replica::Log(Log::new(me, config, rng)),
            (FailoverMode::Standby, Some(disk)) => {
                Replica::Standby(Box::new(Standby::restart(me, disk, config)))
            }
            (FailoverMode::Standby, None) => Replica::Standby(Box::new(Standby::new(me, config))),
        }
    }

    /// Plants a bug in the quorum log; the classic design has enough of its own.
    pub(super) fn plant(&mut self, planted: Planted) {
        match self {
            Replica::Log(log) => log.planted = planted,
            Replica::Standby(_) => {}
        }
    }

    pub(super) fn found(&mut self, now: Time, founding: Command, out: &mut Outbox, events: &mut Events) {
        match self {
            Replica::Log(log) => log.found(now, founding, out, events),
            Replica::Standby(standby) => standby.found(founding),
        }
    }

    /// Who hears alerts about silent members.
    pub(super) fn jurors(&self) -> Jurors {
        match self {
            Replica::Log(_) => Jurors::Voters,
            Replica::Standby(_) => Jurors::VotersAndLearners,
        }
    }

    pub(super) fn deadline(&self) -> Time {
        match self {
            Replica::Log(log) => log.deadline(),
            Replica::Standby(standby) => standby.deadline(),
        }
    }

    pub(super) fn due(&self, now: Time, due: &mut Vec<Timer>) {
        match self {
            Replica::Log(log) => log.due(now, due),
            Replica::Standby(standby) => standby.due(now, due),
        }
    }

    pub(super) fn wake(&mut self, now: Time, out: &mut Outbox, events: &mut Events) {
        match self {
            Replica::Log(log) => log.wake(now, out, events),
            Replica::Standby(standby) => standby.wake(now, out, events),
        }
    }

    /// A message of the quorum log; of no meaning to the other design.
    pub(super) fn receive(
        &mut self,
        now: Time,
        from: NodeId,
        message: LogMessage,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        match self {
            Replica::Log(log) => log.receive(now, from, message, out, events),
            Replica::Standby(_) => {}
        }
    }

    /// A message of the classic design; of no meaning to the quorum log.
    pub(super) fn receive_standby(
        &mut self,
        now: Time,
        from: NodeId,
        message: StandbyMessage,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        match self {
            Replica::Log(_) => {}
            Replica::Standby(standby) => standby.receive(now, from, message, out, events),
        }
    }

    pub(super) fn persisted(&mut self, now: Time, token: Token, out: &mut Outbox, events: &mut Events) {
        match self {
            Replica::Log(log) => log.persisted(now, token, out, events),
            Replica::Standby(_) => {}
        }
    }

    pub(super) fn hear(
        &mut self,
        now: Time,
        epoch: Epoch,
        leader: Option<NodeId>,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        match self {
            Replica::Log(log) => log.hear(now, epoch, leader, out, events),
            Replica::Standby(standby) => standby.hear(epoch, leader, out, events),
        }
    }

    /// Membership says that `id` is dead. The quorum log does not ask membership who leads.
    pub(super) fn dead(
        &mut self,
        now: Time,
        id: NodeId,
        seats: &Seats,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        match self {
            Replica::Log(_) => {}
            Replica::Standby(standby) => standby.dead(now, id, seats, out, events),
        }
    }

    /// This life of the node was evicted. Whoever leads a quorum goes on leading.
    pub(super) fn expelled(&mut self, out: &mut Outbox, events: &mut Events) {
        match self {
            Replica::Log(_) => {}
            Replica::Standby(standby) => standby.step_down(StepDown::Unseated, out, events),
        }
    }

    pub(super) fn propose(
        &mut self,
        now: Time,
        command: Command,
        out: &mut Outbox,
        events: &mut Events,
    ) -> Option<Position> {
        match self {
            Replica::Log(log) => log.propose(now, command, out, events),
            Replica::Standby(standby) => standby.propose(now, command, out, events),
        }
    }

    /// Changes who holds the quorum log; the classic design chooses by itself.
    pub(super) fn propose_seats(&mut self, now: Time, seats: Seats, out: &mut Outbox, events: &mut Events) {
        if let Replica::Log(log) = self {
            log.propose_seats(now, seats, out, events);
        }
    }

    /// Sees to it that there is a standby; the quorum log needs none.
    pub(super) fn choose(
        &mut self,
        now: Time,
        view: &View,
        suspect: impl Fn(NodeId) -> bool,
        out: &mut Outbox,
        events: &mut Events,
    ) {
        if let Replica::Standby(standby) = self {
            standby.choose(now, view, suspect, out, events);
        }
    }

    pub(super) fn read(&mut self, now: Time, out: &mut Outbox, events: &mut Events) -> Option<u64> {
        match self {
            Replica::Log(log) => log.read(now, out),
            Replica::Standby(standby) => standby.read(events),
        }
    }

    /// Hands over to a voter; in the classic design there is none that could lead.
    pub(super) fn transfer(&mut self, now: Time, to: NodeId, out: &mut Outbox) {
        if let Replica::Log(log) = self {
            log.transfer(now, to, out);
        }
    }

    pub(super) fn compact(&mut self, now: Time, last: Index, state: Arc<[u8]>, out: &mut Outbox) {
        match self {
            Replica::Log(log) => log.compact(last, state, out),
            Replica::Standby(standby) => standby.compact(now, last, state, out),
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        match self {
            Replica::Log(log) => log.epoch(),
            Replica::Standby(standby) => standby.epoch(),
        }
    }

    pub(super) fn leader(&self) -> Option<NodeId> {
        match self {
            Replica::Log(log) => log.leader(),
            Replica::Standby(standby) => standby.leader(),
        }
    }

    /// Whether this node has not heard its leader for so long that it seeks another one.
    pub(super) fn misses_leader(&self) -> bool {
        match self {
            Replica::Log(log) => log.misses_leader(),
            Replica::Standby(_) => false,
        }
    }

    pub(super) fn leads(&self) -> bool {
        match self {
            Replica::Log(log) => log.leads(),
            Replica::Standby(standby) => standby.leads(),
        }
    }

    /// Whether this node is among those that keep the state.
    pub(super) fn votes(&self) -> bool {
        match self {
            Replica::Log(log) => log.votes(),
            Replica::Standby(standby) => standby.holds(),
        }
    }

    pub(super) fn seats(&self) -> &Arc<Seats> {
        match self {
            Replica::Log(log) => log.seats(),
            Replica::Standby(standby) => standby.seats(),
        }
    }

    pub(super) fn lag(&self, node: NodeId) -> Option<u64> {
        match self {
            Replica::Log(log) => log.lag(node),
            Replica::Standby(_) => None,
        }
    }

    /// The number of the last append that this leader has sent.
    pub(super) fn round(&self) -> u64 {
        match self {
            Replica::Log(log) => log.round(),
            Replica::Standby(_) => 0,
        }
    }

    /// The number of the last append that a voter or learner has answered.
    pub(super) fn answered(&self, node: NodeId) -> u64 {
        match self {
            Replica::Log(log) => log.answered(node),
            Replica::Standby(_) => 0,
        }
    }

    /// Whether a voter or learner holds the seats in force durably.
    pub(super) fn holds_seats(&self, node: NodeId) -> bool {
        match self {
            Replica::Log(log) => log.holds_seats(node),
            Replica::Standby(_) => false,
        }
    }

    /// How long a voter or learner has not answered; in the classic design nobody's silence is counted here.
    pub(super) fn silence(&self, node: NodeId, now: Time) -> Span {
        match self {
            Replica::Log(log) => log.silence(node, now),
            Replica::Standby(_) => Span::ZERO,
        }
    }

    /// How many entries are not committed yet; in the classic design each is as soon as it is written.
    pub(super) fn pending(&self) -> u64 {
        match self {
            Replica::Log(log) => log.pending(),
            Replica::Standby(_) => 0,
        }
    }

    pub(super) fn silent_voters(&self, now: Time) -> Vec<NodeId> {
        match self {
            Replica::Log(log) => log.silent_voters(now),
            Replica::Standby(_) => Vec::new(),
        }
    }

    pub(super) fn cluster_time(&self, now: Time) -> Time {
        match self {
            Replica::Log(log) => log.cluster_time(now),
            Replica::Standby(standby) => standby.cluster_time(now),
        }
    }
}
