//! What a synthetic model answers: a function of the inputs' names, the same in the simulator and on real nodes.

use std::hash::Hasher;

use super::Fold;

/// Bytes of prediction per input.
pub const PREDICTION_BYTES: usize = 4;

/// What a model predicts for an input: four bytes, the same whoever computes them.
pub fn prediction(model: &str, dataset: &str, input: u64) -> [u8; PREDICTION_BYTES] {
    let mut fold = Fold::new(0);
    fold.write(model.as_bytes());
    fold.write(dataset.as_bytes());
    fold.write_u64(input);
    let bytes = fold.finish().to_le_bytes();
    std::array::from_fn(|place| bytes[place])
}
