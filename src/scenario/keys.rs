//! Every key of a scenario: what it is, what it may be, what it is when nothing is written.
//!
//! This one table decides which keys exist, supplies the defaults, the bounds and the suggestions for misspelt ones, and
//! is what `idunno scenario keys` prints.

use std::fmt;

use super::plan::{Shape, Trigger};
use super::units::bandwidth_text;
use crate::base::{Architecture, Span};
use crate::node::limits;
use crate::policy::Options;

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its dotted path, in which `N` is the position in a list, from 0, and `NAME` is the name of a model.
    pub path: &'static str,
    /// What kind of value it takes.
    pub kind: Kind,
    /// A word that may stand instead of such a value.
    pub word: Option<&'static str>,
    /// What it is when it is not written.
    pub default: Preset,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// Where the last dot of `path` stands: keys are looked up often.
    dot: Option<usize>,
}

/// What a key is when it is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// It has to be written.
    Required,
    /// This value, as it would be written without quotes.
    Value(&'static str),
    /// What follows from other keys, in words.
    Derived(&'static str),
}

/// What kind of value a key takes, with its bounds, both included unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text.
    Text,
    /// A name: at most 64 letters, digits, `-`, `_` and `.`, the first a letter or digit.
    Name,
    /// A whole number between two others.
    Whole(i128, i128),
    /// An odd whole number, up to this one.
    Odd(u8),
    /// A number above zero, up to this one.
    Number(f64),
    /// A number from zero to this one.
    Amount(f64),
    /// A probability from 0 to 1, or per cent.
    Rate,
    /// A length of time between two others.
    Span(Span, Span),
    /// A length of time that may be random, at least the first and at most the second.
    Draw(Span, Span),
    /// Yes or no.
    Switch,
    /// One of these words.
    Choice(fn() -> Vec<&'static str>),
    /// Bytes per second.
    Bandwidth,
    /// Inputs of a job.
    Inputs,
    /// Factors by the number of inputs of a query.
    BySize,
    /// Whom a fault hits.
    Target,
}

/// The most machines of a cluster.
pub(super) const NODES_MAX: usize = 100_000;
/// The most requests of a scenario beside its jobs.
pub(super) const REQUESTS_MAX: usize = 10_000;
/// The most faults of a scenario.
pub(super) const FAULTS_MAX: usize = 10_000;
/// The most trials.
pub(super) const TRIALS_MAX: u32 = 1_000_000;
/// The largest seed of a first trial: the last trial's is a number of 64 bits as well.
pub const SEED_MAX: u64 = u64::MAX - TRIALS_MAX as u64;
/// The least and the most that a machine can be made to send, in bytes per second.
pub(super) const BANDWIDTH_RANGE: (u64, u64) = (1_000, 1_000_000_000_000);

const MOMENT: Span = Span::micros(1);
const MINUTE: Span = Span::secs(60);
const HOUR: Span = Span::secs(3_600);
const DAY: Span = Span::secs(86_400);
/// The longest that anything in a scenario may take.
const LONGEST: Span = Span::secs(1_000 * 3_600);

const fn key(path: &'static str, kind: Kind, default: Preset, about: &'static str) -> Key {
    Key { path, kind, word: None, default, about, dot: last_dot(path) }
}

const fn last_dot(path: &str) -> Option<usize> {
    let bytes = path.as_bytes();
    let mut place = bytes.len();
    while place > 0 {
        place -= 1;
        if bytes[place] == b'.' {
            return Some(place);
        }
    }
    None
}

impl Key {
    const fn or(mut self, word: &'static str) -> Key {
        self.word = Some(word);
        self
    }

    /// The table that the key stands in: the path without its last part.
    pub fn group(&self) -> &'static str {
        self.dot.map_or("", |dot| self.path.split_at(dot).0)
    }

    /// The last part of the path: what stands before the `=`.
    pub fn name(&self) -> &'static str {
        self.dot.map_or(self.path, |dot| self.path.split_at(dot + 1).1)
    }

    /// The words that it takes, each with what it means; empty where the words say it themselves.
    pub fn words(&self) -> Vec<(&'static str, &'static str)> {
        if self.path != "scheduler.policy" {
            return Vec::new();
        }
        let all = crate::policy::all(&Options::default());
        all.iter().map(|policy| (policy.name(), policy.about())).collect()
    }

    /// What to write, with an example and the bounds.
    pub fn wanted(&self) -> String {
        match self.word {
            Some(word) => format!("{word:?} or {}", self.kind),
            None => self.kind.to_string(),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Preset::Required => f.pad("required"),
            Preset::Value("") => f.pad("empty"),
            Preset::Value(text) | Preset::Derived(text) => f.pad(text),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Kind::Text => "a text".to_owned(),
            Kind::Name => {
                "a name of at most 64 letters, digits, \"-\", \"_\" and \".\", the first a letter or digit"
                    .to_owned()
            }
            Kind::Whole(least, most) => {
                format!("a whole number from {} to {}", grouped(*least), grouped(*most))
            }
            Kind::Odd(most) => {
                let numbers: Vec<String> = (1..=*most).step_by(2).map(|n| n.to_string()).collect();
                format!("one of {}", numbers.join(", "))
            }
            Kind::Number(most) => format!("a number above 0, at most {}", grouped(*most as i128)),
            Kind::Amount(most) => format!("a number from 0 to {}", grouped(*most as i128)),
            Kind::Rate => "a probability from 0 to 1, or such as \"1%\"".to_owned(),
            Kind::Span(least, most) => {
                format!(
                    "a span such as \"250ms\" (ns, us, ms, s, m, h) from {} to {}",
                    plain(*least),
                    plain(*most)
                )
            }
            Kind::Draw(least, most) => {
                let bounds = match *least {
                    Span::ZERO => format!("at most {}", plain(*most)),
                    least => format!("from {} to {}", plain(least), plain(*most)),
                };
                format!(
                    "a span such as \"250ms\" (ns, us, ms, s, m, h) or a draw such as \"30s..40s\", \
                     \"lognormal(150ms, 0.2)\", \"exp(2s)\", {bounds}"
                )
            }
            Kind::Switch => "true or false".to_owned(),
            Kind::Choice(words) => {
                let words = words();
                let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                format!("{}{}", if words.len() > 1 { "one of " } else { "" }, quoted.join(", "))
            }
            Kind::Bandwidth => {
                let (least, most) = BANDWIDTH_RANGE;
                format!(
                    "a bandwidth such as \"1Gbit\" or \"100MB\" (bit, kbit, Mbit, Gbit, B, kB, MB, GB per second) \
                     from {} to {}",
                    bandwidth_text(least),
                    bandwidth_text(most)
                )
            }
            Kind::Inputs => {
                "a count such as 1000, a range such as \"imagenet:0..1000\", or a list of at most 10,000 names"
                    .to_owned()
            }
            Kind::BySize => {
                format!(
                    "at most {} sizes with factors, such as \"8: 1.2, 16: 0.85\", the sizes ascending from 1 on, the factors from {} to {}",
                    crate::base::BySize::SIZES_MAX,
                    1.0 / crate::base::BySize::FACTOR_MAX,
                    crate::base::BySize::FACTOR_MAX
                )
            }
            Kind::Target => {
                "\"coordinator\", \"voter\", \"busiest worker\", \"worker\", \"spare\", \"random 2\", \"node 7\", a node's \
                 name, \"minority\", \"all\", \"each\", \"concerned\", or a list of them"
                    .to_owned()
            }
        };
        f.pad(&text)
    }
}

