//! What the clients of a drill put: files of as many drawn bytes as the scenario says, made before anything is asked.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use crate::base::Rng;
use crate::cluster::client::Local;
use crate::node::FileKind;
use crate::scenario::{Errand, Plan};

/// Bytes that are drawn and written at once.
const PIECE_BYTES: u64 = 1 << 20;

/// The file of each `put` of the plan, by what makes its bytes different from those of all others. They lie in the folder for temporary
/// files, without names, and are gone with the drill.
pub(super) fn files(plan: &Plan, rng: &Rng) -> io::Result<BTreeMap<u32, Arc<Local>>> {
    let mut files = BTreeMap::new();
    for request in &plan.requests {
        if let Errand::Put { bytes, salt, .. } = request.errand {
            files.insert(salt, Arc::new(drawn(bytes, &mut rng.fork_number(u64::from(salt)))?));
        }
    }
    Ok(files)
}

fn drawn(bytes: u64, rng: &mut Rng) -> io::Result<Local> {
    let mut file = tempfile::tempfile()?;
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(PIECE_BYTES);
        let words = (0..piece.div_ceil(8)).flat_map(|_| rng.bits().to_le_bytes());
        file.write_all(&words.take(piece as usize).collect::<Vec<u8>>())?;
        left -= piece;
    }
    Local::of(file, FileKind::Plain, &|_| true).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_put_has_a_file_of_its_own_and_the_same_one_for_the_same_seed() {
        let put = |name: &str, bytes: u64| {
            format!("[[request]]\nkind = \"put\"\nfile = \"{name}\"\nbytes = {bytes}\n")
        };
        let source = format!("nodes = 1\nuntil = \"1s\"\n{}{}", put("a", 5_000_001), put("a", 5_000_001));
        let plan = Plan::read(&source, "puts").unwrap();
        let contents = |seed| {
            let files = files(&plan, &Rng::new(seed)).unwrap();
            files.into_values().map(|file| Arc::clone(file.content())).collect::<Vec<_>>()
        };
        let found = contents(1);
        assert_eq!(found.iter().map(|content| content.bytes()).collect::<Vec<_>>(), [5_000_001; 2]);
        assert!(found[0] != found[1] && found == contents(1) && found != contents(2));
    }
}
