//! Histories of clients that fit one order, and those that do not: written out, and drawn and compared with every order there is.

use super::super::order::{Act, Answer, Model, Order, STEPS_MAX, Seen, Step, order};
use super::*;
use crate::base::{JobId, SessionId};
use crate::check::linear::Histories;
use crate::check::verdict::Findings;
use crate::node::{JobSpec, JobStatus, Refusal, Reply, Request};

const MODEL: Model = Model { inputs: 10, batch: 2 };

fn step(asked: u64, told: Option<u64>, act: Act) -> Step {
    Step { asked: Time(asked), told: told.map(Time), act }
}

fn seen(done: u64) -> Seen {
    Seen { done, ended: done == MODEL.inputs, stopped: false, batch: MODEL.batch }
}

fn read(done: u64) -> Act {
    Act::Read(Some(seen(done)))
}

fn stopped(done: u64) -> Act {
    Act::Read(Some(Seen { stopped: true, ..seen(done) }))
}

fn cancelled(done: u64) -> Act {
    Act::Read(Some(Seen { ended: true, ..seen(done) }))
}

fn batch(batch: u32, done: u64) -> Act {
    Act::Read(Some(Seen { batch, ..seen(done) }))
}

const NOTHING: Act = Act::Read(None);
const CANCEL: Act = Act::Cancel(Answer::Done);
const STOP: Act = Act::Stop(Answer::Done);
const RESUME: Act = Act::Resume(Answer::Done);
const FORGET: Act = Act::Forget(Answer::Done);

/// One after the other, each answered before the next is asked.
fn in_turn(acts: &[Act]) -> Order {
    let steps = acts.iter().zip(0..).map(|(act, turn)| step(10 * turn, Some(10 * turn + 5), *act));
    order(&steps.collect::<Vec<_>>(), MODEL)
}

#[test]
fn whatever_goes_well_one_after_the_other_has_an_order() {
    let submit = Act::Submit;
    let fine: [&[Act]; 8] = [
        &[NOTHING, submit, read(0), read(4), read(10), read(10), FORGET, NOTHING],
        &[submit, CANCEL, cancelled(4), cancelled(4), CANCEL, FORGET, Act::Cancel(Answer::NoJob)],
        &[submit, STOP, stopped(2), stopped(4), STOP, RESUME, RESUME, read(4)],
        &[submit, STOP, stopped(2), read(10), Act::Resume(Answer::Refused)],
        &[submit, Act::SetBatch(5, Answer::Done), batch(5, 3), Act::SetBatch(2, Answer::Done), read(3)],
        // Nothing was left to divide.
        &[submit, Act::SetBatch(5, Answer::Done), read(8)],
        &[submit, Act::Forget(Answer::NotEnded), Act::SetBatch(3, Answer::Refused), read(0)],
        // It was complete before it was cancelled.
        &[submit, CANCEL, read(10)],
    ];
    for acts in fine {
        assert_eq!(in_turn(acts), Order::Found, "{acts:?}");
    }
}

#[test]
fn whatever_no_single_copy_would_say_has_none() {
    let submit = Act::Submit;
    let wrong: [(&str, &[Act], usize); 15] = [
        ("a stale read", &[submit, read(6), read(4)], 2),
        ("a lost acknowledged submission", &[submit, NOTHING], 1),
        ("a job before its submission", &[read(0), submit], 0),
        ("a submission that was carried out twice", &[submit, submit], 1),
        ("a cancelled job that comes back", &[submit, CANCEL, read(2)], 2),
        ("a cancelled job that goes on", &[submit, CANCEL, cancelled(2), cancelled(4)], 3),
        ("an end without the last input", &[submit, cancelled(8)], 1),
        ("a lost stop", &[submit, STOP, read(2)], 2),
        ("a lost resumption", &[submit, STOP, RESUME, stopped(2)], 3),
        ("a stop of nobody's", &[submit, stopped(0)], 1),
        ("a forgotten job that comes back", &[submit, CANCEL, FORGET, cancelled(0)], 3),
        ("a job forgotten while it ran", &[submit, STOP, FORGET, NOTHING, Act::Stop(Answer::Done)], 4),
        ("a batch of nobody's", &[submit, batch(7, 0)], 1),
        ("a job that is unknown and there", &[submit, Act::Cancel(Answer::NoJob)], 1),
        ("a complete job that had not ended", &[submit, read(10), Act::Forget(Answer::NotEnded)], 2),
    ];
    for (what, acts, stuck) in wrong {
        assert_eq!(in_turn(acts), Order::None(stuck), "{what}");
    }
}

