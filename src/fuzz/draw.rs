//! From a seed to a scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::family::Family;
use super::faults::{self, Ground};
use super::profile::Profile;
use super::{lasting, settings};
use crate::base::{BySize, CostProfile, Draw, Rng, Span};
use crate::scenario::{
    Arrivals, Errand, Fault, FaultKind, Inputs, JobPlan, JobSpec, ModelPlan, NodePlan, Plan, PolicyOptions,
    RequestPlan, Until, policies, to_toml,
};

/// The bound on liveness: generous, so that what breaks it is stuck and not slow.
const LIVENESS_WITHIN: Span = Span::secs(60);

/// A machine that is away for so long can lose its seat.
const SEAT_GOES: Span = Span::secs(5);

/// The scenario of `seed`: one trial, whose faults are over after at most thirty seconds. Later on there are those that stay, and those
/// that wait for something (`on`): they begin up to a minute later than they are due, if at all.
///
/// Faults that stay hit fewer voters than a majority needs, so that everything accepted has to finish.
pub fn scenario(seed: u64, profile: Profile) -> Plan {
    let rng = Rng::new(seed).fork("fuzz");
    let mut shape = rng.fork("shape");
    let nodes = nodes(&mut shape, profile);
    let network = settings::network(&mut rng.fork("network"));
    let mut config = settings::config(&mut rng.fork("settings"), nodes.len(), profile);
    settings::classic(&mut rng.fork("classic"), &mut config);
    settings::patient(&network, &mut config);
    let mut models = models(&mut rng.fork("models"));
    let until = Span::secs(5 + shape.below(25));
    let (mut jobs, arrivals) = work(&mut rng.fork("work"), &models, until);
    if profile == Profile::Stories {
        steady(&mut jobs[0], &mut models, until, nodes.len());
    }
    let mut requests = requests(&mut rng.fork("requests"), &mut jobs, &nodes, until);
    let mut liveness_within = LIVENESS_WITHIN;
    if profile == Profile::Files {
        let mut rng = rng.fork("files");
        requests.extend(files(&mut rng, until));
        config.store.copies = pick(&mut rng, &[1, 2, 3, 4, 4, 4]);
        requests.extend(readers(&mut rng, &mut jobs, until));
        requests.sort_by_key(|request| request.at.mean());
        // A file whose bytes do not come is given up after a minute. And all copies may have to leave through one machine, for the store
        // and for those who run queries.
        let times = u64::from(config.store.copies) + nodes.len() as u64;
        liveness_within = LIVENESS_WITHIN * 3 + travels(&requests, network.bandwidth, times);
    }
    let options = settings::options(&mut rng.fork("options"));
    let voters = config.failover.voters_for(nodes.len());
    let spare = (voters - 1) / 2;
    let hedges = config.dispatch.hedge;
    let observers = u32::from(config.membership.observers_each());
    // Stories need all their machines: they are told first.
    let stays_from = if profile == Profile::Stories { until - Span::secs(4) } else { Span::ZERO };
    let ground =
        Ground { nodes: nodes.len() as u32, voters: voters as u32, until, stays_from, hedges, observers };
    let workers: Vec<bool> = nodes.iter().map(|node| node.worker).collect();
    let faults = all_faults(&mut rng.fork("faults"), profile, ground, spare, &workers);
    let plan = Plan {
        name: format!("{}_{seed}", profile.name()),
        about: format!("Drawn from seed {seed} of the profile {}.", profile.name()),
        seed,
        trials: 1,
        until: Until::Done,
        liveness_within,
        network,
        disk: settings::disk(&mut rng.fork("disk")),
        config: Arc::new(config),
        options,
        nodes,
        models,
        jobs,
        arrivals,
        requests,
        faults,
    };
    as_read(plan, seed)
}

/// The plan as its file is read: what runs is what the file says, to the last digit.
///
/// A small cluster cannot have every fault: those that the reader refuses are left out.
fn as_read(mut plan: Plan, seed: u64) -> Plan {
    loop {
        let error = match Plan::read(&to_toml(&plan), "the drawn scenario") {
            Ok(plan) => return plan,
            Err(error) => error,
        };
        let refused: BTreeSet<usize> =
            error.problems().iter().filter_map(|problem| fault_of(&problem.key)).collect();
        assert!(!refused.is_empty(), "seed {seed}: {error}");
        let mut position = 0..;
        plan.faults.retain(|_| !position.next().is_some_and(|position| refused.contains(&position)));
    }
}

