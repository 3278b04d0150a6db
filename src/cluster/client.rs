//! A client: it asks any node that answers, again and elsewhere until it has an answer, and each request takes effect once.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use quinn::Connection;
use tokio::time::timeout;

use super::Standing;
use super::keys::Key;
use super::measure::Findings;
use super::net::endpoint::{Dialler, Lane};
use super::net::wire::{self, Ask, Told};
use crate::base::SessionId;
use crate::node::{Refusal, Reply, Request};

/// How long one node has to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a client has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No node gave a final answer in time. Whether a request took effect is unknown; repeating it in the same session is safe.
    #[error("no answer within {} s; the last thing heard from {at}: {why}", waited.as_secs())]
    NoAnswer {
        /// How long it asked.
        waited: Duration,
        /// Whom it asked last.
        at: SocketAddr,
        /// What came of that.
        why: String,
    },
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
    session: SessionId,
    number: u64,
    patience: Duration,
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
        let session = SessionId(getrandom::u64().map_err(ClientError::NoRandomness)?);
        let nodes = nodes.iter().copied().collect();
        Ok(Client { dialler, nodes, connection: None, session, number: 0, patience, lane })
    }

    /// Asks the cluster for something, once: however often it has to be repeated, it takes effect at most once.
    pub fn request(&mut self, request: &Request) -> Result<Reply, ClientError> {
        self.number += 1;
        let ask = Ask::Request { session: self.session, number: self.number, request: request.clone() };
        self.until_final(&ask, |told| match told {
            Told::Reply(Reply::Refused(
                refusal @ (Refusal::NoCoordinator | Refusal::NoQuorum { .. } | Refusal::Busy { .. }),
            )) => Err(refusal.to_string()),
            Told::Reply(reply) => Ok(reply),
            Told::Standing(_) | Told::Measured(_) => Err("an answer to another question".to_owned()),
        })
    }

    /// Asks a node how it sees itself and its cluster.
    pub fn standing(&mut self) -> Result<Standing, ClientError> {
        self.until_final(&Ask::Standing, |told| match told {
            Told::Standing(standing) => Ok(*standing),
            Told::Reply(_) | Told::Measured(_) => Err("an answer to another question".to_owned()),
        })
    }

    /// Has each node measure its ways to the others and its disk, one node after the other, and says what came of it by their names.
    pub fn measure(&mut self) -> Result<Findings, ClientError> {
        let standing = self.standing()?;
        // About a second for each other node, and as much again for their disk and a busy machine.
        let patience = PATIENCE * (standing.members.len() as u32 + 2);
        let mut all = Vec::new();
        for member in &standing.members {
            let told = match member.address.parse() {
                Ok(at) => {
                    let mut connection = None;
                    let asked = exchange_within(patience, &self.dialler, &mut connection, at, &Ask::Measure);
                    self.lane.handle.block_on(asked)
                }
                Err(_) => Err(format!("{} is no address", member.address)),
            };
            let measured = told.and_then(|told| match told {
                Told::Measured(measured) => Ok(*measured),
                Told::Reply(_) | Told::Standing(_) => Err("an answer to another question".to_owned()),
            });
            all.push((Arc::clone(&member.name), measured));
        }
        Ok(all)
    }

    /// Asks one node after the other until `accept` takes an answer.
    fn until_final<T>(
        &mut self,
        ask: &Ask,
        accept: impl Fn(Told) -> Result<T, String>,
    ) -> Result<T, ClientError> {
        let began = Instant::now();
        loop {
            let at = self.nodes[0];
            let told = self.lane.handle.block_on(exchange(&self.dialler, &mut self.connection, at, ask));
            match told.and_then(&accept) {
                Ok(answer) => return Ok(answer),
                Err(why) => {
                    tracing::debug!(%at, why, "asks elsewhere");
                    if began.elapsed() >= self.patience {
                        return Err(ClientError::NoAnswer { waited: self.patience, at, why });
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
    let open = match connection.take().filter(|open| open.close_reason().is_none()) {
        Some(open) => open,
        None => dialler.dial(at, None).await.map_err(|error| error.to_string())?.0,
    };
    let asked = async {
        let (mut send, mut receive) = open.open_bi().await.map_err(|error| error.to_string())?;
        wire::write(&mut send, ask).await.map_err(|error| error.to_string())?;
        wire::read(&mut receive).await.map_err(|error| error.to_string())
    };
    let told = timeout(patience, asked).await.map_err(|_| "it does not answer".to_owned())?;
    *connection = Some(open);
    told
}

impl Drop for Client {
    fn drop(&mut self) {
        self.dialler.endpoint.close(0_u32.into(), b"");
        let idle = async { timeout(PAUSE, self.dialler.endpoint.wait_idle()).await };
        // A node that does not hear of it finds out by itself.
        let _ = self.lane.handle.block_on(idle);
    }
}
