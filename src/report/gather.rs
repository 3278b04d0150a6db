//! Takes in one trial while it goes on, and turns it into tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::allocation::{Allocation, assignments};
use super::cluster::Cluster;
use super::fairness::Fairness;
use super::figure::Figure;
use super::figures::{Facts, figures};
use super::history::{Lines, Messages, TrialLine};
use super::lives::Lives;
use super::queries::Source;
use super::recovery::Hits;
use super::rows::Tables;
use super::serving::Serving;
use super::summary::{JobSample, Sample};
use super::work::Work;
use crate::base::{Epoch, Time};
use crate::check::Gaps;
use crate::history::{Change, Index, Machine, Observation, Payload, Position, Record, Sink, What};
use crate::scenario::{FailoverMode, Plan};

/// Gathers what the reports need of one trial; feed it as the [`Sink`] of the run, then [`Gather::finish`] it.
///
/// It keeps facts, not records: its memory grows with queries, attempts and changes, and with the encoded history.
#[derive(Debug)]
pub struct Gather<'a> {
    plan: &'a Plan,
    number: u32,
    seed: u64,
    work: Work,
    cluster: Cluster,
    serving: Serving,
    hits: Hits,
    /// Kept only for a trial that shall be drawn.
    lives: Option<Lives>,
    /// The last entry that anyone has applied.
    applied: Index,
    /// The same of each reign, where one reign may contradict another; empty otherwise.
    reigns: BTreeMap<Epoch, Index>,
    /// The encoded history, unless it is stored already.
    history: Option<Lines>,
    /// What it lacks.
    gaps: Gaps,
}

/// What is known about a trial only when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialEnd {
    /// The trace hash.
    pub trace: u128,
    /// When it ended.
    pub ended_at: Time,
    /// Messages sent between nodes, if the driver counted them.
    pub messages: Option<Messages>,
    /// Queries of accepted jobs that were lost, as the checker says.
    pub queries_lost: u64,
    /// Queries that were counted more than once, as the checker says.
    pub queries_doubled: u64,
    /// What was left to do when the trial was given up; empty when it was not given up.
    pub unfinished: Vec<String>,
}

/// One trial, ready to be written.
#[derive(Debug)]
pub struct Trial {
    /// Its number, from 0.
    pub number: u32,
    /// Its seed.
    pub seed: u64,
    /// When it ended.
    pub ended_at: Time,
    /// Its rows.
    pub tables: Tables,
    /// Its lines of history.jsonl; empty when they are stored already.
    pub(super) history: Vec<u8>,
    /// What it adds to the summary.
    pub(super) sample: Sample,
    /// Its figures over time, each with the name of its file without the ending; none unless it was gathered
    /// [`Gather::with_figures`].
    pub figures: Vec<(&'static str, Figure)>,
}

impl Trial {
    /// How often a node that no fault had silenced was suspected, and how often one was evicted.
    pub fn false_alarms(&self) -> [u64; 2] {
        [self.sample.false_suspicions, self.sample.false_evictions]
    }
}

impl<'a> Gather<'a> {
    /// Nothing yet of trial `number` of `plan`, run with `seed`.
    pub fn new(plan: &'a Plan, number: u32, seed: u64) -> Gather<'a> {
        Gather {
            plan,
            number,
            seed,
            work: Work::default(),
            cluster: Cluster::new(plan, number),
            serving: Serving::default(),
            hits: Hits::default(),
            lives: None,
            applied: Index::default(),
            reigns: BTreeMap::new(),
            history: Some(Lines::default()),
            gaps: Gaps::default(),
        }
    }

    /// The history will say that it lacks this.
    #[must_use]
    pub fn with_gaps(self, gaps: Gaps) -> Gather<'a> {
        Gather { gaps, ..self }
    }

    /// As [`Gather::new`], for a trial whose history is stored already.
    pub fn stored(plan: &'a Plan, number: u32, seed: u64) -> Gather<'a> {
        Gather { history: None, ..Gather::new(plan, number, seed) }
    }

    /// Keeps as well what the figures over time show: some 24 bytes for each query that an engine runs.
    #[must_use]
    pub fn with_figures(mut self) -> Gather<'a> {
        self.lives = Some(Lives::new(self.plan.nodes.len()));
        self
    }

