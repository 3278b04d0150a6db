//! A committed membership, with the rings that say who observes whom. Immutable and shared.

use std::cmp::Reverse;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Fold, Incarnation, NodeId, ViewId};

/// A node as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Its identity.
    pub id: NodeId,
    /// The life that belongs to the view; messages of an earlier one are void.
    pub incarnation: Incarnation,
    /// Drawn by the process that lives it: a machine that goes back to an old copy of its disk counts its lives from there, and
    /// may come to a number that an earlier process has had. 0 in a view as formation leaves it, which stands for any.
    pub birth: u64,
    /// Its name for people: `n1`, `gpu-3`.
    pub name: Arc<str>,
    /// The kind of machine, for schedulers that tell kinds apart.
    pub kind: Arc<str>,
    /// Whether it takes queries.
    pub worker: bool,
    /// Where its driver can be reached; of no meaning to the state machine.
    pub address: Arc<str>,
}

/// What one view change does: first the departures, then the arrivals.
///
/// A member that comes back in a new incarnation appears in `joined` alone and replaces its old entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ViewChange {
    /// Members that enter, or re-enter in a new incarnation.
    pub joined: Vec<Member>,
    /// Members that leave, each with the incarnation that is evicted; one that has a newer one stays.
    pub gone: Vec<(NodeId, Incarnation)>,
}

/// How many ended lives a view remembers; the oldest is forgotten first.
const ENDED_MAX: usize = 4096;

/// A committed membership: its members in order of their ids, who observes whom, and which lives have ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Listed", into = "Listed")]
pub struct View {
    id: ViewId,
    observers_max: u8,
    members: Vec<Member>,
    /// The lives that left, at most one per node, the latest departure last.
    ended: Vec<(NodeId, Incarnation)>,
    /// `width` positions per member: its observers.
    observers: Vec<u32>,
    width: usize,
    /// The positions of the members that each member observes, one after another, and where each one's begin.
    subjects: Vec<u32>,
    subjects_from: Vec<u32>,
    /// The sum of the members' digests, so that a change costs only what it changes.
    sum: u128,
    digest: u128,
}

/// A view as it travels and is stored: the rings follow from the members.
#[derive(Clone, Serialize, Deserialize)]
struct Listed {
    id: ViewId,
    observers_max: u8,
    members: Vec<Member>,
    ended: Vec<(NodeId, Incarnation)>,
}

impl From<Listed> for View {
    fn from(listed: Listed) -> View {
        let (members, sum) = in_order(listed.members);
        View::build(listed.id, listed.observers_max, members, sum, listed.ended)
    }
}

impl From<View> for Listed {
    fn from(view: View) -> Listed {
        Listed { id: view.id, observers_max: view.observers_max, members: view.members, ended: view.ended }
    }
}

impl View {
    /// The view `id` of these members, in which each has up to `observers_max` distinct observers (fewer in a small
    /// cluster). No life has ended yet.
    ///
    /// Ring `k` orders the members by `hash(k, id)`. A member's observers are found by walking each ring from its
    /// place past those already chosen, so that they are always distinct.
    pub fn new(id: ViewId, observers_max: u8, members: Vec<Member>) -> View {
        let (members, sum) = in_order(members);
        View::build(id, observers_max, members, sum, Vec::new())
    }

    /// `members` are in order of their ids, and `sum` is the sum of their digests.
    fn build(
        id: ViewId,
        observers_max: u8,
        members: Vec<Member>,
        sum: u128,
        ended: Vec<(NodeId, Incarnation)>,
    ) -> View {
        let n = members.len();
        let width = usize::from(observers_max).min(n.saturating_sub(1));
        let observers = choose_observers(&members, width);
        let (subjects, subjects_from) = transpose(&observers, width, n);
        let digest = Fold::of(&(id, observers_max, n, sum, &ended));
        View { id, observers_max, members, ended, observers, width, subjects, subjects_from, sum, digest }
    }

    /// The view before any: nobody.
    pub fn empty() -> View {
        View::new(ViewId(0), 0, Vec::new())
    }

