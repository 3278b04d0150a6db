//! Frames over a pipe: four bytes of length, then so many bytes of postcard.

use std::io::{self, ErrorKind, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes of one frame. A batch has at most 10,000 inputs of 64 bytes of prediction each.
const FRAME_BYTES_MAX: usize = 16 << 20;

/// Writes one value and flushes.
pub(super) fn write(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut frame = postcard::to_extend(value, vec![0; 4]).map_err(io::Error::other)?;
    let length = frame.len() - 4;
    if length > FRAME_BYTES_MAX {
        let why = format!("a frame of {length} bytes is larger than the {FRAME_BYTES_MAX} that are allowed");
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    to.write_all(&frame)?;
    to.flush()
}

/// Reads one value; `None` when the pipe has ended before its first byte.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length[..1]) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    from.read_exact(&mut length[1..])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        let why = format!("a frame claims {length} bytes, and at most {FRAME_BYTES_MAX} are allowed");
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    let (value, rest) = postcard::take_from_bytes(&bytes).map_err(io::Error::other)?;
    if rest.is_empty() {
        Ok(Some(value))
    } else {
        let why = format!("a frame has {} bytes more than it needs", rest.len());
        Err(io::Error::new(ErrorKind::InvalidData, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_until_the_pipe_ends() {
        let mut pipe = Vec::new();
        write(&mut pipe, &"one").unwrap();
        write(&mut pipe, &"two").unwrap();
        let mut rest = pipe.as_slice();
        assert_eq!(read::<String>(&mut rest).unwrap().as_deref(), Some("one"));
        assert_eq!(read::<String>(&mut rest).unwrap().as_deref(), Some("two"));
        assert_eq!(read::<String>(&mut rest).unwrap(), None);
    }

    #[test]
    fn a_frame_that_is_cut_too_long_or_nonsense_is_an_error() {
        let mut pipe = Vec::new();
        write(&mut pipe, &"one").unwrap();
        for kept in 1..pipe.len() {
            assert!(read::<String>(&mut &pipe[..kept]).is_err(), "{kept} bytes are no frame");
        }
        let long = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes();
        assert_eq!(read::<String>(&mut long.as_slice()).unwrap_err().kind(), ErrorKind::InvalidData);
        let spare = [2, 0, 0, 0, 0, 7];
        assert_eq!(read::<String>(&mut spare.as_slice()).unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(write(&mut Vec::new(), &serde_bytes::Bytes::new(&vec![0; FRAME_BYTES_MAX])).is_err());
    }
}
