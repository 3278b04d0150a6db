//! A real node and those who mean it harm although they have its key. Seeds of random bytes are printed by failures.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quinn::Connection;
use tokio::time::timeout;

use super::chunks::{Porter, Rack};
use super::inbox::Item;
use super::lending::Lender;
use super::machine::Routes;
use super::measure::Gauge;
use super::net::endpoint::{Dialler, Lane};
use super::net::link::{Form, Links, lock};
use super::net::wire::{self, Ask, Held, Told};
use super::serve::Doors;
use super::{Client, Key, Options, Running, Standing, Unkept, start};
use crate::base::{Chunk, ChunkId, NodeId, Rng, SessionId};
use crate::node::{Config, Inputs, JobSpec, Question, Refusal, Reply, Request, Seats};

const PATIENCE: Duration = Duration::from_secs(30);

struct Target {
    key: Key,
    node: Running,
    lane: Lane,
    folder: tempfile::TempDir,
}

/// A cluster of one, which takes no queries.
fn target() -> Target {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::random().unwrap();
    let options = Options {
        name: "n1".into(),
        kind: "cpu".into(),
        worker: false,
        speed: 1.0,
        refuse: 0.0,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        advertise: None,
        join: Vec::new(),
        key: key.clone(),
        data: folder.path().join("n1"),
        diary: None,
        config: Arc::new(Config::default()),
        models: BTreeMap::new(),
        settings: "".into(),
        program: "none".into(),
        scrub: 0,
        results: false,
        record: None,
    };
    let node = start(options, &|| false).unwrap();
    Target { key, node, lane: Lane::start("hostile").unwrap(), folder }
}

impl Target {
    fn socket() -> UdpSocket {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
    }

    fn client(&self) -> Dialler {
        Dialler::client(&self.lane, Target::socket(), &self.key).unwrap()
    }

    /// Whoever asks in good faith is still answered.
    fn answers(&self) {
        let mut client = Client::new(&self.key, &[self.node.address], PATIENCE).unwrap();
        // What it is told of the cluster is repeated until the node leads it.
        client.read(Question::Cluster).unwrap();
        assert_eq!(client.standing().unwrap().members.len(), 1);
    }
}

/// What is no frame: too long, cut short, with something behind it, or nothing but noise.
fn nonsense(seed: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(seed);
    let mut noise = |length: usize| (0..length).map(|_| rng.below(256) as u8).collect::<Vec<u8>>();
    let framed = |bytes: Vec<u8>| [&(bytes.len() as u32).to_le_bytes()[..], &bytes].concat();
    let mut ask = Vec::new();
    wire::encode(&Ask::Standing, &mut ask);
    let longer = framed([&ask[4..], &[0]].concat());
    let mut all = vec![
        u32::MAX.to_le_bytes().to_vec(),
        [&(1_u32 << 20).to_le_bytes()[..], &noise(100)].concat(),
        ask[..ask.len() - 1].to_vec(),
        longer,
        framed(Vec::new()),
        Vec::new(),
        vec![7],
    ];
    all.extend((1..60).map(|length| framed([&[250], &*noise(length)].concat())));
    all
}

#[test]
fn what_makes_no_sense_is_not_answered_and_costs_nobody_else_anything() {
    let target = target();
    let dialler = target.client();
    target.lane.handle.block_on(async {
        let (connection, _) = dialler.dial(target.node.address, None).await.unwrap();
        for bytes in nonsense(1) {
            let (mut send, mut receive) = connection.open_bi().await.unwrap();
            send.write_all(&bytes).await.unwrap();
            let _ = send.finish();
            let answer = timeout(PATIENCE, receive.read_to_end(1 << 20)).await.expect("it is not left open");
            assert!(answer.as_ref().map_or(true, Vec::is_empty), "{bytes:?}: {answer:?}");
        }
        // The same connection is as good as before.
        let told = asked(&connection, &Ask::Standing).await;
        assert!(matches!(told, Told::Standing(_)), "{told:?}");
    });
    target.answers();
}

#[test]
fn a_node_that_talks_nonsense_is_cut_off_and_others_are_not() {
    let target = target();
    let stranger = NodeId::new(77);
    let socket = Target::socket();
    let address = socket.local_addr().unwrap();
    let dialler = Dialler::node(&target.lane, socket, &target.key, stranger, address).unwrap();
    target.lane.handle.block_on(async {
        // A frame that does not come to its end is waited for; all others are read.
        let is_whole = |bytes: &Vec<u8>| {
            let length = bytes.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
            length.is_some_and(|length| length > 1 << 30 || length + 4 == bytes.len())
        };
        for bytes in nonsense(2).into_iter().filter(is_whole).step_by(4) {
            let (connection, id) = dialler.dial(target.node.address, None).await.unwrap();
            assert_eq!(id, target.node.id);
            let mut send = connection.open_uni().await.unwrap();
            // It may be cut off before all of it is written.
            let _ = send.write_all(&bytes).await;
            let why = timeout(PATIENCE, connection.closed()).await.expect("it is cut off");
            assert!(matches!(why, quinn::ConnectionError::ApplicationClosed(_)), "{why}");
        }
    });
    target.answers();
}