#[test]
fn an_unknown_outcome_may_come_at_any_later_time_or_never_but_not_before() {
    let submit = step(0, Some(1), Act::Submit);
    let lost = step(10, None, CANCEL);
    let look = |at, act| step(at, Some(at + 1), act);
    let fits = |steps: &[Step]| order(steps, MODEL) == Order::Found;
    assert!(fits(&[submit.clone(), lost.clone(), look(20, read(2)), look(30, read(10))]), "never");
    assert!(fits(&[submit.clone(), lost.clone(), look(20, read(2)), look(90, cancelled(4))]), "late");
    assert!(!fits(&[submit.clone(), lost.clone(), look(20, cancelled(2)), look(30, read(4))]), "and undone");
    assert!(!fits(&[submit, look(5, cancelled(0)), lost]), "before it was asked for");
    let unsure = step(0, None, Act::Submit);
    assert!(fits(&[unsure.clone(), look(20, NOTHING), look(30, read(0))]));
    assert!(!fits(&[unsure, look(20, read(0)), look(30, NOTHING)]));
}

#[test]
fn what_overlaps_may_be_in_either_order() {
    let submit = step(0, Some(1), Act::Submit);
    let stop = step(10, Some(30), STOP);
    let look = |at, act| step(at, Some(at + 1), act);
    for acts in [[read(0), stopped(0)], [read(0), read(2)], [stopped(0), stopped(2)]] {
        let steps = [submit.clone(), stop.clone(), look(15, acts[0]), look(20, acts[1])];
        assert_eq!(order(&steps, MODEL), Order::Found, "{acts:?}");
    }
    let steps = [submit, stop, look(15, stopped(0)), look(20, read(0))];
    assert_eq!(order(&steps, MODEL), Order::None(3));
}

#[test]
fn five_hundred_requests_are_ordered() {
    let mut steps = vec![step(0, Some(1), Act::Submit)];
    while steps.len() < STEPS_MAX {
        let turn = steps.len() as u64;
        let act = [STOP, stopped(turn / 100), RESUME, read(turn / 100)][(turn as usize - 1) % 4];
        // One in eighty of unknown outcome, and each two overlap.
        let told = (turn % 80 != 3).then_some(10 * turn + 9);
        let act = if told.is_none() { CANCEL } else { act };
        steps.push(step(10 * turn, told, act));
    }
    // A resumption that was replaced by an unknown one leaves the job stopped.
    let is_even = |place: usize| !matches!(steps[place].act, Act::Cancel(_));
    assert!((0..STEPS_MAX).any(|place| !is_even(place)));
    assert_ne!(order(&steps, MODEL), Order::Unknown);
}

/// Tries every order of everything that was answered and any part of the rest.
fn brute(steps: &[Step]) -> bool {
    fn go(steps: &[Step], left: &mut Vec<usize>, chosen: &mut Vec<Act>) -> bool {
        if left.iter().all(|&place| steps[place].told.is_none()) && replay(chosen) {
            return true;
        }
        for place in 0..left.len() {
            let step = left[place];
            let earlier = |&other: &usize| steps[other].told.is_some_and(|told| told < steps[step].asked);
            if left.iter().any(earlier) {
                continue;
            }
            left.remove(place);
            chosen.push(steps[step].act);
            let found = go(steps, left, chosen);
            chosen.pop();
            left.insert(place, step);
            if found {
                return true;
            }
        }
        false
    }
    go(steps, &mut (0..steps.len()).collect(), &mut Vec::new())
}

/// A job told in other words than the checker's: (there, ended, gone, stopped, batch, done).
type Job = (bool, bool, bool, bool, u32, u64);

