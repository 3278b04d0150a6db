//! What travels: a greeting, then messages one way, or what clients ask and are told.

use std::net::SocketAddr;

use quinn::{RecvStream, SendStream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::{Chunk, ChunkId, NodeId, SessionId, Time};
use crate::cluster::chunks::Unkept;
use crate::cluster::lending::Shelf;
use crate::cluster::{Measured, News, Standing};
use crate::node::{Reply, Request};

/// The version of everything that travels. Others are refused.
pub(crate) const VERSION: u32 = 5;
/// The most bytes of one frame: a message holds at most 1 MiB of entries, or one entry, or a view.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// The most bytes of what a client asks: a submission has at most half a MiB of text, a file that is put a third of a MiB of chunks.
const ASK_BYTES_MAX: usize = 1 << 20;

/// The most bytes of what a node asks of another on a stream of its own.
const CALL_BYTES_MAX: usize = 64;

/// The first frame of every connection, from the one who dialled; answered by [`Welcome`]. The version comes first, for ever.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) version: u32,
    pub(crate) who: Who,
}

/// Who dials.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Who {
    /// A node, and where it can be reached.
    Node { id: NodeId, address: SocketAddr },
    /// A client.
    Client,
}

/// The answer to a [`Hello`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Welcome {
    /// "I am this node; go on."
    Yes { id: NodeId },
    /// "No", and why.
    No { reason: String },
}

/// What a client asks, on a stream of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Something of the cluster. Answered by [`Told::Reply`].
    Request { session: SessionId, number: u64, request: Request },
    /// How the node sees itself and the cluster. Answered by [`Told::Standing`].
    Standing,
    /// What the node finds the network and its disk to be like, with this many round trips to each other node; more than 1,000 are
    /// cut to that. Answered by [`Told::Measured`], after about ten milliseconds for each trip.
    Measure { trips: u32 },
    /// What the node noticed after the news of this number. Answered by [`Told::News`].
    News { after: u64 },
    /// The node shall leave the cluster. Answered by [`Told::Leaving`].
    Leave,
    /// What the node's clock shows. Answered by [`Told::Clock`].
    Clock,
    /// What there is of the node's diary. Answered by [`Told::Shelf`].
    Shelf,
    /// What stands in a file of its diary from this byte on. Answered by [`Told::Diary`].
    Diary { number: u64, from: u64 },
    /// Which of these chunks, at most as many as a file has, the node does not have. Answered by [`Told::Missing`].
    Offer(Vec<ChunkId>),
    /// "Keep this chunk"; its bytes follow on the stream. Answered by [`Told::Kept`] once it is durable, or sooner when it is not.
    Bring(Chunk),
    /// A chunk, please. Answered by [`Held`], and the bytes that this says.
    Chunk(ChunkId),
}

/// What a node asks of another, on a stream of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Call {
    /// "Send back every byte that follows", to be measured.
    Echo,
    /// A chunk, please. Answered by [`Held`], and the bytes that this says.
    Chunk(ChunkId),
}

/// How many bytes of a chunk follow; `None` when whoever was asked does not have it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Held(pub(crate) Option<u32>);

/// What a client is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    Reply(Reply),
    Standing(Box<Standing>),
    Measured(Box<Measured>),
    Leaving,
    News {
        standing: Box<Standing>,
        news: Vec<News>,
    },
    Clock(Time),
    Shelf(Box<Shelf>),
    /// At most 1 MiB; nothing when that is all so far, `None` when there is no such file.
    Diary(Option<serde_bytes::ByteBuf>),
    /// The places of what is missing.
    Missing(Vec<u32>),
    Kept(Result<(), Unkept>),
}

/// Why a frame cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The connection is gone.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The frame is too long or makes no sense.
    #[error("{0}")]
    Nonsense(String),
}

/// Four bytes of length, then postcard, added to `to`.
pub(crate) fn encode(value: &impl Serialize, to: &mut Vec<u8>) {
    let bytes = postcard::to_stdvec(value).expect("what travels can be encoded");
    to.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    to.extend_from_slice(&bytes);
}