/// A span as a bound is best read: in minutes, hours and days where it has whole ones.
fn plain(span: Span) -> String {
    match span {
        Span::ZERO => "0s".to_owned(),
        span if span.0.is_multiple_of(HOUR.0) => format!("{}h", span.0 / HOUR.0),
        span if span.0.is_multiple_of(MINUTE.0) => format!("{}m", span.0 / MINUTE.0),
        span => span.to_string(),
    }
}

/// A number with its thousands set apart.
pub(super) fn grouped(n: i128) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if n < 0 { format!("-{text}") } else { text }
}

fn policies() -> Vec<&'static str> {
    crate::policy::all(&Options::default()).iter().map(|policy| policy.name()).collect()
}

fn engines() -> Vec<&'static str> {
    vec!["synthetic", "torch"]
}

fn networks() -> Vec<&'static str> {
    Architecture::ALL.map(Architecture::name).to_vec()
}

fn dispatch_modes() -> Vec<&'static str> {
    vec!["push", "pull"]
}

fn failover_modes() -> Vec<&'static str> {
    vec!["log", "standby"]
}

fn detectors() -> Vec<&'static str> {
    vec!["observers", "ring"]
}

fn directions() -> Vec<&'static str> {
    vec!["both", "in", "out"]
}

fn flaws() -> Vec<&'static str> {
    vec!["not_a_number", "count"]
}

