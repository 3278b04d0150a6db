//! Tests of the whole: the shape of the code, the command as people use it, what the README promises.

mod command;
mod figures;
mod readme;
mod regressions;
mod rehearsals;
mod shares;
mod tidy;
