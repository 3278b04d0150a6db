//! Scenarios from the text to the plan and back, and what is said about those that are refused.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::base::{Architecture, CostProfile, Device, Draw, Span, Weights};
use crate::node::{Config, Inputs};
use crate::policy::Options;

/// A cluster with a job, to which a test adds what it is about.
const BASE: &str = "[model.m]\nload = \"1s\"\nper_input = \"1ms\"\n[[job]]\nmodel = \"m\"\ninputs = 10\n";

fn read(source: &str) -> Plan {
    Plan::read(source, "x.toml").unwrap_or_else(|error| panic!("{source}\n{error}"))
}

fn set(overrides: &[&str]) -> Result<Plan, ScenarioError> {
    Plan::with_overrides(BASE, "x.toml", overrides)
}

/// Plans are compared by all that they show: a policy has no other equality than its name.
fn shown(plan: &Plan) -> String {
    format!("{plan:#?}")
}

#[test]
fn shipped_scenarios_are_those_of_the_folder_and_say_what_to_look_for() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter_map(|file| file.strip_suffix(".toml").map(str::to_owned))
        .collect();
    files.sort();
    assert_eq!(files, shipped().iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (name, source) in shipped() {
        let plan = Plan::read(source, &format!("scenarios/{name}.toml")).unwrap();
        assert_eq!((plan.name.as_str(), plan.trials), (*name, 30));
        assert!(plan.about.len() > 60, "{name} says too little");
        assert_eq!(find_shipped(name), Some(*source));
    }
}

#[test]
fn what_is_written_out_reads_back_as_the_same_plan() {
    for (name, source) in shipped() {
        round_trip(&Plan::read(source, &format!("{name}.toml")).unwrap());
    }
    round_trip(&read(RICH));
}

fn round_trip(plan: &Plan) {
    let text = to_toml(plan);
    let again = Plan::read(&text, "resolved.toml").unwrap_or_else(|error| panic!("{text}\n{error}"));
    assert_eq!(shown(&again), shown(plan));
    assert_eq!(to_toml(&again), text);
    let brief = to_brief_toml(plan);
    let again = Plan::read(&brief, "brief.toml").unwrap_or_else(|error| panic!("{brief}\n{error}"));
    assert_eq!(shown(&again), shown(plan), "{brief}");
    assert!(
        text.starts_with(&format!(
            "# Resolved by idunno {}, with every default.\n",
            env!("CARGO_PKG_VERSION")
        ))
    );
}

#[test]
fn a_brief_file_says_what_is_not_as_usual_and_nothing_else() {
    let source = r#"name = "short"
about = """
A sentence that is too long to stand on one line of a file that shall be read by people, so that it
is broken into two."""
seed = 7
nodes = 4

[dispatch]
window = 1

[model.m]
load = "1s"
per_input = "10ms"

[[job]]
model = "m"
inputs = 20

[[fault]]
at = "2s"
kind = "crash"
target = "coordinator"
for = "1s"
"#;
    assert_eq!(to_brief_toml(&read(source)), source);
}

