//! From a document to a plan: which keys make which part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::check;
use super::document::Document;
use super::error::{ScenarioError, Wrong, nearest};
use super::keys::{FAULT_KEYS, FAULT_KINDS, FAULTS_MAX, NODES_MAX, REQUEST_KINDS, REQUESTS_MAX};
use super::network;
use super::plan::{
    Arrivals, Direction, DiskPlan, Errand, Fault, FaultKind, Flaw, JobPlan, Loss, ModelPlan, NetworkPlan,
    NodePlan, Plan, Repeat, RequestPlan, Shape, Target, Trigger, Until,
};
use super::read::{Problems, Section, is_name};
use super::shape::check_shape;
use super::targets;
use crate::base::{CostProfile, Draw};
use crate::node::{
    Config, Detector, DispatchConfig, DispatchMode, Failover, FailoverMode, JobSpec, MembershipConfig,
    Planted, Scheduler, StandbyRule, StoreConfig, limits,
};
use crate::policy;

impl Plan {
    /// Reads a scenario. `origin` is the path by which messages call it, and names the scenario that has no name.
    ///
    /// On an error nothing has happened; it lists everything that was found to be wrong.
    pub fn read(source: &str, origin: &str) -> Result<Plan, ScenarioError> {
        Plan::with_overrides::<&str>(source, origin, &[])
    }

    /// Reads a scenario with some keys set from outside, each as `PATH=VALUE`: `membership.heartbeat=20ms`,
    /// `job.0.batch=8`, `model.resnet18.load=1s..2s`, `fault=[]`. Later ones win. Errors in them name the flag `--set`.
    pub fn with_overrides<S: AsRef<str>>(
        source: &str,
        origin: &str,
        overrides: &[S],
    ) -> Result<Plan, ScenarioError> {
        let mut document = Document::parse(source, origin)?;
        for argument in overrides {
            document.set(argument.as_ref())?;
        }
        let problems = Problems::default();
        check_shape(&document, &problems);
        let plan = plan(&document, &problems);
        // What contradicts what can be said only of values that are right in themselves.
        if problems.is_empty() {
            check::contradictions(&plan, &document, &problems);
        }
        if problems.is_empty() { Ok(plan) } else { Err(ScenarioError::new(problems.into_vec())) }
    }
}

fn plan(document: &Document, problems: &Problems) -> Plan {
    let root = Section::root(document, problems);
    let nodes = nodes(&root);
    let (models, batches) = models(&root);
    let options = options(&root.table("scheduler"));
    Plan {
        name: root
            .if_written("name", Section::name)
            .unwrap_or_else(|| name_of_file(document, &root))
            .to_string(),
        // Where lines break in the file says nothing about where they shall break on a screen.
        about: root.text("about").split_whitespace().collect::<Vec<_>>().join(" "),
        seed: root.whole("seed") as u64,
        trials: root.whole("trials") as u32,
        until: root.unless_word("until", Section::span).map_or(Until::Done, Until::At),
        liveness_within: root.span("liveness_within"),
        config: Arc::new(config(&root, &options)),
        options,
        network: network(&root.table("network")),
        disk: DiskPlan { sync: root.table("disk").draw("sync") },
        jobs: jobs(&root, &batches),
        arrivals: arrivals(&root, &batches),
        requests: requests(&root),
        faults: faults(&root, &nodes, &batches),
        models,
        nodes,
    }
}

/// The scenario's name by default: the file's, without folder and extension.
fn name_of_file(document: &Document, root: &Section<'_>) -> Arc<str> {
    let file = document.origin.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = file.strip_suffix(".toml").unwrap_or(file);
    if is_name(stem) {
        return stem.into();
    }
    let why = format!("the file's name {stem:?} cannot name the scenario; write name = \"…\" into it");
    root.refuse("name", Wrong::Contradiction(why));
    "".into()
}