/// Everything that a request with this answer can make of a job.
fn carried_out(job: Job, act: Act) -> Vec<Job> {
    let (there, ended, gone, stopped, batch, done) = job;
    let alive = there && !gone;
    let same = |fits: bool| if fits { vec![job] } else { vec![] };
    match act {
        Act::Submit if !there => vec![(true, false, false, false, batch, 0)],
        Act::Submit => vec![],
        Act::Read(Some(seen)) => {
            same(alive && (seen.done, seen.ended, seen.stopped, seen.batch) == (done, ended, stopped, batch))
        }
        Act::Read(None)
        | Act::Cancel(Answer::NoJob)
        | Act::SetBatch(_, Answer::NoJob)
        | Act::Forget(Answer::NoJob)
        | Act::Stop(Answer::NoJob)
        | Act::Resume(Answer::NoJob) => same(!alive),
        _ if !alive => vec![],
        Act::Cancel(Answer::Done) if !ended => vec![(true, true, false, false, batch, done)],
        Act::SetBatch(new, Answer::Done) if !ended => vec![job, (true, false, false, stopped, new, done)],
        Act::Forget(Answer::Done) if ended => vec![(true, true, true, stopped, batch, done)],
        Act::Stop(Answer::Done) if !ended => vec![(true, false, false, true, batch, done)],
        Act::Resume(Answer::Done) if !ended => vec![(true, false, false, false, batch, done)],
        Act::Stop(Answer::Refused) | Act::Resume(Answer::Refused) | Act::Cancel(Answer::Done) => same(ended),
        Act::SetBatch(_, Answer::Refused) => vec![job],
        Act::Forget(Answer::NotEnded) => same(!ended),
        _ => vec![],
    }
}

/// Whether these can happen in this order: every way that it can go is followed at once.
fn replay(acts: &[Act]) -> bool {
    let mut jobs: Vec<Job> = vec![(false, false, false, false, MODEL.batch, 0)];
    for act in acts {
        let mut next: Vec<Job> = Vec::new();
        // Between two requests a job that runs may come any way further.
        for job in jobs {
            next.push(job);
            let (there, ended, _, stopped, batch, done) = job;
            if there && !ended {
                next.extend((done..MODEL.inputs).map(|done| (true, false, false, stopped, batch, done)));
                next.push((true, true, false, false, batch, MODEL.inputs));
            }
        }
        jobs = next.into_iter().flat_map(|job| carried_out(job, *act)).collect();
        jobs.sort_unstable();
        jobs.dedup();
    }
    !jobs.is_empty()
}

#[test]
fn it_agrees_with_trying_every_order() {
    let (mut found, mut none) = (0, 0);
    for seed in 0..6_000 {
        let mut rng = Rng::new(seed).fork("linear");
        let answers =
            [Answer::Done, Answer::Done, Answer::Done, Answer::NoJob, Answer::NotEnded, Answer::Refused];
        let mut steps: Vec<Step> = (0..2 + rng.below(5))
            .map(|number| {
                let asked = rng.below(40) + 10 * number;
                let told = (!rng.chance(0.2)).then(|| asked + rng.below(25));
                let answer = answers[rng.below(6) as usize];
                let done = 5 * rng.below(3);
                let act = match rng.below(10) {
                    _ if number == 0 => Act::Submit,
                    0 => Act::Cancel(answer),
                    1 => Act::SetBatch(3, answer),
                    2 => Act::Forget(answer),
                    3 => Act::Stop(answer),
                    4 => Act::Resume(answer),
                    5 => NOTHING,
                    6 => cancelled(done),
                    7 => stopped(done),
                    8 => batch(3, done),
                    _ => read(done),
                };
                // What is read and does not arrive is not among the steps; what has no answer counts as done.
                match act {
                    Act::Read(_) => step(asked, told.or(Some(asked)), act),
                    Act::Cancel(_) if told.is_none() => step(asked, told, CANCEL),
                    Act::SetBatch(..) if told.is_none() => step(asked, told, Act::SetBatch(3, Answer::Done)),
                    Act::Forget(_) if told.is_none() => step(asked, told, FORGET),
                    Act::Stop(_) if told.is_none() => step(asked, told, STOP),
                    Act::Resume(_) if told.is_none() => step(asked, told, RESUME),
                    _ => step(asked, told, act),
                }
            })
            .collect();
        steps.sort_by_key(|step| step.asked);
        let expected = brute(&steps);
        let found_one = order(&steps, MODEL);
        assert_eq!(found_one == Order::Found, expected, "seed {seed}: {found_one:?} {steps:#?}");
        *(if expected { &mut found } else { &mut none }) += 1;
    }
    assert!(found > 1_000 && none > 1_000, "{found} have an order, {none} have none");
}

