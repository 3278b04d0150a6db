//! idunno rehearses fault-tolerant inference clusters.
//!
//! One body of protocol code (scheduler, membership, failover, job ledger) is written once, as a pure state machine, and
//! driven by a deterministic simulator that injects faults and replays scenarios, and by real nodes.
//!
//! # The map
//!
//! Data flows one way: a scenario (TOML) becomes a plan, the simulator carries it out, what happens becomes a history, the
//! history is checked, and reports are made of it.
//!
//! | module | one idea | may import |
//! |---|---|---|
//! | [`base`] | time, identities, seeded randomness, what a model costs: plain values | nothing |
//! | [`policy`] | scheduling policies: pure functions of a view of the cluster | base |
//! | [`node`] | the state machine of one cluster node; no clock, socket, thread, file or global randomness | base, policy |
//! | [`history`] | what happened, one record per observation, fed to a sink while a run goes on | base, node |
//! | [`scenario`] | TOML as people write it, checked and turned into a plan | base, node, policy |
//! | [`sim`] | virtual clock, event queue, network, disks, engines, clients, faults | base, node, history, scenario |
//! | [`dataset`] | inputs on disk, with their labels: folders, zips, and letters that are drawn | base |
//! | [`engine`] | what runs a batch on a real node: a child process and its supervisor | base, dataset |
//! | [`cluster`] | real nodes: the same state machine on real disks, sockets and processes; their clients | base, node, scenario, engine |
//! | [`check`] | the invariants, while a run goes on and over a finished history | base, node, history, scenario |
//! | [`fuzz`] | a seed becomes a scenario; a failing one is made small | base, history, scenario, sim, check |
//! | [`report`] | CSV files, statistics, charts | base, history, scenario, check |
//! | [`cli`] | the commands; wires the rest together | all of them |
//!
//! # What always holds
//!
//! - A node is a function of its inputs: [`node::Node::step`] takes the time and never asks for it.
//! - Same seed, same bytes: nothing that a simulated run writes depends on the machine, the build, or the number of threads.
//! - Each query of a job is counted exactly once; what a client was told is never taken back while a quorum of disks lives.
//! - Being *suspect* moves work; being *evicted* is a committed view change. The coordinator is deposed by voters alone.
//! - Every queue, retry and loop has a limit, and what exceeds one is refused by name ([`node::limits`]).
pub mod base;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod dataset;
pub mod engine;
pub mod fuzz;
pub mod history;
pub mod node;
pub mod policy;
pub mod report;
pub mod scenario;
pub mod sim;