fn fault_kinds() -> Vec<&'static str> {
    FAULT_KINDS.iter().map(|(name, _)| *name).collect()
}

fn shapes() -> Vec<&'static str> {
    Shape::ALL.map(Shape::name).to_vec()
}

/// What faults can wait for; the first word is that they do not.
fn triggers() -> Vec<&'static str> {
    std::iter::once("time").chain(Trigger::ALL.map(Trigger::name)).collect()
}

/// The keys of every fault, whatever its kind.
pub(super) const FAULT_KEYS: [&str; 7] = ["at", "on", "after", "every", "times", "kind", "target"];

/// The kinds of faults, each with the keys that it has beside [`FAULT_KEYS`].
pub(super) const FAULT_KINDS: [(&str, &[&str]); 27] = [
    ("crash", &["for", "wipe"]),
    ("restart", &[]),
    ("leave", &["for"]),
    ("pause", &["for"]),
    ("isolate", &["for"]),
    ("cut", &["for", "other", "direction"]),
    ("loss", &["for", "rate", "burst", "bytes_min"]),
    ("slow_link", &["for", "bandwidth"]),
    ("jam", &["for"]),
    ("partial", &["for", "shape"]),
    ("starve", &["for", "delay"]),
    ("skew", &["for", "factor"]),
    ("suspend", &["for"]),
    ("delay", &["for", "delay"]),
    ("duplicate", &["for", "rate"]),
    ("reorder", &["for", "rate"]),
    ("slow", &["for", "factor"]),
    ("load_failure", &["for", "model"]),
    ("engine_death", &[]),
    ("stuck", &[]),
    ("slow_disk", &["for", "delay"]),
    ("full_disk", &["for"]),
    ("corrupt", &["for"]),
    ("rollback", &["for"]),
    ("rot", &[]),
    ("bad_output", &["for", "flaw"]),
    ("repeat_output", &["for"]),
];

/// The kinds of requests, each with the keys that it has beside `at`, `kind`, `client` and `give_up`.
pub(super) const REQUEST_KINDS: [(&str, &[&str]); 12] = [
    ("cancel", &["job"]),
    ("batch", &["job", "batch"]),
    ("forget", &["job"]),
    ("stop", &["job"]),
    ("resume", &["job"]),
    ("jobs", &[]),
    ("policy", &["policy"]),
    ("drain", &["node"]),
    ("undrain", &["node"]),
    ("put", &["file", "bytes", "keep"]),
    ("get", &["file"]),
    ("delete", &["file"]),
];

fn request_kinds() -> Vec<&'static str> {
    REQUEST_KINDS.iter().map(|(name, _)| *name).collect()
}

const BATCH: Kind = Kind::Whole(1, limits::BATCH_MAX as i128);
const WEIGHT: Kind = Kind::Number(limits::WEIGHT_MAX);
const PRIORITY: Kind = Kind::Whole(-(limits::PRIORITY_MAX as i128), limits::PRIORITY_MAX as i128);

use Kind::{
    Amount, Bandwidth, BySize, Choice, Draw, Inputs, Name, Number, Odd, Rate, Span as SpanKind, Switch,
    Target, Text, Whole,
};
use Preset::{Derived, Required, Value};

/// Every key, in the order in which the resolved scenario is written.
pub fn keys() -> &'static [Key] {
    KEYS
}

/// The key of this path, which must be in the table.
pub(super) fn key_at(group: &str, name: &str) -> &'static Key {
    let found = KEYS.iter().find(|key| key.name() == name && key.group() == group);
    found.unwrap_or_else(|| panic!("{group}.{name} is missing in the table of keys"))
}

