//! Exactness: the fast answers are those of an exhaustive search.

mod brute;
mod exact;
mod pareto;
mod properties;
mod selection;
