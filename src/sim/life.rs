//! How processes begin, die, lose their disks, stand still and go on; and whether the run is done.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::book::Address;
use super::client::{Client, Standing};
use super::clock::Clock;
use super::host::{Host, Process, Waiting};
use super::world::{World, identity};
use crate::base::{JobId, NodeId, Span, Time};
use crate::history::{Machine, SETTLE, Watcher, What};
use crate::node::{FailoverMode, Identity, Input, Mutant, Start};

impl<P: Process, W: Watcher> World<'_, P, W> {
    /// A process begins on `machine`, where none runs, from what its disk holds; on one that holds no view it joins. Where the
    /// disk has no room it begins once there is some.
    pub(super) fn start(&mut self, machine: Machine) {
        if !self.admits(machine) {
            return;
        }
        let index = machine as usize;
        let plan = &self.plan.nodes[index];
        let host = &self.hosts[index];
        let (id, life) = (host.id, host.life + 1);
        let disk = self.disks[index].durable();
        let mut disk = Box::new(disk.clone());
        disk.chunks = self.chunks.on(machine);
        let start = if disk.view.is_none() {
            // Everyone else of the plan, beginning with the next machine, so that not all ask the same one.
            let n = self.hosts.len();
            let seeds = (1..n).map(|i| self.hosts[(index + i) % n].id).collect();
            Start::Join { seeds, disk }
        } else {
            Start::Restart(disk)
        };
        let identity = Identity {
            id,
            name: Arc::clone(&plan.name),
            kind: Arc::clone(&plan.kind),
            worker: plan.worker,
            refuse: plan.refuse,
            address: Arc::clone(&plan.name),
        };
        let rng = self.rng.fork("node").fork_number(u64::from(machine)).fork_number(u64::from(life));
        let process = P::start(identity, Arc::clone(&self.plan.config), start, rng);
        let host = &mut self.hosts[index];
        assert!(!host.runs(), "machine {machine} runs two processes");
        self.staging.forget(machine, self.plan.config.store.cache);
        host.life = life;
        host.suspended = false;
        host.clock = Clock::new(self.now, host.rate());
        host.armed = self.now;
        host.awaits_room = false;
        host.process = Some(process);
        self.queue.push_bare(self.now, machine);
        self.note(Some(machine), What::Up(id));
        self.scrub_all(machine);
    }

    /// The process on `machine` dies without a word; false, with nothing changed, when none runs.
    pub(super) fn crash(&mut self, machine: Machine) -> bool {
        let host = &mut self.hosts[machine as usize];
        if host.process.take().is_none() {
            return false;
        }
        host.armed = Time::NEVER;
        host.paused = false;
        host.seats = None;
        host.suspended = false;
        // What is under way for this life finds another one, or none, from now on.
        host.life += 1;
        let id = host.id;
        self.waiting.remove(&machine);
        self.disks[machine as usize].crash();
        self.engines[machine as usize].forget();
        self.note(Some(machine), What::Down(id));
        self.heed(machine, None);
        true
    }

    /// The disk of `machine`, whose process is dead, is lost: the machine gets an empty disk and a new identity.
    pub(super) fn wipe(&mut self, machine: Machine) {
        if self.plan.config.has(Mutant::WipedKeepsIdentity) {
            self.disks[machine as usize].wipe_but_identity();
            return;
        }
        self.disks[machine as usize].wipe();
        self.chunks.wipe(machine);
        let host = &mut self.hosts[machine as usize];
        assert!(!host.runs(), "the disk of a process that runs is not taken away");
        host.disk += 1;
        // Whoever took the disk away says when the machine starts again, with a new one that has room.
        host.awaits_room = false;
        host.id = identity(&self.rng, machine as usize, host.disk);
        self.book.insert(host.id, Address { machine, disk: host.disk });
    }

    /// The process stands still; `false` when none runs or it does so already.
    pub(super) fn pause(&mut self, machine: Machine) -> bool {
        let host = &mut self.hosts[machine as usize];
        if !host.runs() || host.paused {
            return false;
        }
        host.paused = true;
        let id = host.id;
        // What waits because the machine starves goes on waiting.
        self.waiting.entry(machine).or_default();
        self.note(Some(machine), What::Paused(id));
        true
    }

    /// The process goes on: it is given everything that waited for it, and wakes up only then.
    pub(super) fn resume(&mut self, machine: Machine) {
        let host = &mut self.hosts[machine as usize];
        // One that is suspended goes on when that is over, and not when a pause is that began with an earlier process.
        if !host.paused || host.suspended {
            return;
        }
        host.paused = false;
        let id = host.id;
        self.note(Some(machine), What::Resumed(id));
        self.catch_up(machine);
    }

    /// A process that no longer stands still is given everything that waited for it, and wakes up only then.
    pub(super) fn catch_up(&mut self, machine: Machine) {
        let host = &mut self.hosts[machine as usize];
        if !host.runs() || host.stands_still() {
            return;
        }
        // A wake-up that came due meanwhile is void; the next step arms a new one.
        host.armed = Time::NEVER;
        let Waiting { local, inbox } = self.waiting.remove(&machine).unwrap_or_default();
        for local in local {
            self.local(machine, local);
        }
        for (from, message) in inbox {
            // Only a full disk kills a process between two steps.
            if !self.hosts[machine as usize].runs() {
                return;
            }
            self.step(machine, Input::Receive { from, message });
        }
        self.arm(machine);
    }

    /// A process whose clock runs differently now wakes at other times.
    pub(super) fn rearm(&mut self, machine: Machine) {
        self.hosts[machine as usize].armed = Time::NEVER;
        if !self.hosts[machine as usize].stands_still() {
            self.arm(machine);
        }
    }

    /// Why the run is over, if it is: an empty list when everything is done, else what was left when it was given up.
    pub(super) fn finished(&mut self) -> Option<Vec<String>> {
        // Whoever waits for another one's job counts among the unfinished.
        let comes = |at: Time| at > self.now && at != Time::NEVER;
        let asks_later = |client: &Client| client.next_at().is_some_and(comes);
        if !self.faults.are_over() || self.clients.all.iter().any(asks_later) {
            return None;
        }
        let jobs = self.unfinished_jobs();
        let left = if jobs.is_empty() { self.unsound() } else { jobs.clone() };
        if self.watch.settles(self.now, left.is_empty()) {
            return Some(Vec::new());
        }
        // Once all jobs have ended nothing but the time since is needed to become whole; until then there is work to do.
        let whole = self.plan.liveness_within + self.plan.slow_writes();
        let patience = if jobs.is_empty() { whole } else { self.watch.patience };
        (!left.is_empty() && self.now.since(self.watch.progress) > patience).then_some(left)
    }

    /// The jobs that have not ended, each with a word on how far it is.
    fn unfinished_jobs(&self) -> Vec<String> {
        let clients = self.clients.all.iter();
        let told = clients.clone().filter_map(|client| match &client.standing {
            Standing::Accepted(job) if self.watch.has_ended(*job) || self.watch.is_stopped(*job) => None,
            Standing::Accepted(job) => {
                let counted = self.watch.counted(*job);
                Some(format!(
                    "{job} ({}) was accepted and has not ended: {counted} inputs are counted",
                    client.name
                ))
            }
            Standing::Refused(_) | Standing::Unknown | Standing::Jobless => None,
            Standing::Waiting(None) => {
                Some(format!("{} was not answered in {} attempts", client.name, client.attempt))
            }
            Standing::Waiting(Some(refusal)) => {
                Some(format!("{} was not accepted in {} attempts: {refusal}", client.name, client.attempt))
            }
        });
        let known: BTreeSet<JobId> = clients.clone().filter_map(Client::job).collect();
        let nobodys = self.watch.open().filter(|job| !known.contains(job));
        let nobodys = nobodys.map(|job| format!("{job} has not ended, and no client knows of it"));
        // A job is in the log before its client hears of it, which is then among those that wait.
        let unknown = clients.clone().any(|client| client.standing == Standing::Unknown);
        let nobodys = nobodys.filter(|_| unknown);
        told.chain(clients.filter_map(Client::unanswered)).chain(nobodys).collect()
    }

    /// What keeps the cluster from being whole: every process that runs, and neither stands still nor is broken for good, belongs to the newest
    /// view, knows it, and follows the leader; nobody else belongs to it.
    fn unsound(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mut known: BTreeSet<NodeId> = BTreeSet::new();
        let mut leader = None;
        // Who is broken for good may leave and come back without end, and so there is always someone who is just hearing of it.
        let lasting = if self.faults.broken.iter().any(|&faults| faults > 0) { SETTLE } else { Span::ZERO };
        for (machine, host) in self.hosts.iter().enumerate() {
            let name = &self.plan.nodes[machine].name;
            if host.paused {
                known.insert(host.id);
                continue;
            }
            let Some(status) = host.status() else {
                if self.faults.is_broken(machine as Machine) {
                    known.insert(host.id);
                }
                continue;
            };
            known.insert(host.id);
            if self.faults.is_broken(machine as Machine) {
                // Who starves now and then, or loses some of what it says, may lead all the same.
            } else if !status.member || !self.watch.view.contains(host.id, status.incarnation) {
                left.push(format!("{name} runs and is not a member"));
            } else if self.watch.is_outdated(status.view, self.now, lasting) {
                left.push(format!("{name} acts by {} and not by {}", status.view, self.watch.view.id()));
            }
            if status.leads {
                leader = leader.max(Some((status.epoch, host.id)));
            }
        }
        left.extend(
            self.watch.strangers(&known).iter().map(|name| format!("{name} is dead and still a member")),
        );
        if leader.is_none() {
            left.push("nobody leads".to_owned());
        }
        left.extend(self.lost_seats());
        left.extend(self.lost_copies());
        left
    }

    /// Chunks of files of which there are fewer copies than there should be, as long as they can be had from somewhere: a machine that some
    /// cannot reach, or that cannot reach them, need not have told anybody what it holds.
    fn lost_copies(&self) -> Vec<String> {
        let members = self
            .hosts
            .iter()
            .enumerate()
            .filter(|(_, host)| host.runs() && self.watch.view.member(host.id).is_some());
        // Who is broken may hold a copy like everyone else, and need not.
        let all: Vec<Machine> = members.map(|(machine, _)| machine as Machine).collect();
        let sound = |&&machine: &&Machine| {
            !self.hosts[machine as usize].stands_still() && !self.faults.is_broken(machine)
        };
        let reachable = |holder: Machine| {
            let cut = |other: Machine| {
                self.network.is_cut(holder, other, self.now) || self.network.is_cut(other, holder, self.now)
            };
            !all.iter().filter(sound).any(|&other| other != holder && cut(other))
        };
        let wanted = usize::from(self.plan.config.store.copies).min(all.iter().filter(sound).count());
        let mut left = Vec::new();
        for chunk in self.watch.chunks() {
            let copies = all.iter().filter(|&&machine| self.chunks.is_sound(machine, chunk)).count();
            let had = || all.iter().any(|&holder| self.chunks.is_sound(holder, chunk) && reachable(holder));
            if copies < wanted && had() {
                left.push(format!("{copies} disks and not {wanted} hold chunk {chunk:?}"));
            }
        }
        left
    }

    /// The seats of those who are gone, as long as somebody is there who could take them.
    fn lost_seats(&self) -> Vec<String> {
        if self.plan.config.failover.mode == FailoverMode::Standby {
            return Vec::new();
        }
        let voters = &self.watch.seats.voters;
        let runs = |id: &NodeId| {
            let address = self.book.find(*id);
            address.is_some_and(|Address { machine, disk }| {
                let host = &self.hosts[machine as usize];
                host.disk == disk && host.runs()
            })
        };
        let lost = |id: &&NodeId| !runs(id) && self.watch.view.member(**id).is_none();
        let takes = |(machine, host): (usize, &Host<P>)| {
            let broken = host.stands_still() || self.faults.is_broken(machine as Machine);
            !broken && host.runs() && self.watch.view.member(host.id).is_some() && !voters.contains(&host.id)
        };
        if !self.hosts.iter().enumerate().any(takes) {
            return Vec::new();
        }
        voters.iter().filter(lost).map(|id| format!("{id} is gone and still has a voter's seat")).collect()
    }
}