    /// The view after this one: the next number, the change applied.
    ///
    /// Arrivals of lives that have ended or been replaced, and departures of lives that are not here, change nothing.
    #[must_use]
    pub fn after(&self, change: &ViewChange) -> View {
        let mut gone = change.gone.clone();
        gone.retain(|&(id, incarnation)| self.contains(id, incarnation));
        gone.sort_unstable();
        gone.dedup();
        let departed: Vec<NodeId> = gone.iter().map(|&(id, _)| id).collect();
        let mut ended = self.ended.clone();
        ended.retain(|(id, _)| departed.binary_search(id).is_err());
        ended.extend(gone);
        ended.drain(..ended.len().saturating_sub(ENDED_MAX));

        // Of several lives of one node the highest enters: it comes first, and the others are dropped.
        let mut joined: Vec<&Member> = change.joined.iter().collect();
        joined.sort_by_key(|member| (member.id, Reverse(member.incarnation)));
        joined.dedup_by_key(|member| member.id);
        joined.retain(|member| !has_ended(&ended, member.id, member.incarnation));

        let mut members = Vec::with_capacity(self.members.len() + joined.len());
        let mut sum = self.sum;
        let mut joined = joined.into_iter().peekable();
        let mut departed = departed.into_iter().peekable();
        for member in &self.members {
            while let Some(earlier) = joined.next_if(|other| other.id < member.id) {
                sum = sum.wrapping_add(Fold::of(earlier));
                members.push(earlier.clone());
            }
            let leaves = departed.next_if_eq(&member.id).is_some();
            let successor = joined
                .next_if(|other| other.id == member.id)
                .filter(|other| other.incarnation > member.incarnation);
            if leaves || successor.is_some() {
                sum = sum.wrapping_sub(Fold::of(member));
            } else {
                members.push(member.clone());
            }
            if let Some(successor) = successor {
                sum = sum.wrapping_add(Fold::of(successor));
                members.push(successor.clone());
            }
        }
        for later in joined {
            sum = sum.wrapping_add(Fold::of(later));
            members.push(later.clone());
        }
        View::build(self.id.next(), self.observers_max, members, sum, ended)
    }

    /// Its number.
    pub fn id(&self) -> ViewId {
        self.id
    }

    /// Its members in order of their ids.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Where `id` stands among the members.
    pub fn position(&self, id: NodeId) -> Option<usize> {
        self.members.binary_search_by_key(&id, |member| member.id).ok()
    }

    /// The member `id`.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.position(id).map(|position| &self.members[position])
    }

    /// Whether this very life of `id` belongs to the view.
    pub fn contains(&self, id: NodeId, incarnation: Incarnation) -> bool {
        self.member(id).is_some_and(|member| member.incarnation == incarnation)
    }

    /// Whether `member` belongs to the view in the life that it is in, and no other process had that life before.
    pub fn is_home_of(&self, member: &Member) -> bool {
        let same = |known: &Member| {
            known.incarnation == member.incarnation && [0, member.birth].contains(&known.birth)
        };
        self.member(member.id).is_some_and(same)
    }

    /// Whether this life can never belong to a later view: it left, or a later life of the same node is or was here.
    pub fn is_ended(&self, id: NodeId, incarnation: Incarnation) -> bool {
        self.member(id).is_some_and(|member| member.incarnation > incarnation)
            || has_ended(&self.ended, id, incarnation)
    }

    /// The positions of those who observe the member at `position`.
    pub fn observers(&self, position: usize) -> &[u32] {
        &self.observers[position * self.width..][..self.width]
    }

    /// The positions of those whom the member at `position` observes.
    pub fn subjects(&self, position: usize) -> &[u32] {
        &self.subjects[self.subjects_from[position] as usize..self.subjects_from[position + 1] as usize]
    }

    /// A digest of number, settings and members.
    pub fn digest(&self) -> u128 {
        self.digest
    }
}

impl PartialEq for View {
    fn eq(&self, other: &View) -> bool {
        self.digest == other.digest
    }
}

impl Eq for View {}

