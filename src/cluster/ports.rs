//! The ports of a node, and what it can be told before it is anybody: who lives where it shall join.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::machine::Routes;
use super::net::endpoint::{DialError, Dialler, Lane};
use super::net::link::{Form, Links};
use super::{Options, StartError, needs};
use crate::base::NodeId;

/// Between two rounds of asking those who shall let a node in who they are.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Between two rounds of looking for members that may have moved, and how many rounds there are.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(1);
const LOOK_UPS_MAX: u32 = 600;
/// How often a free pair of ports is looked for.
const PORTS_TRIES_MAX: u32 = 50;

/// A node's two ports, a third one from which it fetches what is large, and the ways out of them.
pub(super) struct Ports {
    /// Where others reach the first.
    pub(super) address: SocketAddr,
    pub(super) lanes: [Lane; 3],
    pub(super) diallers: [Dialler; 3],
    pub(super) routes: Arc<Routes>,
}

impl Ports {
    pub(super) fn open(options: &Options, id: NodeId) -> Result<Ports, StartError> {
        let ([for_streams, for_beats], address) = place(options)?;
        let lane = |name| Lane::start(name).map_err(needs("a thread"));
        let lanes = [lane("streams")?, lane("beats")?, lane("bulk")?];
        let dialler = |lane, socket| {
            Dialler::node(lane, socket, &options.key, id, address).map_err(needs("a port with TLS"))
        };
        let any = SocketAddr::new(options.listen.ip(), 0);
        let outward = UdpSocket::bind(any)
            .and_then(|for_bulk| Dialler::outward(&lanes[2], for_bulk, &options.key, id, address));
        let outward = outward.map_err(needs("a port with TLS"))?;
        let diallers = [dialler(&lanes[0], for_streams)?, dialler(&lanes[1], for_beats)?, outward];
        let links = |form, lane: usize| Links::new(form, lanes[lane].handle.clone(), diallers[lane].clone());
        let routes = Arc::new(Routes {
            streams: links(Form::Stream, 0),
            bulk: links(Form::Stream, 0),
            beats: links(Form::Datagram, 1),
        });
        Ok(Ports { address, lanes, diallers, routes })
    }

    /// Whether they can be had at present.
    pub(super) fn possible(options: &Options) -> Result<(), StartError> {
        place(options).map(drop)
    }

    /// Who lives at the addresses that the node was told to join: at least one of them.
    pub(super) fn seeds(
        &self,
        options: &Options,
        me: NodeId,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<NodeId>, StartError> {
        let mut said = false;
        while !stop() {
            let mut found = Vec::new();
            for &address in &options.join {
                match self.lanes[0].handle.block_on(who(&self.diallers[0], address)) {
                    Ok(id) if id == me => {}
                    Ok(id) => {
                        self.routes.learn(id, address);
                        found.push(id);
                    }
                    Err(error) if !said => tracing::warn!(%address, %error, "cannot be joined yet"),
                    Err(error) => tracing::debug!(%address, %error, "cannot be joined yet"),
                }
            }
            if !found.is_empty() {
                return Ok(found);
            }
            said = true;
            thread::sleep(ASK_AGAIN);
        }
        Err(StartError::Stopped)
    }
}

/// Looks for the nodes at the addresses that a node was told to join which belongs to a cluster already: members may have moved, all of
/// them at once even, and then nobody is where the views say. `members` are those that it knows.
pub(super) async fn look_up(
    dialler: Dialler,
    routes: Arc<Routes>,
    mut addresses: Vec<SocketAddr>,
    me: NodeId,
    members: BTreeSet<NodeId>,
) {
    for _ in 0..LOOK_UPS_MAX {
        let mut silent = Vec::new();
        for address in addresses {
            match who(&dialler, address).await {
                Ok(id) if id == me => {}
                Ok(id) if members.contains(&id) => routes.learn(id, address),
                Ok(id) => {
                    tracing::warn!(%address, node = %id, "is not known as a member of the cluster to which the data belongs");
                }
                Err(error) => {
                    tracing::debug!(%address, %error, "does not say who it is");
                    silent.push(address);
                }
            }
        }
        if silent.is_empty() {
            return;
        }
        addresses = silent;
        tokio::time::sleep(LOOK_UP_AGAIN).await;
    }
}

/// Who lives at an address.
async fn who(dialler: &Dialler, address: SocketAddr) -> Result<NodeId, DialError> {
    let (connection, id) = dialler.dial(address, None).await?;
    connection.close(0_u32.into(), b"");
    Ok(id)
}

/// The ports of a node, bound, and where others reach them.
fn place(options: &Options) -> Result<([UdpSocket; 2], SocketAddr), StartError> {
    let (sockets, listens) = listen(options.listen)?;
    let address = options.advertise.unwrap_or(listens);
    if address.ip().is_unspecified() {
        return Err(StartError::NowhereToBeFound(address));
    }
    Ok((sockets, address))
}

/// The ports of a node, bound.
fn listen(at: SocketAddr) -> Result<([UdpSocket; 2], SocketAddr), StartError> {
    let both = || {
        let first = UdpSocket::bind(at)?;
        let address = first.local_addr()?;
        let next =
            address.port().checked_add(1).ok_or_else(|| std::io::Error::other("there is no next port"))?;
        Ok(([first, UdpSocket::bind(SocketAddr::new(at.ip(), next))?], address))
    };
    let mut result = both();
    for _ in 0..PORTS_TRIES_MAX {
        if result.is_ok() || at.port() != 0 {
            break;
        }
        result = both();
    }
    result.map_err(|error| StartError::Listen { address: at, error })
}
