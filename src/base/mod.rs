//! Plain values that everything else is made of: time, identities, seeded randomness, model costs.

pub mod cache;
pub mod chunk;
pub mod fold;
pub mod ids;
pub mod network;
pub mod prediction;
pub mod profile;
pub mod rng;
pub mod synthetic;
pub mod time;

pub use cache::Cache;
pub use chunk::{Chunk, ChunkId};
pub use fold::Fold;
pub use ids::{AttemptId, ClusterId, Epoch, Incarnation, JobId, NodeId, QueryId, SessionId, ViewId};
pub use network::{Architecture, Device, InputShape, Network, Weights};
pub use prediction::{Prediction, Score};
pub use profile::{BySize, CostProfile, Draw};
pub use rng::Rng;
pub use time::{Span, Time};
