//! What a drill begins with: places to listen, a key, settings, the disks that the formation of a cluster leaves behind, and nodes on
//! them that become a cluster again.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::super::disk::{DiskError, Folder, Log};
use super::super::keys::Key;
use super::client::Clients;
use super::fault::Faults;
use super::host::{Common, Host};
use super::net::{self, Harm, Net};
use super::small::{self, SmallDisk};
use super::{Drill, DrillError, EVERY, FORMING, Stage, needs, unable};
use crate::base::{ClusterId, Incarnation, NodeId, Rng, Time, ViewId};
use crate::cluster::clock;
use crate::history::{Machine, Progress};
use crate::node::{Disk, Member, Record, Seats, View};
use crate::scenario::{FaultKind, Plan, settings_of};

/// How often free ports are looked for.
const TRIES_MAX: u32 = 50;
/// How often a cluster is started of which a node ends before there is one: somebody else may have taken its port meanwhile.
const STARTS_MAX: u32 = 3;
/// Where they are looked for: below those that systems give to whoever does not say which (on Linux from 32,768 on), so that nobody
/// gets the port of a node that is down.
const PORTS: Range<u16> = 20_000..32_000;
/// Each trial takes other ports than the last one of this process, and drills that run at the same time begin elsewhere.
static NEXT: AtomicU32 = AtomicU32::new(0);
/// Places on this computer where `count` nodes can listen, each on an address of its own: the same port everywhere, and the next,
/// which are free now.
pub(super) fn places(count: usize) -> std::io::Result<Vec<SocketAddr>> {
    let address = |number: usize| Ipv4Addr::new(127, 0, 0, number as u8 + 1);
    let pairs = u32::from(PORTS.end - PORTS.start) / 2;
    let begin = std::process::id().wrapping_mul(97);
    let mut tried = 0;
    loop {
        tried += 1;
        let pair = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % pairs;
        let port = PORTS.start + 2 * pair as u16;
        let all: Vec<SocketAddr> =
            (0..count).map(|number| SocketAddr::from((address(number), port))).collect();
        let free = |place: &SocketAddr| {
            let second = SocketAddr::new(place.ip(), place.port() + 1);
            UdpSocket::bind(place).and_then(|_| UdpSocket::bind(second)).map(drop)
        };
        match all.iter().try_for_each(free) {
            Ok(()) => return Ok(all),
            Err(error) if tried == TRIES_MAX => return Err(error),
            Err(_) => {}
        }
    }
}

