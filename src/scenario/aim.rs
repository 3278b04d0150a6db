//! Whom a fault hits: the roles of its target, looked up at the moment at which it begins.

use std::cmp::Reverse;

use super::plan::Target;
use crate::base::{NodeId, Rng};
use crate::node::{Passing, Seats, Status};

/// A machine, by its position in the plan.
type Machine = u32;

/// The machines at one moment.
pub trait Scene {
    /// How many there are.
    fn machines(&self) -> Machine;
    /// What the process on a machine is, if one runs.
    fn status(&self, machine: Machine) -> Option<Status>;
    /// Whether a machine takes queries.
    fn works(&self, machine: Machine) -> bool;
    /// Whether the cluster goes on when all of these are gone for good or lose their disks.
    fn can_spare(&self, lost: &[Machine]) -> bool;
}

/// Whether those of whom `keeps` holds can decide under these seats, and under those that may follow at any moment: whoever learns the
/// log may be about to get a seat, of its own or that of a voter, and such a change is in force before anybody can object.
pub fn can_decide(seats: &Seats, keeps: impl Fn(NodeId) -> bool) -> bool {
    let with = |learner: NodeId, passing: Option<Passing>| {
        let voters = seats.voters.iter().copied().chain([learner]).collect();
        Seats { voters, passing, ..seats.clone() }
    };
    let follow = |to: NodeId| {
        let passes = seats.voters.iter().map(move |&from| with(to, Some(Passing { from, to })));
        passes.chain([with(to, None)])
    };
    // One change at a time: while a seat passes, nothing else is about to.
    let mut learners = seats.learners.iter().copied().filter(|_| seats.passing.is_none());
    seats.is_quorum(&keeps) && learners.all(|to| follow(to).all(|next| next.is_quorum(&keeps)))
}

/// Looks up who has a role.
pub struct Aim<'a> {
    /// The machines.
    pub scene: &'a dyn Scene,
    /// The machine that a fault which hits each on its own hits now.
    pub own: Option<Machine>,
    /// The machine in the midst of what the fault waited for.
    pub concerned: Option<Machine>,
}

impl Aim<'_> {
    /// The processes that run, with what they are.
    fn running(&self) -> impl Iterator<Item = (Machine, Status)> {
        (0..self.scene.machines()).filter_map(|machine| Some((machine, self.scene.status(machine)?)))
    }

    /// Whoever leads the newest reign.
    fn coordinator(&self) -> Option<Machine> {
        let leaders = self.running().filter(|(_, status)| status.leads);
        leaders.max_by_key(|(machine, status)| (status.epoch, Reverse(*machine))).map(|(machine, _)| machine)
    }

    /// Adds the machines that `target` means to `chosen`, none that is there or in `not` already; chance is drawn from `rng`. An error
    /// says which role nobody has.
    pub fn resolve(
        &self,
        target: &Target,
        not: &[Machine],
        chosen: &mut Vec<Machine>,
        rng: &mut Rng,
    ) -> Result<(), String> {
        let is_free = |machine: &Machine| !chosen.contains(machine) && !not.contains(machine);
        let works = |machine: &Machine| self.scene.works(*machine);
        let all = || (0..self.scene.machines()).filter(is_free);
        let found: Vec<Machine> = match target {
            Target::Node(machine) => Some(*machine).filter(is_free).into_iter().collect(),
            Target::Coordinator => {
                let leader = self.coordinator().ok_or("nobody leads")?;
                Some(leader).filter(is_free).into_iter().collect()
            }
            Target::Voter => {
                let voters = self.running().filter(|(m, status)| status.votes && !status.leads && is_free(m));
                one_of(&voters.map(|(machine, _)| machine).collect::<Vec<_>>(), rng)
            }
            Target::BusiestWorker => {
                let others = self.running().filter(|(m, status)| works(m) && !status.leads && is_free(m));
                let busiest = others.max_by_key(|(machine, status)| (status.held, Reverse(*machine)));
                busiest.map(|(machine, _)| machine).into_iter().collect()
            }
            Target::Worker => {
                let others = || self.running().filter(|(m, status)| works(m) && !status.leads && is_free(m));
                let mut plain: Vec<Machine> =
                    others().filter(|(_, status)| !status.votes).map(|(machine, _)| machine).collect();
                if plain.is_empty() {
                    plain = others().map(|(machine, _)| machine).collect();
                }
                one_of(&plain, rng)
            }
            Target::Spare => {
                let spare = self.running().map(|(machine, _)| machine).filter(|machine| {
                    let lost: Vec<Machine> = chosen.iter().copied().chain([*machine]).collect();
                    is_free(machine) && self.scene.can_spare(&lost)
                });
                one_of(&spare.collect::<Vec<_>>(), rng)
            }
            Target::Random(count) => {
                let mut machines: Vec<Machine> = all().collect();
                rng.shuffle(&mut machines);
                machines.truncate(*count as usize);
                machines
            }
            Target::Minority => {
                let leader = self.coordinator().ok_or("nobody leads")?;
                let mut machines: Vec<Machine> = all().filter(|machine| *machine != leader).collect();
                rng.shuffle(&mut machines);
                machines.truncate((self.scene.machines() as usize - 1) / 2);
                machines
            }
            Target::All => all().collect(),
            Target::Each => self.own.filter(is_free).into_iter().collect(),
            Target::Concerned => self.concerned.filter(is_free).into_iter().collect(),
            Target::Several(targets) => {
                for target in targets {
                    self.resolve(target, not, chosen, rng)?;
                }
                chosen.sort_unstable();
                return Ok(());
            }
        };
        if found.is_empty() {
            return Err(format!("no machine fits {target:?}"));
        }
        chosen.extend(found);
        chosen.sort_unstable();
        Ok(())
    }
}

/// One of these at random.
fn one_of(machines: &[Machine], rng: &mut Rng) -> Vec<Machine> {
    let chosen = rng.below(machines.len() as u64) as usize;
    machines.get(chosen).copied().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_somebody_is_about_to_get_a_seat_those_must_be_enough_who_decide_then() {
        let ids = |numbers: &[u64]| numbers.iter().map(|&number| NodeId::new(number)).collect::<Vec<_>>();
        let seats = |learners: &[u64]| Seats {
            number: 1,
            voters: ids(&[1, 2, 3]),
            learners: ids(learners),
            passing: None,
        };
        let decide =
            |left: &[u64], learners: &[u64]| can_decide(&seats(learners), |id| ids(left).contains(&id));
        assert!(decide(&[1, 2], &[]), "two of three");
        // The seat of the second could pass to the fourth, and then the first would be left alone with it.
        assert!(!decide(&[1, 2], &[4]));
        assert!(decide(&[1, 2, 4], &[4]));
        assert!(!decide(&[1, 4], &[4]), "a learner has no say");
    }
}
