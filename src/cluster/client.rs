//! A client: it asks any node that answers, again and elsewhere until it has an answer, and each request takes effect once.

mod files;
mod local;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quinn::Connection;
use tokio::time::{sleep, timeout};

pub use files::StoreError;
pub(super) use files::put_by;
pub use local::{Local, LocalError};

use super::keys::Key;
use super::measure::{Findings, Measured, TRIPS};
use super::net::endpoint::{Dialler, Lane};
use super::net::wire::{self, Ask, Told};
use super::{News, Standing};
use crate::base::SessionId;
use crate::node::{Question, Reading, Refusal, Reply, Request};

/// How long one node has to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a client that ends waits for its farewell to be on its way.
const FAREWELL: Duration = Duration::from_millis(20);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a client has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No node gave a final answer in time. Whether a request took effect is unknown; repeating it in the same session is safe.
    #[error("no answer within {} s; the last thing heard from {at}: {why}", waited.as_secs_f64())]
    NoAnswer {
        /// How long it asked.
        waited: Duration,
        /// Whom it asked last.
        at: SocketAddr,
        /// What came of that.
        why: String,
    },
    /// Nodes answer, and none of them knows a leader with a quorum. Whether a request took effect is unknown; repeating it in the
    /// same session is safe.
    #[error("no quorum within {} s: {why}", waited.as_secs_f64())]
    NoQuorum {
        /// How long it asked.
        waited: Duration,
        /// What the nodes say.
        why: Refusal,
    },
    /// It was told to stop. What was asked for may have been done.
    #[error("stopped before there was an answer")]
    Stopped,
    /// The answer is no.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The machine does not give it what it needs.
    #[error("cannot open a port: {0}")]
    Port(std::io::Error),
    /// There is no randomness for a session.
    #[error("no randomness for a session: {0}")]
    NoRandomness(getrandom::Error),
}

/// A client with a session of its own.
#[derive(Debug)]
pub struct Client {
    dialler: Dialler,
    /// The nodes that it knows; the one that answered last comes first.
    nodes: VecDeque<SocketAddr>,
    connection: Option<Connection>,
    /// For changes.
    session: SessionId,
    number: u64,
    /// For reads: these are not written to the log, and what opens a session must be.
    reads: SessionId,
    reads_number: u64,
    patience: Duration,
    /// Set when it shall give up.
    stop: Option<&'static AtomicBool>,
    lane: Lane,
}

