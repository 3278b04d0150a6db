//! What the network between running nodes and their disks are like: measured by the nodes themselves, in the words of a scenario.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quinn::{RecvStream, SendStream};
use serde::{Deserialize, Serialize};

use super::Standing;
use super::net::endpoint::Dialler;
use super::net::link::lock;
use super::net::wire::{self, Call};
use crate::base::{Draw, Span};
use crate::scenario::{Plan, draw_text};

/// Round trips that are tried to each other node, unless it is said how many, and at most.
pub(super) const TRIPS: u32 = 100;
const TRIPS_MAX: u32 = 1_000;
/// Between two of them.
const EVERY: Duration = Duration::from_millis(10);
/// A trip that takes longer does not count as one; that is said.
const TRIP_MAX: Duration = Duration::from_secs(1);
/// Writes that are made durable, one after the other, and for how long at most.
const SYNCS: (u32, Duration) = (100, Duration::from_secs(2));
/// Bytes of each write.
const WRITE_BYTES: usize = 200;

/// What a node measures with.
#[derive(Debug)]
pub(super) struct Gauge {
    pub(super) dialler: Dialler,
    pub(super) data: PathBuf,
    /// One measures at a time: two would measure each other.
    pub(super) busy: tokio::sync::Mutex<()>,
}

/// What each node found, by its name, or why it cannot say.
pub type Findings = Vec<(Arc<str>, Result<Measured, String>)>;

/// What one node found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Round trips to all other nodes, through both programs, as messages travel.
    pub trips: Vec<Span>,
    /// How many round trips did not come to their end.
    pub missing: u32,
    /// Packets that were sent for them.
    pub sent: u64,
    /// How many of these QUIC found lost; a long pause of a machine can look like a loss.
    pub lost: u64,
    /// How late the node woke when it had asked to be woken after 10 ms.
    pub late: Vec<Span>,
    /// How long it took to make a small write in its data directory durable.
    pub syncs: Vec<Span>,
}

/// Answers every byte by itself, until there are no more.
pub(super) async fn echo(mut send: SendStream, mut receive: RecvStream) {
    let mut byte = [0];
    while receive.read_exact(&mut byte).await.is_ok() && send.write_all(&byte).await.is_ok() {}
}

impl Gauge {
    /// Measures the ways to the other members, with this many round trips each, and the disk after them.
    pub(super) async fn measure(&self, standing: &Mutex<Standing>, trips: u32) -> Measured {
        let trips = trips.min(TRIPS_MAX);
        let _alone = self.busy.lock().await;
        let standing = lock(standing).clone();
        let mut all = Measured::default();
        let others = standing.members.iter().filter(|member| member.id != standing.id);
        for member in others {
            let Ok(address) = member.address.parse() else { continue };
            let Ok((connection, _)) = self.dialler.dial(address, Some(member.id)).await else {
                all.missing += trips;
                continue;
            };
            // The greeting told of losses that are none of the network's.
            let before = connection.stats().path;
            if let Ok((mut send, mut receive)) = connection.open_bi().await
                && wire::write(&mut send, &Call::Echo).await.is_ok()
            {
                for _ in 0..trips {
                    let began = Instant::now();
                    let trip = async {
                        send.write_all(&[0]).await.ok()?;
                        receive.read_exact(&mut [0]).await.ok()
                    };
                    if tokio::time::timeout(TRIP_MAX, trip).await.ok().flatten().is_none() {
                        all.missing += 1;
                        // What comes late would be taken for the next one.
                        break;
                    }
                    all.trips.push(span(began.elapsed()));
                    let asleep = Instant::now();
                    tokio::time::sleep(EVERY).await;
                    all.late.push(span(asleep.elapsed().saturating_sub(EVERY)));
                }
            }
            let after = connection.stats().path;
            all.sent += after.sent_packets.saturating_sub(before.sent_packets);
            all.lost += after.lost_packets.saturating_sub(before.lost_packets);
            connection.close(0_u32.into(), b"");
        }
        let data = self.data.clone();
        let syncs = tokio::task::spawn_blocking(move || syncs(&data)).await;
        match syncs {
            Ok(Ok(syncs)) => all.syncs = syncs,
            Ok(Err(error)) => tracing::warn!(%error, "the disk cannot be measured"),
            Err(error) => tracing::warn!(%error, "the disk cannot be measured"),
        }
        all
    }
}

