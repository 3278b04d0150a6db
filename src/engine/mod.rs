//! What runs a batch: the inference engine of a real node, in a child process of its own.
//!
//! A crash, an abort in foreign code or a kill for want of memory then costs one batch and never the node's heartbeats. Parent
//! and child speak in frames over the child's standard input and output ([`Order`], [`Said`]): one order at a time, answered
//! once. The child ends when its standard input ends, so that none outlives its node.
//!
//! [`serve`] is the child. [`Supervisor`] is the parent's side: it starts the child, reports its death at once, and starts
//! the next.

mod frame;
pub mod layout;
mod serve;
mod supervisor;
mod synthetic;
#[cfg(feature = "torch")]
pub mod torch;
#[cfg(not(feature = "torch"))]
mod without;
mod words;

pub use serve::serve;
pub use supervisor::{Event, Supervisor};
#[cfg(not(feature = "torch"))]
use without as torch;
pub use words::{Failed, Model, Order, Said, Setup};

/// Whether this program can run real networks.
pub const HAS_TORCH: bool = cfg!(feature = "torch");
/// What is said when it shall and cannot, after what was wanted.
pub const NO_TORCH: &str = "this idunno was built without libtorch; in its sources, \"make libtorch\" fetches that, and then \
     LIBTORCH=$(make -s libtorch) cargo install --path . --features torch builds an idunno with it";
