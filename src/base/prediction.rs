//! What a network predicts for an input, and what would have been right, in few bytes.

/// How many classes a prediction names.
pub const TOP: usize = 5;
/// Bytes of a prediction.
pub const BYTES: usize = 2 + TOP * 6;
/// The number that stands for no class.
const NONE: u16 = u16::MAX;

/// A prediction for one input.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The class that the input belongs to, if that is known; below 65,535.
    pub label: Option<u16>,
    /// The most likely classes with their probabilities, the most likely first: at most [`TOP`] of them.
    pub top: Vec<(u16, f32)>,
}

impl Prediction {
    /// As bytes: two of the label, then two of each class and four of its probability, all with the lowest first.
    pub fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..2].copy_from_slice(&self.label.unwrap_or(NONE).to_le_bytes());
        let all = self.top.iter().copied().chain(std::iter::repeat((NONE, 0.0)));
        for (place, (class, probability)) in bytes[2..].chunks_exact_mut(6).zip(all) {
            place[..2].copy_from_slice(&class.to_le_bytes());
            place[2..].copy_from_slice(&probability.to_le_bytes());
        }
        bytes
    }

    /// What these bytes say; `None` when they are not those of a prediction, but those of another engine.
    pub fn decode(bytes: &[u8]) -> Option<Prediction> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let (label, top) = bytes.split_first_chunk::<2>()?;
        let pair = |bytes: &[u8]| {
            let (class, probability) = bytes.split_first_chunk::<2>()?;
            Some((u16::from_le_bytes(*class), f32::from_le_bytes(probability.try_into().ok()?)))
        };
        let top = top.chunks_exact(6).filter_map(pair).take_while(|(class, _)| *class != NONE).collect();
        Some(Prediction { label: Some(u16::from_le_bytes(*label)).filter(|label| *label != NONE), top })
    }

    /// Whether the right class is among the `first` most likely; `None` when it is not known.
    pub fn is_right(&self, first: usize) -> Option<bool> {
        let label = self.label?;
        Some(self.top.iter().take(first).any(|(class, _)| *class == label))
    }
}

/// A prediction for people and programs: of a network the likeliest classes with their probabilities, of another engine its bytes in
/// hexadecimal digits.
pub fn text(bytes: &[u8]) -> String {
    let Some(prediction) = Prediction::decode(bytes) else {
        return bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    };
    let one = |(class, probability): &(u16, f32)| format!("{class}:{probability:.4}");
    prediction.top.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// How often predictions are right, of those whose right answer is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Predictions whose right answer is known.
    pub known: u64,
    /// Those of them whose first class is right.
    pub first: u64,
    /// Those of them where one of the first five is.
    pub five: u64,
}

impl Score {
    /// The score of the predictions of `answered` inputs; nothing is known of those of other engines.
    pub fn of(predictions: &[u8], answered: usize) -> Score {
        let mut score = Score::default();
        if predictions.len() == answered * BYTES {
            for one in predictions.chunks_exact(BYTES).filter_map(Prediction::decode) {
                let Some(first) = one.is_right(1) else { continue };
                score.known += 1;
                score.first += u64::from(first);
                score.five += u64::from(one.is_right(TOP) == Some(true));
            }
        }
        score
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Score) -> Score {
        let Score { known, first, five } = other;
        Score { known: self.known + known, first: self.first + first, five: self.five + five }
    }

    /// The shares of right first predictions, and of inputs whose right class is among the first five; `None` when no right answer is
    /// known.
    pub fn accuracy(self) -> Option<(f64, f64)> {
        let share = |right: u64| right as f64 / self.known as f64;
        (self.known > 0).then(|| (share(self.first), share(self.five)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let full =
            Prediction { label: Some(3), top: (0..5).map(|class| (class, 0.1 * f32::from(class))).collect() };
        let few = Prediction { label: None, top: vec![(1, 0.75), (0, 0.25)] };
        for one in [full, few] {
            assert_eq!(Prediction::decode(&one.encode()), Some(one));
        }
        assert_eq!(Prediction::decode(&[1, 2, 3, 4]), None);
    }

    #[test]
    fn it_is_right_when_the_label_is_among_the_first() {
        let one = Prediction { label: Some(7), top: vec![(4, 0.5), (7, 0.3), (1, 0.2)] };
        assert_eq!((one.is_right(1), one.is_right(5)), (Some(false), Some(true)));
        assert_eq!(Prediction { label: None, ..one }.is_right(5), None);
    }

    #[test]
    fn a_score_counts_what_is_known_and_leaves_other_engines_alone() {
        let one = |label, class: u16| Prediction { label, top: vec![(class, 0.9), (3, 0.1)] }.encode();
        let all = [one(Some(1), 1), one(Some(3), 1), one(Some(9), 1), one(None, 1)].concat();
        let score = Score::of(&all, 4);
        assert_eq!(score, Score { known: 3, first: 1, five: 2 });
        assert_eq!(score.with(score).accuracy(), Some((1.0 / 3.0, 2.0 / 3.0)));
        assert_eq!(Score::of(&[1, 2, 3, 4, 5, 6, 7, 8], 2).accuracy(), None);
    }
}
