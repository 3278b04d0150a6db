//! What a synthetic model answers: a function of the inputs' names, the same in the simulator and on real nodes.

use std::hash::Hasher;

use super::Fold;

/// Bytes of prediction per input.
pub const PREDICTION_BYTES: usize = 4;

/// What a model predicts for a range of inputs: four bytes each, the same whoever computes them and however they are cut.
pub fn predictions(model: &str, dataset: &str, from: u64, inputs: u32) -> Vec<u8> {
    let mut fold = Fold::new(0);
    fold.write(model.as_bytes());
    fold.write(dataset.as_bytes());
    let mut predictions = Vec::with_capacity(inputs as usize * PREDICTION_BYTES);
    for input in from..from.saturating_add(u64::from(inputs)) {
        let mut one = fold;
        one.write_u64(input);
        predictions.extend_from_slice(&one.finish().to_le_bytes()[..PREDICTION_BYTES]);
    }
    predictions
}
