//! What serving costs: how many inputs a cluster answers in a second, against a plain loop on `tch` over the same pictures.
//!
//! Both sides have the same number of processes that run the network, with as many threads: one for the network, one that decodes the
//! next batch meanwhile. The *cluster* has three real nodes on this machine, or more, each with its disk and sockets, of which as many
//! are workers; a round is one job, from the moment that a client submits it until it is told that it has ended, every query of it
//! committed by a majority with fsync on. The *plain loop* is what one would write without a cluster: a program per process, in which
//! a share of the pictures is prepared, put through the layers, and the five likeliest classes are looked up.
//!
//! Rounds of the two alternate, and each pair gives a ratio. The interval is that of the median of these, by order statistics: it
//! supposes nothing of how they are distributed. Networks have random weights, which are as fast as any.
//!
//! `cargo bench --features torch --bench serving -- --engines 2 --pairs 20` takes another number of processes (1, and sensibly no more
//! than there are cores) and of pairs (10), `--device cuda:0` a GPU; `--test` shows only that it works. `--pytorch python3` puts the
//! same loop in `PyTorch` (`serving.py`) beside them, where that Python has torch and torchvision.

mod nodes;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use idunno::base::{InputShape, JobId};
use idunno::cluster::{Client, Key};
use idunno::dataset::Dataset;
use idunno::dataset::letters::{Layout, Letters};
use idunno::engine::torch::prepare;
use idunno::node::{Inputs, JobSpec, Question, Reading, Reply, Request};
use nodes::{IDUNNO, Node, PATIENCE};
use tch::nn::{self, ModuleT, VarStore};
use tch::vision::resnet;
use tch::{Device, Kind, Tensor};

/// How often the client looks whether the job has ended: four times as often as `idunno submit --wait`, because rounds are short.
const EVERY: Duration = Duration::from_millis(50);
/// Inputs per query, and per step of the plain loop.
const BATCH: u64 = 8;
/// How wide the pictures are, which are prepared for `image:224`: about the usual photo, shrunk for the web.
const SIDE: u32 = 320;
/// The networks, and how many inputs each process gets in a round: some seconds on a processor.
const NETWORKS: [(&str, u64); 2] = [("resnet18", 160), ("alexnet", 640)];
/// The same, of a GPU.
const ON_GPU: u64 = 1_000;

/// How it was called.
struct Told {
    brief: bool,
    engines: usize,
    pairs: usize,
    device: String,
    /// A Python with `PyTorch`.
    pytorch: Option<String>,
}

