//! A plan as a scenario file in which every setting is written out; read again, it gives the same plan.

use std::fmt::{Display, Write as _};

use super::plan::{
    Direction, Errand, Fault, FaultKind, Flaw, Loss, NodePlan, Plan, RequestPlan, Trigger, Until,
};
use super::read::DATASET;
use super::targets;
use super::units::{bandwidth_text, draw_text};
use crate::base::Draw;
use crate::node::{
    Config, Detector, DispatchConfig, DispatchMode, Failover, FailoverMode, Inputs, JobSpec,
    MembershipConfig, Scheduler, StandbyRule,
};
use crate::policy::Options;

/// The resolved scenario as TOML, with the version of idunno that resolved it. Jobs carry their batch size, so that
/// models need none.
pub fn to_toml(plan: &Plan) -> String {
    let mut file = File { text: String::new() };
    file.line(&format!("# Resolved by idunno {}, with every default.", env!("CARGO_PKG_VERSION")));
    top(&mut file, plan);
    config(&mut file, &plan.config, &plan.options);
    file.line("\n[network]");
    file.quoted("latency", draw_text(plan.network.latency));
    file.put("loss", plan.network.loss);
    file.put("duplicate", plan.network.duplicate);
    file.put("reorder", plan.network.reorder);
    file.quoted("bandwidth", plan.network.bandwidth.map_or_else(|| "unlimited".to_owned(), bandwidth_text));
    file.line("\n[disk]");
    file.quoted("sync", draw_text(plan.disk.sync));
    for (name, model) in &plan.models {
        file.line(&format!("\n[model.{}]", string(name)));
        file.quoted("engine", &model.engine);
        file.quoted("load", draw_text(model.profile.load));
        file.quoted("setup", draw_text(model.profile.setup));
        file.quoted("per_input", draw_text(model.profile.per_input));
    }
    for job in &plan.jobs {
        file.line("\n[[job]]");
        file.quoted("at", draw_text(job.at));
        file.quoted("give_up", job.give_up.map_or_else(|| "never".to_owned(), |span| span.to_string()));
        spec(&mut file, &job.spec);
    }
    for stream in &plan.arrivals {
        file.line("\n[[arrivals]]");
        file.quoted("from", stream.from);
        file.quoted("every", stream.every.map_or_else(|| "done".to_owned(), draw_text));
        file.put("count", stream.count);
        spec(&mut file, &stream.spec);
    }
    for one in &plan.requests {
        request(&mut file, one);
    }
    for one in &plan.faults {
        fault(&mut file, one);
    }
    file.text
}

struct File {
    text: String,
}

impl File {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A value that stands without quotes.
    fn put(&mut self, key: &str, value: impl Display) {
        writeln!(self.text, "{key} = {value}").expect("a string takes everything");
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
    file.quoted("about", &plan.about);
    file.put("seed", plan.seed);
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
    for node in &plan.nodes {
        file.line("\n[[node]]");
        file.quoted("name", &node.name);
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
    let Config { membership, failover, dispatch, scheduler, planted: _ } = config;
    let MembershipConfig { kind, heartbeat, suspect_after, evict_after, observers } = membership;
    let Failover { mode: failover_mode, backup_every, standby, election, beat, snapshot_every, voters } =
        failover;
    let DispatchConfig { mode, window, retries_max, backoff, hedge, repeat, survey } = dispatch;
    let Scheduler { policy, rate_window } = scheduler;
    let Options { at_least_one, cap, hysteresis, slack } = options;
    file.line("\n[cluster]");
    file.or_word("voters", *voters, "auto");
    file.line("\n[scheduler]");
    file.quoted("policy", policy.name());
    file.put("at_least_one", at_least_one);
    file.put("cap", cap);
    file.put("hysteresis", hysteresis);
    file.put("slack", slack);
    file.quoted("rate_window", rate_window);
    file.line("\n[dispatch]");
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
    file.line("\n[membership]");
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
    file.line("\n[failover]");
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
}

fn spec(file: &mut File, spec: &JobSpec) {
    let JobSpec { name, model, inputs, batch, weight, priority } = spec;
    file.quoted("name", name);
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
    file.put("batch", batch);
    file.put("weight", weight);
    file.put("priority", priority);
}

fn request(file: &mut File, request: &RequestPlan) {
    let RequestPlan { at, client, errand, give_up } = request;
    file.line("\n[[request]]");
    file.quoted("at", draw_text(*at));
    file.quoted("kind", errand.name());
    if let Some(job) = errand.job() {
        file.quoted("job", job);
    }
    if let Errand::SetBatch { batch, .. } = errand {
        file.put("batch", batch);
    }
    file.quoted("client", client);
    file.quoted("give_up", give_up.map_or_else(|| "never".to_owned(), |span| span.to_string()));
}

fn fault(file: &mut File, fault: &Fault) {
    file.line("\n[[fault]]");
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
        FaultKind::Restart | FaultKind::EngineDeath | FaultKind::Stuck => return,
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
