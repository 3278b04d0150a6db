//! How nodes and clients reach each other: QUIC with mutual TLS, on two ports.
//!
//! The port that a node is told to listen on carries everything that comes in streams: messages of the protocol, and what clients
//! ask. The next higher port carries heartbeats and alerts as datagrams, on a thread of its own, so that they never wait behind
//! anything else. Each side dials for what it wants to send; a connection carries messages one way.
//!
//! Every connection begins with a greeting ([`wire::Hello`]), and counts only once that was answered.

pub(super) mod complaints;
pub(super) mod endpoint;
pub(super) mod link;
mod strangers;
pub(super) mod wire;
