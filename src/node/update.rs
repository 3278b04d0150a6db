//! How a view travels: whole, or as the step from the one before it, whose result those in one process share.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::view::{View, ViewChange};
use crate::base::ViewId;

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
