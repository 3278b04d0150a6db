//! What can be made plainer: settings are as they are by default, and faults of the kind that is understood best.

use std::sync::Arc;

use super::Shrinker;
use crate::base::{BySize, CostProfile, Draw, Span};
use crate::scenario::{Config, Fault, FaultKind, Loss, to_brief_toml};

/// Keys without which a scenario would be another one, or a larger one, rather than a plainer one.
/// With less time for liveness it would fail for a reason of its own.
const NEEDED: [&str; 9] =
    ["name", "seed", "nodes", "until", "liveness_within", "for", "every", "times", "batch"];

impl Shrinker<'_> {
    /// Leaves settings as they are by default: all of them, then table by table, then line by line. Every key that has a
    /// default can be left out of the file, so that none is forgotten here.
    pub(super) fn settings(&mut self) {
        self.keep(|plan| {
            let planted = plan.config.planted;
            plan.config = Arc::new(Config { planted, ..Config::default() });
        });
        self.values();
        let tables = self.lines().iter().filter(|line| is_table(line)).count();
        for table in (0..tables).rev() {
            self.keep_without(|lines| {
                let header = lines.iter().enumerate().filter(|(_, line)| is_table(line)).nth(table);
                header.map_or(0..0, |(from, _)| {
                    let to = lines[from..].iter().position(String::is_empty);
                    from..to.map_or(lines.len(), |length| from + length)
                })
            });
        }
        for place in (0..self.lines().len()).rev() {
            self.keep_without(|lines| {
                let setting =
                    |line: &String| line.split_once(" = ").is_some_and(|(key, _)| !NEEDED.contains(&key));
                if lines.get(place).is_some_and(setting) { place..place + 1 } else { 0..0 }
            });
        }
        for place in 0..self.best.jobs.len() {
            self.keep(|plan| plan.jobs[place].spec.batch = 1);
        }
    }

    /// The scenario as it is written.
    fn lines(&self) -> Vec<String> {
        to_brief_toml(&self.best).lines().map(str::to_owned).collect()
    }

    /// Keeps the scenario without the lines that `which` names.
    fn keep_without(&mut self, which: impl Fn(&[String]) -> std::ops::Range<usize>) -> bool {
        let mut lines = self.lines();
        lines.drain(which(&lines));
        self.keep_text(&(lines.join("\n") + "\n"))
    }

    /// Gives network, disks and models the plainest values, which are not random as the defaults are.
    fn values(&mut self) {
        self.keep(|plan| plan.network.latency = Draw::Fixed(Span::micros(100)));
        self.keep(|plan| plan.disk.sync = Draw::Fixed(Span::millis(1)));
        let models: Vec<Arc<str>> = self.best.models.keys().cloned().collect();
        for name in models {
            self.keep(|plan| {
                let model = plan.models.get_mut(&name).expect("it is listed");
                model.profile = CostProfile {
                    load: Draw::ZERO,
                    setup: Draw::ZERO,
                    per_input: Draw::Fixed(Span::millis(10)),
                    by_size: BySize::LINE,
                };
            });
        }
    }

    /// Puts faults in the place of others that are harder to understand.
    pub(super) fn kinds(&mut self) {
        for place in 0..self.best.faults.len() {
            self.keep(|plan| plainer(&mut plan.faults[place]));
        }
    }
}

/// Whether a line is the header of a table of settings.
fn is_table(line: &str) -> bool {
    line.starts_with('[') && !line.starts_with("[[") && !line.starts_with("[model")
}

/// The same fault with plainer figures.
fn plainer(fault: &mut Fault) {
    match &mut fault.kind {
        // What is lost for certain is lost by no chance.
        FaultKind::Loss(loss) if fault.lasting.is_some() => *loss = Loss::of(1.0),
        FaultKind::Loss(loss) => *loss = Loss::of(loss.rate),
        FaultKind::Duplicate(rate) | FaultKind::Reorder(rate) => *rate = 0.5,
        FaultKind::Delay(by) | FaultKind::SlowDisk(by) => *by = Draw::Fixed(Span::millis(100)),
        _ => {}
    }
}
