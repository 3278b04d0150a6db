//! One UDP port: its TLS, its thread, how it dials and how it greets those who dial.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, Incoming,
    ServerConfig, TokioRuntime, TransportConfig,
};
use rustls::pki_types::CertificateDer;
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::complaints::Complaints;
use super::strangers::{Admission, Strangers};
use super::wire::{self, Welcome, Who, WireError};
use crate::base::NodeId;
use crate::cluster::keys::{self, Holder, Key};

/// A connection that hears nothing for this long is gone. It is no failure detector: that is the protocol's.
const IDLE: Duration = Duration::from_secs(5);
/// Between two signs of life of a connection that has nothing to say.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// What a round trip takes before anything is known, so that a lost first packet costs little.
const RTT: Duration = Duration::from_millis(50);
/// How long connecting and greeting may take.
const GREETING: Duration = Duration::from_secs(3);
/// Bytes that one connection may have under way in each direction, whatever its streams are: what is not read, or not confirmed, is in memory.
const WINDOW: u32 = 8 << 20;
/// Connections that an endpoint has at most; further ones are refused.
const CONNECTIONS_MAX: usize = 4096;
/// Packets of those who dial that wait to be looked at, each of another one; further ones are refused.
const DIALLED_MAX: usize = 1024;

/// Why a node cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("{0}")]
    Unreachable(String),
    #[error("it refuses: {0}")]
    Refused(String),
    #[error("it does not answer")]
    Silent,
}