fn told() -> Told {
    let words: Vec<String> = std::env::args().collect();
    let value = |flag: &str| {
        let place = words.iter().position(|word| word == flag);
        place.and_then(|place| words.get(place + 1)).map(String::as_str)
    };
    let number = |flag: &str, usual: usize| {
        value(flag).map_or(usual, |number| number.parse().expect("a number follows the flag"))
    };
    let brief = words.iter().any(|word| word == "--test");
    Told {
        brief,
        engines: number("--engines", 1),
        pairs: if brief { 1 } else { number("--pairs", 10) },
        device: value("--device").unwrap_or("cpu").to_owned(),
        pytorch: value("--pytorch").map(str::to_owned),
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let [_, flag, network, dataset, device] = &words[..]
        && flag == "--loop"
    {
        return plain(network, Path::new(dataset), device);
    }
    let told = told();
    let folder = tempfile::tempdir().expect("a folder for pictures and disks");
    let networks = if told.brief { &NETWORKS[1..] } else { &NETWORKS[..] };
    let share = |of_processor: u64| match (told.brief, told.device == "cpu") {
        (true, _) => 2 * BATCH,
        (false, true) => of_processor,
        (false, false) => ON_GPU,
    };
    let most = networks.iter().map(|(_, inputs)| share(*inputs)).max().expect("there are some");
    let pictures = folder.path().join("pictures");
    let letters = Letters { count: (most * told.engines as u64) as u32, seed: 1, side: SIDE };
    letters.write(&pictures, Layout::Flat, |_| true).expect("the folder is writable");
    let mut cluster = Cluster::start(folder.path(), &told);

    println!(
        "{} engine processes of 1 thread on {} with {} cores, queries of {BATCH} inputs, pictures of {SIDE} by {SIDE} pixels\n",
        told.engines,
        told.device,
        thread::available_parallelism().map_or(1, usize::from)
    );
    println!(
        "{:<10} {:<12} {:>6} {:>8} {:>13} {:>13} {:>8}   {:<19} {:>8} {:>8}",
        "network",
        "loop",
        "pairs",
        "inputs",
        "loop, 1/s",
        "cluster, 1/s",
        "ratio",
        "95 % interval",
        "least",
        "most"
    );
    for (network, of_processor) in networks {
        let inputs = share(*of_processor) * told.engines as u64;
        let mut loops = vec![("tch", Loops::start(network, &pictures, &told, None))];
        if let Some(python) = &told.pytorch {
            loops.push(("PyTorch", Loops::start(network, &pictures, &told, Some(python))));
        }
        // All have the network in memory once they have run it.
        for (_, loops) in &mut loops {
            loops.round(inputs.min(2 * BATCH * told.engines as u64));
        }
        cluster.round(network, &pictures, inputs.min(4 * BATCH * told.engines as u64));
        let mut pairs: Vec<Vec<(f64, f64)>> = vec![Vec::new(); loops.len()];
        let rate = |took: Duration| inputs as f64 / took.as_secs_f64();
        for pair in 0..told.pairs {
            // Who comes first takes turns, so that a machine that grows slower is not held against one of them.
            let early = (pair % 2 == 1).then(|| cluster.round(network, &pictures, inputs));
            let alone: Vec<Duration> = loops.iter_mut().map(|(_, loops)| loops.round(inputs)).collect();
            let served = early.unwrap_or_else(|| cluster.round(network, &pictures, inputs));
            for (pairs, alone) in pairs.iter_mut().zip(alone) {
                pairs.push((rate(alone), rate(served)));
            }
        }
        for ((of, _), pairs) in loops.iter().zip(&pairs) {
            show(network, of, inputs, pairs);
        }
    }
}

fn show(network: &str, of: &str, inputs: u64, pairs: &[(f64, f64)]) {
    let sorted = |of: &dyn Fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = pairs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let ratios = sorted(&|pair| pair.1 / pair.0);
    let (alone, served) = (median(&sorted(&|pair| pair.0)), median(&sorted(&|pair| pair.1)));
    let interval = interval(&ratios).map_or_else(
        || "too few pairs".to_owned(),
        |(low, high)| format!("{:.2} to {:.2} %", 100.0 * low, 100.0 * high),
    );
    println!(
        "{network:<10} {of:<12} {:>6} {inputs:>8} {alone:>13.2} {served:>13.2} {:>6.2} %   {interval:<19} {:>6.2} % {:>6.2} %",
        pairs.len(),
        100.0 * median(&ratios),
        100.0 * ratios[0],
        100.0 * ratios[ratios.len() - 1]
    );
}

fn median(sorted: &[f64]) -> f64 {
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}

/// Where the median lies with a probability of at least 95 %: between two of the values, since each is as likely above it as below
/// (Binomial(n, 1/2)). Fewer than six cannot say.
fn interval(sorted: &[f64]) -> Option<(f64, f64)> {
    let n = sorted.len();
    let (mut below, mut term) = (0.0, 0.5_f64.powi(n as i32));
    let mut place = None;
    for k in 0..n / 2 {
        below += term;
        if below > 0.025 {
            break;
        }
        place = Some(k);
        term *= (n - k) as f64 / (k + 1) as f64;
    }
    place.map(|place| (sorted[place], sorted[n - 1 - place]))
}

/// The programs of the plain loop.
struct Loops {
    all: Vec<(Child, BufReader<ChildStdout>)>,
}

impl Loops {
    /// Of this program, or of a Python with `PyTorch`.
    fn start(network: &str, pictures: &Path, told: &Told, python: Option<&String>) -> Loops {
        let own = std::env::current_exe().expect("this program has a place");
        let one = |_| {
            let mut command = match python {
                Some(python) => Command::new(python),
                None => Command::new(&own),
            };
            match python {
                Some(_) => command.args(["-c", include_str!("serving.py"), network]),
                None => command.args(["--loop", network]),
            };
            command.arg(pictures).arg(&told.device).args(python.map(|_| BATCH.to_string()));
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
            let out = BufReader::new(child.stdout.take().expect("it is piped"));
            (child, out)
        };
        Loops { all: (0..told.engines).map(one).collect() }
    }

    /// Divides the first so many inputs among the programs; how long it takes until the last one is done.
    fn round(&mut self, inputs: u64) -> Duration {
        let began = Instant::now();
        let share = inputs / self.all.len() as u64;
        for ((child, _), number) in self.all.iter_mut().zip(0..) {
            let stdin = child.stdin.as_mut().expect("it is piped");
            writeln!(stdin, "{} {share}", number * share).expect("it listens");
        }
        for (_, out) in &mut self.all {
            let mut line = String::new();
            out.read_line(&mut line).expect("it is text");
            assert_eq!(line.trim(), share.to_string(), "every input has an answer");
        }
        began.elapsed()
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        for (child, _) in &mut self.all {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One program: for each line `FROM COUNT` it answers these inputs, and says how many it has answered.
fn plain(network: &str, dataset: &Path, device: &str) {
    tch::set_num_threads(1);
    tch::manual_seed(1);
    let device = if device == "cpu" { Device::Cpu } else { Device::cuda_if_available() };
    let mut store = VarStore::new(Device::Cpu);
    let layers: Box<dyn ModuleT> = match network {
        "resnet18" => Box::new(resnet::resnet18(&store.root(), 1000)),
        _ => Box::new(alexnet(&store.root())),
    };
    store.set_device(device);
    let dataset = Arc::new(Dataset::open(dataset).expect("it was drawn"));
    let _guard = tch::no_grad_guard();
    for line in std::io::stdin().lines() {
        let line = line.expect("it is text");
        let (from, count) = line.split_once(' ').expect("two numbers");
        let (from, count): (u64, u64) = (from.parse().expect("a number"), count.parse().expect("a number"));
        let (sender, batches) = mpsc::sync_channel(1);
        let decoder = thread::spawn({
            let dataset = Arc::clone(&dataset);
            move || decode(&dataset, from, count, &sender)
        });
        let mut answered = 0;
        for batch in batches {
            let outputs = layers.forward_t(&batch.to_device(device), false).softmax(-1, Kind::Float);
            let (chances, classes) = outputs.topk(5, -1, true, true);
            let (mut shown, mut named) = (vec![0_f32; chances.numel()], vec![0_i64; classes.numel()]);
            chances.to_device(Device::Cpu).copy_data(&mut shown, chances.numel());
            classes.to_device(Device::Cpu).copy_data(&mut named, classes.numel());
            answered += named.len() / 5;
        }
        decoder.join().expect("pictures can be decoded");
        println!("{answered}");
    }
}

/// Prepares inputs, a batch ahead of the network.
fn decode(dataset: &Arc<Dataset>, from: u64, count: u64, sender: &mpsc::SyncSender<Tensor>) {
    let shape: InputShape = "image:224".parse().expect("it is one");
    let mut reader = dataset.reader().expect("it is a folder");
    for begin in (from..from + count).step_by(BATCH as usize) {
        let batch = begin..(begin + BATCH).min(from + count);
        let rows = batch.end - batch.start;
        let numbers: Vec<f32> = batch
            .flat_map(|number| {
                prepare(&reader.read(number).expect("it is there"), &shape).expect("a picture")
            })
            .collect();
        let batch = Tensor::from_slice(&numbers).view([rows as i64, 3, 224, 224]);
        if sender.send(batch).is_err() {
            return;
        }
    }
}

/// `AlexNet` as torchvision defines it; that of `tch` computes less.
fn alexnet(root: &nn::Path<'_>) -> impl ModuleT + use<> {
    let conv = |from, to, size, stride, padding| {
        nn::conv2d(root, from, to, size, nn::ConvConfig { stride, padding, ..Default::default() })
    };
    let linear = |from, to| nn::linear(root, from, to, nn::LinearConfig::default());
    let pooled = |xs: &Tensor| xs.relu().max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], false);
    nn::seq_t()
        .add(conv(3, 64, 11, 4, 2))
        .add_fn(pooled)
        .add(conv(64, 192, 5, 1, 2))
        .add_fn(pooled)
        .add(conv(192, 384, 3, 1, 1))
        .add_fn(Tensor::relu)
        .add(conv(384, 256, 3, 1, 1))
        .add_fn(Tensor::relu)
        .add(conv(256, 256, 3, 1, 1))
        .add_fn(move |xs| pooled(xs).adaptive_avg_pool2d([6, 6]).flatten(1, -1))
        .add(linear(256 * 6 * 6, 4096))
        .add_fn(Tensor::relu)
        .add(linear(4096, 4096))
        .add_fn(Tensor::relu)
        .add(linear(4096, 1000))
}

/// Three nodes or more, of which the last ones work.
struct Cluster {
    client: Client,
    _nodes: Vec<Node>,
}

impl Cluster {
    fn start(folder: &Path, told: &Told) -> Cluster {
        let model = |(network, _): &(&str, u64)| {
            format!(
                "[model.{network}]\nengine = \"torch\"\nrandom_weights = 1\ndevice = \"{}\"\nload = \"1s\"\nper_input = \"1ms\"\n",
                told.device
            )
        };
        let models: String = NETWORKS.iter().map(model).collect();
        fs::write(folder.join("idunno.toml"), models).expect("the folder is writable");
        let made = Command::new(IDUNNO).args(["key", "new", "key"]).current_dir(folder).output();
        assert!(made.expect("it can be started").status.success());
        let count = told.engines.max(3);
        let mut nodes: Vec<Node> = Vec::new();
        for number in 1..=count {
            let join = nodes.first().map(|node| node.address);
            nodes.push(Node::start(folder, &format!("n{number}"), number > count - told.engines, join));
        }
        let key = Key::read(&folder.join("key")).expect("it was just made");
        let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
        let mut client = Client::new(&key, &addresses, PATIENCE).expect("a client needs a port");
        let began = Instant::now();
        loop {
            let standing = client.standing().expect("a node answers");
            if standing.members.len() == count && standing.seats.voters.len() >= 3 {
                return Cluster { client, _nodes: nodes };
            }
            assert!(began.elapsed() < PATIENCE, "the nodes form no cluster");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A job of the first so many inputs; how long it takes.
    fn round(&mut self, network: &str, pictures: &Path, inputs: u64) -> Duration {
        let began = Instant::now();
        let dataset = format!("node:{}", pictures.display()).into();
        let range = Inputs::Range { dataset, from: 0, count: inputs };
        let (name, model) = (network.into(), network.into());
        let spec = JobSpec { name, model, inputs: range, batch: BATCH as u32, weight: 1.0, priority: 0 };
        let job: JobId = match self.client.request(&Request::Submit(spec)) {
            Ok(Reply::Submitted(job)) => job,
            other => panic!("{other:?}"),
        };
        loop {
            match self.client.read(Question::Job(job)) {
                Ok(Reading::Job(report)) if report.status.ended => {
                    assert_eq!((report.status.inputs_done, report.status.inputs_failed), (inputs, 0));
                    return began.elapsed();
                }
                Ok(Reading::Job(_)) => assert!(began.elapsed() < PATIENCE, "{job} does not end"),
                other => panic!("{other:?}"),
            }
            thread::sleep(EVERY);
        }
    }
}