fn nodes(root: &Section<'_>) -> Vec<NodePlan> {
    let sections = root.list("node", "node.N");
    if !root.has("node") {
        let count = root.whole("nodes");
        return (1..=count as usize).map(NodePlan::usual).collect();
    }
    if root.has("nodes") {
        let why = "both nodes and [[node]] say which machines there are; wanted one of them".to_owned();
        root.refuse("nodes", Wrong::Contradiction(why));
    }
    let mut nodes: Vec<NodePlan> = Vec::new();
    let mut names = BTreeSet::new();
    for section in &sections {
        let count = section.whole("count") as usize;
        let name = section.if_written("name", Section::name);
        let (kind, speed) = (section.name("kind"), section.number("speed"));
        let worker = section.switch("worker");
        let (refuse, stall) = (section.rate("refuse"), section.rate("stall"));
        let stall_for = section.span("stall_for");
        if nodes.len() + count > NODES_MAX {
            let why = format!("more than {NODES_MAX} machines");
            section.refuse("count", Wrong::Contradiction(why));
            break;
        }
        for number in 1..=count {
            let name = match &name {
                Some(name) if section.has("count") => format!("{name}{number}").into(),
                Some(name) => name.clone(),
                None => NodePlan::usual(nodes.len() + 1).name,
            };
            if !names.insert(name.clone()) {
                let why = format!("another machine is called {name:?} too");
                section.refuse("name", Wrong::Contradiction(why));
            }
            nodes.push(NodePlan { name, kind: kind.clone(), speed, worker, refuse, stall, stall_for });
        }
        if let Some(name) = name.as_deref().filter(|name| targets::is_reserved(name)) {
            let why =
                format!("a machine cannot be called {name:?}, because targets of faults have this name");
            section.refuse("name", Wrong::Contradiction(why));
        }
    }
    nodes
}

/// What policies can be told.
fn options(scheduler: &Section<'_>) -> policy::Options {
    policy::Options {
        at_least_one: scheduler.switch("at_least_one"),
        cap: scheduler.rate("cap"),
        hysteresis: scheduler.amount("hysteresis"),
        slack: scheduler.amount("slack"),
    }
}

fn config(root: &Section<'_>, options: &policy::Options) -> Config {
    let (membership, failover) = (root.table("membership"), root.table("failover"));
    let (dispatch, scheduler) = (root.table("dispatch"), root.table("scheduler"));
    let small = |section: &Section<'_>, name: &str| section.whole(name) as u8;
    Config {
        membership: MembershipConfig {
            kind: match membership.choice("kind") {
                Some("ring") => Detector::Ring,
                _ => Detector::Observers,
            },
            heartbeat: membership.span("heartbeat"),
            suspect_after: membership.span("suspect_after"),
            evict_after: membership.span("evict_after"),
            observers: small(&membership, "observers"),
        },
        failover: Failover {
            mode: match failover.choice("mode") {
                Some("standby") => FailoverMode::Standby,
                _ => FailoverMode::Log,
            },
            backup_every: failover.span("backup_every"),
            standby: match &*failover.name("standby") {
                "earliest" => StandbyRule::Earliest,
                "successor" => StandbyRule::Successor,
                name => StandbyRule::Named(name.into()),
            },
            election: failover.span("election"),
            beat: failover.span("beat"),
            snapshot_every: failover.whole("snapshot_every") as u64,
            voters: root.table("cluster").unless_word("voters", Section::odd),
        },
        dispatch: DispatchConfig {
            mode: match dispatch.choice("mode") {
                Some("pull") => DispatchMode::Pull,
                _ => DispatchMode::Push,
            },
            window: dispatch.unless_word("window", small),
            retries_max: dispatch.whole("retries_max") as u32,
            hedge: dispatch.switch("hedge"),
            backoff: dispatch.span("backoff"),
            repeat: dispatch.span("repeat"),
            survey: dispatch.span("survey"),
        },
        scheduler: Scheduler {
            policy: scheduler
                .choice("policy")
                .and_then(|name| policy::by_name(name, options))
                .unwrap_or_else(policy::default),
            options: options.clone(),
            rate_window: scheduler.span("rate_window"),
        },
        store: StoreConfig {
            copies: small(&root.table("store"), "copies"),
            cache: root.table("store").whole("cache") as u64,
        },
        planted: Planted::default(),
    }
}