/// The position of the fault that a path such as `fault.3.for` belongs to.
fn fault_of(key: &str) -> Option<usize> {
    key.strip_prefix("fault.")?.split('.').next()?.parse().ok()
}

/// One of these.
pub(super) fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize].clone()
}

fn nodes(rng: &mut Rng, profile: Profile) -> Vec<NodePlan> {
    let count = match profile {
        // Their parts are for several voters, and few others.
        Profile::Stories => pick(rng, &[3, 3, 3, 4, 5, 5, 7]),
        _ => pick(rng, &[1, 2, 3, 3, 4, 5, 5, 5, 6, 7, 8, 9, 10, 12]),
    };
    let mixed = rng.chance(0.3);
    let mut nodes: Vec<NodePlan> = (1..=count).map(NodePlan::usual).collect();
    if mixed {
        for node in &mut nodes {
            node.speed = pick(rng, &[0.25, 0.5, 1.0, 2.0, 4.0]);
            node.worker = rng.chance(0.8);
            node.kind = pick(rng, &["cpu", "gpu"]).into();
            node.refuse = pick(rng, &[0.0, 0.0, 0.2, 0.8]);
            node.stall = pick(rng, &[0.0, 0.0, 0.2]);
            node.stall_for = Span::millis(pick(rng, &[50, 500]));
        }
        nodes[0].worker = true;
    }
    nodes
}

fn models(rng: &mut Rng) -> BTreeMap<Arc<str>, ModelPlan> {
    let draw = |rng: &mut Rng, median: u64| {
        let span = Span::micros(median);
        pick(rng, &[Draw::Fixed(span), Draw::LogNormal(span, 0.3), Draw::LogNormal(span, 1.0)])
    };
    let count = 1 + rng.below(3) as usize;
    let model = |name: &&str| {
        let load = pick(rng, &[0, 10_000, 200_000, 1_000_000]);
        let per_input = pick(rng, &[1_000, 20_000, 100_000]);
        let profile = CostProfile {
            load: draw(rng, load),
            setup: pick(rng, &[Draw::ZERO, Draw::Fixed(Span::millis(5))]),
            per_input: draw(rng, per_input),
            by_size: BySize::LINE,
        };
        (Arc::from(*name), ModelPlan { engine: "synthetic".into(), profile, network: None })
    };
    ["a", "b", "c"][..count].iter().map(model).collect()
}

fn work(rng: &mut Rng, models: &BTreeMap<Arc<str>, ModelPlan>, until: Span) -> (Vec<JobPlan>, Vec<Arrivals>) {
    let names: Vec<Arc<str>> = models.keys().cloned().collect();
    let spec = |rng: &mut Rng, name: String, inputs: u64| JobSpec {
        name: name.into(),
        model: pick(rng, &names),
        inputs: Inputs::Range { dataset: "synthetic".into(), from: 0, count: 1 + rng.below(inputs) },
        batch: pick(rng, &[1, 1, 2, 7, 32]),
        weight: pick(rng, &[1.0, 1.0, 2.0, 0.5]),
        priority: pick(rng, &[0, 0, 0, 1, -1]),
    };
    let jobs = (1..=1 + rng.below(3)).map(|number| JobPlan {
        give_up: None,
        at: Draw::Fixed(Span::millis(if number == 1 { 0 } else { rng.below(until.0 / 1_000_000) })),
        spec: spec(rng, format!("job{number}"), 300),
    });
    let jobs = jobs.collect();
    let mut arrivals = Vec::new();
    if rng.chance(0.2) {
        arrivals.push(Arrivals {
            from: Span::secs(1),
            every: pick(
                rng,
                &[None, Some(Draw::Exponential(Span::millis(200))), Some(Draw::Exponential(Span::secs(1)))],
            ),
            count: 2 + rng.below(20) as u32,
            spec: spec(rng, "stream".to_owned(), 20),
        });
    }
    (jobs, arrivals)
}