/// A thread with a runtime of its own, which ends with this value.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    pub(crate) fn start(name: &str) -> io::Result<Lane> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            // An error says that the sender is gone, which means the same.
            let _ = runtime.block_on(stopped);
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Lane { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Identities of connections that are random bits and nothing else. Usually an endpoint knows its own by a checksum with a key of its
/// process, and is silent to all others; then nobody would be told that a connection to an earlier process is void.
#[derive(Debug)]
struct AnyIdentity;

impl ConnectionIdGenerator for AnyIdentity {
    fn generate_cid(&mut self) -> ConnectionId {
        let bits = getrandom::u64().expect("there was randomness when the node began");
        ConnectionId::new(&bits.to_le_bytes())
    }

    fn cid_len(&self) -> usize {
        size_of::<u64>()
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// How one dials from a port.
#[derive(Clone, Debug)]
pub(crate) struct Dialler {
    pub(crate) endpoint: quinn::Endpoint,
    config: ClientConfig,
    who: Who,
}

impl Dialler {
    /// A port that dials and answers as the node `id`; `who` is what it says of itself.
    pub(crate) fn node(
        lane: &Lane,
        socket: UdpSocket,
        key: &Key,
        id: NodeId,
        address: SocketAddr,
    ) -> io::Result<Dialler> {
        let holder = Holder::Node(id);
        let crypto = QuicServerConfig::try_from(keys::server(key, holder).map_err(io::Error::other)?);
        let mut server = ServerConfig::with_crypto(Arc::new(crypto.map_err(io::Error::other)?));
        server.transport_config(transport()).max_incoming(DIALLED_MAX);
        // A restarted node resets what its earlier process had open.
        let reset = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key.reset_key(id));
        let mut config = EndpointConfig::new(Arc::new(reset));
        config.cid_generator(|| Box::new(AnyIdentity));
        Dialler::new(lane, socket, key, (config, Some(server)), holder, Who::Node { id, address })
    }

    /// A port that only dials, as the node `id` that others reach at `address`.
    pub(crate) fn outward(
        lane: &Lane,
        socket: UdpSocket,
        key: &Key,
        id: NodeId,
        address: SocketAddr,
    ) -> io::Result<Dialler> {
        let config = (EndpointConfig::default(), None);
        Dialler::new(lane, socket, key, config, Holder::Node(id), Who::Node { id, address })
    }

    /// A port that only dials, as a client.
    pub(crate) fn client(lane: &Lane, socket: UdpSocket, key: &Key) -> io::Result<Dialler> {
        let config = (EndpointConfig::default(), None);
        Dialler::new(lane, socket, key, config, Holder::Client, Who::Client)
    }

    fn new(
        lane: &Lane,
        socket: UdpSocket,
        key: &Key,
        (config, server): (EndpointConfig, Option<ServerConfig>),
        holder: Holder,
        who: Who,
    ) -> io::Result<Dialler> {
        let crypto = QuicClientConfig::try_from(keys::client(key, holder).map_err(io::Error::other)?);
        let mut client = ClientConfig::new(Arc::new(crypto.map_err(io::Error::other)?));
        client.transport_config(transport());
        let _inside = lane.handle.enter();
        let endpoint = quinn::Endpoint::new(config, server, socket, Arc::new(TokioRuntime))?;
        Ok(Dialler { endpoint, config: client, who })
    }

    /// Dials a node and greets it; `id` is whom one expects there. Says who it is.
    pub(crate) async fn dial(
        &self,
        address: SocketAddr,
        id: Option<NodeId>,
    ) -> Result<(Connection, NodeId), DialError> {
        timeout(GREETING, self.greet(address, id)).await.map_err(|_| DialError::Silent)?
    }

    async fn greet(
        &self,
        address: SocketAddr,
        id: Option<NodeId>,
    ) -> Result<(Connection, NodeId), DialError> {
        let unreachable = |error: &dyn std::fmt::Display| DialError::Unreachable(plainly(error.to_string()));
        let connecting = self.endpoint.connect_with(self.config.clone(), address, &keys::dialled(id));
        let connection =
            connecting.map_err(|error| unreachable(&error))?.await.map_err(|error| unreachable(&error))?;
        let (mut send, mut receive) = connection.open_bi().await.map_err(|error| unreachable(&error))?;
        wire::write(&mut send, &wire::hello(self.who)).await.map_err(|error| unreachable(&error))?;
        match wire::read(&mut receive).await {
            Ok(Welcome::Yes { id }) => Ok((connection, id)),
            Ok(Welcome::No { reason }) => Err(DialError::Refused(reason)),
            // In TLS 1.3 it is now that one hears of a certificate that was refused.
            Err(error) => Err(DialError::Unreachable(plainly(
                connection.close_reason().map_or_else(|| error.to_string(), |reason| reason.to_string()),
            ))),
        }
    }
}

/// What an error of TLS means here, where every certificate follows from the cluster's key.
fn plainly(error: String) -> String {
    let of_the_key = ["BadSignature", "UnknownIssuer", "DecryptError", "UnknownCA", "error 48", "error 51"];
    if of_the_key.iter().any(|word| error.contains(word)) {
        format!("it has another key ({error})")
    } else {
        error
    }
}

/// Greets those who dial, and hands each over to `serve`.
pub(crate) async fn answer<F: Future<Output = ()> + Send + 'static>(
    endpoint: quinn::Endpoint,
    me: NodeId,
    serve: impl Fn(Connection, Who) -> F + Clone + Send + 'static,
) {
    let (complaints, strangers) = (Arc::new(Complaints::default()), Arc::new(Strangers::default()));
    while let Some(incoming) = endpoint.accept().await {
        let from = incoming.remote_address();
        let has_room = endpoint.open_connections() <= CONNECTIONS_MAX;
        let stranger = match strangers.admit(from.ip(), incoming.remote_address_validated()) {
            Admission::Greets(stranger) if has_room => stranger,
            Admission::Proves if has_room => {
                // An error says that it has proved itself already, which is asked above.
                let _ = incoming.retry();
                continue;
            }
            _ => {
                not_let_in(&complaints, from, &"too many dial at once");
                incoming.refuse();
                continue;
            }
        };
        let (serve, complaints) = (serve.clone(), Arc::clone(&complaints));
        tokio::spawn(async move {
            let greeted = timeout(GREETING, welcome(incoming, me)).await;
            drop(stranger);
            match greeted {
                Ok(Ok((connection, who))) => serve(connection, who).await,
                Ok(Err(error)) => not_let_in(&complaints, from, &error),
                Err(_) => not_let_in(&complaints, from, &"it dialled and did not greet"),
            }
        });
    }
}

/// Says so, once a minute for each address.
fn not_let_in(complaints: &Complaints, from: SocketAddr, error: &dyn std::fmt::Display) {
    if let Some(before) = complaints.about(from.ip(), Instant::now()) {
        tracing::warn!(%from, %error, before, "someone was not let in");
    }
}

async fn welcome(incoming: Incoming, me: NodeId) -> Result<(Connection, Who), WireError> {
    let broken = |error: quinn::ConnectionError| WireError::Broken(error.to_string());
    let connection = incoming.await.map_err(broken)?;
    let (mut send, mut receive) = connection.accept_bi().await.map_err(broken)?;
    let who = match wire::read_hello(&mut receive).await {
        Ok(who) => holds_its_name(&connection, who),
        Err(error) => Err(error),
    };
    let answer = match &who {
        Ok(_) => Welcome::Yes { id: me },
        Err(error) => Welcome::No { reason: error.to_string() },
    };
    wire::write(&mut send, &answer).await?;
    let _ = send.finish();
    if who.is_err() {
        // The answer is on its way; the other side closes when it has it, or is given up with the greeting.
        connection.closed().await;
    }
    Ok((connection, who?))
}

/// Whether the certificate is that of the one who is said to dial.
fn holds_its_name(connection: &Connection, who: Who) -> Result<Who, WireError> {
    let holder = match who {
        Who::Node { id, .. } => Holder::Node(id),
        Who::Client => Holder::Client,
    };
    let shown =
        connection.peer_identity().and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok());
    match shown.as_deref().and_then(|chain| chain.first()) {
        Some(leaf) if holder.owns(leaf) => Ok(who),
        _ => Err(WireError::Nonsense(format!("the certificate is not that of {who:?}"))),
    }
}

fn transport() -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.max_idle_timeout(Some(IdleTimeout::try_from(IDLE).expect("it is short")));
    config.keep_alive_interval(Some(KEEP_ALIVE)).initial_rtt(RTT);
    config.receive_window(WINDOW.into()).send_window(WINDOW.into());
    Arc::new(config)
}
