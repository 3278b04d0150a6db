//! Those who dial a node: other nodes bring messages, clients ask.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use quinn::{Connection, Endpoint, RecvStream, SendStream};
use tokio::sync::oneshot;

use super::Standing;
use super::chunks::{CarryError, Porter};
use super::clock;
use super::inbox::{Inbox, Item};
use super::lending::Lender;
use super::machine::{Asker, Routes, Waiting};
use super::measure::{self, Gauge};
use super::net::complaints::Complaints;
use super::net::endpoint;
use super::net::link::lock;
use super::net::wire::{self, Ask, Call, Told, Who, WireError};
use super::news::Board;
use crate::base::NodeId;
use crate::node::limits::FILE_CHUNKS_MAX;
use crate::node::{Refusal, Reply};

/// Clients' requests that a node has under way; further ones are refused.
const CLIENTS_MAX: usize = 10_000;

/// What is behind a node's doors.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    pub(super) inbox: Arc<Inbox>,
    pub(super) routes: Arc<Routes>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) standing: Arc<Mutex<Standing>>,
    pub(super) gauge: Arc<Gauge>,
    pub(super) board: Arc<Mutex<Board>>,
    pub(super) complaints: Arc<Complaints>,
    pub(super) lender: Arc<Lender>,
    pub(super) porter: Arc<Porter>,
}

impl Doors {
    /// Serves everyone who dials, until the endpoint is closed.
    pub(super) async fn open(self, at: Endpoint, me: NodeId) {
        let serve = move |connection, who| {
            let doors = self.clone();
            async move {
                match who {
                    Who::Node { id, address } => {
                        doors.routes.learn(id, address);
                        doors.node(connection, id).await;
                    }
                    Who::Client => doors.client(connection).await,
                }
            }
        };
        endpoint::answer(at, me, serve).await;
    }

    /// Takes in what another node says, in whatever form, until the connection ends.
    async fn node(self, connection: Connection, from: NodeId) {
        let said = loop {
            tokio::select! {
                stream = connection.accept_uni() => match stream {
                    Ok(stream) => {
                        tokio::spawn(self.clone().stream(connection.clone(), stream, from));
                    }
                    Err(_) => return,
                },
                // Another node measures the way to this one, or fetches a chunk.
                both = connection.accept_bi() => match both {
                    Ok((send, receive)) => {
                        tokio::spawn(self.clone().call(connection.clone(), (send, receive), from));
                    }
                    Err(_) => return,
                },
                datagram = connection.read_datagram() => match datagram.map(|bytes| wire::decode(&bytes)) {
                    Ok(Ok(message)) => self.inbox.put(Item::Message(from, message)),
                    Ok(Err(error)) => break error,
                    Err(_) => return,
                },
            }
        };
        self.refuse(&connection, from, &said);
    }

    /// Does what another node asks for on a stream of its own.
    async fn call(self, connection: Connection, both: (SendStream, RecvStream), from: NodeId) {
        let (mut send, mut receive) = both;
        let done = match wire::read_call(&mut receive).await {
            Ok(Call::Echo) => return measure::echo(send, receive).await,
            Ok(Call::Chunk(id)) => self.porter.give(&mut send, id).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => drop(send.finish()),
            Err(WireError::Broken(why)) => {
                tracing::debug!(node = %from, why, "was not given what it asked for");
            }
            Err(error) => self.refuse(&connection, from, &error),
        }
    }

    async fn stream(self, connection: Connection, mut stream: RecvStream, from: NodeId) {
        loop {
            match wire::read(&mut stream).await {
                Ok(message) => self.inbox.put(Item::Message(from, message)),
                Err(WireError::Broken(_)) => return,
                Err(error) => return self.refuse(&connection, from, &error),
            }
        }
    }

    async fn client(self, connection: Connection) {
        while let Ok((send, receive)) = connection.accept_bi().await {
            let doors = self.clone();
            tokio::spawn(async move {
                if let Err(error) = doors.ask(send, receive).await {
                    tracing::debug!(%error, "a client was not answered");
                }
            });
        }
    }

