//! What a node and its engine say to each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{AttemptId, CostProfile, Network, Span};

/// The first thing that a child is told: everything that it may be asked for later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The models that it can load.
    pub models: BTreeMap<Arc<str>, Model>,
    /// How fast it shall be: 1 takes the time that the profiles say, 2 half of it.
    pub speed: f64,
    /// What its durations are drawn from, together with the number of its life.
    pub seed: u64,
}

/// What runs a model, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Model {
    /// Nothing is computed, and time passes: so much at speed 1.
    Synthetic(CostProfile),
    /// A network runs on libtorch.
    Torch(Network),
}

/// What a node wants of its engine, one thing at a time. Each is answered by one [`Said`], except for [`Order::Expect`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Bring a model into memory. Answered by [`Said::Loaded`] or [`Said::LoadFailed`].
    Load {
        /// The model.
        model: Arc<str>,
    },
    /// Run a batch on a model that is in memory. Answered by [`Said::Finished`] or [`Said::Failed`].
    Infer {
        /// Names the batch in the answer.
        attempt: AttemptId,
        /// The model.
        model: Arc<str>,
        /// The dataset of the inputs.
        dataset: Arc<str>,
        /// The first input.
        from: u64,
        /// How many inputs.
        inputs: u32,
    },
    /// Such a batch may be wanted soon: what can be done ahead may be done. Not answered, and always allowed.
    Expect {
        /// The model.
        model: Arc<str>,
        /// The dataset of the inputs.
        dataset: Arc<str>,
        /// The first input.
        from: u64,
        /// How many inputs.
        inputs: u32,
    },
}

/// What an engine says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// It has read its [`Setup`] and waits for orders.
    Ready,
    /// The model is in memory.
    Loaded {
        /// The model.
        model: Arc<str>,
    },
    /// The model could not be brought into memory.
    LoadFailed {
        /// The model.
        model: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// A batch ended with predictions.
    Finished {
        /// The batch.
        attempt: AttemptId,
        /// How many inputs it covers.
        inputs: u32,
        /// The predictions, in order of the inputs, all of the same length; failed inputs have none.
        #[serde(with = "serde_bytes")]
        predictions: Vec<u8>,
        /// The inputs without a prediction, in order.
        failed: Vec<Failed>,
        /// How long it took.
        took: Span,
    },
    /// A batch ended without any.
    Failed {
        /// The batch.
        attempt: AttemptId,
        /// Why.
        reason: Arc<str>,
    },
}

/// An input that ended without a prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Which, counted within the batch from 0.
    pub input: u32,
    /// Why, the essential first.
    pub reason: Arc<str>,
}
