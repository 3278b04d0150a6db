//! What a cluster says of itself, in the words of a scenario: its settings, its nodes, and the jobs that it was given meanwhile.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use super::Collected;
use crate::base::Time;
use crate::history::{Change, JobSpec, Observation, What};
use crate::scenario::{Plan, ScenarioError};

/// What results of collected histories are called.
const NAME: &str = "collected";
/// Names are cut to so many characters, which leaves room for numbers: scenarios allow 64 in all.
const NAME_CHARACTERS: usize = 50;

/// The scenario of a history, and what is to be said about it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The scenario: settings, nodes, jobs with the times at which they were accepted, and for how long. Nothing is known of its
    /// network, its disks and its faults.
    pub plan: Plan,
    /// Nodes whose settings differ from those of the first one, which stand in the scenario.
    pub differ: Vec<Arc<str>>,
}

impl Collected {
    /// The scenario that this is the history of.
    pub fn account(&self) -> Result<Account, ScenarioError> {
        let first = self.nodes.first().map_or("", |source| &*source.settings);
        let differ = self.nodes.iter().filter(|source| *source.settings != *first);
        let differ = differ.map(|source| Arc::clone(&source.name)).collect();
        let until = self.lasted.0.max(1);
        let about = "What the nodes of a cluster that was started by hand observed.";
        let mut text =
            format!("name = \"{NAME}\"\nabout = \"{about}\"\nuntil = \"{until}ns\"\ntrials = 1\n\n{first}\n");
        let mut nodes = BTreeSet::new();
        for source in &self.nodes {
            let (name, kind) =
                (fitting(&source.name, &mut nodes), fitting(&source.kind, &mut BTreeSet::new()));
            let (name, kind) = (quoted(&name), quoted(&kind));
            let _ = write!(text, "\n[[node]]\nname = {name}\nkind = {kind}\nworker = {}\n", source.worker);
        }
        let head = Plan::with_overrides(&text, ORIGIN, &[] as &[&str])?;
        let mut names = BTreeSet::new();
        for (at, spec) in self.jobs() {
            // What nobody can run is no part of a scenario.
            if !head.models.contains_key(&spec.model) {
                continue;
            }
            let called = fitting(&spec.name, &mut names);
            let _ = write!(
                text,
                "\n[[job]]\nname = {}\nmodel = {}\ninputs = {}\nbatch = {}\nweight = {:?}\npriority = {}\nat = \"{}ns\"\n",
                quoted(&called),
                quoted(&spec.model),
                spec.inputs.count(),
                spec.batch,
                spec.weight,
                spec.priority,
                at.0,
            );
        }
        let plan = Plan::with_overrides(&text, ORIGIN, &[] as &[&str])?;
        Ok(Account { plan, differ })
    }

    /// The jobs that were accepted meanwhile: when, and what was submitted.
    fn jobs(&self) -> Vec<(Time, Arc<JobSpec>)> {
        let (mut known, mut jobs) = (BTreeSet::new(), Vec::new());
        for record in &self.records {
            let What::Node(Observation::Applied { changes, .. }) = &record.what else { continue };
            for change in &**changes {
                if let Change::JobAdded { job, spec } = change
                    && known.insert(*job)
                {
                    jobs.push((record.at, Arc::clone(spec)));
                }
            }
        }
        jobs
    }
}

/// How messages call the text of such a scenario.
const ORIGIN: &str = "what the cluster says of itself";

/// The name as scenarios allow it, which real nodes and jobs need not care for, and none that is `taken`.
fn fitting(name: &str, taken: &mut BTreeSet<String>) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = name.chars().map(fits).take(NAME_CHARACTERS).collect();
    let begins_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let name = if begins_well { name } else { format!("x{name}") };
    let numbered = (2_u64..).map(|number| format!("{name}-{number}"));
    let mut all = std::iter::once(name.clone()).chain(numbered);
    let free = all.find(|one| !taken.contains(one)).expect("there are more numbers than names");
    taken.insert(free.clone());
    free
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A time of a history: those before its beginning are none.
pub(super) fn whole(nanos: i128) -> Time {
    Time(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_to_fit_and_told_apart() {
        let mut taken = BTreeSet::new();
        let mut fit = |name: &str| fitting(name, &mut taken);
        assert_eq!(["n1", "n1", "my node!", "_", ""].map(&mut fit), ["n1", "n1-2", "my-node-", "x_", "x"]);
        let long = fit(&"ä".repeat(200));
        assert!(long.len() <= 64 && long.starts_with("x-"), "{long}");
    }
}