impl Hash for View {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// The members in order of their ids, each once, and the sum of their digests.
fn in_order(mut members: Vec<Member>) -> (Vec<Member>, u128) {
    members.sort_by_key(|member| member.id);
    members.dedup_by_key(|member| member.id);
    let sum = members.iter().fold(0_u128, |sum, member| sum.wrapping_add(Fold::of(member)));
    (members, sum)
}

fn has_ended(ended: &[(NodeId, Incarnation)], id: NodeId, incarnation: Incarnation) -> bool {
    ended.iter().any(|&(node, last)| node == id && last >= incarnation)
}

/// `width` distinct observers for each member, one from each ring.
fn choose_observers(members: &[Member], width: usize) -> Vec<u32> {
    let n = members.len();
    let mut observers = vec![u32::MAX; n * width];
    let mut order: Vec<(u64, u32)> = Vec::with_capacity(n);
    for ring in 0..width {
        order.clear();
        order.extend(
            members
                .iter()
                .enumerate()
                .map(|(position, member)| (Fold::of(&(ring as u64, member.id)) as u64, position as u32)),
        );
        order.sort_unstable();
        for (place, &(_, position)) in order.iter().enumerate() {
            let chosen = &mut observers[position as usize * width..][..width];
            chosen[ring] = order[place + 1..]
                .iter()
                .chain(&order[..place])
                .map(|&(_, candidate)| candidate)
                .find(|candidate| !chosen[..ring].contains(candidate))
                .expect("width is less than n, so that someone is not chosen yet");
        }
    }
    observers
}

/// Turns "who observes me" into "whom do I observe".
fn transpose(observers: &[u32], width: usize, n: usize) -> (Vec<u32>, Vec<u32>) {
    let mut from = vec![0_u32; n + 1];
    for &observer in observers {
        from[observer as usize + 1] += 1;
    }
    for i in 0..n {
        from[i + 1] += from[i];
    }
    let mut next = from.clone();
    let mut subjects = vec![0; observers.len()];
    for (i, &observer) in observers.iter().enumerate() {
        let place = &mut next[observer as usize];
        subjects[*place as usize] = (i / width) as u32;
        *place += 1;
    }
    (subjects, from)
}

#[cfg(test)]
mod tests {
    use super::super::update::{Memo, ViewUpdate};
    use super::*;
    use crate::base::Rng;

    fn view_of(n: usize, k: u8) -> View {
        let mut rng = Rng::new(n as u64);
        let members = (0..n)
            .map(|i| Member {
                id: NodeId::new(rng.bits()),
                incarnation: Incarnation(1),
                birth: 0,
                name: format!("n{i}").into(),
                kind: "cpu".into(),
                worker: true,
                address: "".into(),
            })
            .collect();
        View::new(ViewId(1), k, members)
    }

    #[test]
    fn everyone_has_distinct_observers_other_than_itself() {
        for n in [1, 2, 3, 5, 6, 10, 100] {
            let view = view_of(n, 5);
            let mut watched = 0;
            for position in 0..n {
                let mut observers = view.observers(position).to_vec();
                assert_eq!(observers.len(), 5.min(n - 1));
                assert!(!observers.contains(&(position as u32)));
                for &observer in &observers {
                    assert!(view.subjects(observer as usize).contains(&(position as u32)));
                }
                observers.sort_unstable();
                observers.dedup();
                assert_eq!(observers.len(), 5.min(n - 1), "n = {n}");
                watched += view.subjects(position).len();
            }
            assert_eq!(watched, n * 5.min(n - 1));
        }
    }

    #[test]
    fn a_life_belongs_to_the_process_that_began_it() {
        let formed = view_of(3, 5);
        let member = Member { birth: 7, ..formed.members()[1].clone() };
        assert!(formed.is_home_of(&member), "who formed the view knew of no process");
        let second = Member { incarnation: Incarnation(2), ..member };
        let view = formed.after(&ViewChange { joined: vec![second.clone()], gone: Vec::new() });
        assert!(view.is_home_of(&second));
        assert!(!view.is_home_of(&Member { birth: 8, ..second }));
    }

    #[test]
    fn a_view_change_replaces_a_life_and_never_evicts_a_newer_one() {
        let view = view_of(5, 5);
        let mut reborn = view.members()[2].clone();
        reborn.incarnation = Incarnation(2);
        let change =
            ViewChange { joined: vec![reborn.clone()], gone: vec![(view.members()[0].id, Incarnation(1))] };
        let after = view.after(&change);
        assert_eq!((after.id(), after.members().len()), (ViewId(2), 4));
        assert!(after.contains(reborn.id, Incarnation(2)) && !after.contains(reborn.id, Incarnation(1)));
        let late = ViewChange { joined: vec![], gone: vec![(reborn.id, Incarnation(1))] };
        assert!(after.after(&late).contains(reborn.id, Incarnation(2)));
    }

