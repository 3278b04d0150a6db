//! The parent's side of an engine: starts the child, passes on what either side says, and puts a new child in a dead one's place.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::frame;
use super::words::{Model, Order, Said, Setup};

/// A child that died before it said anything is followed by the next one after this pause.
const PAUSE: Duration = Duration::from_millis(500);

/// What an engine lets its node know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer to an order.
    Said(Said),
    /// The child died with everything in its memory; the next one takes orders from now on.
    Died {
        /// Why.
        reason: Arc<str>,
    },
}

/// An engine: one child after the other. Dropping it kills the child.
#[derive(Debug)]
pub struct Supervisor {
    sender: Sender<Told>,
    thread: Option<JoinHandle<()>>,
    /// How many deaths the node has heard of: what it says is meant for the child of this number.
    life: u64,
    /// The models that are networks.
    real: BTreeSet<Arc<str>>,
}

/// What the supervising thread is told. What belongs to another life than the present child's is void.
#[derive(Debug)]
enum Told {
    Order {
        life: u64,
        order: Order,
    },
    Kill {
        life: u64,
    },
    Ready {
        life: u64,
    },
    /// The child's output has ended, in the last case because it made no sense.
    Silent {
        life: u64,
        nonsense: Option<io::Error>,
    },
    Stop,
}