    async fn ask(self, mut send: SendStream, mut receive: RecvStream) -> Result<(), WireError> {
        let told = match wire::read_ask(&mut receive).await? {
            Ask::Standing => Told::Standing(Box::new(lock(&self.standing).clone())),
            Ask::Measure { trips } => {
                Told::Measured(Box::new(self.gauge.measure(&self.standing, trips).await))
            }
            Ask::News { after } => Told::News {
                news: lock(&self.board).after(after),
                standing: Box::new(lock(&self.standing).clone()),
            },
            Ask::Clock => Told::Clock(clock::now()),
            Ask::Shelf => Told::Shelf(Box::new(self.lent(Lender::shelf).await?)),
            Ask::Diary { number, from } => {
                Told::Diary(self.lent(move |lender| lender.piece(number, from)).await?)
            }
            Ask::Offer(ids) => {
                if ids.len() > FILE_CHUNKS_MAX {
                    let why = format!(
                        "{} chunks are offered at once, and at most {FILE_CHUNKS_MAX} may be",
                        ids.len()
                    );
                    return Err(WireError::Nonsense(why));
                }
                let missing = self.porter.missing(ids).await;
                Told::Missing(missing.map_err(|error| WireError::Broken(error.to_string()))?)
            }
            Ask::Bring(chunk) => match self.porter.bring(chunk, &mut receive).await {
                Ok(()) => Told::Kept(Ok(())),
                Err(CarryError::Unkept(why)) => {
                    // What is still to come of it is of no use.
                    let _ = receive.stop(0_u32.into());
                    Told::Kept(Err(why))
                }
                Err(error) => return Err(WireError::Broken(error.to_string())),
            },
            Ask::Chunk(id) => {
                self.porter.give(&mut send, id).await?;
                let _ = send.finish();
                return Ok(());
            }
            Ask::Leave => {
                tracing::info!("leaves the cluster, as a client asks");
                self.inbox.put(Item::Leave);
                Told::Leaving
            }
            Ask::Request { session, number, request } => {
                let (answer, answered) = oneshot::channel();
                let request = Arc::new(request);
                let has_room = {
                    let mut waiting = lock(&self.waiting);
                    // Those whose clients went away make room.
                    if waiting.len() >= CLIENTS_MAX {
                        waiting.retain(|_, asker| !asker.answer.is_closed());
                    }
                    let has_room = waiting.len() < CLIENTS_MAX;
                    if has_room {
                        waiting.insert((session, number), Asker { request: Arc::clone(&request), answer });
                    }
                    has_room
                };
                let has_room = has_room && {
                    let taken = self.inbox.ask(session, number, request);
                    if !taken {
                        lock(&self.waiting).remove(&(session, number));
                    }
                    taken
                };
                if !has_room {
                    let (what, limit) = ("client requests under way".into(), CLIENTS_MAX as u64);
                    let refused = Reply::Refused(Refusal::Busy { what, limit });
                    return wire::write(&mut send, &Told::Reply(refused)).await;
                }
                tokio::select! {
                    // A second request of the same number takes this one's place, and is answered instead.
                    reply = answered => match reply {
                        Ok(reply) => Told::Reply(Reply::clone(&reply)),
                        Err(_) => return Ok(()),
                    },
                    _ = send.stopped() => return Ok(()),
                }
            }
        };
        wire::write(&mut send, &told).await?;
        let _ = send.finish();
        Ok(())
    }

    /// Reads in the diary, which may take its time, elsewhere.
    async fn lent<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Lender) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, WireError> {
        let lender = Arc::clone(&self.lender);
        let _alone = self.lender.busy.lock().await;
        let read = tokio::task::spawn_blocking(move || read(&lender)).await;
        let read =
            read.map_err(|error| error.to_string()).and_then(|read| read.map_err(|error| error.to_string()));
        read.map_err(|why| WireError::Broken(format!("the diary cannot be read: {why}")))
    }

    /// Ends the connection of a node that says what no node says.
    fn refuse(&self, connection: &Connection, from: NodeId, error: &WireError) {
        if let Some(before) = self.complaints.about(connection.remote_address().ip(), Instant::now()) {
            tracing::warn!(node = %from, %error, before, "says something senseless");
        }
        connection.close(1_u32.into(), error.to_string().as_bytes());
    }
}