fn network(section: &Section<'_>) -> NetworkPlan {
    NetworkPlan {
        latency: section.draw("latency"),
        loss: section.rate("loss"),
        duplicate: section.rate("duplicate"),
        reorder: section.rate("reorder"),
        bandwidth: section.unless_word("bandwidth", Section::bandwidth),
    }
}

/// The models, and the batch that each gives to its jobs.
type Batches = BTreeMap<Arc<str>, u32>;

fn models(root: &Section<'_>) -> (BTreeMap<Arc<str>, ModelPlan>, Batches) {
    let (mut models, mut batches) = (BTreeMap::new(), BTreeMap::new());
    for (name, section) in root.map("model", "model.NAME") {
        if !is_name(name) || name == "any" {
            let why = format!(
                "{name:?} cannot name a model; wanted at most 64 letters, digits, \"-\", \"_\" and \".\", the first a \
                 letter or digit, and not \"any\""
            );
            section.refuse_whole(Wrong::Contradiction(why));
        }
        let engine: Arc<str> = section.choice("engine").unwrap_or_default().into();
        let costs = ["load", "setup", "per_input"];
        // What a network takes shows when it runs; only a rehearsal has to know it before.
        let profile = if &*engine == "torch" && !costs.iter().any(|key| section.has(key)) {
            CostProfile::UNKNOWN
        } else {
            let [load, setup, per_input] = costs.map(|key| section.draw(key));
            CostProfile { load, setup, per_input, by_size: section.by_size("by_size") }
        };
        let network = network::read(&section, name, &engine);
        models.insert(name.into(), ModelPlan { engine, profile, network });
        batches.insert(name.into(), section.whole("batch") as u32);
    }
    (models, batches)
}

fn jobs(root: &Section<'_>, batches: &Batches) -> Vec<JobPlan> {
    let sections = root.list("job", "job.N");
    let job = |(position, section): (usize, &Section<'_>)| JobPlan {
        at: section.draw("at"),
        give_up: section.unless_word("give_up", Section::span),
        spec: spec(section, &format!("job{}", position + 1), batches),
    };
    let jobs: Vec<JobPlan> = sections.iter().enumerate().map(job).collect();
    if jobs.len() > limits::JOBS_MAX {
        root.refuse("job", Wrong::Contradiction(format!("more than {} jobs", limits::JOBS_MAX)));
    }
    jobs
}

fn requests(root: &Section<'_>) -> Vec<RequestPlan> {
    let sections = root.list("request", "request.N");
    if sections.len() > REQUESTS_MAX {
        root.refuse("request", Wrong::Contradiction(format!("more than {REQUESTS_MAX} requests")));
        return Vec::new();
    }
    sections.iter().enumerate().filter_map(|(position, section)| request(section, position)).collect()
}