impl<'a> Stage<'a> {
    /// A cluster; `None` when it was stopped before it was one.
    pub(super) fn formed(
        drill: &Drill<'a>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Stage<'a>>, DrillError> {
        let mut starts = 1;
        loop {
            let Some(mut stage) = Stage::set(drill, stop)? else { return Ok(None) };
            match stage.form(stop) {
                Err(DrillError::Ended { .. }) if starts < STARTS_MAX && !stop() => starts += 1,
                formed => return Ok(formed?.then_some(stage)),
            }
        }
    }

    /// Makes disks and starts the nodes; `None` when it was stopped meanwhile.
    fn set(drill: &Drill<'a>, stop: &dyn Fn() -> bool) -> Result<Option<Stage<'a>>, DrillError> {
        let plan = drill.plan;
        let rng = Rng::new(drill.seed);
        let folder = tempfile::Builder::new()
            .prefix("idunno-drill-")
            .tempdir()
            .map_err(needs("a folder for disks"))?;
        let count = plan.nodes.len();
        let mut net = None;
        let places = if drill.netns {
            net.insert(Net::new(count).map_err(needs("networks for the nodes"))?).places()
        } else {
            places(count).map_err(needs("addresses to listen on"))?
        };
        if let Some(net) = net.as_mut().filter(|_| plan.network.loss > 0.0) {
            let links = net::links(count as u32, |_, _| true);
            let loss = Harm { fault: None, links, shut: Vec::new(), rate: plan.network.loss };
            net.harm(loss).map_err(needs("a lossy network"))?;
        }
        let left_out = unable(plan, drill.netns);
        let is_left_out = |number: u32| left_out.iter().any(|unable| unable.fault == number);
        let mut faults = (0..).zip(&plan.faults);
        let fills = faults.any(|(number, fault)| fault.kind == FaultKind::FullDisk && !is_left_out(number));
        if fills {
            small::apart().map_err(needs("small disks"))?;
        }
        let mut disks = Vec::new();
        let formed = Formed::new(plan, &rng, &places);
        let key = Key::random()?;
        let common = Common {
            program: drill.program.clone(),
            key: folder.path().join("key"),
            config: folder.path().join("settings.toml"),
        };
        key.write(&common.key)?;
        std::fs::write(&common.config, settings_of(plan)).map_err(needs("a file with settings"))?;
        let mut hosts = Vec::new();
        for ((node, &id), &place) in plan.nodes.iter().zip(&formed.ids).zip(&places) {
            if stop() {
                return Ok(None);
            }
            let home = folder.path().join(hosts.len().to_string());
            let host = Host::new(node, id, place, home);
            if fills {
                disks.push(SmallDisk::new(&host.disk()).map_err(needs("a small disk"))?);
            }
            formed.write(id, &host.disk())?;
            hosts.push(host);
        }
        let clients = Clients::new(plan, &rng.fork("workload"), &key, &places);
        let clients = clients.map_err(needs("clients"))?;
        let faults = Faults::new(plan, &rng.fork("faults"), drill.netns);
        let progress = Progress::new(formed.view, formed.seats, plan.patience());
        let zero = clock::now();
        let mut stage = Stage {
            plan,
            hosts,
            clients,
            faults,
            progress,
            common,
            net,
            _disks: disks,
            zero,
            records: Vec::new(),
            _folder: folder,
        };
        for machine in 0..plan.nodes.len() as Machine {
            if stop() {
                return Ok(None);
            }
            stage.start(machine)?;
        }
        Ok(Some(stage))
    }

    /// Waits until the nodes are a cluster; `false` when it was stopped before.
    fn form(&mut self, stop: &dyn Fn() -> bool) -> Result<bool, DrillError> {
        loop {
            self.look()?;
            let left = self.unformed();
            if left.is_empty() {
                self.zero = clock::now();
                self.progress.progress = Time::ZERO;
                return Ok(true);
            }
            if clock::now().since(self.zero) > FORMING {
                return Err(DrillError::NotFormed { left });
            }
            if stop() {
                return Ok(false);
            }
            thread::sleep(EVERY);
        }
    }

    /// What is missing until there is a cluster.
    fn unformed(&self) -> Vec<String> {
        let mut left = Vec::new();
        for host in &self.hosts {
            let lives = host.role.as_ref().is_some_and(|role| role.life.is_some());
            if !lives {
                left.push(format!("{} has not begun; it said: {}", host.plan.name, host.said()));
            }
        }
        let opened = |host: &Host| host.role.as_ref().is_some_and(|role| role.leads.is_some() && role.opened);
        if !self.hosts.iter().any(opened) {
            left.push("nobody leads".to_owned());
        }
        left
    }
}

/// A cluster that was formed and then switched off.
#[derive(Debug)]
pub(super) struct Formed {
    pub(super) cluster: ClusterId,
    pub(super) ids: Vec<NodeId>,
    pub(super) view: Arc<View>,
    pub(super) seats: Arc<Seats>,
}

impl Formed {
    /// The cluster of the plan, whose nodes listen at these places: with the identities that a rehearsal under the same seed has.
    pub(super) fn new(plan: &Plan, rng: &Rng, places: &[SocketAddr]) -> Formed {
        let identity = rng.fork("identity");
        let ids: Vec<NodeId> = (0..plan.nodes.len() as u64)
            .map(|machine| NodeId::new(identity.fork_number(machine).fork_number(0).bits()))
            .collect();
        let members = plan.nodes.iter().zip(&ids).zip(places).map(|((node, &id), place)| Member {
            id,
            incarnation: Incarnation(1),
            birth: 0,
            name: Arc::clone(&node.name),
            kind: Arc::clone(&node.kind),
            worker: node.worker,
            address: place.to_string().into(),
        });
        let view = View::new(ViewId(1), plan.config.membership.observers_each(), members.collect());
        let mut voters = ids[..plan.config.failover.voters_for(ids.len())].to_vec();
        voters.sort_unstable();
        let seats = Seats { number: 1, voters, learners: Vec::new(), passing: None };
        let cluster = ClusterId(rng.fork("cluster").bits());
        Formed { cluster, ids, view: Arc::new(view), seats: Arc::new(seats) }
    }

    /// Makes the disk of the node `id` in `folder`.
    pub(super) fn write(&self, id: NodeId, folder: &Path) -> Result<(), DiskError> {
        let Disk { cluster, ballot, entries, view, .. } =
            Disk::formed(self.cluster, id, &self.view, &self.seats);
        let mut records = vec![Record::Cluster(cluster), Record::Ballot(ballot)];
        if !entries.is_empty() {
            records.push(Record::Entries(entries));
        }
        records.extend(view.map(|(view, seats)| Record::View { view, seats }));
        let (mut log, _) = Log::open(Folder::open(folder, id)?)?;
        log.write(records)
    }
}

#[cfg(test)]
mod tests {
    use super::super::NODES_MAX;
    use super::*;

    #[test]
    fn a_disk_that_was_made_is_read_as_the_one_that_formation_leaves() {
        let plan =
            Plan::read("name = \"x\"\nnodes = 4\nuntil = \"1s\"\ncluster.voters = 3", "x.toml").unwrap();
        let places = places(4).unwrap();
        let formed = Formed::new(&plan, &Rng::new(7), &places);
        let folder = tempfile::tempdir().unwrap();
        for (number, &id) in formed.ids.iter().enumerate() {
            let path = folder.path().join(number.to_string());
            formed.write(id, &path).unwrap();
            let (log, torn) = Log::open(Folder::open(&path, NodeId::new(1)).unwrap()).unwrap();
            assert_eq!(
                (torn, log.disk()),
                (0, &Disk::formed(formed.cluster, id, &formed.view, &formed.seats))
            );
        }
    }

    #[test]
    fn ports_are_those_that_nobody_gets_by_chance_and_that_are_free() {
        let first = places(3).unwrap();
        // Those that would come next are taken.
        let next = |ahead: u16| {
            PORTS.start + (first[0].port() - PORTS.start + 2 * ahead) % (PORTS.end - PORTS.start)
        };
        let taken: Vec<u16> = (1..=5).map(next).collect();
        let sockets = taken.iter().map(|&port| UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), port)));
        let _sockets: Vec<_> = sockets.collect();
        let second = places(3).unwrap();
        assert!(!taken.contains(&second[0].port()), "{second:?}");
        for place in first.iter().chain(&second) {
            assert!(PORTS.contains(&place.port()) && place.port() % 2 == 0, "{place}");
        }
    }

    #[test]
    fn every_node_has_an_address_of_its_own() {
        let places = places(NODES_MAX).unwrap();
        let mut addresses: Vec<_> = places.iter().map(SocketAddr::ip).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), NODES_MAX);
        assert!(places.iter().all(|place| place.ip().is_loopback()));
    }
}