    /// Turns what was gathered into rows, and into figures if they are wanted.
    pub fn finish(mut self, end: TrialEnd) -> Trial {
        self.serving.advance(Time::NEVER);
        let membership = std::mem::take(&mut self.cluster.rows);
        let names = self.work.names();
        let source = Source {
            trial: self.number,
            policy: self.plan.config.scheduler.policy.name(),
            work: &self.work,
            cluster: &self.cluster,
            names: &names,
            workers: self.plan.nodes.iter().filter(|node| node.worker).count(),
            end: end.ended_at,
        };
        let window = self.plan.config.scheduler.rate_window;
        let allocation = Allocation::of(&source, &self.serving.moves, window);
        let mut fairness = Fairness::of(&source);
        let tables = Tables {
            queries: source.queries(),
            attempts: source.attempts(),
            jobs: source.jobs(),
            assignments: assignments(&source, &self.serving.moves),
            membership,
            recovery: self.hits.rows(self.number, &self.cluster, &self.work),
            allocation: allocation.rows,
            fairness: std::mem::take(&mut fairness.rows),
        };
        let lives = self.lives.take().map(|lives| lives.finish(end.ended_at));
        let figures = lives.map_or_else(Vec::new, |lives| {
            figures(&Facts {
                plan: self.plan,
                source,
                moves: &self.serving.moves,
                hits: &self.hits,
                lives: &lives,
            })
        });
        let ended_at = end.ended_at;
        let sample = self.sample(&end, &tables, &names, allocation.gap, fairness);
        let history = self.history.map(|lines| {
            let records = lines.records();
            lines.finish(&end.line(self.number, self.seed, records, self.gaps))
        });
        let history = history.unwrap_or_default();
        Trial { number: self.number, seed: self.seed, ended_at, tables, history, sample, figures }
    }

    /// Whether an entry at a place that has one already is another one. A quorum has one at each place, a standby need not.
    fn contradicts(&self, epoch: Epoch, index: Index) -> bool {
        self.plan.config.failover.mode == FailoverMode::Standby
            && self.reigns.get(&epoch).is_none_or(|last| index > *last)
    }

    /// Something may have changed what machines are in.
    fn settle(&mut self, at: Time) {
        if let Some(lives) = &mut self.lives {
            lives.settle(at, &self.cluster);
        }
    }

    fn live(&mut self, at: Time, machine: Machine, observation: &Observation) {
        let Some(lives) = &mut self.lives else { return };
        match observation {
            Observation::Suspected { .. }
            | Observation::Trusted { .. }
            | Observation::Led { .. }
            | Observation::SteppedDown { .. } => lives.settle(at, &self.cluster),
            _ => lives.on_node(at, machine, observation),
        }
    }