fn span(time: Duration) -> Span {
    Span(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// How long it takes to make a small write durable, in a file of its own that goes again.
fn syncs(data: &Path) -> io::Result<Vec<Span>> {
    let path = data.join("measure.new");
    let measured = || {
        let mut file = File::create(&path)?;
        let (mut syncs, began) = (Vec::new(), Instant::now());
        while syncs.len() < SYNCS.0 as usize && began.elapsed() < SYNCS.1 {
            let one = Instant::now();
            file.write_all(&[7; WRITE_BYTES])?;
            file.sync_data()?;
            syncs.push(span(one.elapsed()));
        }
        Ok(syncs)
    };
    let syncs = measured();
    fs::remove_file(&path)?;
    syncs
}

/// The network and the disks of a cluster, as its nodes found them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calibration {
    /// Round trips.
    pub trips: Vec<Span>,
    /// Those that did not come to their end.
    pub missing: u32,
    /// Packets sent, and lost.
    pub packets: (u64, u64),
    /// How late nodes woke.
    pub late: Vec<Span>,
    /// Writes made durable.
    pub syncs: Vec<Span>,
}

impl Calibration {
    /// What all nodes found, in order.
    pub fn of<'a>(measured: impl IntoIterator<Item = &'a Measured>) -> Calibration {
        let mut all = Calibration::default();
        for one in measured {
            all.trips.extend_from_slice(&one.trips);
            all.missing += one.missing;
            all.packets = (all.packets.0 + one.sent, all.packets.1 + one.lost);
            all.late.extend_from_slice(&one.late);
            all.syncs.extend_from_slice(&one.syncs);
        }
        all.trips.sort_unstable();
        all.late.sort_unstable();
        all.syncs.sort_unstable();
        all
    }

    /// The tables `network` and `disk` of a scenario, as far as there is something to say.
    pub fn to_toml(&self) -> String {
        let network = self.latency().map(|latency| {
            format!("[network]\nlatency = \"{}\"\nloss = {:?}\n", draw_text(latency), self.loss())
        });
        let disk = self.sync().map(|sync| format!("[disk]\nsync = \"{}\"\n", draw_text(sync)));
        network.into_iter().chain(disk).collect::<Vec<_>>().join("\n")
    }

    /// Writes what was measured into a scenario, as far as there is something to say, and returns whether there was.
    pub fn put_into(&self, plan: &mut Plan) -> bool {
        if let Some(latency) = self.latency() {
            (plan.network.latency, plan.network.loss) = (latency, self.loss());
        }
        if let Some(sync) = self.sync() {
            plan.disk.sync = sync;
        }
        !self.trips.is_empty() || !self.syncs.is_empty()
    }

    /// How long a message travels: half a round trip.
    fn latency(&self) -> Option<Draw> {
        lognormal(&self.trips, 2)
    }

    /// The part of the packets that was lost, to four places.
    fn loss(&self) -> f64 {
        let (sent, lost) = self.packets;
        if sent == 0 { 0.0 } else { libm::round(1e4 * lost as f64 / sent as f64) / 1e4 }
    }

    fn sync(&self) -> Option<Draw> {
        lognormal(&self.syncs, 1)
    }
}

/// The log-normal distribution with the median of these and the deviation of their logarithms, each divided by `parts`.
fn lognormal(sorted: &[Span], parts: u64) -> Option<Draw> {
    let median = sorted.get(sorted.len() / 2)?;
    let logs: Vec<f64> = sorted.iter().map(|span| libm::log(span.0.max(1) as f64)).collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / logs.len() as f64;
    let median = Span((median.0 / parts / 1_000).max(1) * 1_000);
    Some(Draw::LogNormal(median, libm::round(100.0 * variance.sqrt().min(5.0)) / 100.0))
}

impl Gauge {
    /// One for this node.
    pub(super) fn new(dialler: Dialler, data: PathBuf) -> Arc<Gauge> {
        Arc::new(Gauge { dialler, data, busy: tokio::sync::Mutex::new(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_becomes_tables_of_a_scenario() {
        let micros = |micros: &[u64]| micros.iter().map(|&one| Span(one * 1_000)).collect::<Vec<_>>();
        let one = Measured { trips: micros(&[400, 100]), sent: 150, lost: 3, ..Measured::default() };
        let two =
            Measured { trips: micros(&[200]), sent: 50, syncs: micros(&[4_000; 9]), ..Measured::default() };
        let text = Calibration::of([&one, &two]).to_toml();
        let plan = Plan::with_overrides(&text, "x.toml", &["name=x", "until=1s"]).unwrap();
        // The logarithms of 1, 2 and 4 deviate by ln 2 · √(2/3).
        assert_eq!(plan.network.latency, Draw::LogNormal(Span(100_000), 0.57));
        assert!((plan.network.loss - 0.015).abs() < 1e-9);
        assert_eq!(plan.disk.sync, Draw::LogNormal(Span::millis(4), 0.0));
        assert_eq!(Calibration::default().to_toml(), "");
        let mut put = Plan::with_overrides("", "x.toml", &["name=x", "until=1s"]).unwrap();
        assert!(Calibration::of([&one, &two]).put_into(&mut put));
        assert_eq!((put.network, put.disk), (plan.network, plan.disk));
    }
}