fn request(section: &Section<'_>, position: usize) -> Option<RequestPlan> {
    let common = ["at", "kind", "client", "give_up"];
    let kind = section.choice("kind");
    let (at, give_up) = (section.draw("at"), section.unless_word("give_up", Section::span));
    let client = section.if_written("client", Section::name);
    let client = client.unwrap_or_else(|| format!("request{}", position + 1).into());
    let kind = kind?;
    let (_, own) =
        REQUEST_KINDS.iter().find(|(name, _)| *name == kind).expect("a choice is one of the kinds");
    let known = |name: &&str| common.contains(name) || own.contains(name);
    for name in section.names().filter(|name| {
        ["job", "batch", "node", "policy", "file", "bytes", "keep"].contains(name) && !known(name)
    }) {
        let known = common.iter().chain(*own).copied().collect::<Vec<_>>().join(", ");
        section.refuse(name, Wrong::NotOfKind { what: "request", kind: kind.to_owned(), known });
    }
    let errand = match kind {
        "cancel" => Errand::Cancel(section.name("job")),
        "batch" => Errand::SetBatch { job: section.name("job"), batch: section.whole("batch") as u32 },
        "forget" => Errand::Forget(section.name("job")),
        "stop" => Errand::Stop(section.name("job")),
        "resume" => Errand::Resume(section.name("job")),
        "jobs" => Errand::Jobs,
        "policy" => Errand::SetPolicy(section.choice("policy")?.into()),
        "drain" => Errand::Drain { node: section.name("node"), drained: true },
        "undrain" => Errand::Drain { node: section.name("node"), drained: false },
        "put" => Errand::Put {
            file: section.name("file"),
            bytes: section.whole("bytes") as u64,
            keep: section.whole("keep") as u16,
            salt: position as u32,
        },
        "get" => Errand::Get(section.name("file")),
        "delete" => Errand::Delete(section.name("file")),
        other => unreachable!("{other} is in the table of requests and has no meaning"),
    };
    Some(RequestPlan { at, client, errand, give_up })
}

fn arrivals(root: &Section<'_>, batches: &Batches) -> Vec<Arrivals> {
    let sections = root.list("arrivals", "arrivals.N");
    let stream = |(position, section): (usize, &Section<'_>)| Arrivals {
        from: section.span("from"),
        every: section.unless_word("every", Section::draw),
        count: section.whole("count") as u32,
        spec: spec(section, &format!("arrivals{}", position + 1), batches),
    };
    sections.iter().enumerate().map(stream).collect()
}

fn spec(section: &Section<'_>, name: &str, batches: &Batches) -> JobSpec {
    let model = known_model(section, batches);
    let usual = batches.get(&model).copied().unwrap_or(1);
    JobSpec {
        name: section.if_written("name", Section::name).unwrap_or_else(|| name.into()),
        inputs: section.inputs("inputs"),
        batch: section.if_written("batch", Section::whole).map_or(usual, |batch| batch as u32),
        weight: section.number("weight"),
        priority: section.whole("priority") as i32,
        model,
    }
}

/// The model that a section names, which must be one of the scenario's.
fn known_model(section: &Section<'_>, batches: &Batches) -> Arc<str> {
    let model = section.name("model");
    if !model.is_empty() && !batches.contains_key(&model) {
        let names: Vec<&str> = batches.keys().map(|name| &**name).collect();
        let wanted = match names.as_slice() {
            [] => format!("a table [model.{model}]; the scenario has no model yet"),
            names => format!("a model of the scenario: {}", names.join(", ")),
        };
        section.refuse(
            "model",
            Wrong::Value {
                found: format!("{model:?}"),
                why: "is no model of the scenario".to_owned(),
                near: nearest(&model, names.iter().copied()).map(str::to_owned),
                wanted,
            },
        );
    }
    model
}

fn faults(root: &Section<'_>, nodes: &[NodePlan], batches: &Batches) -> Vec<Fault> {
    let sections = root.list("fault", "fault.N");
    if sections.len() > FAULTS_MAX {
        root.refuse("fault", Wrong::Contradiction(format!("more than {FAULTS_MAX} faults")));
        return Vec::new();
    }
    sections.iter().filter_map(|section| fault(section, nodes, batches)).collect()
}

