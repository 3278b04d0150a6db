//! What stands in for real networks in a program that was built without them.

#![expect(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "it has the form of what it stands in for"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::NO_TORCH;
use super::words::{Order, Said};
use crate::base::{AttemptId, Network};

/// Says what is missing.
#[derive(Debug)]
pub(super) struct Torch;

impl Torch {
    pub(super) fn new(_: BTreeMap<Arc<str>, Network>) -> std::io::Result<Torch> {
        Ok(Torch)
    }

    pub(super) fn ear(&self) -> impl Fn(&Order) + Send + 'static {
        |_| {}
    }

    pub(super) fn load(&mut self, model: Arc<str>) -> Said {
        Said::LoadFailed { model, reason: NO_TORCH.into() }
    }

    pub(super) fn infer(&mut self, attempt: AttemptId, _: &Arc<str>, _: &Arc<str>, _: u64, _: u32) -> Said {
        Said::Failed { attempt, reason: NO_TORCH.into() }
    }
}
