//! Reads what a scenario says about a real network.

use super::error::Wrong;
use super::read::Section;
use crate::base::{Architecture, Network, Weights};
use crate::node::stored;

/// How many classes random weights tell apart when nobody says.
const CLASSES: u32 = 1_000;

/// The network of a model that is a real one.
pub(super) fn read(section: &Section<'_>, name: &str, engine: &str) -> Option<Network> {
    if engine != "torch" {
        refuse_all(section);
        return None;
    }
    // Read first, so that what is wrong with them is said whatever else is.
    let (classes, threads) = (section.whole("classes") as u32, section.whole("threads") as u32);
    let refuse = |key: &str, why: String| section.refuse(key, Wrong::Contradiction(why));
    if is_imported(section) {
        return imported(section, threads);
    }
    let architecture = match section.if_written("network", Section::choice) {
        Some(chosen) => chosen.and_then(|word| word.parse().ok()),
        None => name
            .parse::<Architecture>()
            .map_err(|wanted| refuse("network", format!("missing; {wanted}")))
            .ok(),
    }?;
    let file = section.text("weights");
    let seed = section.unless_word("random_weights", Section::whole);
    let weights = match (file.as_str(), seed) {
        ("", Some(seed)) => Weights::Random(seed as u64),
        ("", None) => {
            let why = "missing; wanted a file of weights, random_weights with a seed for a network that knows nothing, or no network either for a model \
                 that was imported";
            refuse("weights", why.to_owned());
            return None;
        }
        (file, None) => match stored(file) {
            None => Weights::File(file.into()),
            Some(Ok(_)) => Weights::Stored(file.into()),
            Some(Err(flaw)) => {
                refuse("weights", format!("{file:?}: {flaw}"));
                return None;
            }
        },
        (_, Some(_)) => {
            refuse(
                "random_weights",
                "stands beside weights, and only one of them can be in force".to_owned(),
            );
            return None;
        }
    };
    if architecture == Architecture::Script && seed.is_some() {
        refuse(
            "random_weights",
            "a script has its weights in its file; wanted weights with that file".to_owned(),
        );
    }
    if classes != CLASSES && !matches!(weights, Weights::Random(_)) {
        let why = "only random weights have as many as one says; those of a file say so themselves; wanted no classes here";
        refuse("classes", why.to_owned());
    }
    let input = match section.if_written("input", Section::text) {
        Some(text) => text.parse().map_err(|wanted| refuse("input", format!("{text:?}: {wanted}"))).ok()?,
        None => architecture.usual_input(),
    };
    let device = section.text("device");
    let device = device.parse().map_err(|wanted| refuse("device", format!("{device:?}: {wanted}"))).ok()?;
    Some(Network { architecture, weights, classes, input, device, threads })
}

/// Whether neither layers nor weights are named.
fn is_imported(section: &Section<'_>) -> bool {
    !["network", "weights", "random_weights", "classes", "input"].iter().any(|key| section.has(key))
}

/// The model of this name as it was imported: what it is stands there.
fn imported(section: &Section<'_>, threads: u32) -> Option<Network> {
    let (architecture, weights) = (Architecture::Script, Weights::Imported);
    let device = section.text("device");
    let refuse = |wanted| section.refuse("device", Wrong::Contradiction(format!("{device:?}: {wanted}")));
    let device = device.parse().map_err(refuse).ok()?;
    Some(Network {
        architecture,
        weights,
        classes: CLASSES,
        input: architecture.usual_input(),
        device,
        threads,
    })
}

/// What only a network has, and is not as it is for everyone, must not stand beside the synthetic engine.
fn refuse_all(section: &Section<'_>) {
    let said = [
        ("network", section.has("network")),
        ("weights", !section.text("weights").is_empty()),
        ("random_weights", section.unless_word("random_weights", Section::whole).is_some()),
        ("classes", section.whole("classes") as u32 != CLASSES),
        ("input", section.has("input")),
        ("device", section.text("device") != "auto"),
        ("threads", section.whole("threads") != 1),
    ];
    for (key, _) in said.into_iter().filter(|(_, said)| *said) {
        let why = "means nothing to the synthetic engine; wanted beside it: engine = \"torch\"".to_owned();
        section.refuse(key, Wrong::Contradiction(why));
    }
}