fn fault(section: &Section<'_>, nodes: &[NodePlan], batches: &Batches) -> Option<Fault> {
    // Without machines, which is refused elsewhere, there is nothing to say about targets.
    let target = |section: &Section<'_>, name: &str| {
        if nodes.is_empty() { None } else { section.any(name, |item| targets::parse(item, nodes)) }
    };
    let (at, hit, kind) = (section.draw("at"), target(section, "target"), section.choice("kind"));
    let kind = kind?;
    let (_, own) = FAULT_KINDS.iter().find(|(name, _)| *name == kind).expect("a choice is one of the kinds");
    let foreign: Vec<&str> = section
        .names()
        .filter(|name| !FAULT_KEYS.contains(name) && !own.contains(name))
        .filter(|name| FAULT_KINDS.iter().any(|(_, keys)| keys.contains(name)))
        .collect();
    for name in foreign {
        let known = FAULT_KEYS.iter().chain(*own).copied().collect::<Vec<_>>().join(", ");
        section.refuse(name, Wrong::NotOfKind { what: "fault", kind: kind.to_owned(), known });
    }
    let lasting = if own.contains(&"for") { section.unless_word("for", Section::draw) } else { None::<Draw> };
    let kind = match kind {
        "crash" => FaultKind::Crash { wipe: section.switch("wipe") },
        "restart" => FaultKind::Restart,
        "leave" => FaultKind::Leave,
        "pause" => FaultKind::Pause,
        "isolate" => FaultKind::Isolate,
        "cut" => FaultKind::Cut {
            other: section.unless_word("other", target).flatten(),
            direction: match section.choice("direction") {
                Some("in") => Direction::In,
                Some("out") => Direction::Out,
                _ => Direction::Both,
            },
        },
        "loss" => FaultKind::Loss(Loss {
            rate: section.rate("rate"),
            burst: section.unless_word("burst", Section::span),
            bytes_min: section.whole("bytes_min") as u64,
        }),
        "slow_link" => FaultKind::SlowLink(section.bandwidth("bandwidth")),
        "jam" => FaultKind::Jam,
        "partial" => {
            let word = section.choice("shape");
            let shape = Shape::ALL.into_iter().find(|shape| Some(shape.name()) == word);
            FaultKind::Partial(shape.unwrap_or(Shape::Chain))
        }
        "starve" => FaultKind::Starve(section.draw("delay")),
        "skew" => FaultKind::Skew(section.number("factor")),
        "suspend" => FaultKind::Suspend,
        "delay" => FaultKind::Delay(section.draw("delay")),
        "duplicate" => FaultKind::Duplicate(section.rate("rate")),
        "reorder" => FaultKind::Reorder(section.rate("rate")),
        "slow" => FaultKind::Slow(section.number("factor")),
        "load_failure" => FaultKind::LoadFailure {
            model: section.unless_word("model", |section, _| known_model(section, batches)),
        },
        "engine_death" => FaultKind::EngineDeath,
        "stuck" => FaultKind::Stuck,
        "slow_disk" => FaultKind::SlowDisk(section.draw("delay")),
        "full_disk" => FaultKind::FullDisk,
        "corrupt" => FaultKind::Corrupt,
        "rollback" => FaultKind::Rollback,
        "rot" => FaultKind::Rot,
        "bad_output" => FaultKind::BadOutput(match section.choice("flaw") {
            Some("count") => Flaw::Count,
            _ => Flaw::Nan,
        }),
        "repeat_output" => FaultKind::RepeatOutput,
        other => unreachable!("{other} is a choice without a meaning"),
    };
    let (repeat, trigger, after) = (repeat(section), trigger(section), section.draw("after"));
    if trigger.is_none() && section.has("after") {
        let why = "says how long after what it waits for a fault begins that has on = \"election\" or the like, and this one has not";
        section.refuse("after", Wrong::Contradiction(why.to_owned()));
    }
    Some(Fault { at, kind, target: hit.unwrap_or(Target::All), lasting, repeat, trigger, after })
}

/// Whether a fault happens again.
fn repeat(section: &Section<'_>) -> Option<Repeat> {
    let every = section.unless_word("every", Section::draw);
    let times = section.unless_word("times", Section::whole).map(|times| times as u32);
    if every.is_none() && section.has("times") {
        let why = "says how often a fault happens that has every = \"10s\" or the like, and this one has not";
        section.refuse("times", Wrong::Contradiction(why.to_owned()));
    }
    every.map(|every| Repeat { every, times })
}

/// What a fault waits for.
fn trigger(section: &Section<'_>) -> Option<Trigger> {
    let word = section.choice("on");
    Trigger::ALL.into_iter().find(|trigger| Some(trigger.name()) == word)
}