/// Makes a job last about as long as faults do, query by query, so that entries are under way whatever happens when.
fn steady(job: &mut JobPlan, models: &mut BTreeMap<Arc<str>, ModelPlan>, until: Span, nodes: usize) {
    const QUERY: Span = Span::millis(60);
    let model = models.get_mut(&job.spec.model).expect("jobs name models that there are");
    model.profile =
        CostProfile { setup: Draw::ZERO, per_input: Draw::LogNormal(QUERY, 0.3), ..model.profile };
    let count = until.0 / QUERY.0 * nodes as u64;
    job.spec.inputs = Inputs::Range { dataset: "synthetic".into(), from: 0, count };
    job.spec.batch = 1;
}

/// What clients ask about their jobs, and about those of others, while faults happen; some of them give up.
fn requests(rng: &mut Rng, jobs: &mut [JobPlan], nodes: &[NodePlan], until: Span) -> Vec<RequestPlan> {
    let mut requests: Vec<RequestPlan> = Vec::new();
    if rng.chance(0.4) {
        return requests;
    }
    let patience =
        |rng: &mut Rng| pick(rng, &[None, None, None, Some(20), Some(400), Some(2_000)]).map(Span::millis);
    for job in jobs.iter_mut() {
        job.give_up = patience(rng).filter(|_| rng.chance(0.3));
    }
    let names: Vec<Arc<str>> = jobs.iter().map(|job| Arc::clone(&job.spec.name)).collect();
    let policies: Vec<Arc<str>> =
        policies(&PolicyOptions::default()).iter().map(|policy| policy.name().into()).collect();
    let mut clients: Vec<Arc<str>> = ["reader", "x", "y"].map(Arc::from).to_vec();
    clients.extend(names.iter().cloned());
    for _ in 0..=rng.below(16) {
        let (at, job) = (Span::millis(rng.below(until.0 / 1_000_000)), pick(rng, &names));
        let batch = pick(rng, &[1, 2, 3, 10, 50]);
        let errands = [
            Errand::Jobs,
            Errand::Jobs,
            Errand::Jobs,
            Errand::SetBatch { job: Arc::clone(&job), batch },
            Errand::SetBatch { job: Arc::clone(&job), batch },
            Errand::Stop(Arc::clone(&job)),
            Errand::Resume(Arc::clone(&job)),
            Errand::Cancel(Arc::clone(&job)),
            Errand::Forget(Arc::clone(&job)),
            Errand::SetPolicy(pick(rng, &policies)),
            Errand::Drain { node: Arc::clone(&pick(rng, nodes).name), drained: true },
        ];
        let errand = pick(rng, &errands);
        let (client, again) = (pick(rng, &clients), pick(rng, &clients));
        let ask = |at, client, errand, give_up| RequestPlan { at: Draw::Fixed(at), client, errand, give_up };
        // Most of what was stopped goes on, or little would be left to test, and whoever was drained works again, or nobody might.
        let undone = match &errand {
            Errand::Stop(job) if rng.chance(0.8) => Some(Errand::Resume(Arc::clone(job))),
            Errand::Drain { node, .. } => Some(Errand::Drain { node: Arc::clone(node), drained: false }),
            _ => None,
        };
        let later = at + Span::millis(rng.below(5_000));
        if let Errand::Drain { .. } = &errand {
            // One client asks for both, in this order, whatever happens meanwhile.
            let operator = || Arc::from("operator");
            requests.push(ask(at, operator(), errand, None));
            requests.extend(undone.map(|errand| ask(later, operator(), errand, None)));
            continue;
        }
        requests.extend(undone.map(|errand| ask(later, again, errand, None)));
        requests.push(ask(at, client, errand, patience(rng)));
    }
    // A client asks in the order of the list.
    requests.sort_by_key(|request| request.at.mean());
    requests
}

