//! The figures that results come with: each is built from what a trial gathered, in a file of its own.

mod workers;

pub(super) use workers::workers;
