//! Which commands there are, and what carries each out.

use std::sync::atomic::AtomicBool;

use clap::Subcommand;

use super::super::Exit;
use super::{Look, events, files, get, jobs, nodes, put, submit, top, versions, work};
use crate::node::Request;

/// What clients ask of a real cluster.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Commands {
    /// Show what every worker of a real cluster does.
    #[command(after_help = work::ASSIGNMENTS_EXAMPLES)]
    Assignments(Look),
    /// Divide what is left of a job into queries of another size.
    #[command(after_help = jobs::BATCH_EXAMPLES)]
    Batch(jobs::Batch),
    /// End a job for good.
    #[command(after_help = jobs::CANCEL_EXAMPLES)]
    Cancel(jobs::One),
    /// Delete a file of the store, with all its versions.
    #[command(after_help = files::DELETE_EXAMPLES)]
    Delete(files::Delete),
    /// Give a node of a real cluster no more queries.
    #[command(after_help = nodes::DRAIN_EXAMPLES)]
    Drain(nodes::Drain),
    /// Show what a node of a real cluster noticed of late.
    #[command(after_help = events::EXAMPLES)]
    Events(events::Events),
    /// Fetch a file of the store.
    #[command(after_help = get::EXAMPLES)]
    Get(get::Get),
    /// Let another voter of a real cluster lead.
    #[command(after_help = nodes::HANDOVER_EXAMPLES)]
    Handover(nodes::Handover),
    /// Show all about a file of the store, and who holds it.
    #[command(after_help = files::INFO_EXAMPLES)]
    Info(files::Info),
    /// Show all about one job, with what failed and why.
    #[command(after_help = jobs::JOB_EXAMPLES)]
    Job(jobs::One),
    /// Show how far every job of a real cluster is.
    #[command(after_help = jobs::JOBS_EXAMPLES)]
    Jobs(Look),
    /// Let a node leave a real cluster, and end.
    #[command(after_help = nodes::LEAVE_EXAMPLES)]
    Leave(nodes::Leave),
    /// List the files of the store.
    #[command(after_help = files::LS_EXAMPLES)]
    Ls(files::Ls),
    /// Show who belongs to a real cluster, who votes and who leads.
    #[command(after_help = nodes::MEMBERS_EXAMPLES)]
    Members(Look),
    /// Show or choose the policy of a real cluster.
    #[command(after_help = nodes::POLICY_EXAMPLES)]
    Policy(nodes::Policy),
    /// Give a real cluster a job for each of several models.
    #[command(after_help = submit::PREDICT_EXAMPLES)]
    Predict(submit::Predict),
    /// Put a file or a folder into the store of a real cluster.
    #[command(after_help = put::EXAMPLES)]
    Put(put::Put),
    /// Forget a job that has ended, with its predictions.
    #[command(after_help = jobs::REMOVE_EXAMPLES)]
    Remove(jobs::One),
    /// Print what a job has predicted so far.
    #[command(after_help = jobs::RESULT_EXAMPLES)]
    Result(jobs::Results),
    /// Go on with a stopped job.
    #[command(after_help = jobs::RESUME_EXAMPLES)]
    Resume(jobs::One),
    /// Show how fast the jobs of a real cluster are.
    #[command(after_help = work::STATS_EXAMPLES)]
    Stats(Look),
    /// Show who leads a real cluster, who votes, and how far behind each is.
    #[command(after_help = nodes::STATUS_EXAMPLES)]
    Status(Look),
    /// Give out no more queries of a job until it is resumed.
    #[command(after_help = jobs::STOP_EXAMPLES)]
    Stop(jobs::One),
    /// Show what the nodes of a real cluster hold of the store.
    #[command(after_help = files::STORE_EXAMPLES)]
    Store(files::Store),
    /// Give a real cluster a job.
    #[command(after_help = submit::SUBMIT_EXAMPLES)]
    Submit(submit::Submit),
    /// Watch a real cluster live.
    #[command(after_help = top::EXAMPLES)]
    Top(top::Top),
    /// List the versions of a file of the store, or fetch the last ones into one file.
    #[command(after_help = versions::EXAMPLES)]
    Versions(versions::Versions),
}

impl Commands {
    pub(in crate::cli) fn run(&self, stop: &AtomicBool) -> Exit {
        match self {
            Commands::Assignments(look) => work::show_assignments(look),
            Commands::Batch(batch) => jobs::batch(batch),
            Commands::Cancel(one) => jobs::change(one, Request::Cancel, "is over"),
            Commands::Delete(delete) => files::delete(delete),
            Commands::Drain(drain) => nodes::drain(drain),
            Commands::Events(events) => events::events(events, stop),
            Commands::Get(get) => get::get(get, stop),
            Commands::Handover(handover) => nodes::handover(handover),
            Commands::Info(info) => files::info(info),
            Commands::Job(one) => jobs::one(one),
            Commands::Jobs(look) => jobs::jobs(look),
            Commands::Leave(leave) => nodes::leave(leave),
            Commands::Ls(ls) => files::ls(ls),
            Commands::Members(look) => nodes::members(look),
            Commands::Policy(policy) => nodes::policy(policy),
            Commands::Predict(predict) => submit::predict(predict, stop),
            Commands::Put(put) => put::put(put, stop),
            Commands::Remove(one) => jobs::change(one, Request::Forget, "is forgotten"),
            Commands::Result(results) => jobs::result(results),
            Commands::Resume(one) => jobs::change(one, Request::Resume, "goes on"),
            Commands::Stats(look) => work::show_stats(look),
            Commands::Status(look) => nodes::status(look),
            Commands::Stop(one) => jobs::change(one, Request::Stop, "is stopped"),
            Commands::Store(store) => files::store(store),
            Commands::Submit(submit) => submit::submit(submit, stop),
            Commands::Top(top) => top::top(top, stop),
            Commands::Versions(versions) => versions::versions(versions, stop),
        }
    }
}
