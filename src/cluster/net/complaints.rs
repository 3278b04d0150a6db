//! Complaints about others: one a minute about each address, so that whoever floods a node does not flood its log.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::link::lock;

/// How long nothing more is said about an address.
const REST: Duration = Duration::from_mins(1);
/// Of how many addresses it is known when they were complained about; of more the oldest is forgotten.
const ADDRESSES_MAX: usize = 256;

/// What was complained about.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<BTreeMap<IpAddr, Last>>);

/// The last complaint about an address.
#[derive(Debug)]
struct Last {
    at: Instant,
    /// How many were kept back since.
    unsaid: u64,
}

impl Complaints {
    /// Whether a complaint about `address` is to be said at `now`: if so, how many were kept back before it.
    pub(crate) fn about(&self, address: IpAddr, now: Instant) -> Option<u64> {
        let mut all = lock(&self.0);
        let unsaid = match all.get_mut(&address) {
            Some(last) if now.saturating_duration_since(last.at) < REST => {
                last.unsaid += 1;
                return None;
            }
            Some(last) => last.unsaid,
            None => 0,
        };
        if all.len() >= ADDRESSES_MAX && !all.contains_key(&address) {
            let oldest = all.iter().min_by_key(|(_, last)| last.at).map(|(address, _)| *address);
            oldest.map(|oldest| all.remove(&oldest));
        }
        all.insert(address, Last { at: now, unsaid: 0 });
        Some(unsaid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_complained_about_once_a_minute_and_few_are_remembered() {
        let (all, began) = (Complaints::default(), Instant::now());
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        assert_eq!(all.about(address(1), began), Some(0));
        assert_eq!(all.about(address(2), began), Some(0));
        assert!((0..5).all(|second| all.about(address(1), began + Duration::from_secs(second)).is_none()));
        assert_eq!(all.about(address(1), began + REST), Some(5));
        assert_eq!(all.about(address(1), began + REST * 2), Some(0));
        for n in 0..10 * ADDRESSES_MAX as u32 {
            assert_eq!(all.about(address(10 + n), began + REST * 3), Some(0));
        }
        assert_eq!(lock(&all.0).len(), ADDRESSES_MAX);
    }
}