#[test]
fn clients_that_flood_a_node_are_all_answered_and_so_is_whoever_comes_after_them() {
    const TASKS: u64 = 16;
    const EACH: u64 = 160;
    let target = target();
    target.answers();
    let dialler = target.client();
    // Half a megabyte of names, most of which are refused before anything is done about them.
    let names: Vec<Arc<str>> = (0..50_000).map(|n| format!("input{n:05}").into()).collect();
    let spec = JobSpec {
        name: "flood".into(),
        model: "m".into(),
        inputs: Inputs::Names(names.into()),
        batch: 1,
        weight: 1.0,
        priority: 0,
    };
    let request = Request::Submit(spec);
    let (mut busy, mut refused) = (0, 0);
    target.lane.handle.block_on(async {
        let (connection, _) = dialler.dial(target.node.address, None).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let (connection, request) = (connection.clone(), request.clone());
            tasks.spawn(async move {
                let mut told = Vec::new();
                for number in 1..=EACH / TASKS {
                    let (session, request) = (SessionId(1_000 + task), request.clone());
                    told.push(asked(&connection, &Ask::Request { session, number, request }).await);
                }
                told
            });
        }
        for told in tasks.join_all().await.into_iter().flatten() {
            match told {
                Told::Reply(Reply::Refused(Refusal::Busy { .. })) => busy += 1,
                Told::Reply(_) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(busy + refused, EACH, "everyone is answered");
    target.answers();
}

#[test]
fn chunks_that_are_not_what_is_said_of_them_are_refused_and_leave_nothing_behind() {
    let target = target();
    let dialler = target.client();
    let right = Chunk { id: ChunkId([7; 32]), bytes: 300_000 };
    target.lane.handle.block_on(async {
        let (connection, _) = dialler.dial(target.node.address, None).await.unwrap();
        let brought = async |chunk: Chunk, bytes: Vec<u8>| {
            let (mut send, mut receive) = connection.open_bi().await.unwrap();
            wire::write(&mut send, &Ask::Bring(chunk)).await.unwrap();
            // It may be refused before all of it is sent.
            let _ = send.write_all(&bytes).await;
            let _ = send.finish();
            timeout(PATIENCE, wire::read::<Told>(&mut receive)).await.expect("it is not left open")
        };
        let told = brought(right, vec![1; 300_000]).await.unwrap();
        assert!(matches!(told, Told::Kept(Err(Unkept::Untrue))), "{told:?}");
        for bytes in [0, (4 << 20) + 1, u32::MAX] {
            let told = brought(Chunk { bytes, ..right }, vec![1; 5 << 20]).await.unwrap();
            assert!(matches!(told, Told::Kept(Err(Unkept::Length(_)))), "{told:?}");
        }
        // One that ends too early is not answered.
        assert!(brought(right, vec![1; 1000]).await.is_err());
        let told = asked(&connection, &Ask::Offer(vec![right.id; 8_192])).await;
        assert!(matches!(&told, Told::Missing(missing) if missing.len() == 8_192), "{told:?}");
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        wire::write(&mut send, &Ask::Offer(vec![right.id; 8_193])).await.unwrap();
        assert!(wire::read::<Told>(&mut receive).await.is_err());
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        wire::write(&mut send, &Ask::Chunk(right.id)).await.unwrap();
        assert_eq!(wire::read::<Held>(&mut receive).await.unwrap().0, None);
    });
    let new = target.folder.path().join("n1/chunks/new");
    assert_eq!(std::fs::read_dir(new).unwrap().count(), 0);
    target.answers();
}

/// The memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

/// The doors of a node whose machine is busy with something else, for good.
#[cfg(target_os = "linux")]
fn doors_of_a_busy_node(lane: &Lane, key: &Key) -> (Doors, SocketAddr, tempfile::TempDir) {
    let (id, socket) = (NodeId::new(5), Target::socket());
    let address = socket.local_addr().unwrap();
    let dialler = Dialler::node(lane, socket, key, id, address).unwrap();
    let links = |form| Links::new(form, lane.handle.clone(), dialler.clone());
    let routes =
        Routes { streams: links(Form::Stream), bulk: links(Form::Stream), beats: links(Form::Datagram) };
    let standing = Standing {
        id,
        name: "n5".into(),
        models: Vec::new(),
        status: None,
        members: Vec::new(),
        seats: Seats::default(),
        dropped: 0,
    };
    let standing = Arc::new(Mutex::new(standing));
    let folder = tempfile::tempdir().unwrap();
    let rack = Rack::open(&folder.path().join("chunks"), |_| {});
    let porter =
        Porter::new(Arc::new(rack.unwrap()), dialler.clone(), lane.handle.clone(), Arc::clone(&standing));
    let doors = Doors {
        inbox: Arc::default(),
        routes: Arc::new(routes),
        waiting: Arc::default(),
        standing,
        gauge: Gauge::new(dialler.clone(), "nowhere".into()),
        board: Arc::default(),
        complaints: Arc::default(),
        lender: Arc::new(Lender {
            folder: "nowhere".into(),
            node: id,
            name: "n5".into(),
            kind: "cpu".into(),
            worker: false,
            settings: "".into(),
            busy: tokio::sync::Mutex::new(()),
        }),
        porter: Arc::new(porter),
    };
    lane.handle.spawn(doors.clone().open(dialler.endpoint.clone(), id));
    (doors, address, folder)
}

#[test]
#[cfg(target_os = "linux")]
fn a_flood_that_nobody_can_keep_up_with_is_refused_as_too_much_and_takes_bounded_memory() {
    const ALL: usize = 600;
    let (key, lane, clients) =
        (Key::random().unwrap(), Lane::start("doors").unwrap(), Lane::start("flood").unwrap());
    let (doors, address, _folder) = doors_of_a_busy_node(&lane, &key);
    let dialler = Dialler::client(&clients, Target::socket(), &key).unwrap();
    // Half a megabyte each, 300 MB together.
    let mut ask = Vec::new();
    let names: Vec<Arc<str>> = (0..10_000).map(|n| format!("{n:050}").into()).collect();
    let (name, model) = ("flood".into(), "m".into());
    let spec =
        JobSpec { name, model, inputs: Inputs::Names(names.into()), batch: 1, weight: 1.0, priority: 0 };
    let request = Request::Submit(spec);
    wire::encode(&Ask::Request { session: SessionId(7), number: 0, request }, &mut ask);
    let before = resident();
    let told = clients.handle.block_on(async {
        let (connection, _) = dialler.dial(address, None).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        let frame: Arc<[u8]> = ask.into();
        // Frames are alike but for the number of the request, which is written in one byte or two, behind variant and session.
        for number in 1..=ALL {
            let (connection, frame) = (connection.clone(), Arc::clone(&frame));
            tasks.spawn(async move {
                let (mut send, mut receive) = connection.open_bi().await.unwrap();
                let length = u32::from_le_bytes(*frame.first_chunk().unwrap()) + 1;
                let number = [number as u8 | 0x80, (number >> 7) as u8];
                let head = [&length.to_le_bytes()[..], &frame[4..6], &number].concat();
                send.write_all(&head).await.unwrap();
                send.write_all(&frame[7..]).await.unwrap();
                wire::read::<Told>(&mut receive).await.unwrap()
            });
        }
        let mut told = Vec::new();
        // Those that are not refused wait for the machine.
        while told.len() + lock(&doors.waiting).len() < ALL {
            let next = timeout(PATIENCE, tasks.join_next()).await.expect("everyone else is answered");
            told.push(next.expect("some are left").unwrap());
        }
        let grown = resident().saturating_sub(before);
        assert!(grown < 200 << 20, "{} MiB more than before the flood", grown >> 20);
        let waiting = lock(&doors.waiting).len();
        assert!((10..100).contains(&waiting), "{waiting} wait");
        // The machine comes back: it has exactly those to answer, and there is room again.
        while let Some(Item::Client { session, number, .. }) = doors.inbox.take(Duration::ZERO) {
            let asker = lock(&doors.waiting).remove(&(session, number)).expect("it waits");
            asker.answer.send(Arc::new(Reply::Done)).expect("it is still there");
        }
        let rest = timeout(PATIENCE, tasks.join_all()).await.expect("everyone is answered");
        assert_eq!(rest.len(), waiting);
        assert!(rest.iter().all(|told| matches!(told, Told::Reply(Reply::Done))), "{:?}", rest.first());
        told
    });
    let busy = |told: &Told| matches!(told, Told::Reply(Reply::Refused(Refusal::Busy { .. })));
    assert!(told.len() > ALL / 2 && told.iter().all(busy), "{:?}", told.iter().find(|told| !busy(told)));
}

async fn asked(connection: &Connection, ask: &Ask) -> Told {
    let exchange = async {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        wire::write(&mut send, ask).await.unwrap();
        wire::read(&mut receive).await.unwrap()
    };
    timeout(PATIENCE, exchange).await.expect("it is answered")
}
