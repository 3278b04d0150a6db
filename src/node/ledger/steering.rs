//! How operators steer the cluster: the policy that they have chosen, and the members that shall get no work.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::config::limits::DRAINED_MAX;
use super::super::message::Refusal;
use super::super::observation::Change;
use super::super::view::View;
use crate::base::{Fold, NodeId};

/// What operators have chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Steering {
    /// The policy in the place of the configured one.
    pub(super) policy: Option<Arc<str>>,
    /// Who shall get no queries, whatever becomes of its membership: a machine that restarts for maintenance is still meant.
    pub(super) drained: BTreeSet<NodeId>,
}

impl Steering {
    /// Whether nobody has chosen anything.
    pub(super) fn is_usual(&self) -> bool {
        self.policy.is_none() && self.drained.is_empty()
    }

    /// A digest of it; zero when nobody has chosen anything, so that it adds nothing to that of the whole state.
    pub(super) fn digest(&self) -> u128 {
        if self.is_usual() { 0 } else { Fold::of(&("steering", &self.policy, &self.drained)) }
    }

    /// Chooses a policy that there is; nothing happens when it was chosen before.
    pub(super) fn set_policy(&mut self, policy: &Arc<str>) -> Option<Change> {
        if self.policy.as_ref() == Some(policy) {
            return None;
        }
        self.policy = Some(Arc::clone(policy));
        Some(Change::PolicySet { policy: Arc::clone(policy) })
    }

    /// Takes a member out of work or lets it work again; nothing happens when that is so already.
    pub(super) fn drain(
        &mut self,
        node: NodeId,
        drained: bool,
        view: &View,
    ) -> Result<Option<Change>, Refusal> {
        let is_member = |id: NodeId| view.member(id).is_some();
        let changed = if drained {
            if !is_member(node) {
                return Err(Refusal::Invalid(format!("{node} is no member").into()));
            }
            if self.drained.len() >= DRAINED_MAX && !self.drained.contains(&node) {
                self.drained.retain(|&id| is_member(id));
            }
            if self.drained.len() >= DRAINED_MAX && !self.drained.contains(&node) {
                return Err(Refusal::Busy { what: "drained nodes".into(), limit: DRAINED_MAX as u64 });
            }
            self.drained.insert(node)
        } else {
            self.drained.remove(&node)
        };
        Ok(changed.then_some(Change::Drained { node, drained }))
    }
}
