//! `idunno run`: a real node; and `idunno engine`, its child.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::models::record;
use super::values::text;
use super::{Exit, screen};
use crate::base::{CostProfile, Device, Network, Weights};
use crate::cluster::{self, Ended, Key, Options, RecordTo, Running, StartError};
use crate::engine::{self, Model};
use crate::scenario::{ModelPlan, Settings};

/// Where nodes listen, and are looked for, when nobody says otherwise.
pub(super) const HOME: &str = "127.0.0.1:7400";
/// The model of a node without settings, which takes time and answers from the inputs' numbers.
const DEMO: &str = "demo";
const DEMO_SETTINGS: &str = "[model.demo]\nload = \"200ms\"\nper_input = \"10ms\"\n";
/// How often a node is asked whether it has ended. A signal wakes whoever asks.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the cluster has to let a node go that leaves: several times what an election and a handover take on a busy machine.
const LEAVE_WITHIN: Duration = Duration::from_secs(20);

pub(super) const EXAMPLES: &str = "\
Examples:
  idunno run
      A cluster of one node on this machine, with a key and a data directory of your own. Without an idunno.toml it
      knows a model to try it out with: idunno submit demo 1000 --wait
  idunno run --name n1 --listen 10.0.0.1:7400 --key cluster.key --data n1 --config idunno.toml
      The first node of a cluster. It listens on the UDP ports 7400 and 7401.
  idunno run --record n1.rec
      Everything that the node is given, from its start on, is kept for idunno replay.
  idunno run --name n2 --listen 10.0.0.2:7400 --join 10.0.0.1:7400 --key cluster.key --data n2 --config idunno.toml
      A further node, on another machine. When it starts again, its directory says where it belongs.

SIGTERM or Ctrl-C: the node hands over, leaves the cluster and ends; a second one ends it at once. Where nobody
can let it go, because too few voters are there, it ends after 20 s and stays a member.

Exit codes: 0 it left; 1 it could not go on; 2 usage, a bad file or a bad disk, nothing changed;
5 it ended, and is a member still; 130 ended at once, or before it had joined.";

pub(super) const ENGINE_EXAMPLES: &str = "\
Examples:
  idunno engine
      Only a node starts this, and speaks with it over its standard input and output.";

/// The most bytes of a node's name.
const NAME_BYTES_MAX: usize = 100;

