//! What the membership machine promises, alone and in a small cluster.

mod cluster;
mod doors;
mod jury;
mod net;
mod ring;
mod solo;
mod watch;