    fn sample(
        &self,
        end: &TrialEnd,
        tables: &Tables,
        names: &BTreeMap<crate::base::JobId, Arc<str>>,
        gap: Option<f64>,
        fairness: Fairness,
    ) -> Sample {
        let jobs = self.work.jobs.iter().zip(&tables.jobs).map(|((id, job), row)| {
            let name = Arc::clone(&names[id]);
            let times = self.work.processing(*id).collect();
            let latencies = self.work.latencies(*id).collect();
            let (rate, start_delay) = (row.rate_qps.0, row.start_delay_s.value());
            JobSample { name, rate, start_delay, times, latencies, ended: job.ended.is_some() }
        });
        let submitted = self.work.jobs.values().map(|job| job.submitted).min();
        let ended: Option<Vec<Time>> = self.work.jobs.values().map(|job| job.ended).collect();
        let makespan = match (submitted, ended.and_then(|ended| ended.into_iter().max())) {
            (Some(from), Some(to)) => Some(to.since(from).as_secs()),
            _ => None,
        };
        let busy = submitted.map(|from| {
            let to = self.work.jobs.values().map(|job| job.end().min(end.ended_at)).max();
            to.unwrap_or(end.ended_at).since(from).as_secs()
        });
        let commits = self.work.commits.len() as f64;
        let workers = self.plan.nodes.iter().filter(|node| node.worker).count() as f64;
        let useful: f64 = self.work.jobs.keys().flat_map(|job| self.work.processing(*job)).sum();
        let node_seconds = self.plan.nodes.len() as f64 * end.ended_at.as_secs();
        Sample {
            jobs: jobs.collect(),
            start_delays: tables.jobs.iter().filter_map(|row| row.start_delay_s.value()).collect(),
            rhos: tables.jobs.iter().filter_map(|row| row.rho.0).collect(),
            settles: fairness.settles,
            makespan,
            gap,
            gap_short: fairness.gap_short,
            gap_long: fairness.gap_long,
            lifetime_gap: fairness.lifetime_gap,
            jain: fairness.jain,
            aggregate: busy.filter(|seconds| *seconds > 0.0).map(|seconds| commits / seconds),
            utilisation: busy.map(|busy| busy * workers).filter(|all| *all > 0.0).map(|all| useful / all),
            loads: self.work.loads,
            false_suspicions: self.cluster.false_suspicions,
            false_evictions: self.cluster.false_evictions,
            messages: end.messages.filter(|_| node_seconds > 0.0).map(|messages| {
                let Messages { membership, log, work, .. } = messages;
                [membership + log, membership, log, work].map(|n| n as f64 / node_seconds)
            }),
            lost: end.queries_lost,
            doubled: end.queries_doubled,
        }
    }
}

impl From<&TrialLine> for TrialEnd {
    fn from(line: &TrialLine) -> TrialEnd {
        let &TrialLine { trace, ended_at, messages, queries_lost, queries_doubled, .. } = line;
        let unfinished = line.unfinished.clone();
        TrialEnd { trace, ended_at, messages, queries_lost, queries_doubled, unfinished }
    }
}

impl TrialEnd {
    fn line(self, trial: u32, seed: u64, records: u64, gaps: Gaps) -> TrialLine {
        let TrialEnd { trace, ended_at, messages, queries_lost, queries_doubled, unfinished } = self;
        TrialLine {
            trial,
            seed,
            trace,
            ended_at,
            messages,
            queries_lost,
            queries_doubled,
            unfinished,
            records,
            gaps,
        }
    }
}

impl Sink for Gather<'_> {
    fn record(&mut self, record: &Record) {
        let at = record.at;
        if let Some(history) = &mut self.history {
            history.record(record);
        }
        self.serving.advance(at);
        match &record.what {
            What::Up(_) | What::Down(_) | What::Paused(_) | What::Resumed(_) => {
                self.cluster.on_process(at, record.machine, &record.what);
                if let Some(machine) = record.machine {
                    self.serving.on_process(machine, &record.what);
                }
                self.settle(at);
            }
            What::Node(Observation::Applied { entry, changes, .. }) => {
                let Position { epoch, index } = entry.position;
                let is_next = index > self.applied;
                if !(is_next || self.contradicts(epoch, index)) {
                    return;
                }
                if self.plan.config.failover.mode == FailoverMode::Standby {
                    self.reigns.insert(epoch, index);
                }
                self.work.on_entry(at, entry, changes);
                self.serving.on_changes(changes);
                // Of who is there the first one to tell is believed.
                if !is_next {
                    return;
                }
                self.applied = index;
                self.cluster.on_changes(at, changes);
                if let Payload::Seats(seats) = &*entry.payload {
                    self.cluster.seat(at, seats);
                }
                if changes.iter().any(|change| matches!(change, Change::ViewChanged { .. })) {
                    self.settle(at);
                }
            }
            What::Node(observation) => {
                self.work.on_node(at, observation);
                if let Some(machine) = record.machine {
                    self.cluster.on_node(at, machine, observation);
                    self.serving.on_node(machine, observation);
                    self.live(at, machine, observation);
                }
            }
            What::Fault(event) => {
                self.cluster.on_fault(at, event);
                self.settle(at);
                self.hits.on_fault(at, event, self.plan, &self.cluster, &self.work);
            }
            What::Client(event) => self.work.on_client(at, event),
        }
    }
}
