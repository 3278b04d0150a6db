//! The life of one node, step by step, in the words of a trace: for recordings, which know no other node and no plan.

use std::io::Write;
use std::sync::Arc;

use super::lines::Lines;
use super::told::{Kind, Names, Told};
use super::{causes, changes, messages};
use crate::base::Time;
use crate::cluster::{Beginning, Given, Stepped};
use crate::node::{
    Body, Change, Effect, Input, Member, MembershipMessage, Message, Observation, Record, Request, Start,
    ViewUpdate,
};

/// Writes down what a node is given and what comes of it.
pub(in crate::cli) struct Life<O> {
    name: Arc<str>,
    names: Names,
    lines: Lines<O>,
    /// The kinds that are wanted; without any the usual ones.
    kinds: Vec<Kind>,
}

impl<O: Write> Life<O> {
    /// The life that begins so, to be written to `out`.
    pub(in crate::cli) fn new(beginning: &Beginning, kinds: &[Kind], out: O) -> Life<O> {
        let mut names = Names::of(&[]);
        names.meet(beginning.identity.id, &beginning.identity.name);
        let disk = match &beginning.start {
            Start::Join { disk, .. } | Start::Restart(disk) => Some(disk),
            Start::Found => None,
        };
        if let Some((view, _)) = disk.and_then(|disk| disk.view.as_ref()) {
            view.members().iter().for_each(|member| names.meet(member.id, &member.name));
        }
        let name = Arc::clone(&beginning.identity.name);
        let lines = Lines::new(out, name.chars().count());
        Life { name, names, lines, kinds: kinds.to_vec() }
    }

    /// What a step was given, whatever came of it.
    pub(in crate::cli) fn given(&mut self, given: &Given) {
        self.hear(&given.input);
        let cause = causes::input(&given.input, &[], &self.names);
        self.lines.event(given.now, &self.name, &cause.text, &[]);
    }

    /// A step and what came of it, as far as that is wanted.
    pub(in crate::cli) fn stepped(&mut self, given: &Given, stepped: &Stepped) {
        self.hear(&given.input);
        let cause = causes::input(&given.input, &stepped.due, &self.names);
        let told: Vec<Told> = stepped.effects.iter().filter_map(|effect| self.effect(effect)).collect();
        let wanted: Vec<String> =
            told.into_iter().filter(|told| self.wants(told)).map(|told| told.text).collect();
        if !wanted.is_empty() || self.wants(&cause) {
            self.lines.event(given.now, &self.name, &cause.text, &wanted);
        }
    }

    /// Something that is no step.
    pub(in crate::cli) fn wrong(&mut self, at: Time, text: &str) {
        self.lines.wrong(at, text);
    }

    /// Everything has been said; what kept it from being written.
    pub(in crate::cli) fn finish(mut self) -> Option<std::io::Error> {
        self.lines.flush();
        self.lines.failed
    }

    fn wants(&self, told: &Told) -> bool {
        if self.kinds.is_empty() { told.kind.is_usual() } else { self.kinds.contains(&told.kind) }
    }

    fn effect(&mut self, effect: &Effect) -> Option<Told> {
        match effect {
            Effect::Send { to, message, after } => {
                let mut told = messages::body(&message.body, &self.names);
                let after = if after.is_some() { " (once durable)" } else { "" };
                told.text = format!("→ {}{after}  {}", self.names.node(*to), told.text);
                Some(told)
            }
            Effect::Observe(seen) => {
                self.learn(seen);
                Some(changes::observation(seen, true, &self.names))
            }
            other => {
                if let Effect::Persist { record: Record::View { view, .. }, .. } = other {
                    view.members().iter().for_each(|member| self.meet(member));
                }
                changes::effect(other, &self.names)
            }
        }
    }

    fn learn(&mut self, seen: &Observation) {
        match seen {
            Observation::Dispatched { query, attempt, .. } => {
                self.names.attempts.insert(*attempt, *query);
            }
            Observation::Applied { changes, .. } => {
                for change in changes.iter() {
                    match change {
                        Change::JobAdded { job, spec } if !spec.name.is_empty() => {
                            self.names.jobs.insert(*job, Arc::clone(&spec.name));
                        }
                        Change::ViewChanged { change, .. } => {
                            change.joined.iter().for_each(|member| self.meet(member));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// Learns names from what comes in.
    fn hear(&mut self, input: &Input) {
        match input {
            Input::Receive { message: Message { body: Body::Membership(message), .. }, .. } => {
                match message {
                    MembershipMessage::Join(member) => self.meet(member),
                    MembershipMessage::Announce(news) => match &news.update {
                        ViewUpdate::Whole(view) => view.members().iter().for_each(|member| self.meet(member)),
                        ViewUpdate::Step { change, .. } => {
                            change.joined.iter().for_each(|member| self.meet(member));
                        }
                    },
                    _ => {}
                }
            }
            Input::Client { session, request, .. } => {
                if let Request::Submit(spec) = &**request {
                    self.names.sessions.insert(*session, Arc::clone(&spec.name));
                }
            }
            _ => {}
        }
    }

    fn meet(&mut self, member: &Member) {
        self.names.meet(member.id, &member.name);
    }
}
