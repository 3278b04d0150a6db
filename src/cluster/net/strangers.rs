//! Those who have dialled and not greeted yet. Each costs memory and a signature, and nothing is known of it but an address, which may
//! be made up: so they are few, from each address and in all, and when they become many they have to show that they receive there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use super::link::lock;

/// Strangers from one address at a time.
const PER_ADDRESS_MAX: usize = 128;
/// Strangers at a time.
const ALL_MAX: usize = 1024;
/// So many strangers are believed that they are where their packets say.
const BELIEVED_MAX: usize = 64;

/// How many strangers there are from each address.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<BTreeMap<IpAddr, usize>>);

/// What becomes of someone who dials.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It may greet, and counts as a stranger as long as this lives.
    Greets(Stranger),
    /// It has to show first that it receives what is sent to its address.
    Proves,
    /// There are too many.
    Refused,
}

/// One who has dialled and not greeted yet.
#[derive(Debug)]
pub(crate) struct Stranger {
    all: Arc<Strangers>,
    address: IpAddr,
}

impl Strangers {
    /// Someone dials; `is_proven` says whether it has shown that it receives at `address`.
    pub(crate) fn admit(self: &Arc<Strangers>, address: IpAddr, is_proven: bool) -> Admission {
        let mut counts = lock(&self.0);
        let all: usize = counts.values().sum();
        let own = counts.get(&address).copied().unwrap_or_default();
        if all >= BELIEVED_MAX && !is_proven {
            return Admission::Proves;
        }
        if own >= PER_ADDRESS_MAX || all >= ALL_MAX {
            return Admission::Refused;
        }
        counts.insert(address, own + 1);
        Admission::Greets(Stranger { all: Arc::clone(self), address })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = lock(&self.all.0);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_few_and_prove_themselves_when_they_become_many() {
        let all = Arc::new(Strangers::default());
        let address = |n: usize| IpAddr::from((n as u32).to_be_bytes());
        let mut there = Vec::new();
        let mut come = |from: usize, is_proven: bool| match all.admit(address(from), is_proven) {
            Admission::Greets(stranger) => {
                there.push(stranger);
                "greets"
            }
            Admission::Proves => "proves",
            Admission::Refused => "refused",
        };
        assert!((0..BELIEVED_MAX).all(|_| come(1, false) == "greets"));
        assert_eq!((come(1, false), come(2, false)), ("proves", "proves"));
        assert!((BELIEVED_MAX..PER_ADDRESS_MAX).all(|_| come(1, true) == "greets"));
        assert_eq!((come(1, true), come(2, true)), ("refused", "greets"));
        assert!((PER_ADDRESS_MAX + 1..ALL_MAX).all(|n| come(10 + n, true) == "greets"));
        assert_eq!(come(2, true), "refused");
        // Whoever has greeted or is given up makes room.
        there.clear();
        assert!(lock(&all.0).is_empty());
        assert!(matches!(all.admit(address(1), false), Admission::Greets(_)));
    }
}