/// A scenario that uses every key at least once.
const RICH: &str = r#"
name = "rich-1.0"
about = """Quotes ", back\\slashes, breaks
and µ: all of it."""
seed = 18446744073708551615
trials = 3
until = "2m"
liveness_within = "1.5s"
[[node]]
name = "fast"
kind = "gpu"
speed = 12.5
count = 2
[[node]]
name = "plain"
refuse = "25%"
stall = 0.5
stall_for = "1.5s"
[[node]]
worker = false
count = 7
[cluster]
voters = 3
[scheduler]
policy = "time_share"
at_least_one = false
cap = "1%"
hysteresis = 0
slack = 2.5
rate_window = "20s"
[dispatch]
mode = "pull"
window = 4
retries_max = 0
backoff = "20ms"
hedge = false
repeat = "150ms"
survey = "70ms"
[membership]
kind = "ring"
heartbeat = "20ms"
suspect_after = "0.1s"
evict_after = "1s"
observers = 3
[failover]
backup_every = "1.5s"
standby = "plain"
election = "200ms"
beat = "30ms"
snapshot_every = 100
[store]
copies = 3
cache = 5
[network]
latency = "100us..300us"
loss = 0.25
duplicate = "0.3%"
reorder = 1
bandwidth = "1.5Gbit"
[disk]
sync = "0s"
[model.resnet18]
engine = "torch"
weights = "some where/\"quoted\".safetensors"
load = "1s"
per_input = "50ms"
by_size = "1: 1, 8: 1.25, 16: 0.5"
[model."llama-3.1"]
engine = "torch"
network = "mlp"
random_weights = 7
classes = 12
input = "image:48x64"
device = "cuda:1"
threads = 2
batch = 4
load = "exp(2s)"
setup = "3ms"
per_input = "lognormal(150ms, 0.2)"
[[job]]
name = "a"
model = "llama-3.1"
inputs = "imagenet:100..1100"
batch = 10
at = "1s..2s"
give_up = "40s"
weight = 2.5
priority = -3
[[job]]
model = "llama-3.1"
inputs = ["a \"b\".jpg", "c.jpg"]
[[arrivals]]
name = "s"
from = "3s"
every = "exp(500ms)"
count = 20
model = "llama-3.1"
inputs = 100
weight = 1
priority = 7
[[arrivals]]
name = "t"
every = "done"
count = 2
model = "llama-3.1"
inputs = 1
[[request]]
at = "3s..4s"
kind = "batch"
job = "a"
batch = 7
client = "a"
[[request]]
kind = "jobs"
client = "reader"
give_up = "2s"
[[request]]
at = "5s"
kind = "stop"
job = "s-20"
[[request]]
at = "6s"
kind = "resume"
job = "s-20"
[[request]]
at = "7s"
kind = "cancel"
job = "job2"
[[request]]
at = "8s"
kind = "forget"
job = "job2"
[[request]]
at = "9s"
kind = "policy"
policy = "fifo"
[[request]]
at = "9s"
kind = "drain"
node = "fast1"
[[request]]
at = "10s"
kind = "undrain"
node = "fast1"
[[request]]
at = "11s"
kind = "put"
file = "letters.zip"
bytes = 5_000_000
keep = 2
[[request]]
at = "12s"
kind = "get"
file = "letters.zip"
[[request]]
at = "13s"
kind = "delete"
file = "letters.zip"
[[fault]]
at = "1s"
kind = "crash"
target = "coordinator"
wipe = true
for = "3s"
[[fault]]
at = "1s..2s"
kind = "restart"
target = "node 3"
[[fault]]
at = "1s"
kind = "pause"
target = "fast2"
for = "exp(2s)"
[[fault]]
at = "1s"
kind = "isolate"
target = "minority"
for = "ever"
[[fault]]
at = "1s"
kind = "cut"
target = ["coordinator", "voter"]
other = ["worker", "random 2"]
direction = "out"
[[fault]]
at = "1s"
kind = "cut"
target = "busiest worker"
[[fault]]
at = "1s"
kind = "loss"
target = "all"
rate = "20%"
[[fault]]
at = "1s"
kind = "delay"
target = "worker"
delay = "5ms..10ms"
[[fault]]
at = "1s"
kind = "duplicate"
target = "random 4"
rate = 0.5
[[fault]]
at = "1s"
kind = "reorder"
target = "voter"
rate = 1
[[fault]]
at = "1s"
kind = "slow"
target = ["fast1"]
factor = 10
[[fault]]
at = "1s"
kind = "load_failure"
target = "worker"
model = "llama-3.1"
for = "5s"
[[fault]]
at = "1s"
kind = "engine_death"
target = "plain"
[[fault]]
at = "1s"
kind = "stuck"
target = "worker"
[[fault]]
at = "1s..2s"
kind = "leave"
target = "node 3"
[[fault]]
at = "1s"
kind = "loss"
target = "voter"
rate = 0.1
burst = "200ms"
bytes_min = 1000
[[fault]]
at = "1s"
kind = "slow_link"
target = "voter"
bandwidth = "1Mbit"
[[fault]]
at = "1s"
kind = "jam"
target = "voter"
for = "2s"
[[fault]]
at = "1s"
kind = "partial"
target = "all"
shape = "ring"
[[fault]]
at = "1s"
kind = "starve"
target = "voter"
delay = "0.5s..3s"
[[fault]]
at = "1s"
kind = "skew"
target = "voter"
factor = 1.5
[[fault]]
at = "1s"
kind = "suspend"
target = "voter"
for = "2s"
[[fault]]
at = "0s..60s"
kind = "pause"
target = "each"
every = "50s..70s"
for = "0s..1.5s"
[[fault]]
at = "1s"
on = "snapshot"
after = "0s..30ms"
kind = "crash"
target = ["concerned", "coordinator"]
every = "10s"
times = 3
for = "1s"
[[fault]]
at = "1s"
kind = "slow_disk"
target = "voter"
delay = "lognormal(80ms, 0.5)"
for = "5s"
[[fault]]
at = "1s"
kind = "full_disk"
target = "random 2"
for = "2s"
[[fault]]
at = "1s"
kind = "corrupt"
target = "spare"
for = "1s..2s"
[[fault]]
at = "1s"
kind = "rollback"
target = "worker"
for = "5s"
[[fault]]
at = "1s"
kind = "rot"
target = "worker"
[[fault]]
at = "1s"
kind = "bad_output"
target = "worker"
flaw = "count"
[[fault]]
at = "1s"
kind = "repeat_output"
target = "fast1"
for = "1s"
"#;