/// Sends one frame.
pub(crate) async fn write(to: &mut SendStream, value: &impl Serialize) -> Result<(), WireError> {
    let mut frame = Vec::new();
    encode(value, &mut frame);
    to.write_all(&frame).await.map_err(|error| WireError::Broken(error.to_string()))
}

/// Receives one frame of at most `bytes_max` bytes.
async fn read_within<T: DeserializeOwned>(from: &mut RecvStream, bytes_max: usize) -> Result<T, WireError> {
    let broken = |error: quinn::ReadExactError| WireError::Broken(error.to_string());
    let mut length = [0; 4];
    from.read_exact(&mut length).await.map_err(broken)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > bytes_max {
        let why = format!("a frame claims {length} bytes, and at most {bytes_max} are allowed");
        return Err(WireError::Nonsense(why));
    }
    // What is claimed takes memory only as it comes.
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let chunk = from.read_chunk(length - bytes.len(), true).await;
        let chunk = chunk.map_err(|error| WireError::Broken(error.to_string()))?;
        bytes.extend_from_slice(
            &chunk.ok_or_else(|| WireError::Broken("it ended within a frame".to_owned()))?.bytes,
        );
    }
    decode(&bytes)
}

/// Receives what a client asks, which is never long.
pub(crate) async fn read_ask(from: &mut RecvStream) -> Result<Ask, WireError> {
    read_within(from, ASK_BYTES_MAX).await
}

/// Receives what a node asks, which is short.
pub(crate) async fn read_call(from: &mut RecvStream) -> Result<Call, WireError> {
    read_within(from, CALL_BYTES_MAX).await
}

/// Receives one frame.
pub(crate) async fn read<T: DeserializeOwned>(from: &mut RecvStream) -> Result<T, WireError> {
    read_within(from, FRAME_BYTES_MAX).await
}

/// Receives a greeting: its version first, because nothing can be known of the rest of another one.
pub(crate) async fn read_hello(from: &mut RecvStream) -> Result<Who, WireError> {
    let bytes: serde_bytes::ByteBuf = read_within(from, 1024).await?;
    let (version, _): (u32, _) =
        postcard::take_from_bytes(&bytes).map_err(|error| WireError::Nonsense(error.to_string()))?;
    if version != VERSION {
        let why = format!(
            "this node speaks version {VERSION} and not {version}; all nodes and clients need the same program"
        );
        return Err(WireError::Nonsense(why));
    }
    Ok(decode::<Hello>(&bytes)?.who)
}

/// A greeting as it travels: bytes within a frame.
pub(crate) fn hello(who: Who) -> serde_bytes::ByteBuf {
    let hello = Hello { version: VERSION, who };
    serde_bytes::ByteBuf::from(postcard::to_stdvec(&hello).expect("a greeting can be encoded"))
}

/// The value that `bytes` are, all of them.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let nonsense = |error: postcard::Error| WireError::Nonsense(error.to_string());
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(nonsense)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(WireError::Nonsense(format!("a frame has {} bytes more than it needs", rest.len())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::node::Message;

    proptest! {
        /// Whatever arrives is a value or an error, never a panic, and never takes more memory than it is long.
        #[test]
        fn random_bytes_are_refused_or_mean_something(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = decode::<Message>(&bytes) {
                // A number can be written in more than one way; what it means is the same.
                let again = postcard::to_stdvec(&message).unwrap();
                prop_assert_eq!(decode::<Message>(&again).unwrap(), message);
            }
            let _ = decode::<Ask>(&bytes);
            let _ = decode::<Call>(&bytes);
            let _ = decode::<Hello>(&bytes);
        }

        #[test]
        fn what_is_cut_or_has_more_is_refused(number in any::<u64>(), cut in 0..8_usize) {
            let mut bytes = Vec::new();
            let who = Who::Node { id: NodeId::new(number | 1), address: ([127, 0, 0, 1], 7400).into() };
            encode(&Hello { version: VERSION, who }, &mut bytes);
            let frame = &bytes[4..];
            prop_assert!(decode::<Hello>(frame).is_ok());
            prop_assert!(decode::<Hello>(&frame[..frame.len() - 1 - cut]).is_err());
            prop_assert!(decode::<Hello>(&[frame, &[0]].concat()).is_err());
        }
    }
}
