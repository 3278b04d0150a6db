//! The engine that computes nothing: it takes the time that a model's cost profile says, and answers from the inputs' names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::words::{Order, Said};
use crate::base::{CostProfile, Rng, Span, synthetic};

/// An engine with its memory.
pub(super) struct Synthetic {
    models: BTreeMap<Arc<str>, CostProfile>,
    speed: f64,
    rng: Rng,
    warm: BTreeSet<Arc<str>>,
}

impl Synthetic {
    /// An engine with nothing in memory.
    pub(super) fn new(models: BTreeMap<Arc<str>, CostProfile>, speed: f64, seed: u64) -> Synthetic {
        Synthetic { rng: Rng::new(seed).fork("synthetic"), models, speed, warm: BTreeSet::new() }
    }

    /// How long the order takes and what it will come to.
    pub(super) fn carry_out(&mut self, order: Order) -> (Span, Said) {
        match order {
            Order::Load { model } => {
                let Some(profile) = self.models.get(&model) else {
                    let reason = format!("this node knows no model {model}").into();
                    return (Span::ZERO, Said::LoadFailed { model, reason });
                };
                let takes = profile.load.sample(&mut self.rng).scaled(1.0 / self.speed);
                self.warm.insert(Arc::clone(&model));
                (takes, Said::Loaded { model })
            }
            Order::Infer { attempt, model, dataset, from, inputs } => {
                let Some(profile) = self.models.get(&model).filter(|_| self.warm.contains(&model)) else {
                    let reason = format!("the model {model} is not in memory").into();
                    return (Span::ZERO, Said::Failed { attempt, reason });
                };
                let took = profile.query(inputs, self.speed, &mut self.rng);
                let predictions = (0..u64::from(inputs))
                    .flat_map(|place| synthetic::prediction(&model, &dataset, from.saturating_add(place)))
                    .collect();
                (took, Said::Finished { attempt, inputs, predictions, failed: Vec::new(), took })
            }
            Order::Expect { .. } => unreachable!("it is only heard"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AttemptId, BySize, CostProfile, Draw, Epoch};

    const ATTEMPT: AttemptId = AttemptId { epoch: Epoch(1), serial: 1 };

    fn engine() -> Synthetic {
        let profile = CostProfile {
            load: Draw::Fixed(Span::millis(100)),
            setup: Draw::Fixed(Span::millis(10)),
            per_input: Draw::Fixed(Span::millis(1)),
            by_size: BySize::LINE,
        };
        Synthetic::new([("m".into(), profile)].into(), 2.0, 1)
    }

    fn infer(model: &str) -> Order {
        let (model, dataset) = (model.into(), "d".into());
        Order::Infer { attempt: ATTEMPT, model, dataset, from: 5, inputs: 10 }
    }

    #[test]
    fn it_takes_what_the_profile_says_and_answers_for_every_input() {
        let mut engine = engine();
        let (takes, said) = engine.carry_out(Order::Load { model: "m".into() });
        assert_eq!((takes, said), (Span::millis(50), Said::Loaded { model: "m".into() }));
        let (takes, said) = engine.carry_out(infer("m"));
        let predictions = (5..15).flat_map(|input| synthetic::prediction("m", "d", input)).collect();
        assert_eq!(takes, Span::millis(10));
        assert_eq!(
            said,
            Said::Finished { attempt: ATTEMPT, inputs: 10, predictions, failed: Vec::new(), took: takes }
        );
    }

    #[test]
    fn it_refuses_models_that_it_does_not_know_or_has_not_loaded() {
        let mut engine = engine();
        assert!(matches!(engine.carry_out(infer("m")).1, Said::Failed { attempt: ATTEMPT, .. }));
        let said = engine.carry_out(Order::Load { model: "other".into() }).1;
        assert!(matches!(said, Said::LoadFailed { reason, .. } if reason.contains("no model other")));
    }
}