/// What several clients do with a few files.
fn files(rng: &mut Rng, until: Span) -> Vec<RequestPlan> {
    let names: [Arc<str>; 3] = ["a", "b", "c"].map(Arc::from);
    let clients: [Arc<str>; 4] = ["writer", "writer2", "looker", "looker2"].map(Arc::from);
    let count = 4 + pick(rng, &[0, 4, 20]);
    let one = |salt| {
        let file = pick(rng, &names);
        let errand = match rng.below(10) {
            0..4 => Errand::Put {
                file,
                bytes: pick(rng, &[0, 1, 1_000, 4 << 20, 5_000_000, 9_000_000, 30_000_000]),
                keep: pick(rng, &[1, 1, 2, 5]),
                salt,
            },
            4..8 => Errand::Get(file),
            _ => Errand::Delete(file),
        };
        RequestPlan {
            at: Draw::Fixed(Span::millis(rng.below(until.0 / 1_000_000))),
            client: pick(rng, &clients),
            errand,
            give_up: pick(rng, &[None, None, None, Some(400), Some(5_000)]).map(Span::millis),
        }
    };
    (0..count).map(one).collect()
}

/// Lets some jobs read a file, which is mostly there by then and may be replaced or deleted meanwhile.
fn readers(rng: &mut Rng, jobs: &mut [JobPlan], until: Span) -> Vec<RequestPlan> {
    let mut puts = Vec::new();
    for job in jobs {
        if rng.chance(0.4) {
            continue;
        }
        let file: Arc<str> = pick(rng, &["a", "b", "c"]).into();
        let Inputs::Range { dataset, .. } = &mut job.spec.inputs else { continue };
        *dataset = format!("store:{file}").into();
        // A job that comes at once is mostly refused, because there is no such file.
        let later = Span::millis(500 + rng.below(until.0 / 2_000_000));
        if rng.chance(0.8) {
            job.at = Draw::Fixed(later.max(job.at.mean()));
        }
        let errand = Errand::Put {
            file,
            bytes: pick(rng, &[1, 1_000, 4 << 20, 9_000_000]),
            keep: pick(rng, &[1, 1, 2]),
            salt: 1_000 + puts.len() as u32,
        };
        let at = Draw::Fixed(Span::millis(rng.below(500)));
        puts.push(RequestPlan { at, client: "writer".into(), errand, give_up: None });
    }
    puts
}

/// How long the bytes of all files need, so many times, through one machine of this bandwidth.
fn travels(requests: &[RequestPlan], bandwidth: Option<u64>, times: u64) -> Span {
    let bytes: u64 = (requests.iter())
        .map(|request| if let Errand::Put { bytes, .. } = request.errand { bytes } else { 0 })
        .sum();
    bandwidth.map_or(Span::ZERO, |bandwidth| Span::millis(bytes * times * 1_000 / bandwidth))
}

/// A random subset of the profile's families, a random number of times, and some faults that stay.
fn all_faults(rng: &mut Rng, profile: Profile, ground: Ground, spare: usize, workers: &[bool]) -> Vec<Fault> {
    let mut enabled: Vec<Family> = profile.families();
    rng.shuffle(&mut enabled);
    enabled.truncate(1 + rng.below(enabled.len() as u64) as usize);
    let times = rng.below(profile.faults_max() + 1);
    let mut faults = Vec::new();
    // Who leaves takes its seat along: with it a disk or a machine less may be one too many. So in one scenario machines leave, in
    // another one disks are lost, and in a third one something stays broken.
    let mut stay = lasting::count(rng, ground, spare, profile.lasting_share());
    if enabled.iter().all(|family| family.takes_leave()) {
        stay = 0;
    }
    let losses = enabled.iter().any(|family| family.loses_disks()) && rng.chance(0.5);
    let goodbyes = enabled.iter().any(|family| family.takes_leave()) && !losses && stay == 0;
    if !goodbyes {
        enabled.retain(|family| !family.takes_leave());
    }
    // In a fourth one all those die at once who are not needed, or some of them: of a cluster with few voters that is most of it. Stories
    // need all their machines, and have hardly more than voters.
    let all_needed = profile == Profile::Stories || ground.nodes <= 2;
    let rack = stay == 0 && !goodbyes && !all_needed && rng.chance(0.15);
    if rack {
        enabled.retain(|family| !family.loses_disks());
    }
    if enabled.is_empty() {
        return lasting::rack(rng, ground);
    }
    let mut spare = if goodbyes { 0 } else { spare.saturating_sub(stay) };
    for _ in 0..times {
        let family = pick(rng, &enabled);
        if family.loses_disks() {
            // A lost disk counts as a lost voter for good: until its seat is filled again it is one.
            if spare == 0 {
                continue;
            }
            spare -= 1;
        }
        faults.extend(faults::draw(family, ground, rng));
    }
    if spare == 0 {
        spare_a_disk(&mut faults, stay);
    }
    if rack {
        faults.extend(lasting::rack(rng, ground));
    }
    faults.extend(lasting::draw(rng, ground, stay, workers));
    faults
}

