//! A plan as a scenario file, with every setting written out or only with what is not as usual; read again, either gives the
//! same plan.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::Arc;

use super::keys::{Preset, key_at};
use super::plan::{
    Direction, Errand, Fault, FaultKind, Flaw, Loss, ModelPlan, NodePlan, Plan, RequestPlan, Trigger, Until,
};
use super::read::DATASET;
use super::targets;
use super::units::{bandwidth_text, draw_text};
use crate::base::{BySize, Draw, Network, Weights};
use crate::node::{
    Config, Detector, DispatchConfig, DispatchMode, Failover, FailoverMode, Inputs, JobSpec,
    MembershipConfig, Scheduler, StandbyRule, StoreConfig,
};
use crate::policy::Options;

/// The widest line of a text that is broken into several.
const WIDTH_MAX: usize = 100;

/// The resolved scenario as TOML, with the version of idunno that resolved it. Jobs carry their batch size, so that
/// models need none.
pub fn to_toml(plan: &Plan) -> String {
    let about = format!("# Resolved by idunno {}, with every default.\n", env!("CARGO_PKG_VERSION"));
    File::new(about, false).written(plan)
}

/// The scenario as TOML as people write it: without what is as it is by default, but with its seed.
pub fn to_brief_toml(plan: &Plan) -> String {
    File::new(String::new(), true).written(plan)
}

/// The settings of a node as TOML, as [`super::Settings::read`] takes them; without models.
pub(super) fn settings(config: &Config, options: &Options) -> String {
    let mut file = File::new(String::new(), false);
    self::config(&mut file, config, options);
    file.text.trim_start().to_owned()
}

/// The settings of a node as TOML, as [`super::Settings::read`] takes them, with its models.
pub(super) fn settings_with_models(
    config: &Config,
    options: &Options,
    models: &BTreeMap<Arc<str>, ModelPlan>,
) -> String {
    let mut file = File::new(String::new(), false);
    self::config(&mut file, config, options);
    self::models(&mut file, models);
    file.text.trim_start().to_owned()
}

fn models(file: &mut File, models: &BTreeMap<Arc<str>, ModelPlan>) {
    for (name, plan) in models {
        model(file, name, plan);
    }
}

/// A model as the table of a scenario, without what is as it is by default.
pub fn model_to_toml(name: &str, plan: &ModelPlan) -> String {
    let mut file = File::new(String::new(), true);
    model(&mut file, name, plan);
    file.text.trim_start().to_owned()
}

struct File {
    text: String,
    /// The table under way, as the table of keys calls it.
    group: &'static str,
    /// Its header, until one of its keys is written.
    header: Option<String>,
    /// Whether what is as it is by default is left out.
    brief: bool,
}

impl File {
    fn new(text: String, brief: bool) -> File {
        File { text, group: "", header: None, brief }
    }