#[test]
fn every_key_is_read_and_written() {
    let plan = read(RICH);
    let config = &plan.config;
    assert_eq!(
        plan.nodes.iter().map(|node| &*node.name).collect::<Vec<_>>(),
        ["fast1", "fast2", "plain", "n4", "n5", "n6", "n7", "n8", "n9", "n10"]
    );
    assert_eq!((plan.seed, plan.until), (18_446_744_073_708_551_615, Until::At(Span::secs(120))));
    assert_eq!(plan.about, r#"Quotes ", back\slashes, breaks and µ: all of it."#);
    assert_eq!((config.failover.voters, config.dispatch.window), (Some(3), Some(4)));
    assert_eq!((plan.network.duplicate, plan.network.bandwidth), (0.003, Some(187_500_000)));
    assert_eq!((plan.jobs[0].spec.batch, plan.jobs[1].spec.batch, &*plan.jobs[1].spec.name), (10, 4, "job2"));
    assert_eq!(
        plan.jobs[0].spec.inputs,
        Inputs::Range { dataset: "imagenet".into(), from: 100, count: 1000 }
    );
    assert_eq!((plan.nodes[2].refuse, plan.nodes[2].stall), (0.25, 0.5));
    assert_eq!((plan.nodes[2].stall_for, plan.nodes[0].refuse), (Span::millis(1_500), 0.0));
    let options = Options { at_least_one: false, cap: 0.01, hysteresis: 0.0, slack: 2.5 };
    assert_eq!((&plan.options, config.dispatch.backoff), (&options, Span::millis(20)));
    assert_eq!((plan.arrivals[0].every.is_some(), plan.arrivals[1].every), (true, None));
    assert_eq!(plan.faults[0].lasting, Some(Draw::Fixed(Span::secs(3))));
    assert_eq!(plan.faults[3].lasting, None);
    assert_eq!(
        plan.faults[4].kind,
        FaultKind::Cut {
            other: Some(Target::Several(vec![Target::Worker, Target::Random(2)])),
            direction: Direction::Out
        }
    );
    assert_eq!(plan.faults[10].target, Target::Node(0));
    assert_eq!((plan.jobs[0].give_up, plan.jobs[1].give_up), (Some(Span::secs(40)), None));
    assert_eq!(plan.requests[0].errand, Errand::SetBatch { job: "a".into(), batch: 7 });
    assert_eq!((&*plan.requests[0].client, &*plan.requests[2].client), ("a", "request3"));
    assert_eq!((plan.requests[1].give_up, plan.requests[2].give_up), (Some(Span::secs(2)), None));

    let points = plan.models["resnet18"].profile.by_size;
    assert_eq!(points.points(), [(1, 1.0), (8, 1.25), (16, 0.5)]);
    let network = |name: &str| plan.models[name].network.clone().unwrap();
    assert_eq!(network("resnet18").weights, Weights::File("some where/\"quoted\".safetensors".into()));
    assert_eq!(network("resnet18").architecture, Architecture::ResNet18);
    let drawn = network("llama-3.1");
    assert_eq!(
        (drawn.architecture, drawn.weights, drawn.classes),
        (Architecture::Mlp, Weights::Random(7), 12)
    );
    assert_eq!(
        (drawn.input.to_string().as_str(), drawn.device, drawn.threads),
        ("image:48x64", Device::Cuda(1), 2)
    );
    assert!(read(BASE).models["m"].network.is_none());

    let written = format!("{}{}", to_toml(&plan), to_toml(&read(BASE)));
    for key in keys() {
        // Machines are written one by one, and jobs carry their models' batches.
        if ["node.N.count", "model.NAME.batch"].contains(&key.path) {
            continue;
        }
        assert!(written.contains(&format!("\n{} = ", key.name())), "{} is not written", key.path);
        let mut used = RICH.lines().chain(BASE.lines());
        assert!(
            key.path == "nodes" || used.any(|line| line.starts_with(&format!("{} = ", key.name()))),
            "{} is not tried here",
            key.path
        );
    }
}

#[test]
fn the_table_of_keys_says_what_the_defaults_are() {
    let plan = read(BASE);
    let expected = Config::default();
    assert_eq!(format!("{:?}", plan.config), format!("{expected:?}"));
    assert_eq!((plan.name.as_str(), plan.about.as_str(), plan.seed, plan.trials), ("x", "", 1, 1));
    assert_eq!((plan.until, plan.nodes.len(), plan.jobs[0].at), (Until::Done, 10, Draw::ZERO));
    assert_eq!((plan.network.loss, plan.network.bandwidth), (0.0, None));
    // What is written with the words and values of the table is the same as nothing written.
    let mut overrides: Vec<String> = Vec::new();
    for key in keys() {
        if let (Preset::Value(value), path) =
            (key.default, key.path.replace("NAME", "m").replace(".N.", ".0."))
            && !["node", "arrivals", "fault", "request"]
                .iter()
                .any(|table| path.starts_with(&format!("{table}.")))
        {
            overrides.push(format!("{path}={value}"));
        }
    }
    assert!(overrides.len() > 30);
    let written = Plan::with_overrides(BASE, "x.toml", &overrides).unwrap();
    assert_eq!(shown(&written), shown(&plan));
}

#[test]
fn fault_kinds_have_the_names_by_which_they_are_written() {
    let names: Vec<&str> = read(RICH).faults.iter().map(|fault| fault.kind.name()).collect();
    for (name, _) in super::keys::FAULT_KINDS {
        assert!(names.contains(&name), "{name}");
        assert!(RICH.contains(&format!("kind = \"{name}\"")), "{name}");
    }
}

#[test]
fn overrides_reach_every_place() {
    let overrides = [
        "seed=7",
        "membership.heartbeat=20ms",
        "job.0.batch=8",
        "job.0.at=1s..2s",
        "model.m.load=exp(2s)",
        "network.loss=1%",
        "network.latency=\"200us\"",
        "scheduler.policy=even",
        "until=1m",
        "about=true or not",
        "fault=[{ at = \"1s\", kind = \"crash\", target = [\"voter\", \"node 7\"] }]",
        "seed=8",
        "fault.0.at = 2s",
    ];
    let plan = set(&overrides).unwrap();
    assert_eq!(
        (plan.seed, plan.config.membership.heartbeat, plan.jobs[0].spec.batch),
        (8, Span::millis(20), 8)
    );
    assert_eq!(plan.jobs[0].at, Draw::Uniform(Span::secs(1), Span::secs(2)));
    assert_eq!(plan.models["m"].profile.load, Draw::Exponential(Span::secs(2)));
    assert_eq!((plan.network.loss, plan.network.latency), (0.01, Draw::Fixed(Span::micros(200))));
    assert_eq!((plan.config.scheduler.policy.name(), plan.about.as_str()), ("even", "true or not"));
    assert_eq!(plan.faults[0].target, Target::Several(vec![Target::Voter, Target::Node(6)]));
    assert_eq!(plan.faults[0].at, Draw::Fixed(Span::secs(2)));
    assert!(set(&["fault=[]"]).unwrap().faults.is_empty());
    let dotted = Plan::with_overrides(RICH, "x.toml", &["model.llama-3.1.setup=9ms"]).unwrap();
    assert_eq!(dotted.models["llama-3.1"].profile.setup, Draw::Fixed(Span::millis(9)));
}

#[test]
fn all_that_is_wrong_is_said_at_once_in_the_order_of_the_file() {
    let source = "sed = 1\n[membership]\nheartbeat = 5\n[[fault]]\nat = \"1s\"\nkind = \"crsh\"\nfoo = 1\n";
    let error = Plan::read(source, "x.toml").unwrap_err();
    let lines: Vec<u32> = error
        .problems()
        .iter()
        .map(|problem| match problem.place {
            Place::File { line, .. } => line.unwrap(),
            Place::Flag { .. } => panic!("no flag was given"),
        })
        .collect();
    assert_eq!(lines, [1, 3, 4, 6, 7]);
    assert_eq!(error.to_string().lines().count(), 5);
}

/// A model that is only named is the one that was imported, and what it takes need not be known until it is rehearsed.
#[test]
fn an_imported_model_and_a_dataset_on_the_nodes_need_no_more_than_their_names() {
    let source = "[model.photos]\nengine = \"torch\"\ndevice = \"cpu\"\n\
        [[job]]\nmodel = \"photos\"\ninputs = \"node:/data/my photos:10..30\"\n";
    let plan = Plan::read(source, "x.toml").unwrap();
    let model = &plan.models["photos"];
    let network = model.network.as_ref().unwrap();
    assert_eq!((&network.weights, network.device), (&Weights::Imported, Device::Cpu));
    assert_eq!(model.profile, CostProfile::UNKNOWN);
    assert_eq!(plan.unmeasured().map(|name| &**name).collect::<Vec<_>>(), ["photos"]);
    let range = Inputs::Range { dataset: "node:/data/my photos".into(), from: 10, count: 20 };
    assert_eq!(plan.jobs[0].spec.inputs, range);
    assert_eq!(shown(&read(&to_toml(&plan))), shown(&plan));
    let known = source.replace("device", "load = \"1s\"\nper_input = \"1ms\"\ndevice");
    assert_eq!(Plan::read(&known, "x.toml").unwrap().unmeasured().count(), 0);
    for (wrong, why) in
        [("load = \"1s\"", "per_input: missing"), ("input = \"image:64\"", "network: missing")]
    {
        let said = Plan::read(&source.replace("device", &format!("{wrong}\ndevice")), "x.toml").unwrap_err();
        assert!(said.to_string().contains(why), "{said}");
    }
    for path in ["node:", "node:a\\u0007b", "elsewhere:/data"] {
        let said =
            Plan::read(&source.replace("node:/data/my photos", path), "x.toml").unwrap_err().to_string();
        assert!(said.contains("does not begin with the name of a dataset"), "{said}");
    }
}

/// Each file that is refused, with what is said about it. `idunno` means `BASE` and these lines before and after it.
#[test]
fn refusals_name_place_key_finding_and_remedy() {
    let mut said = String::new();
    for case in include_str!("refusals.txt").split("=== ").skip(1) {
        let (source, _) = case.split_once("---\n").unwrap_or((case, ""));
        let (head, source) = source.split_once('\n').unwrap();
        let flags: Vec<&str> =
            head.strip_prefix("--set ").map(|flags| flags.split(" --set ").collect()).unwrap_or_default();
        let based = source.replace("BASE\n", BASE);
        let outcome = match Plan::with_overrides(&based, "x.toml", &flags) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        write!(said, "=== {head}\n{source}---\n{outcome}\n\n").unwrap();
    }
    let golden = include_str!("refusals.txt");
    if said != golden {
        if std::env::var_os("IDUNNO_GOLDEN").is_some() {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/scenario/refusals.txt");
            std::fs::write(file, &said).unwrap();
            return;
        }
        for (said, golden) in said.lines().zip(golden.lines()) {
            assert_eq!(said, golden, "IDUNNO_GOLDEN=1 writes what is said now; read the difference");
        }
        assert_eq!(said, golden);
    }
}

#[test]
fn names_of_files_become_names_of_scenarios() {
    assert_eq!(Plan::read(BASE, "some/folder/my-case.toml").unwrap().name, "my-case");
    let error = Plan::read(BASE, "my case.toml").unwrap_err().to_string();
    assert!(error.starts_with("my case.toml: name: the file's name \"my case\" cannot name"), "{error}");
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let deep = 100_000;
    let nested = format!("a = {}{}", "[".repeat(deep), "]".repeat(deep));
    let tables = format!("a = {}{}", "{a=".repeat(deep), "}".repeat(deep));
    let dotted = format!("a{} = 1", ".a".repeat(deep));
    let header = format!("[a{}]", ".a".repeat(deep));
    for source in [nested, tables, dotted, header] {
        assert!(Plan::read(&source, "x.toml").is_err());
        assert!(set(&[&source]).is_err());
    }
}

#[test]
fn a_list_of_one_target_is_that_target() {
    let one = read(RICH).faults[10].target.clone();
    assert_eq!(one, Target::Node(0));
    assert_eq!(Arc::<str>::from("fast1"), read(RICH).nodes[0].name);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Plan::read(&String::from_utf8_lossy(&bytes), "x.toml");
    }

    #[test]
    fn no_damage_to_a_scenario_makes_the_reader_panic(
        which in 0..shipped().len() + 1, from in 0..5_000_usize, length in 0..40_usize, put in "\\PC{0,8}",
    ) {
        let source = shipped().get(which).map_or(RICH, |(_, source)| source);
        let chars: Vec<char> = source.chars().collect();
        let from = from.min(chars.len());
        let to = (from + length).min(chars.len());
        let damaged: String = chars[..from].iter().copied().chain(put.chars()).chain(chars[to..].iter().copied()).collect();
        if let Ok(plan) = Plan::read(&damaged, "x.toml") {
            round_trip(&plan);
        }
    }

    #[test]
    fn no_override_makes_the_reader_panic(
        path in "[a-z_.0]{0,30}", which in 0..keys().len(), value in "\\PC{0,20}", number in "[0-9.e\\-]{0,40}[a-zA-Z%]{0,4}",
    ) {
        let known = keys()[which].path.replace("NAME", "llama-3.1").replace(".N.", ".0.");
        for (path, value) in [(&path, &value), (&known, &value), (&known, &number)] {
            if let Ok(plan) = Plan::with_overrides(RICH, "x.toml", &[format!("{path}={value}")]) {
                round_trip(&plan);
            }
        }
    }
}

#[test]
fn what_is_stuck_again_and_again_takes_twice_as_long_each_time() {
    let with = |faults: &str| read(&format!("nodes = 5\n{BASE}{faults}"));
    let stuck = "[[fault]]\nat = \"1s\"\nkind = \"stuck\"\ntarget = \"random 2\"\n";
    let failing = "[[fault]]\nat = \"1s\"\nkind = \"engine_death\"\ntarget = \"node 1\"\n";
    let quick = Span::millis(1);
    assert_eq!(with("").stuck_max(quick), Span::ZERO);
    assert_eq!(with(stuck).stuck_max(quick), Span::secs(60 + 120));
    // Four attempts are made, of which others than the stuck ones may be the first.
    assert_eq!(with(&stuck.repeat(9)).stuck_max(quick), Span::secs(60 + 120 + 240 + 480));
    assert_eq!(with(&format!("{stuck}{failing}")).stuck_max(quick), Span::secs(240 + 480));
    assert_eq!(with(stuck).stuck_max(Span::secs(10)), Span::secs(200 + 400));
}