impl Client {
    /// A client that knows these nodes, at least one, and asks for at most `patience` until it gives up.
    pub fn new(key: &Key, nodes: &[SocketAddr], patience: Duration) -> Result<Client, ClientError> {
        assert!(!nodes.is_empty(), "a client has someone to ask");
        let lane = Lane::start("client").map_err(ClientError::Port)?;
        let any: SocketAddr = if nodes.iter().all(SocketAddr::is_ipv4) {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let socket = UdpSocket::bind(any).map_err(ClientError::Port)?;
        let dialler = Dialler::client(&lane, socket, key).map_err(ClientError::Port)?;
        let random = || getrandom::u64().map(SessionId).map_err(ClientError::NoRandomness);
        let (session, reads) = (random()?, random()?);
        let nodes = nodes.iter().copied().collect();
        let (number, reads_number) = (0, 0);
        let (connection, stop) = (None, None);
        Ok(Client { dialler, nodes, connection, session, number, reads, reads_number, patience, stop, lane })
    }

    /// From now on it gives up whenever this is set.
    pub fn stop_when(&mut self, stop: &'static AtomicBool) {
        self.stop = Some(stop);
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// From now on it asks for at most this long until it gives up.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Asks the cluster for something, once: however often it has to be repeated, it takes effect at most once.
    pub fn request(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let (session, number) = if request.is_read() {
            self.reads_number += 1;
            (self.reads, self.reads_number)
        } else {
            self.number += 1;
            (self.session, self.number)
        };
        let reply = self.until_final(
            &Ask::Request { session, number, request: request.clone() },
            |told| match told {
                Told::Reply(Reply::Refused(
                    refusal @ (Refusal::NoCoordinator | Refusal::NoQuorum { .. } | Refusal::Busy { .. }),
                )) => Err(NotYet::Refused(refusal)),
                Told::Reply(reply) => Ok(reply),
                _ => Err(NotYet::astray()),
            },
        )?;
        match reply {
            Reply::Refused(refusal) => Err(ClientError::Refused(refusal)),
            reply => Ok(reply),
        }
    }

    /// Asks to be shown something.
    pub fn read(&mut self, question: Question) -> Result<Reading, ClientError> {
        match self.request(&Request::Read(question))? {
            Reply::Read(reading) => Ok(Reading::clone(&reading)),
            _ => Err(ClientError::Refused(Refusal::Invalid("the node answered another question".into()))),
        }
    }

    /// Asks a node how it sees itself and its cluster.
    pub fn standing(&mut self) -> Result<Standing, ClientError> {
        self.until_final(&Ask::Standing, |told| match told {
            Told::Standing(standing) => Ok(*standing),
            _ => Err(NotYet::astray()),
        })
    }

    /// What a node noticed after its news of this number, and which node says so.
    pub fn news(&mut self, after: u64) -> Result<(Standing, Vec<News>), ClientError> {
        self.until_final(&Ask::News { after }, |told| match told {
            Told::News { standing, news } => Ok((*standing, news)),
            _ => Err(NotYet::astray()),
        })
    }

    /// Tells the node that it asks first to leave the cluster. It has been told so when this returns; it goes when it has handed over
    /// what it does.
    pub fn leave(&mut self) -> Result<(), ClientError> {
        self.until_final(&Ask::Leave, |told| match told {
            Told::Leaving => Ok(()),
            _ => Err(NotYet::astray()),
        })
    }

    /// Has each node measure its ways to the others and its disk, one node after the other, and says what came of it by their names.
    pub fn measure(&mut self) -> Result<Findings, ClientError> {
        let standing = self.standing()?;
        // About a second for each other node, and as much again for their disk and a busy machine.
        let patience = PATIENCE * (standing.members.len() as u32 + 2);
        let mut all = Vec::new();
        for member in &standing.members {
            let measured = match member.address.parse() {
                Ok(at) => self.lane.handle.block_on(measured_by(&self.dialler, at, TRIPS, patience)),
                Err(_) => Err(format!("{} is no address", member.address)),
            };
            all.push((Arc::clone(&member.name), measured));
        }
        Ok(all)
    }

    /// The nodes that it was told of or has learned of; the one that it asks first comes first.
    pub(super) fn nodes(&self) -> Vec<SocketAddr> {
        self.nodes.iter().copied().collect()
    }

    /// Asks this node once, over the connection that there is or a new one.
    pub(super) fn ask_one(
        &self,
        connection: &mut Option<Connection>,
        at: SocketAddr,
        ask: &Ask,
    ) -> Result<Told, String> {
        self.lane.handle.block_on(exchange(&self.dialler, connection, at, ask))
    }

    /// Asks one node after the other until `accept` takes an answer.
    fn until_final<T>(
        &mut self,
        ask: &Ask,
        accept: impl Fn(Told) -> Result<T, NotYet>,
    ) -> Result<T, ClientError> {
        let began = Instant::now();
        let mut without_quorum = None;
        loop {
            let at = self.nodes[0];
            // One that does not answer is not asked for longer than there is time, so that the next one has its turn.
            let patience = PATIENCE.min(self.patience.saturating_sub(began.elapsed()).max(PAUSE));
            let stop = self.stop;
            let stopped = async {
                while !stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                    sleep(PAUSE).await;
                }
                Err("stopped".to_owned())
            };
            let asked = async {
                let exchange = exchange_within(patience, &self.dialler, &mut self.connection, at, ask);
                tokio::select! {
                    told = exchange => told,
                    told = stopped => told,
                }
            };
            let told = self.lane.handle.block_on(asked);
            if self.is_stopped() && told.is_err() {
                return Err(ClientError::Stopped);
            }
            match told.map_err(NotYet::Silent).and_then(&accept) {
                Ok(answer) => return Ok(answer),
                Err(not_yet) => {
                    let why = not_yet.to_string();
                    tracing::debug!(%at, why, "asks elsewhere");
                    if let NotYet::Refused(refusal @ (Refusal::NoCoordinator | Refusal::NoQuorum { .. })) =
                        not_yet
                    {
                        without_quorum = Some(refusal);
                    }
                    let waited = self.patience;
                    if began.elapsed() >= waited {
                        return Err(match without_quorum {
                            Some(why) => ClientError::NoQuorum { waited, why },
                            None => ClientError::NoAnswer { waited, at, why },
                        });
                    }
                }
            }
            self.connection = None;
            self.nodes.rotate_left(1);
            thread::sleep(PAUSE);
        }
    }

    /// Asks these nodes as well when the others do not answer.
    pub fn learn(&mut self, standing: &Standing) {
        for address in standing.members.iter().filter_map(|member| member.address.parse().ok()) {
            if !self.nodes.contains(&address) {
                self.nodes.push_back(address);
            }
        }
    }
}

/// Why there is no final answer yet.
#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error("{0}")]
    Silent(String),
    #[error("{0}")]
    Refused(Refusal),
}