/// What `idunno run` is told.
#[derive(Clone, Debug, Args)]
pub(super) struct Run {
    /// What people call the node.
    #[arg(long, value_name = "NAME", default_value = "node", value_parser = named)]
    name: String,
    /// The UDP port to listen on; the next one is used as well, for heartbeats. Port 0 takes two free ones.
    #[arg(long, value_name = "IP:PORT", default_value = HOME)]
    listen: SocketAddr,
    /// Where other nodes reach this one, if that is not where it listens.
    #[arg(long, value_name = "IP:PORT")]
    advertise: Option<SocketAddr>,
    /// Where members of the cluster listen that the node shall join; without it a new cluster is founded. Once the node belongs to a
    /// cluster it is only needed where members have moved.
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    join: Vec<String>,
    /// The file with the cluster's secret, the same on all nodes ("idunno key new" makes one) [default: the file key in your data
    /// folder, which is made if need be].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The node's data directory, which belongs to it alone [default: the folder node in your data folder].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How many nodes hold the log and decide by majority; an odd number up to 7, the same on all nodes [default: what the file
    /// says, or what fits the number of nodes].
    #[arg(long, value_name = "N", value_parser = voters)]
    voters: Option<u8>,
    /// The file with settings and models: the tables membership, failover, dispatch, scheduler, cluster and model.NAME of a
    /// scenario [default: idunno.toml, if it exists; else there is one model, demo].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What kind of machine it is, for schedulers that tell kinds apart.
    #[arg(long, value_name = "KIND", default_value = "cpu", value_parser = named)]
    kind: String,
    /// Take no queries: only vote and coordinate.
    #[arg(long)]
    no_worker: bool,
    /// Record everything that the node is given into FILE, for "idunno replay"; the recordings of two earlier starts are kept as
    /// FILE.1 and FILE.2.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The most MiB that a recording may have; it then ends, and the node goes on.
    #[arg(long, value_name = "MIB", default_value_t = 1024, requires = "record", value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    record_max: u64,
    /// How fast the synthetic engine is: 2 takes half the time that the models' profiles say.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// How likely the node refuses a query, from 0 to 1, to try out what schedulers make of that.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = part)]
    refuse: f64,
    /// Where the node writes down what it observes, at most 260 MB of it [default: the folder diary in its data directory].
    #[arg(long, value_name = "DIR")]
    diary: Option<PathBuf>,
    /// How many MiB per second of the files' chunks on its disk the node reads and verifies, again and again, so that damage is found
    /// while there are other copies; 0 for none.
    #[arg(long, value_name = "MIB", default_value_t = 8, value_parser = clap::value_parser!(u64).range(0..=65_536))]
    scrub: u64,
    /// Do not put the predictions of complete jobs into the file store while this node leads; otherwise they come to stand there as
    /// results/JOB.csv.
    #[arg(long)]
    no_results: bool,
    /// How many MiB of files the node keeps because queries may read them again, beside the copies that it holds for the store; what the
    /// queries at hand read stays even if that is more [default: what the file says, or 1024].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(0..=1_073_741_824))]
    cache: Option<u64>,
    /// End at once when this process ends, which has started this one, however it ends.
    #[arg(long, value_name = "PID")]
    tied: Option<u32>,
    /// How much to tell on the standard error.
    #[arg(long, value_enum, default_value_t = Log::Info, value_name = "LEVEL")]
    log: Log,
    /// How to tell it.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
}

/// In which form it is told.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object per line: timestamp, level, target and fields.
    Json,
}

/// How much is told.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Log {
    /// Nothing but why it ends.
    Error,
    /// What should not happen.
    Warn,
    /// What changes in the cluster.
    Info,
    /// Everything that the node does.
    Debug,
}

fn voters(text: &str) -> Result<u8, String> {
    let voters = text.parse().ok().filter(|voters| [1, 3, 5, 7].contains(voters));
    voters.ok_or_else(|| "wanted 1, 3, 5 or 7".to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed| (1e-3..=1e3).contains(speed));
    speed.ok_or_else(|| "wanted a factor from 0.001 to 1000".to_owned())
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "wanted a number from 0 to 1".to_owned())
}

/// A name of a node, or of its kind: something that goes into a line of a table.
fn named(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.contains(char::is_control);
    let wanted = || format!("wanted 1 to {NAME_BYTES_MAX} bytes without control characters");
    fits.then(|| text.to_owned()).ok_or_else(wanted)
}

/// The process ends with its parent, which is `parent`.
#[cfg(target_os = "linux")]
fn tie(parent: u32) -> Result<()> {
    use nix::sys::{prctl, signal::Signal};
    prctl::set_pdeathsig(Signal::SIGKILL).context("--tied")?;
    // Whoever has ended before that would not be heard of: somebody else is the parent by now.
    anyhow::ensure!(
        std::os::unix::process::parent_id() == parent,
        "--tied {parent}: that process did not start this one, or has ended"
    );
    Ok(())
}

/// Elsewhere nobody tells.
#[cfg(not(target_os = "linux"))]
fn tie(_: u32) -> Result<()> {
    anyhow::bail!("--tied needs Linux")
}

