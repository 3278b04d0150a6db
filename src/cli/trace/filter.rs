//! Which lines of a trace are wanted.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::told::{Kind, Names, Told};
use crate::base::{JobId, QueryId, Time};
use crate::cli::text::wrapped;
use crate::history::Machine;
use crate::scenario::{Plan, nearest};

/// More names than this are not listed when a wrong one was given.
const NAMES_MAX: usize = 30;

/// What is wanted. An empty list wants everything; within a list one match is enough, and every list must have one.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) kinds: Vec<Kind>,
    pub(super) machines: Vec<Machine>,
    pub(super) jobs: Vec<String>,
    pub(super) queries: Vec<QueryId>,
    pub(super) from: Time,
}

impl Filter {
    /// Whether this, which happened on `machine`, is wanted. Faults are, whatever job or query is looked for.
    pub(super) fn wants(&self, machine: Option<Machine>, told: &Told, names: &Names) -> bool {
        let about = &told.about;
        let kind = if self.kinds.is_empty() { told.kind.is_usual() } else { self.kinds.contains(&told.kind) };
        let here = |machine: &Machine| self.machines.contains(machine);
        let place = self.machines.is_empty() || machine.iter().any(here) || about.machines.iter().any(here);
        let query = about.anything
            || self.queries.is_empty()
            || about.queries.iter().any(|query| self.queries.contains(query));
        let of = |query: &QueryId| names.jobs.get(&query.job).is_some_and(|name| self.is_sought(name));
        let job = about.anything
            || self.jobs.is_empty()
            || about.jobs.iter().any(|name| self.is_sought(name))
            || about.queries.iter().any(of);
        kind && place && query && job
    }

    /// Whether a job of this name is sought; `name #3` is also one of the jobs called `name`.
    fn is_sought(&self, name: &str) -> bool {
        let plain = name.rsplit_once(" #").map(|(plain, _)| plain);
        self.jobs.iter().any(|job| job == name || Some(job.as_str()) == plain)
    }
}

/// The machines of these names.
pub(super) fn machines(plan: &Plan, wanted: &[String]) -> Result<Vec<Machine>> {
    let names: Vec<&str> = plan.nodes.iter().map(|node| &*node.name).collect();
    let find = |name: &String| match names.iter().position(|known| known == name) {
        Some(position) => Ok(position as Machine),
        None => unknown("node", &plan.name, name, &names),
    };
    wanted.iter().map(find).collect()
}

/// These names of jobs, all of which the plan knows.
pub(super) fn jobs(plan: &Plan, wanted: &[String]) -> Result<Vec<String>> {
    let known = job_names(plan);
    for name in wanted {
        let plain = name.rsplit_once(" #").map_or(&**name, |(plain, _)| plain);
        if !known.iter().any(|known| known == name || known == plain) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            return unknown("job", &plan.name, name, &known);
        }
    }
    Ok(wanted.to_vec())
}

/// What the jobs of a plan are called, each name as often as there are jobs of it.
pub(super) fn job_names(plan: &Plan) -> Vec<String> {
    let single = plan.jobs.iter().map(|job| job.spec.name.to_string());
    let streams = plan.arrivals.iter();
    let many = streams.flat_map(|s| (1..=s.count).map(|serial| format!("{}-{serial}", s.spec.name)));
    single.chain(many).collect()
}

