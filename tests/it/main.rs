//! Tests of the whole: the shape of the code, the command as people use it, what the README promises.

mod command;
mod compare;
mod figures;
mod pages;
mod policies;
mod readme;
mod regressions;
mod rehearsals;
mod shares;
mod shells;
mod stored;
mod tidy;
mod trace;
mod whatif;