/// Does what `idunno run` is told.
pub(super) fn run(run: &Run, stop: &AtomicBool) -> Exit {
    show_log(run.log, run.log_format);
    let stopped = || stop.load(Ordering::Relaxed);
    let tied = run.tied.map_or(Ok(()), tie);
    let started = tied.and_then(|()| Ok(cluster::start(options(run)?, &stopped)?));
    let running = match started {
        Ok(running) => running,
        Err(error) => {
            screen::error(&error);
            return match error.downcast_ref() {
                Some(StartError::Stopped) => Exit::Interrupted,
                // There may be room again: whoever starts nodes shall try once more.
                Some(start) if start.is_for_want_of_room() => Exit::Failed,
                _ => Exit::Usage,
            };
        }
    };
    screen::say(&format!("{} {} listens on {}\n", run.name, running.id, running.address));
    live(running, &stopped)
}

/// Waits until the node has ended, and lets it leave when it is told to stop.
fn live(running: Running, stopped: &dyn Fn() -> bool) -> Exit {
    let mut leaves_since: Option<Instant> = None;
    while !running.is_over() {
        match leaves_since {
            None if stopped() => {
                leaves_since = Some(Instant::now());
                tracing::info!("leaves the cluster; a second signal ends it at once");
                running.leave();
            }
            Some(since) if since.elapsed() > LEAVE_WITHIN => {
                drop(running);
                screen::error(&anyhow!(
                    "nobody let it go for {} s, so it ends and is a member still; it goes on when it starts again with the same \
                     --data, or the others evict it once a majority of the voters is there",
                    LEAVE_WITHIN.as_secs()
                ));
                return Exit::NoQuorum;
            }
            _ => {}
        }
        thread::park_timeout(LOOK_EVERY);
    }
    match running.wait() {
        Ended::Left | Ended::Stopped => Exit::Fine,
        Ended::Broken(why) => {
            screen::error(&anyhow!(why));
            Exit::Failed
        }
    }
}

/// Does what `idunno engine` is for.
pub(super) fn engine() -> Exit {
    // An engine that stands still does not notice that its node's end has closed its input.
    let _ = tie(std::os::unix::process::parent_id());
    match engine::serve(io::stdin(), io::stdout()) {
        Ok(()) => Exit::Fine,
        Err(error) => {
            screen::error(&anyhow::Error::new(error).context("the engine"));
            Exit::Failed
        }
    }
}

fn options(run: &Run) -> Result<Options> {
    let mut settings = settings(run.config.as_deref())?;
    let mut config = (*settings.config).clone();
    config.failover.voters = run.voters.or(config.failover.voters);
    config.store.cache = run.cache.map_or(config.store.cache, |cache| cache << 20);
    settings.config = Arc::new(config);
    let record = run.record.clone().map(|file| RecordTo {
        file,
        bytes_max: run.record_max << 20,
        settings: settings.to_toml(),
    });
    if engine::HAS_TORCH {
        imported(&mut settings.models);
    }
    let told = settings.to_toml_with_models();
    let models = models(&settings.models)?;
    warn_of_missing(&models);
    let data = match &run.data {
        Some(data) => data.clone(),
        None => data_folder()?.join("node"),
    };
    Ok(Options {
        name: run.name.as_str().into(),
        kind: run.kind.as_str().into(),
        worker: !run.no_worker,
        speed: run.speed,
        refuse: run.refuse,
        listen: run.listen,
        advertise: run.advertise,
        join: addresses(&run.join)?,
        key: key(run.key.as_deref(), true)?,
        data,
        diary: run.diary.clone(),
        config: settings.config,
        settings: told.into(),
        models,
        program: std::env::current_exe().context("where this program is")?,
        scrub: run.scrub << 20,
        results: !run.no_results,
        record,
    })
}

/// Says which weights are not where they should be: a file may still come before anybody wants them.
fn warn_of_missing(models: &BTreeMap<Arc<str>, Model>) {
    for (name, model) in models {
        let Model::Torch(Network { weights: Weights::File(file), .. }) = model else { continue };
        if let Err(error) = std::fs::File::open(&**file) {
            let error = error.to_string();
            tracing::warn!(model = %name, weights = %file, error, "a model cannot be loaded as it is");
        }
    }
}