/// Where several disks are lost or machines stay broken, `stay` of them, together as many as the voters survive, and another machine may be
/// away for so long that its seat goes to another one: a disk less. Until the other one has learnt, there is a voter less, and the
/// machine cannot help when it comes back.
fn spare_a_disk(faults: &mut Vec<Fault>, stay: usize) {
    let loses = |fault: &Fault| matches!(fault.kind, FaultKind::Corrupt | FaultKind::Crash { wipe: true });
    let is_long =
        |fault: &Fault| fault.repeat.is_some() || fault.lasting.is_some_and(|draw| draw.mean() >= SEAT_GOES);
    let away = faults.iter().any(|fault| !loses(fault) && is_long(fault));
    let lost: Vec<usize> = (0..faults.len()).filter(|place| loses(&faults[*place])).collect();
    if let [.., last] = lost[..]
        && lost.len() + stay > 1
        && away
    {
        faults.remove(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_a_scenario_that_can_be_read() {
        for profile in Profile::ALL {
            for seed in 0..300 {
                let plan = scenario(seed, profile);
                assert!(!plan.nodes.is_empty() && plan.trials == 1, "seed {seed}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_scenario_and_another_one_another() {
        let text = |seed| to_toml(&scenario(seed, Profile::Swarm));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    /// In what share of its scenarios something stays broken under a profile, in what share only a quorum of all machines is left, and in
    /// what share perhaps only one of the voters, who are fewer than the machines.
    fn lasting_shares(profile: Profile) -> [f64; 3] {
        const SEEDS: u64 = 400;
        let (mut broken, mut bare, mut most) = (0, 0, 0);
        for seed in 0..SEEDS {
            let plan = scenario(seed, profile);
            let stay = plan.faults.iter().filter(|fault| lasting::is_for_good(fault));
            let machines: usize = stay.map(|fault| fault.target.machines_max(plan.nodes.len())).sum();
            broken += u64::from(machines > 0);
            let (nodes, voters) = (plan.nodes.len(), plan.config.failover.voters_for(plan.nodes.len()));
            bare += u64::from(machines > 0 && nodes.saturating_sub(machines) == nodes / 2 + 1 && voters > 1);
            most += u64::from(voters < nodes && machines > nodes - voters + (voters - 1) / 2);
        }
        [broken, bare, most].map(|count| count as f64 / SEEDS as f64)
    }

    #[test]
    fn in_many_scenarios_something_stays_broken_and_in_some_all_but_a_quorum() {
        for profile in Profile::ALL {
            let [broken, bare, most] = lasting_shares(profile);
            assert!((0.3..0.6).contains(&broken), "{profile:?}: {broken}");
            assert!(bare > 0.03, "{profile:?}: {bare}");
            assert!(most > 0.002 || profile == Profile::Stories, "{profile:?}: {most}");
        }
    }

    #[test]
    fn models_have_every_pair_of_a_cost_and_a_way_in_which_it_varies() {
        let mut pairs = BTreeSet::new();
        for seed in 0..100 {
            for model in models(&mut Rng::new(seed)).into_values() {
                let per_input = model.profile.per_input;
                let way = match per_input {
                    Draw::Fixed(_) => 0,
                    Draw::LogNormal(_, spread) => {
                        if spread < 0.5 {
                            1
                        } else {
                            2
                        }
                    }
                    _ => 3,
                };
                let median = if let Draw::Fixed(span) | Draw::LogNormal(span, _) = per_input {
                    span
                } else {
                    Span::ZERO
                };
                pairs.insert((median, way));
            }
        }
        assert_eq!(pairs.len(), 9, "{pairs:?}");
    }
}
