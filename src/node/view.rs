//! A committed membership, with the rings that say who observes whom. Immutable and shared.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::base::{Fold, Incarnation, NodeId, ViewId};

/// A node as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Its identity.
    pub id: NodeId,
    /// The life that belongs to the view; messages of an earlier one are void.
    pub incarnation: Incarnation,
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

/// A committed membership: its members in order of their ids, and who observes whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Listed", into = "Listed")]
pub struct View {
    id: ViewId,
    observers_max: u8,
    members: Vec<Member>,
    /// `width` positions per member: its observers.
    observers: Vec<u32>,
    width: usize,
    /// The positions of the members that each member observes, one after another, and where each one's begin.
    subjects: Vec<u32>,
    subjects_from: Vec<u32>,
    digest: u128,
}

/// A view as it travels and is stored: the rings follow from the members.
#[derive(Clone, Serialize, Deserialize)]
struct Listed {
    id: ViewId,
    observers_max: u8,
    members: Vec<Member>,
}

impl From<Listed> for View {
    fn from(listed: Listed) -> View {
        View::new(listed.id, listed.observers_max, listed.members)
    }
}

impl From<View> for Listed {
    fn from(view: View) -> Listed {
        Listed { id: view.id, observers_max: view.observers_max, members: view.members }
    }
}

impl View {
    /// The view `id` of these members, in which each has up to `observers_max` distinct observers (fewer in a small
    /// cluster).
    ///
    /// Ring `k` orders the members by `hash(k, id)`. A member's observers are found by walking each ring from its
    /// place past those already chosen, so that they are always distinct.
    pub fn new(id: ViewId, observers_max: u8, mut members: Vec<Member>) -> View {
        members.sort_by_key(|member| member.id);
        members.dedup_by_key(|member| member.id);
        let n = members.len();
        let width = usize::from(observers_max).min(n.saturating_sub(1));
        let mut observers = vec![u32::MAX; n * width];
        for ring in 0..width {
            let mut order: Vec<(u64, u32)> = members
                .iter()
                .enumerate()
                .map(|(position, member)| (Fold::of(&(ring as u64, member.id)) as u64, position as u32))
                .collect();
            order.sort_unstable();
            for place in 0..n {
                let position = order[place].1;
                let chosen = &mut observers[position as usize * width..][..width];
                let next = (1..n)
                    .map(|step| order[(place + step) % n].1)
                    .find(|candidate| !chosen[..ring].contains(candidate))
                    .expect("width is less than n, so that someone is not chosen yet");
                chosen[ring] = next;
            }
        }
        let (subjects, subjects_from) = transpose(&observers, width, n);
        let digest = Fold::of(&(id, observers_max, &members));
        View { id, observers_max, members, observers, width, subjects, subjects_from, digest }
    }

    /// The view before any: nobody.
    pub fn empty() -> View {
        View::new(ViewId(0), 0, Vec::new())
    }

    /// The view after this one: the next number, the change applied.
    #[must_use]
    pub fn after(&self, change: &ViewChange) -> View {
        let replaced = |member: &Member| change.joined.iter().any(|joined| joined.id == member.id);
        let gone = |member: &Member| change.gone.contains(&(member.id, member.incarnation));
        let stay = self.members.iter().filter(|member| !gone(member) && !replaced(member));
        let members = stay.chain(&change.joined).cloned().collect();
        View::new(self.id.next(), self.observers_max, members)
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

/// How a view travels: whole, or as the step from the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ViewUpdate {
    /// The view itself, for one who lacks its predecessor.
    Whole(Arc<View>),
    /// The change from view `base` to its successor.
    Step {
        /// The view that the change starts from.
        base: ViewId,
        /// The change.
        change: ViewChange,
        /// The resulting view, computed by whoever needs it first: receivers in one process share it.
        result: Memo<Arc<View>>,
    },
}

impl ViewUpdate {
    /// The view that this update leads to.
    pub fn target(&self) -> ViewId {
        match self {
            ViewUpdate::Whole(view) => view.id(),
            ViewUpdate::Step { base, .. } => base.next(),
        }
    }

    /// The new view as seen by one who holds `current`; `None` when the predecessor is missing.
    pub fn resolve(&self, current: &View) -> Option<Arc<View>> {
        match self {
            ViewUpdate::Whole(view) => Some(Arc::clone(view)),
            ViewUpdate::Step { base, change, result } => (*base == current.id())
                .then(|| Arc::clone(result.0.get_or_init(|| Arc::new(current.after(change))))),
        }
    }
}

/// A derived value that is computed at most once and takes no part in comparisons, digests or encodings.
#[derive(Clone, Debug)]
pub struct Memo<T>(OnceLock<T>);

impl<T> Memo<T> {
    /// A memo that already knows its value.
    pub fn of(value: T) -> Memo<T> {
        let cell = OnceLock::new();
        let _ = cell.set(value);
        Memo(cell)
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Memo<T> {
        Memo(OnceLock::new())
    }
}

impl<T> PartialEq for Memo<T> {
    fn eq(&self, _: &Memo<T>) -> bool {
        true
    }
}

impl<T> Eq for Memo<T> {}

impl<T> Hash for Memo<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl<T> Serialize for Memo<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de, T> Deserialize<'de> for Memo<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Memo<T>, D::Error> {
        <()>::deserialize(deserializer).map(|()| Memo::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    fn view_of(n: usize, k: u8) -> View {
        let mut rng = Rng::new(n as u64);
        let members = (0..n)
            .map(|i| Member {
                id: NodeId::new(rng.bits()),
                incarnation: Incarnation(1),
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