/// Adds the models that were imported on this machine, unless the settings have one of that name.
fn imported(models: &mut BTreeMap<Arc<str>, ModelPlan>) {
    let all = record::all().unwrap_or_else(|error| {
        tracing::warn!(error = format!("{error:#}"), "imported models cannot be listed");
        BTreeMap::new()
    });
    for (name, found) in all {
        match found.and_then(|(folder, record)| record.network(&folder, Device::Auto, 1)) {
            Ok(network) => {
                let plan = || ModelPlan {
                    engine: "torch".into(),
                    profile: CostProfile::UNKNOWN,
                    network: Some(network),
                };
                models.entry(name).or_insert_with(plan);
            }
            // One that is broken does not keep a node from what it can do.
            Err(error) => {
                tracing::warn!(model = %name, error = format!("{error:#}"), "an imported model is left out");
            }
        }
    }
}

/// What runs each of these models; an error says what this program lacks for one.
pub(super) fn models(plans: &BTreeMap<Arc<str>, ModelPlan>) -> Result<BTreeMap<Arc<str>, Model>> {
    let model = |(name, plan): (&Arc<str>, &ModelPlan)| {
        let model = match &plan.network {
            None => Model::Synthetic(plan.profile),
            Some(_) if !engine::HAS_TORCH => {
                bail!("the model {name} has engine = \"torch\", and {}", engine::NO_TORCH)
            }
            Some(Network { weights: Weights::Imported, device, threads, .. }) => {
                Model::Torch(record::network(name, *device, *threads)?)
            }
            Some(network) => Model::Torch(network.clone()),
        };
        Ok((Arc::clone(name), model))
    };
    plans.iter().map(model).collect()
}

fn settings(file: Option<&Path>) -> Result<Settings> {
    let usual = Path::new("idunno.toml");
    let Some(file) = file.or_else(|| usual.exists().then_some(usual)) else {
        tracing::info!(model = DEMO, "no idunno.toml is here, so it knows a model to try it out with");
        return Ok(Settings::read(DEMO_SETTINGS, "the settings of a node that has none")?);
    };
    Ok(Settings::read(&text(file)?, &file.display().to_string())?)
}

/// Where hosts and ports are.
pub(super) fn addresses(texts: &[String]) -> Result<Vec<SocketAddr>> {
    let address = |text: &String| {
        let found = text.to_socket_addrs().with_context(|| format!("{text:?}: wanted HOST:PORT"))?.next();
        found.with_context(|| format!("{text:?} is no address"))
    };
    texts.iter().map(address).collect()
}

/// The key in `file`, or else the user's own; `make` says whether that one is made if there is none.
pub(super) fn key(file: Option<&Path>, make: bool) -> Result<Key> {
    if let Some(file) = file {
        return Ok(Key::read(file)?);
    }
    let folder = data_folder()?;
    let own = folder.join("key");
    if make && !own.exists() {
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let key = Key::random()?;
        key.write(&own)?;
        tracing::info!(path = %own.display(), "made a key");
        return Ok(key);
    }
    Ok(Key::read(&own)?)
}

/// Where the user keeps data.
pub(super) fn data_folder() -> Result<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
    Ok(data.context("neither XDG_DATA_HOME nor HOME is set; say --key and --data")?.join("idunno"))
}

fn show_log(log: Log, format: LogFormat) {
    let level = match log {
        Log::Error => Level::ERROR,
        Log::Warn => Level::WARN,
        Log::Info => Level::INFO,
        Log::Debug => Level::DEBUG,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().with_current_span(false).with_span_list(false).boxed(),
    };
    // What libraries have to say is of no use to those who run a node.
    let own = Targets::new().with_target("idunno", level);
    // An earlier subscriber, in tests, stays.
    let _ = tracing_subscriber::registry().with(lines).with(own).try_init();
}