/// A request: its session, when it was asked and told, what, and the answer.
type Call = (u64, u64, Option<u64>, Request, Option<Reply>);

/// What is wrong with what these clients were told.
fn broken(calls: &[Call]) -> Vec<String> {
    let mut histories = Histories::default();
    let mut findings = Findings::new(1, Vec::new(), Gaps::default());
    for (session, asked, _, request, _) in calls {
        histories.on_asked(Time(*asked), SessionId(*session), *asked, &Arc::new(request.clone()));
    }
    for (session, asked, told, _, reply) in calls {
        if let (Some(told), Some(reply)) = (told, reply) {
            histories.on_told(Time(*told), SessionId(*session), *asked, &Arc::new(reply.clone()));
        }
    }
    histories.finish(&mut findings);
    assert!(findings.violations.iter().all(|violation| violation.invariant == Invariant::Linearizable));
    findings.violations.iter().map(|violation| violation.detail.clone()).collect()
}

fn spec() -> JobSpec {
    super::story::spec(10, 2)
}

fn status(job: u32, inputs_done: u64) -> JobStatus {
    let (job, ended) = (JobId(job), inputs_done == 10);
    JobStatus { job, spec: spec(), inputs_done, inputs_failed: 0, ended, stopped: false, batch: 2 }
}

#[test]
fn jobs_come_of_submissions_of_their_own_in_their_order() {
    let submit = |session, asked, told, job| {
        let reply = Some(Reply::Submitted(JobId(job)));
        (session, asked, Some(told), Request::Submit(spec()), reply)
    };
    let list =
        |asked, list: Vec<JobStatus>| (99, asked, Some(asked + 1), Request::Jobs, Some(Reply::Jobs(list)));
    let unsure = |session, asked| (session, asked, None, Request::Submit(spec()), None);
    assert!(
        broken(&[submit(1, 0, 5, 1), unsure(2, 10), list(20, vec![status(1, 0), status(2, 4)])]).is_empty()
    );
    let twice = broken(&[submit(1, 0, 5, 1), list(20, vec![status(1, 0), status(2, 0)])]);
    assert!(twice.len() == 1 && twice[0].contains("comes of no submission of its own"), "{twice:?}");
    let shared = broken(&[submit(1, 0, 5, 1), submit(2, 10, 15, 1)]);
    assert!(shared.len() == 1 && shared[0].contains("two submissions"), "{shared:?}");
    let early = broken(&[unsure(1, 30), list(20, vec![status(1, 0)])]);
    assert_eq!(early.len(), 1, "{early:?}");
    let backwards = broken(&[submit(1, 0, 5, 2), submit(2, 10, 15, 1)]);
    assert!(backwards.len() == 1 && backwards[0].contains("was accepted before"), "{backwards:?}");
    let lost = broken(&[submit(1, 0, 5, 1), list(20, vec![])]);
    assert!(lost.len() == 1 && lost[0].contains("fits no order"), "{lost:?}");
}

#[test]
fn refusals_that_leave_the_outcome_open_are_taken_for_unknown() {
    let job = JobId(1);
    let submit = (1, 0, Some(5), Request::Submit(spec()), Some(Reply::Submitted(job)));
    let list = |asked, status| (99, asked, Some(asked + 1), Request::Jobs, Some(Reply::Jobs(vec![status])));
    let cancelled = JobStatus { ended: true, ..status(1, 4) };
    for (refusal, fits) in [
        (Refusal::SessionLost, true),
        (Refusal::Outdated, true),
        (Refusal::Busy { what: "x".into(), limit: 1 }, false),
    ] {
        let cancel = (2, 10, Some(15), Request::Cancel(job), Some(Reply::Refused(refusal.clone())));
        let calls = [submit.clone(), cancel, list(20, status(1, 2)), list(30, cancelled.clone())];
        assert_eq!(broken(&calls).is_empty(), fits, "{refusal:?}");
    }
}
