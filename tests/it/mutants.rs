//! Planted bugs: the fuzzer finds each of them, says which invariant it breaks, and makes a small scenario of it.

use std::collections::BTreeMap;

use idunno::fuzz::{Failure, Profile, Trial, scenario, silence_findings};
use idunno::scenario::Mutant;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

#[test]
#[ignore = "explores"]
fn explore() {
    silence_findings();
    let max: u64 = std::env::var("SEEDS").map_or(200, |text| text.parse().unwrap());
    let only = std::env::var("ONLY").unwrap_or_default();
    let cases: Vec<(Mutant, Profile)> = Mutant::ALL
        .into_iter()
        .filter(|mutant| only.is_empty() || only.split(',').any(|name| name == mutant.name()))
        .flat_map(|mutant| Profile::ALL.map(|profile| (mutant, profile)))
        .collect();
    cases.into_par_iter().for_each(|(mutant, profile)| {
        let began = std::time::Instant::now();
        let mut ways: BTreeMap<Failure, Vec<u64>> = BTreeMap::new();
        let mut total = 0;
        for seed in 0..max {
            let plan = scenario(seed, profile).planted(mutant);
            let limit = std::time::Instant::now();
            let trial = Trial::run(&plan, plan.seed, false, &|| limit.elapsed().as_secs() > 20);
            if trial.stopped {
                println!("{} {} seed {seed} takes for ever", mutant.name(), profile.name());
            }
            if let Some((failure, _)) = trial.failure {
                ways.entry(failure).or_default().push(seed);
                total += 1;
                if total >= 3 {
                    break;
                }
            }
        }
        println!(
            "{:<28} {:<10} {:>6.1} s {ways:?}",
            mutant.name(),
            profile.name(),
            began.elapsed().as_secs_f64()
        );
    });
}
