//! Tests of the whole: the shape of the code, the command as people use it, what the README promises.

mod ailments;
mod classics;
#[cfg(target_os = "linux")]
mod clients;
#[cfg(target_os = "linux")]
mod cluster;
mod collect;
mod command;
mod compare;
mod costs;
mod data;
#[cfg(target_os = "linux")]
mod drill;
mod fairness;
#[expect(unreachable_pub, reason = "it is what the README shows, for a library of its own")]
mod fewest_left;
mod figures;
mod files;
#[cfg(target_os = "linux")]
mod flood;
mod fuzz;
#[cfg(debug_assertions)]
mod mutants;
mod pages;
mod partial;
mod policies;
mod readme;
mod regressions;
mod rehearsals;
mod requests;
mod results;
mod shares;
mod shells;
#[cfg(target_os = "linux")]
mod staged;
mod starving;
#[cfg(target_os = "linux")]
mod store;
mod stored;
mod targets;
mod tidy;
mod trace;
mod tune;
mod whatif;