fn unknown<T>(what: &str, scenario: &str, name: &str, known: &[&str]) -> Result<T> {
    let guess = nearest(name, known.iter().copied()).map(|name| format!("\n  Did you mean {name}?"));
    let mut seen = BTreeSet::new();
    let mut listed: Vec<&str> = known.iter().copied().filter(|name| seen.insert(*name)).collect();
    let more = listed.len().saturating_sub(NAMES_MAX);
    listed.truncate(NAMES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let listed = if listed.is_empty() {
        format!("It has no {what}s.")
    } else {
        format!("Its {what}s are {}{more}.", listed.join(", "))
    };
    bail!("{scenario} has no {what} {name:?}{}\n{}", guess.unwrap_or_default(), wrapped(&listed, "  "))
}

/// A query as results name it: `JOB.CUT.NUMBER`.
pub(in crate::cli) fn query(text: &str) -> Result<QueryId, String> {
    let wanted = || "wanted a query as queries.csv names it, JOB.CUT.NUMBER, such as 1.0.17".to_owned();
    let parts: Vec<&str> = text.split('.').collect();
    let [job, cut, number] = parts[..] else { return Err(wanted()) };
    let number_of = |text: &str| text.parse::<u32>().map_err(|_| wanted());
    Ok(QueryId { job: JobId(number_of(job)?), cut: number_of(cut)?, number: number_of(number)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::find_shipped;

    fn plan() -> Plan {
        Plan::read(find_shipped("coord_fail").expect("it is shipped"), "coord_fail.toml")
            .expect("it is right")
    }

    #[test]
    fn every_list_must_have_a_match_and_one_is_enough() {
        let mut names = Names::new(&plan(), &[]);
        names.jobs.insert(JobId(1), "resnet #1".into());
        let told = Told::new(Kind::Result, "").machine(Some(3)).queries([query("1.0.17").unwrap()]);
        let fits = |filter: Filter| filter.wants(Some(7), &told, &names);
        assert!(fits(Filter::default()));
        assert!(fits(Filter { machines: vec![7], ..Filter::default() }));
        assert!(fits(Filter { machines: vec![1, 3], ..Filter::default() }));
        assert!(!fits(Filter { machines: vec![1], ..Filter::default() }));
        assert!(fits(Filter { jobs: vec!["resnet".into()], ..Filter::default() }));
        assert!(fits(Filter { jobs: vec!["resnet #1".into()], ..Filter::default() }));
        assert!(!fits(Filter { jobs: vec!["alexnet".into()], ..Filter::default() }));
        let queries = vec![query("1.0.16").unwrap(), query("1.0.17").unwrap()];
        assert!(fits(Filter { queries: queries.clone(), ..Filter::default() }));
        assert!(!fits(Filter { queries, kinds: vec![Kind::Log], ..Filter::default() }));
    }

    #[test]
    fn signs_of_life_disks_and_idle_timers_are_shown_only_when_asked_for() {
        let names = Names::new(&plan(), &[]);
        for kind in [Kind::Heartbeat, Kind::Disk, Kind::Timer] {
            let told = Told::new(kind, "");
            assert!(!Filter::default().wants(None, &told, &names), "{kind:?}");
            assert!(Filter { kinds: vec![kind], ..Filter::default() }.wants(None, &told, &names));
        }
    }

    #[test]
    fn a_fault_is_shown_whatever_query_is_looked_for_but_only_on_the_nodes_that_are() {
        let names = Names::new(&plan(), &[]);
        let queries = vec![query("1.0.17").unwrap()];
        let told = Told::new(Kind::Fault, "begins").machine(Some(2)).anything();
        assert!(Filter { queries: queries.clone(), ..Filter::default() }.wants(None, &told, &names));
        assert!(!Filter { machines: vec![4], queries, ..Filter::default() }.wants(None, &told, &names));
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest_and_all_known_ones() {
        let error = machines(&plan(), &["m3".into()]).unwrap_err().to_string();
        assert!(error.contains("Did you mean n3?") && error.contains("n9, n10."), "{error}");
        let error = jobs(&plan(), &["renset".into()]).unwrap_err().to_string();
        assert!(error.contains("Did you mean resnet?") && error.contains("alexnet"), "{error}");
        assert_eq!(machines(&plan(), &["n10".into(), "n1".into()]).unwrap(), [9, 0]);
    }

    #[test]
    fn a_query_is_named_as_in_the_results() {
        assert_eq!(query("2.1.300").unwrap().to_string(), "2.1.300");
        for wrong in ["17", "1.0", "1.0.x", "1.0.1.2", "-1.0.0", ""] {
            assert!(query(wrong).unwrap_err().contains("1.0.17"), "{wrong}");
        }
    }
}