    #[test]
    fn a_life_that_left_or_was_replaced_never_returns() {
        let view = view_of(5, 5);
        let [gone, replaced] = [0, 1].map(|position| view.members()[position].clone());
        let life = |member: &Member, life| Member { incarnation: Incarnation(life), ..member.clone() };
        let after = view.after(&ViewChange {
            joined: vec![life(&replaced, 2), life(&replaced, 3)],
            gone: vec![(gone.id, Incarnation(1)), (gone.id, Incarnation(1)), (replaced.id, Incarnation(2))],
        });
        assert!(after.is_ended(gone.id, Incarnation(1)) && after.is_ended(replaced.id, Incarnation(2)));
        assert!(after.contains(replaced.id, Incarnation(3)) && after.members().len() == 4);
        let back = ViewChange { joined: vec![gone.clone(), replaced.clone()], gone: vec![] };
        let unchanged = after.after(&back);
        assert_eq!(unchanged.members(), after.members());
        let anew = ViewChange { joined: vec![life(&gone, 2)], gone: vec![(replaced.id, Incarnation(3))] };
        let later = unchanged.after(&anew);
        assert!(later.contains(gone.id, Incarnation(2)) && later.is_ended(replaced.id, Incarnation(3)));
        let bytes = postcard::to_stdvec(&later).unwrap();
        let read: View = postcard::from_bytes(&bytes).unwrap();
        assert!(read == later && read.is_ended(replaced.id, Incarnation(3)));
        assert!(read.is_ended(gone.id, Incarnation(1)) && !read.is_ended(gone.id, Incarnation(2)));
    }

    #[test]
    fn the_oldest_ended_lives_are_forgotten_first() {
        let view = view_of(ENDED_MAX + 10, 1);
        let lives: Vec<_> = view.members().iter().map(|member| (member.id, member.incarnation)).collect();
        let after = view.after(&ViewChange { joined: vec![], gone: lives[..5].to_vec() });
        let after = after.after(&ViewChange { joined: vec![], gone: lives[5..ENDED_MAX + 4].to_vec() });
        let ended: Vec<_> = lives.iter().map(|&(id, life)| after.is_ended(id, life)).collect();
        let expected: Vec<_> = (0..lives.len()).map(|i| (4..ENDED_MAX + 4).contains(&i)).collect();
        assert_eq!(ended, expected);
    }

    /// The short way from view to view leads where the long way leads, whatever changes.
    #[test]
    fn a_changed_view_is_the_view_of_the_changed_members() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut view = view_of(rng.below(12) as usize, 1 + rng.below(6) as u8);
            let mut ids: Vec<NodeId> = (0..8).map(|_| NodeId::new(rng.bits())).collect();
            ids.extend(view.members().iter().map(|member| member.id));
            for _ in 0..20 {
                let mut pick =
                    || (ids[rng.below(ids.len() as u64) as usize], Incarnation(1 + rng.below(4) as u32));
                let gone: Vec<_> = (0..3).map(|_| pick()).collect();
                let joined: Vec<_> = (0..3).map(|_| of_life(pick())).collect();
                let after = view.after(&ViewChange { joined, gone });
                let built = View::new(after.id(), after.observers_max, after.members().to_vec());
                assert_eq!(after.observers, built.observers, "seed {seed}");
                assert_eq!(after.subjects, built.subjects, "seed {seed}");
                assert_eq!(after.sum, built.sum, "seed {seed}");
                let nodes: std::collections::BTreeSet<NodeId> =
                    after.ended.iter().map(|&(id, _)| id).collect();
                assert_eq!(nodes.len(), after.ended.len(), "seed {seed}: one record per node is enough");
                assert!(after.members().is_sorted_by_key(|member| member.id), "seed {seed}");
                for member in view.members() {
                    let stays = after.contains(member.id, member.incarnation);
                    assert_ne!(stays, after.is_ended(member.id, member.incarnation), "seed {seed}");
                }
                view = after;
            }
        }
    }

    fn of_life((id, incarnation): (NodeId, Incarnation)) -> Member {
        let nothing: Arc<str> = "".into();
        Member {
            id,
            incarnation,
            birth: 0,
            name: Arc::clone(&nothing),
            kind: Arc::clone(&nothing),
            worker: true,
            address: nothing,
        }
    }

    #[test]
    fn a_step_resolves_only_from_its_base() {
        let view = view_of(4, 3);
        let change = ViewChange { joined: vec![], gone: vec![(view.members()[1].id, Incarnation(1))] };
        let step = ViewUpdate::Step { base: view.id(), change: change.clone(), result: Memo::default() };
        let resolved = step.resolve(&view).expect("the base is at hand");
        assert_eq!(*resolved, view.after(&change));
        assert!(step.resolve(&resolved).is_none());
        let bytes = postcard::to_stdvec(&step).unwrap();
        assert_eq!(postcard::from_bytes::<ViewUpdate>(&bytes).unwrap(), step);
    }
}