impl NotYet {
    fn astray() -> NotYet {
        NotYet::Silent("an answer to another question".to_owned())
    }
}

/// What the node `at` finds the network and its disk to be like.
pub(super) async fn measured_by(
    dialler: &Dialler,
    at: SocketAddr,
    trips: u32,
    patience: Duration,
) -> Result<Measured, String> {
    match exchange_within(patience, dialler, &mut None, at, &Ask::Measure { trips }).await? {
        Told::Measured(measured) => Ok(*measured),
        _ => Err("an answer to another question".to_owned()),
    }
}

/// One question to one node, over the connection that there is or a new one.
async fn exchange(
    dialler: &Dialler,
    connection: &mut Option<Connection>,
    at: SocketAddr,
    ask: &Ask,
) -> Result<Told, String> {
    exchange_within(PATIENCE, dialler, connection, at, ask).await
}

async fn exchange_within(
    patience: Duration,
    dialler: &Dialler,
    connection: &mut Option<Connection>,
    at: SocketAddr,
    ask: &Ask,
) -> Result<Told, String> {
    let asked = async {
        let open = connected(dialler, connection, at).await?;
        let (mut send, mut receive) = open.open_bi().await.map_err(|error| error.to_string())?;
        wire::write(&mut send, ask).await.map_err(|error| error.to_string())?;
        let told = wire::read(&mut receive).await.map_err(|error| error.to_string());
        Ok::<_, String>((open, told))
    };
    let (open, told) = timeout(patience, asked).await.map_err(|_| "it does not answer".to_owned())??;
    *connection = Some(open);
    told
}

/// The connection that there is, or a new one.
async fn connected(
    dialler: &Dialler,
    connection: &mut Option<Connection>,
    at: SocketAddr,
) -> Result<Connection, String> {
    match connection.take().filter(|open| open.close_reason().is_none()) {
        Some(open) => Ok(open),
        None => Ok(dialler.dial(at, None).await.map_err(|error| error.to_string())?.0),
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.dialler.endpoint.close(0_u32.into(), b"");
        let idle = async { timeout(FAREWELL, self.dialler.endpoint.wait_idle()).await };
        // A node that does not hear of it finds out by itself.
        let _ = self.lane.handle.block_on(idle);
    }
}