#[rustfmt::skip] // One key, one line: it is a table.
static KEYS: &[Key] = &[
    key("name", Name, Derived("the file's name"), "The scenario's name; results land in a folder of this name."),
    key("about", Text, Value(""), "A sentence or two on what to look for; line breaks count as spaces."),
    key("seed", Whole(0, SEED_MAX as i128), Value("1"), "The seed of the first trial; trial i uses seed + i, from 0."),
    key("trials", Whole(1, TRIALS_MAX as i128), Value("1"), "How many trials."),
    key("until", SpanKind(Span::millis(1), LONGEST), Value("done"), "When a trial ends: at this time, or once all jobs have ended, all faults are over and the cluster is whole again.").or("done"),
    key("liveness_within", SpanKind(Span::millis(1), DAY), Value("30s"), "Once faults are over, the time within which the cluster must be whole again and have finished what it accepted."),
    key("nodes", Whole(1, NODES_MAX as i128), Value("10"), "How many machines, all alike and named n1, n2, …; [[node]] describes them one by one instead."),

    key("node.N.name", Name, Derived("n and the position from 1"), "The machine's name; with a count, a number from 1 is added."),
    key("node.N.kind", Name, Value("cpu"), "The kind of machine, which schedulers may tell apart."),
    key("node.N.speed", Number(1e6), Value("1"), "How fast it infers, relative to the models' figures."),
    key("node.N.worker", Switch, Value("true"), "Whether it takes queries."),
    key("node.N.refuse", Rate, Value("0"), "Probability that it refuses a query that it is given; the query is tried elsewhere."),
    key("node.N.stall", Rate, Value("0"), "Probability that its engine stands still for stall_for before it runs a query."),
    key("node.N.stall_for", SpanKind(Span::ZERO, HOUR), Value("3s"), "How long that takes."),
    key("node.N.count", Whole(1, NODES_MAX as i128), Value("1"), "How many such machines."),

    key("cluster.voters", Odd(7), Value("auto"), "How many nodes hold the quorum log: 1, 3, 5 or 7. Automatically 1, 3 from 3 nodes, 5 from 5, 7 from 10.").or("auto"),

    key("scheduler.policy", Choice(policies), Value("rate_balance"), "How workers are divided among jobs."),
    key("scheduler.at_least_one", Switch, Value("true"), "fair_time: whether every job that has something left gets a worker while there are enough."),
    key("scheduler.cap", Rate, Value("0"), "fair_time: no job gets a further worker that would raise its rate by less than this share of itself; 0 is without a cap."),
    key("scheduler.hysteresis", Amount(1_000.0), Value("0.2"), "fair_time: the allocation stays while its gap is at most 1 + hysteresis times the least possible one plus slack times the mean rate; with both 0 it is always the best one."),
    key("scheduler.slack", Amount(1_000.0), Value("0.1"), "fair_time: see hysteresis."),
    key("scheduler.rate_window", SpanKind(Span::millis(100), HOUR), Value("10s"), "The window over which recent rates and durations are measured."),

    key("dispatch.mode", Choice(dispatch_modes), Value("push"), "Who begins: with push the coordinator gives out queries as soon as they wait; with pull, as classic systems do it, a worker with room asks for one, and asks again after backoff when it got none."),
    key("dispatch.window", Whole(1, limits::WINDOW_MAX as i128), Value("auto"), "Queries that a worker holds at most, the running one among them. Automatically at least 2 and enough for 2 ms of work, but no more than 16; with pull 1.").or("auto"),
    key("dispatch.retries_max", Whole(0, 1_000), Value("3"), "How often a query whose attempts fail is tried again before its inputs end as failures; refusals are counted apart, up to the same limit."),
    key("dispatch.backoff", SpanKind(Span::millis(1), MINUTE), Value("50ms"), "How long a query that was refused waits before it is given to a worker again, the same or another one as the policy says; with pull also how long a worker that got nothing waits before it asks again."),
    key("dispatch.hedge", Switch, Value("true"), "Whether a query that runs unusually long, or is among a job's last, is given to an idle worker as well."),
    key("dispatch.repeat", SpanKind(Span::millis(1), MINUTE), Value("100ms"), "After how long at most what was not answered is sent again between coordinator and workers; the first time after a fifth of that."),
    key("dispatch.survey", SpanKind(Span::millis(1), MINUTE), Value("50ms"), "How long a new coordinator waits for workers to say what they hold."),

    key("membership.kind", Choice(detectors), Value("observers"), "Who detects failures: with observers everyone sends heartbeats to several others, and a majority of these decides; with ring, as classic systems do it, everyone pings its neighbour in a ring, waits for the answer, and decides alone."),
    key("membership.heartbeat", SpanKind(Span::millis(1), MINUTE), Value("50ms"), "Time between two heartbeats of a node to each of its observers; in a ring between two pings."),
    key("membership.suspect_after", SpanKind(Span::millis(2), HOUR), Value("250ms"), "How long an observer hears nothing before it raises the alarm; at least two heartbeats."),
    key("membership.evict_after", SpanKind(Span::millis(2), DAY), Value("2s"), "How long a node is suspect before it is evicted; longer than suspect_after, but with ring as short as one likes."),
    key("membership.observers", Whole(1, 16), Value("5"), "How many distinct observers each node has; of no meaning with ring, where it is one."),

    key("failover.mode", Choice(failover_modes), Value("log"), "What keeps the state when machines die: with log a quorum of voters; with standby, as classic systems do it and not safe, one hot standby that takes over when membership says that the coordinator is dead. The first machine is the first coordinator then, and all is kept in memory."),
    key("failover.backup_every", SpanKind(Span::ZERO, HOUR), Value("0s"), "standby: time between two backups to the standby; \"0s\" is at every operation, which counts only once the standby has it."),
    key("failover.standby", Name, Value("earliest"), "standby: who that is. earliest: the member that has belonged longest; successor: the coordinator's neighbour in the ring; or the name of a machine, and no other, which the first one cannot be."),
    key("failover.election", SpanKind(Span::millis(2), HOUR), Value("250ms"), "The shortest silence of the coordinator after which a voter asks to be elected, the longest is twice that; at least two beats."),
    key("failover.beat", SpanKind(Span::millis(1), MINUTE), Value("75ms"), "Time between two signs of life of the coordinator to each voter."),
    key("failover.snapshot_every", Whole(1, 1_000_000_000), Value("4096"), "Entries of the log between two snapshots."),

    key("store.copies", Whole(1, 16), Value("4"), "How many members keep each chunk of a file; fewer where there are fewer."),
    key("store.cache", Whole(0, 1 << 50), Value("1073741824"), "Bytes of files that a worker keeps because queries may read them again, beside the copies; what the queries at hand read stays even if that is more."),

    key("network.latency", Draw(MOMENT, MINUTE), Value("lognormal(150us, 0.3)"), "How long a message travels, one way."),
    key("network.loss", Rate, Value("0"), "Probability that a message is lost; less than 1."),
    key("network.duplicate", Rate, Value("0"), "Probability that a message arrives twice."),
    key("network.reorder", Rate, Value("0"), "Probability that a message is held back by up to ten latencies, so that later ones overtake it."),
    key("network.bandwidth", Bandwidth, Value("unlimited"), "What a machine can send.").or("unlimited"),

    key("disk.sync", Draw(Span::ZERO, MINUTE), Value("lognormal(4ms, 0.3)"), "How long it takes to make writes durable."),

    key("model.NAME.engine", Choice(engines), Value("synthetic"), "What runs the model on real nodes; the simulator draws times only."),
    key("model.NAME.batch", BATCH, Value("1"), "Inputs per query of jobs that do not say otherwise."),
    key("model.NAME.load", Draw(Span::ZERO, DAY), Required, "How long it takes to bring the model into memory. torch: load, setup and per_input may be left out together where the model is only run really."),
    key("model.NAME.setup", Draw(Span::ZERO, DAY), Value("0s"), "The part of a query's time that does not depend on its size."),
    key("model.NAME.per_input", Draw(Span::ZERO, DAY), Required, "The part of a query's time that each input adds; drawn once per query."),
    key("model.NAME.by_size", BySize, Value("none"), "By which factor a query of so many inputs takes longer (1.2) or shorter (0.85) than setup and per_input say, where time is no line: in between in proportion, beyond like the nearest size.").or("none"),
    key("model.NAME.network", Choice(networks), Derived("the model's name"), "torch: the layers of the network; script is whatever its file says. Without network, weights and random_weights it is the model of that name that was imported (idunno models)."),
    key("model.NAME.weights", Text, Value(""), "torch: the file of the weights as nodes find it: .safetensors or .ot with torchvision's names, or TorchScript. store:NAME or store:NAME@VERSION is a file of the cluster's store."),
    key("model.NAME.random_weights", Whole(0, u32::MAX as i128), Value("none"), "torch: the seed from which weights are drawn instead; such a network knows nothing, and is as fast as any.").or("none"),
    key("model.NAME.classes", Whole(1, 65_535), Value("1000"), "torch: how many classes random weights tell apart; a file says so itself."),
    key("model.NAME.input", Text, Derived("image:32x32 for mlp and lenet, else image:224"), "torch: what the network takes: image:224 (shrunk to 256 and cut to the middle), image:32x32 (stretched), or tensor:f32[3,224,224] (arrays)."),
    key("model.NAME.device", Text, Value("auto"), "torch: cpu, a GPU such as cuda:0, or auto: the first GPU if there is one."),
    key("model.NAME.threads", Whole(1, 256), Value("1"), "torch: threads of one inference; as many decode its inputs."),

    key("job.N.name", Name, Derived("job and the position from 1"), "The job's name."),
    key("job.N.model", Name, Required, "The model to run."),
    key("job.N.inputs", Inputs, Required, "What to run it on: \"node:/data/photos:0..1000\" is a folder or a zip on every worker, \"store:photos:0..1000\" a file of the cluster's store; any other name, or none, stands for inputs of the engine synthetic."),
    key("job.N.batch", BATCH, Derived("the model's batch"), "Inputs per query."),
    key("job.N.at", Draw(Span::ZERO, LONGEST), Value("0s"), "When the client submits it."),
    key("job.N.give_up", SpanKind(MOMENT, LONGEST), Value("never"), "How long the client waits for an answer to its submission before it gives up, and never learns whether it was accepted.").or("never"),
    key("job.N.weight", WEIGHT, Value("1"), "Its share relative to other jobs."),
    key("job.N.priority", PRIORITY, Value("0"), "Higher goes first where the policy has a meaning for it."),

    key("arrivals.N.name", Name, Derived("arrivals and the position from 1"), "The name of the jobs of this stream; a number is added."),
    key("arrivals.N.from", SpanKind(Span::ZERO, LONGEST), Value("0s"), "When the stream begins."),
    key("arrivals.N.every", Draw(MOMENT, LONGEST), Required, "Time from one arrival to the next, and from the stream's beginning to the first; \"done\": a job arrives when the one before it has ended, as the rounds of a training do.").or("done"),
    key("arrivals.N.count", Whole(1, limits::JOBS_MAX as i128), Required, "How many jobs arrive."),
    key("arrivals.N.model", Name, Required, "The model to run."),
    key("arrivals.N.inputs", Inputs, Required, "What to run it on, each time."),
    key("arrivals.N.batch", BATCH, Derived("the model's batch"), "Inputs per query."),
    key("arrivals.N.weight", WEIGHT, Value("1"), "The share of each, relative to other jobs."),
    key("arrivals.N.priority", PRIORITY, Value("0"), "Higher goes first where the policy has a meaning for it."),

    key("request.N.at", Draw(Span::ZERO, LONGEST), Value("0s"), "When a client asks; later if its request before this one is not answered yet, or the job is not accepted yet."),
    key("request.N.kind", Choice(request_kinds), Required, "What it asks: end a job for good, divide what is left of it into other batches, drop one that has ended, stop it, let it go on, read how far all jobs are, divide workers by another policy, give a machine no more queries, let it work again, or put, find or delete a file of the store."),
    key("request.N.job", Name, Required, "cancel, batch, forget, stop, resume: which job, by its name; those of a stream are called s-1, s-2, … for a stream s."),
    key("request.N.batch", BATCH, Required, "batch: inputs per query from then on."),
    key("request.N.policy", Choice(policies), Required, "policy: by which workers are divided from then on."),
    key("request.N.node", Name, Required, "drain, undrain: which machine, by its name. Whatever it has begun it ends; it stays drained until undrain, even when it restarts."),
    key("request.N.file", Name, Required, "put, get, delete: which file, by its name."),
    key("request.N.bytes", Whole(0, 32 << 30), Value("1000000"), "put: how many bytes the new version has. They travel to the node that the client asks, and from there to the others."),
    key("request.N.keep", Whole(1, limits::VERSIONS_KEPT_MAX as i128), Value("5"), "put: how many versions of the file stay, the new one among them."),
    key("request.N.client", Name, Derived("request and the position from 1"), "Who asks: requests of one client go one after the other, in the order of the file. A job's name is the client that submitted it."),
    key("request.N.give_up", SpanKind(MOMENT, LONGEST), Value("never"), "How long the client waits for an answer before it gives up, and never learns whether it was done.").or("never"),

    key("fault.N.at", Draw(Span::ZERO, LONGEST), Required, "When it happens."),
    key("fault.N.on", Choice(triggers), Value("time"), "What it waits for from then on, for a minute at most, to begin in the midst of it: that a node misses its leader and asks whether it would be elected (election), stands for election (candidacy), votes for another one (vote), is elected (reign), that a part of a snapshot is on its way, or that the voters' seats change; \"time\": nothing."),
    key("fault.N.after", Draw(Span::ZERO, MINUTE), Value("0s"), "How long after what it waited for it begins; at once it begins before what is written then is on any disk. Only with an on."),
    key("fault.N.every", Draw(Span::millis(1), LONGEST), Value("never"), "After how long it is due again, each time, counted from when it was due; never before it has ended.").or("never"),
    key("fault.N.times", Whole(1, 1_000_000), Value("ever"), "How often it happens in all when it has an every; \"ever\": until the trial ends.").or("ever"),
    key("fault.N.kind", Choice(fault_kinds), Required, "What happens."),
    key("fault.N.target", Target, Required, "Whom it hits; roles are looked up when it happens. \"spare\" is a machine without which a majority of the voters, and a worker, are left; \"each\": every machine on its own, each with times of its own; \"concerned\": the machine in the midst of what the fault waited for."),
    key("fault.N.for", Draw(Span::ZERO, LONGEST), Value("ever"), "How long it lasts; after a crash or corrupt, the time until the process starts again; a rollback, a jam and a swizzle must have one. Not for restart, engine_death, stuck, rot.").or("ever"),
    key("fault.N.wipe", Switch, Value("false"), "crash: whether the disk is lost as well."),
    key("fault.N.other", Target, Value("rest"), "cut: the other side; \"rest\" is everyone else.").or("rest"),
    key("fault.N.direction", Choice(directions), Value("both"), "cut: which direction, as seen from the target."),
    key("fault.N.rate", Rate, Required, "loss, duplicate, reorder: probability that it happens to a message from or to the target."),
    key("fault.N.burst", SpanKind(Span::millis(1), HOUR), Value("none"), "loss: the mean time for which a target loses everything before its connection is good again, so often that the rate is lost in all; \"none\": each message on its own.").or("none"),
    key("fault.N.bytes_min", Whole(0, 1_000_000_000), Value("0"), "loss: only messages of at least so many bytes are lost. A heartbeat has about a hundred."),
    key("fault.N.bandwidth", Bandwidth, Required, "slow_link: what the target can send, and receive."),
    key("fault.N.shape", Choice(shapes), Required, "partial: which links among the machines of the target live, drawn at random who is where: each hears its neighbours in a line; all hear one and nobody else; each hears a majority, and each another one; two halves connected through one machine; or one by one falls silent, and comes back in another order."),
    key("fault.N.delay", Draw(Span::ZERO, HOUR), Required, "delay, slow_disk, starve: how much longer messages from and to the target travel, or its disk takes to make writes durable; or for how long it gets no processor time, again and again."),
    key("fault.N.factor", Number(1e6), Required, "slow: how many times slower the target infers. skew: how many times as fast its clock runs, from 0.5 to 2."),
    key("fault.N.model", Name, Value("any"), "load_failure: which model cannot be loaded.").or("any"),
    key("fault.N.flaw", Choice(flaws), Value("not_a_number"), "bad_output: what is wrong with the engine's answers: some predictions are not numbers, or their count is not that of the inputs."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_stands_once_and_explains_itself() {
        for (position, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..position].iter().all(|other| other.path != key.path), "{} stands twice", key.path);
            assert!(key.about.ends_with('.'), "{}: a sentence ends with a full stop", key.path);
            assert!(!key.wanted().is_empty());
        }
    }

    #[test]
    fn the_keys_of_fault_kinds_exist() {
        for name in FAULT_KINDS.iter().flat_map(|(_, keys)| keys.iter()) {
            assert_eq!(key_at("fault.N", name).name(), *name);
        }
    }

    #[test]
    fn bounds_read_well() {
        assert_eq!(grouped(-1_000), "-1,000");
        assert_eq!(grouped(100_000), "100,000");
        assert_eq!(plain(DAY), "24h");
        assert_eq!(plain(Span::secs(90)), "90s");
        assert_eq!(key_at("dispatch", "window").wanted(), "\"auto\" or a whole number from 1 to 64");
    }
}