    fn written(mut self, plan: &Plan) -> String {
        let file = &mut self;
        top(file, plan);
        config(file, &plan.config, &plan.options);
        file.table("network");
        file.quoted("latency", draw_text(plan.network.latency));
        file.put("loss", plan.network.loss);
        file.put("duplicate", plan.network.duplicate);
        file.put("reorder", plan.network.reorder);
        file.quoted(
            "bandwidth",
            plan.network.bandwidth.map_or_else(|| "unlimited".to_owned(), bandwidth_text),
        );
        file.table("disk");
        file.quoted("sync", draw_text(plan.disk.sync));
        models(file, &plan.models);
        for (job, number) in plan.jobs.iter().zip(1..) {
            file.begin("job.N", "[[job]]");
            file.quoted("at", draw_text(job.at));
            file.quoted("give_up", job.give_up.map_or_else(|| "never".to_owned(), |span| span.to_string()));
            spec(file, &job.spec, &format!("job{number}"));
        }
        for (stream, number) in plan.arrivals.iter().zip(1..) {
            file.begin("arrivals.N", "[[arrivals]]");
            file.quoted("from", stream.from);
            file.quoted("every", stream.every.map_or_else(|| "done".to_owned(), draw_text));
            file.put("count", stream.count);
            spec(file, &stream.spec, &format!("arrivals{number}"));
        }
        for (one, number) in plan.requests.iter().zip(1..) {
            request(file, one, number);
        }
        for one in &plan.faults {
            fault(file, one);
        }
        self.text
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Begins a table that need not be there: a brief file has it when it has one of its keys.
    fn table(&mut self, group: &'static str) {
        self.group = group;
        self.header = Some(format!("\n[{group}]"));
        if !self.brief {
            self.heading();
        }
    }

    /// Begins a table that has to be there, such as one of a list.
    fn begin(&mut self, group: &'static str, header: &str) {
        self.group = group;
        self.header = Some(format!("\n{header}"));
        self.heading();
    }

    fn heading(&mut self) {
        if let Some(header) = self.header.take() {
            self.line(&header);
        }
    }

    /// A key with its value as TOML writes it, whatever it is.
    fn always(&mut self, key: &str, value: impl Display) {
        self.heading();
        self.line(&format!("{key} = {value}"));
    }

    /// The same; a brief file has it unless the value is `usual`.
    fn unless(&mut self, key: &str, value: impl Display, usual: &str) {
        let value = value.to_string();
        if !self.brief || value != usual {
            self.always(key, value);
        }
    }

    /// A value that stands without quotes.
    fn put(&mut self, key: &str, value: impl Display) {
        let value = value.to_string();
        let bare = value.trim_matches('"');
        let is_usual = matches!(key_at(self.group, key).default, Preset::Value(usual) if usual == bare);
        if !self.brief || !is_usual {
            self.always(key, value);
        }
    }

    /// A value that stands in quotes.
    fn quoted(&mut self, key: &str, value: impl Display) {
        self.put(key, string(&value.to_string()));
    }

    /// A value, or the word that stands for none.
    fn or_word(&mut self, key: &str, value: Option<impl Display>, word: &str) {
        match value {
            Some(value) => self.put(key, value),
            None => self.quoted(key, word),
        }
    }

    /// A text of several sentences. In a brief file it is broken into lines, where it may be.
    fn prose(&mut self, key: &str, text: &str) {
        let broken = self.brief && text.len() > WIDTH_MAX && string(text).len() == text.len() + 2;
        if !broken {
            return self.quoted(key, text);
        }
        let mut lines = String::new();
        let mut width = 0;
        for word in text.split(' ') {
            width += word.len() + 1;
            let begins = lines.is_empty() || width > WIDTH_MAX;
            width = if begins { word.len() } else { width };
            lines.push(if begins { '\n' } else { ' ' });
            lines.push_str(word);
        }
        self.always(key, format!("\"\"\"{lines}\"\"\""));
    }
}

/// A text as TOML writes it on one line.
fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => {
                write!(quoted, "\\u{:04X}", u32::from(c)).expect("a string takes everything");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn top(file: &mut File, plan: &Plan) {
    file.quoted("name", &plan.name);
    file.prose("about", &plan.about);
    file.always("seed", plan.seed);
    file.put("trials", plan.trials);
    match plan.until {
        Until::Done => file.quoted("until", "done"),
        Until::At(end) => file.quoted("until", end),
    }
    file.quoted("liveness_within", plan.liveness_within);
    let usual = |(node, number): (&NodePlan, usize)| *node == NodePlan::usual(number);
    if plan.nodes.iter().zip(1..).all(usual) {
        file.put("nodes", plan.nodes.len());
        return;
    }
    for (node, number) in plan.nodes.iter().zip(1..) {
        file.begin("node.N", "[[node]]");
        file.unless("name", string(&node.name), &string(&format!("n{number}")));
        file.quoted("kind", &node.kind);
        file.put("speed", node.speed);
        file.put("worker", node.worker);
        file.put("refuse", node.refuse);
        file.put("stall", node.stall);
        file.quoted("stall_for", node.stall_for);
    }
}

/// Takes the settings apart completely, so that a new one cannot be forgotten here.
fn config(file: &mut File, config: &Config, options: &Options) {
    // A planted bug is no part of a scenario.
    let Config { membership, failover, dispatch, scheduler, store, planted: _ } = config;
    let MembershipConfig { kind, heartbeat, suspect_after, evict_after, observers } = membership;
    let Failover { mode: failover_mode, backup_every, standby, election, beat, snapshot_every, voters } =
        failover;
    let DispatchConfig { mode, window, retries_max, backoff, hedge, repeat, survey } = dispatch;
    let Scheduler { policy, options: _, rate_window } = scheduler;
    let Options { at_least_one, cap, hysteresis, slack } = options;
    file.table("cluster");
    file.or_word("voters", *voters, "auto");
    file.table("scheduler");
    file.quoted("policy", policy.name());
    file.put("at_least_one", at_least_one);
    file.put("cap", cap);
    file.put("hysteresis", hysteresis);
    file.put("slack", slack);
    file.quoted("rate_window", rate_window);
    file.table("dispatch");
    file.quoted(
        "mode",
        match mode {
            DispatchMode::Push => "push",
            DispatchMode::Pull => "pull",
        },
    );
    file.or_word("window", *window, "auto");
    file.put("retries_max", retries_max);
    file.quoted("backoff", backoff);
    file.put("hedge", hedge);
    file.quoted("repeat", repeat);
    file.quoted("survey", survey);
    file.table("membership");
    file.quoted(
        "kind",
        match kind {
            Detector::Observers => "observers",
            Detector::Ring => "ring",
        },
    );
    file.quoted("heartbeat", heartbeat);
    file.quoted("suspect_after", suspect_after);
    file.quoted("evict_after", evict_after);
    file.put("observers", observers);
    file.table("failover");
    file.quoted(
        "mode",
        match failover_mode {
            FailoverMode::Log => "log",
            FailoverMode::Standby => "standby",
        },
    );
    file.quoted("backup_every", backup_every);
    file.quoted(
        "standby",
        match standby {
            StandbyRule::Earliest => "earliest",
            StandbyRule::Successor => "successor",
            StandbyRule::Named(name) => name,
        },
    );
    file.quoted("election", election);
    file.quoted("beat", beat);
    file.put("snapshot_every", snapshot_every);
    let StoreConfig { copies, cache } = store;
    file.table("store");
    file.put("copies", copies);
    file.put("cache", cache);
}

fn model(file: &mut File, name: &str, model: &ModelPlan) {
    let bare = file.brief && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let called = if bare { name.to_owned() } else { string(name) };
    file.begin("model.NAME", &format!("[model.{called}]"));
    file.quoted("engine", &model.engine);
    file.quoted("load", draw_text(model.profile.load));
    file.quoted("setup", draw_text(model.profile.setup));
    file.quoted("per_input", draw_text(model.profile.per_input));
    file.quoted("by_size", by_size_text(&model.profile.by_size));
    if let Some(network) = &model.network {
        self::network(file, network);
    }
}

fn by_size_text(by_size: &BySize) -> String {
    let points: Vec<String> =
        by_size.points().iter().map(|(size, factor)| format!("{size}: {factor}")).collect();
    if points.is_empty() { "none".to_owned() } else { points.join(", ") }
}

fn network(file: &mut File, network: &Network) {
    let Network { architecture, weights, classes, input, device, threads } = network;
    let imported = *weights == Weights::Imported;
    if !imported {
        file.quoted("network", architecture.name());
    }
    match weights {
        Weights::File(path) | Weights::Stored(path) => file.quoted("weights", path),
        Weights::Random(seed) => {
            file.put("random_weights", seed);
            file.put("classes", classes);
        }
        Weights::Imported => {}
    }
    if !imported {
        file.quoted("input", input);
    }
    file.quoted("device", device);
    file.put("threads", threads);
}

/// What is submitted, and is called `usual` when nothing is said.
fn spec(file: &mut File, spec: &JobSpec, usual: &str) {
    let JobSpec { name, model, inputs, batch, weight, priority } = spec;
    file.unless("name", string(name), &string(usual));
    file.quoted("model", model);
    match inputs {
        Inputs::Range { dataset, from: 0, count } if &**dataset == DATASET => file.put("inputs", count),
        Inputs::Range { dataset, from, count } => {
            file.quoted("inputs", format!("{dataset}:{from}..{}", from.saturating_add(*count)));
        }
        Inputs::Names(names) => {
            let names: Vec<String> = names.iter().map(|name| string(name)).collect();
            file.put("inputs", format!("[{}]", names.join(", ")));
        }
    }
    // What the model says where the job says nothing; no model that is written here says anything.
    file.unless("batch", batch, "1");
    file.put("weight", weight);
    file.put("priority", priority);
}

fn request(file: &mut File, request: &RequestPlan, number: usize) {
    let RequestPlan { at, client, errand, give_up } = request;
    file.begin("request.N", "[[request]]");
    file.quoted("at", draw_text(*at));
    file.quoted("kind", errand.name());
    if let Some(job) = errand.job() {
        file.quoted("job", job);
    }
    if let Errand::SetBatch { batch, .. } = errand {
        file.put("batch", batch);
    }
    match errand {
        Errand::SetPolicy(policy) => file.quoted("policy", policy),
        Errand::Drain { node, .. } => file.quoted("node", node),
        Errand::Put { file: name, bytes, keep, salt: _ } => {
            file.quoted("file", name);
            file.put("bytes", bytes);
            file.put("keep", keep);
        }
        Errand::Get(name) | Errand::Delete(name) => file.quoted("file", name),
        _ => {}
    }
    file.unless("client", string(client), &string(&format!("request{number}")));
    file.quoted("give_up", give_up.map_or_else(|| "never".to_owned(), |span| span.to_string()));
}

fn fault(file: &mut File, fault: &Fault) {
    file.begin("fault.N", "[[fault]]");
    file.quoted("at", draw_text(fault.at));
    file.quoted("kind", fault.kind.name());
    file.put("target", targets::text(&fault.target));
    file.quoted("on", fault.trigger.map_or("time", Trigger::name));
    if fault.trigger.is_some() {
        file.quoted("after", draw_text(fault.after));
    }
    file.quoted("every", fault.repeat.map_or_else(|| "never".to_owned(), |repeat| draw_text(repeat.every)));
    if let Some(repeat) = fault.repeat {
        file.or_word("times", repeat.times, "ever");
    }
    let lasting = |draw: Draw| string(&draw_text(draw));
    match &fault.kind {
        // What happens in a moment has no end to write.
        FaultKind::Restart | FaultKind::EngineDeath | FaultKind::Stuck | FaultKind::Rot => return,
        FaultKind::Leave
        | FaultKind::Jam
        | FaultKind::Suspend
        | FaultKind::Pause
        | FaultKind::Isolate
        | FaultKind::FullDisk
        | FaultKind::Corrupt
        | FaultKind::Rollback
        | FaultKind::RepeatOutput => {}
        FaultKind::Crash { wipe } => file.put("wipe", wipe),
        FaultKind::Cut { other, direction } => {
            file.or_word("other", other.as_ref().map(targets::text), "rest");
            file.quoted(
                "direction",
                match direction {
                    Direction::Both => "both",
                    Direction::In => "in",
                    Direction::Out => "out",
                },
            );
        }
        FaultKind::Loss(Loss { rate, burst, bytes_min }) => {
            file.put("rate", rate);
            file.quoted("burst", burst.map_or_else(|| "none".to_owned(), |burst| burst.to_string()));
            file.put("bytes_min", bytes_min);
        }
        FaultKind::Duplicate(rate) | FaultKind::Reorder(rate) => file.put("rate", rate),
        FaultKind::SlowLink(bandwidth) => file.quoted("bandwidth", bandwidth_text(*bandwidth)),
        FaultKind::Partial(shape) => file.quoted("shape", shape.name()),
        FaultKind::Delay(delay) | FaultKind::SlowDisk(delay) | FaultKind::Starve(delay) => {
            file.quoted("delay", draw_text(*delay));
        }
        FaultKind::Slow(factor) | FaultKind::Skew(factor) => file.put("factor", factor),
        FaultKind::BadOutput(flaw) => file.quoted(
            "flaw",
            match flaw {
                Flaw::Nan => "not_a_number",
                Flaw::Count => "count",
            },
        ),
        FaultKind::LoadFailure { model } => {
            file.or_word("model", model.as_ref().map(|model| string(model)), "any");
        }
    }
    file.or_word("for", fault.lasting.map(lasting), "ever");
}