impl Supervisor {
    /// Starts `program engine` and tells it `setup`. `tell` is called, from other threads, with everything that comes of it: all that a
    /// child says comes before its death.
    pub fn start(
        program: PathBuf,
        setup: Setup,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> io::Result<Supervisor> {
        let (sender, inbox) = mpsc::channel();
        let is_real =
            |(name, model): (&Arc<str>, &Model)| matches!(model, Model::Torch(_)).then(|| Arc::clone(name));
        let real = setup.models.iter().filter_map(is_real).collect();
        let mut keeper = Keeper {
            program,
            setup,
            tell: Arc::new(tell),
            sender: sender.clone(),
            life: 0,
            child: None,
            waiting: None,
            start_at: None,
        };
        keeper.begin()?;
        let run = move || keeper.run(&inbox);
        let thread = thread::Builder::new().name("engine".to_owned()).spawn(run)?;
        Ok(Supervisor { sender, thread: Some(thread), life: 0, real })
    }

    /// Gives the child an order. One that is meant for a child that has died meanwhile is lost, as the node is about to hear.
    pub fn order(&self, order: Order) {
        self.tell(Told::Order { life: self.life, order });
    }

    /// The child may be given such a batch soon, if it is meant for a network: inputs can be decoded ahead.
    pub fn expect(&self, model: &Arc<str>, dataset: &Arc<str>, from: u64, inputs: u32) {
        if self.real.contains(model) {
            let (model, dataset) = (Arc::clone(model), Arc::clone(dataset));
            self.order(Order::Expect { model, dataset, from, inputs });
        }
    }

    /// Kills the child; [`Event::Died`] follows.
    pub fn kill(&self) {
        self.tell(Told::Kill { life: self.life });
    }

    /// The node hears of a death: what it says from now on is meant for the next child. To be called once per [`Event::Died`].
    pub fn heard_of_death(&mut self) {
        self.life += 1;
    }

    fn tell(&self, told: Told) {
        // The queue has no limit of its own: a node has one order under way at a time, and expects no more than it was given. A thread
        // that has ended needs to be told nothing.
        let _ = self.sender.send(told);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.tell(Told::Stop);
        if let Some(thread) = self.thread.take() {
            // What a panic there had to say was said when it happened.
            let _ = thread.join();
        }
    }
}

/// What hears of everything.
type Tell = dyn Fn(Event) + Send + Sync;

/// What the supervising thread owns.
struct Keeper {
    program: PathBuf,
    setup: Setup,
    tell: Arc<Tell>,
    sender: Sender<Told>,
    /// The number of the present child, from 0.
    life: u64,
    child: Option<Running>,
    /// An order that came before the child was started.
    waiting: Option<Order>,
    /// When the next child is to be started.
    start_at: Option<Instant>,
}

/// A child that runs.
struct Running {
    process: Child,
    stdin: ChildStdin,
    /// Whether it was ever ready.
    ready: bool,
}

impl Keeper {
    fn run(mut self, inbox: &Receiver<Told>) {
        loop {
            let told = match self.start_at {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match told {
                Err(RecvTimeoutError::Timeout) => self.start_again(),
                Err(RecvTimeoutError::Disconnected) | Ok(Told::Stop) => break,
                Ok(told) => self.heed(told),
            }
        }
        if let Some(mut child) = self.child.take() {
            // Nobody is left to be told what became of it.
            let _ = end(&mut child.process);
        }
    }

    fn heed(&mut self, told: Told) {
        match told {
            Told::Order { life, order } if life == self.life => self.pass_on(order),
            Told::Kill { life } if life == self.life => match &mut self.child {
                Some(child) => {
                    // Its output ends with it, and the rest follows from that.
                    let _ = child.process.kill();
                }
                None => self.bury("killed before it was started".to_owned()),
            },
            Told::Ready { life } if life == self.life => {
                if let Some(child) = &mut self.child {
                    child.ready = true;
                }
            }
            Told::Silent { life, nonsense } if life == self.life => {
                let Some(mut child) = self.child.take() else { return };
                let status = end(&mut child.process);
                let why = match nonsense {
                    Some(error) => format!("it said something senseless: {error}"),
                    None => status.map_or_else(|error| error.to_string(), |status| status.to_string()),
                };
                if child.ready {
                    self.next(why);
                } else {
                    self.bury(format!("it ended before it was ready: {why}"));
                }
            }
            Told::Order { .. }
            | Told::Kill { .. }
            | Told::Ready { .. }
            | Told::Silent { .. }
            | Told::Stop => {}
        }
    }

    fn pass_on(&mut self, order: Order) {
        let Some(child) = &mut self.child else {
            if !matches!(order, Order::Expect { .. }) {
                self.waiting = Some(order);
            }
            return;
        };
        // One that does not read any more is as good as dead.
        if frame::write(&mut child.stdin, &order).is_err() {
            let _ = child.process.kill();
        }
    }

    /// The child is dead: the next one is started at once.
    fn next(&mut self, why: String) {
        self.life += 1;
        self.waiting = None;
        self.start_again();
        (self.tell)(Event::Died { reason: why.into() });
    }

    /// The child is dead, and the next one would not fare better: it is started after a pause.
    fn bury(&mut self, why: String) {
        self.life += 1;
        self.waiting = None;
        self.start_at = Some(Instant::now() + PAUSE);
        (self.tell)(Event::Died { reason: why.into() });
    }

    fn start_again(&mut self) {
        self.start_at = None;
        if let Err(error) = self.begin() {
            self.bury(format!("{} engine cannot be started: {error}", self.program.display()));
        } else if let Some(order) = self.waiting.take() {
            self.pass_on(order);
        }
    }

    /// Starts a child, and a thread that hears it.
    fn begin(&mut self) -> io::Result<()> {
        let mut command = Command::new(&self.program);
        command.arg("engine").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (mut stdin, stdout) = pipes.expect("both were asked for");
        let setup = Setup { seed: self.setup.seed.wrapping_add(self.life), ..self.setup.clone() };
        let (life, sender, tell) = (self.life, self.sender.clone(), Arc::clone(&self.tell));
        let listen = move || listen(life, stdout, &sender, &*tell);
        let begun = frame::write(&mut stdin, &setup)
            .and_then(|()| thread::Builder::new().name("engine said".to_owned()).spawn(listen));
        match begun {
            Ok(_) => {
                self.child = Some(Running { process, stdin, ready: false });
                Ok(())
            }
            Err(error) => {
                let _ = end(&mut process);
                Err(error)
            }
        }
    }
}

/// Passes on what the child of number `life` says, until it says no more: to whoever waits for it, without a detour.
fn listen(life: u64, mut stdout: ChildStdout, sender: &Sender<Told>, tell: &Tell) {
    let nonsense = loop {
        match frame::read(&mut stdout) {
            Ok(Some(Said::Ready)) => {
                if sender.send(Told::Ready { life }).is_err() {
                    return;
                }
            }
            Ok(Some(said)) => tell(Event::Said(said)),
            Ok(None) => break None,
            // A child that is killed in the middle of a word is dead and not mad.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break None,
            Err(error) => break Some(error),
        }
    };
    let _ = sender.send(Told::Silent { life, nonsense });
}

/// Makes sure that a process has ended and is not left as a zombie.
fn end(process: &mut Child) -> io::Result<ExitStatus> {
    if let Some(status) = process.try_wait()? {
        return Ok(status);
    }
    // Its pipes are closed at this end or at its own; what has not ended by itself a moment later never will.
    let _ = process.kill();
    process.wait()
}
