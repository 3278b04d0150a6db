//! `idunno members`, `status`, `policy`, `drain`, `handover` and `leave`: the cluster itself.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use super::jobs::changed;
use super::sheet::{Cell, Sheet};
use super::{Look, Misuse, Reach, Show, ended, member, read};
use crate::base::NodeId;
use crate::cli::text::{duration, some};
use crate::cli::{Exit, Format, screen};
use crate::cluster::{Client, ClientError, Standing};
use crate::node::{Overview, Question, Reading, Refusal, Reply, Request, Seat};
use crate::scenario::{Options, policies};

/// How long a leader is looked for before the cluster is said to have none.
const LEADERLESS_AFTER: Duration = Duration::from_secs(3);
/// Between two looks at what shall change.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(in crate::cli) const MEMBERS_EXAMPLES: &str = "\
Examples:
  idunno members
      Who belongs to the cluster, who votes and who leads, as the node sees it.

The node that answers tells what it knows; no quorum is needed for that.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file.";

pub(in crate::cli) const STATUS_EXAMPLES: &str = "\
Examples:
  idunno status
      Who leads since when, who votes, and how far behind each is.
  idunno status --node 10.0.0.2:7400 --key cluster.key --format json
      The same, and how this one node sees itself, as a JSON object.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file; 5 no quorum.";

pub(in crate::cli) const POLICY_EXAMPLES: &str = "\
Examples:
  idunno policy
      By which policy workers are divided among jobs, and what others there are.
  idunno policy fair_time
      Divide them by another one from now on, whatever the nodes' files say.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file, nothing changed; 5 no quorum.";

pub(in crate::cli) const DRAIN_EXAMPLES: &str = "\
Examples:
  idunno drain n2
      Give n2 no more queries; what it has begun it ends. It stays so when it restarts.
  idunno drain n2 --undo
      Let it work again.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file, nothing changed; 5 no quorum.";

pub(in crate::cli) const HANDOVER_EXAMPLES: &str = "\
Examples:
  idunno handover
      Let another voter lead: the one that is closest to the end of the log.
  idunno handover --to n3
      Let n3 lead.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file, nothing changed; 5 no quorum.";

pub(in crate::cli) const LEAVE_EXAMPLES: &str = "\
Examples:
  idunno leave n2
      Let n2 hand over what it does, leave the cluster and end, as Ctrl-C would.
  idunno leave --node 10.0.0.2:7400
      The same with the one node that listens there.

Exit codes: 0 it has left; 1 failed; 2 usage or a bad file, nothing changed.";

/// What `idunno policy` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Policy {
    /// The policy to divide workers by from now on; without it the present one is shown.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// What `idunno drain` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Drain {
    /// The node, by its name or id.
    #[arg(value_name = "NODE")]
    name: String,
    /// Let it work again.
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// What `idunno handover` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Handover {
    /// The voter that shall lead, by its name or id [default: the one that is closest to the end of the log].
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// What `idunno leave` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Leave {
    /// The node, by its name or id [default: the one that --node names, which must be a single one].
    #[arg(value_name = "NODE")]
    name: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// Does what `idunno members` is told.
pub(in crate::cli) fn members(look: &Look) -> Exit {
    ended(look.reach.client().and_then(|mut client| {
        let standing = client.standing()?;
        let leader = standing.status.and_then(|status| status.coordinator);
        let mut sheet = Sheet::new(&[
            ("name", "name"),
            ("id", "id"),
            ("life", "life"),
            ("kind", "kind"),
            ("worker", "worker"),
            ("votes", "votes"),
            ("leads", "leads"),
            ("address", "address"),
        ]);
        for member in &standing.members {
            sheet.row(vec![
                Cell::text(&*member.name),
                Cell::text(member.id.to_string()),
                Cell::number(member.incarnation.0),
                Cell::text(&*member.kind),
                Cell::flag(member.worker),
                Cell::flag(standing.seats.voters.contains(&member.id)),
                Cell::flag(leader == Some(member.id)),
                Cell::text(&*member.address),
            ]);
        }
        Ok(look.show.sheet(&sheet, "The node belongs to no cluster yet."))
    }))
}

/// How the cluster stands, by its coordinator.
pub(super) fn cluster(client: &mut Client) -> Result<Overview> {
    read(client, Question::Cluster, |reading| match reading {
        Reading::Cluster(cluster) => Some(cluster),
        _ => None,
    })
}

/// Does what `idunno status` is told.
pub(in crate::cli) fn status(look: &Look) -> Exit {
    ended(look.reach.client().and_then(|mut client| {
        let own = client.standing()?;
        client.learn(&own);
        client.set_patience(Duration::from_nanos(look.reach.timeout.0).min(LEADERLESS_AFTER));
        match cluster(&mut client) {
            Ok(cluster) => Ok(look.show.say(&match look.show.format {
                Format::Table => described(&cluster, &own),
                Format::Json => format!("{}\n", as_json(Some(&cluster), &own)),
                Format::Csv => seats(&cluster).shown(Format::Csv),
            })),
            Err(error) => {
                let Some(ClientError::NoQuorum { why, .. }) = error.downcast_ref() else { return Err(error) };
                screen::error(&anyhow::anyhow!("{}", leaderless(why, &own)));
                if look.show.format == Format::Json {
                    look.show.say(&format!("{}\n", as_json(None, &own)));
                }
                Ok(Exit::NoQuorum)
            }
        }
    }))
}

/// Why there is no quorum, with the names of those who do not answer.
fn leaderless(why: &Refusal, own: &Standing) -> String {
    let name = |id: &NodeId| {
        let member = own.members.iter().find(|member| member.id == *id);
        member.map_or_else(|| id.to_string(), |member| member.name.to_string())
    };
    let voters = own.seats.voters.len();
    match why {
        Refusal::NoQuorum { missing } => {
            let names: Vec<String> = missing.iter().map(name).collect();
            let needed = own.seats.quorum();
            format!("no quorum: {voters} vote, {needed} are needed, and {} do not answer", names.join(", "))
        }
        other => format!("no quorum among {}: {other}", some(voters as u64, "voter", "voters")),
    }
}

fn seats(cluster: &Overview) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("name", "name"),
        ("id", "id"),
        ("role", "role"),
        ("lag_entries", "behind"),
        ("silent_s", "last heard"),
    ]);
    for seat in &cluster.seats {
        let role = match (seat.node == cluster.leader, seat.votes) {
            (true, _) => "leads",
            (_, true) => "votes",
            _ => "learns",
        };
        sheet.row(vec![
            Cell::maybe(seat.name.as_deref(), Cell::text),
            Cell::text(seat.node.to_string()),
            Cell::text(role),
            Cell::maybe(seat.lag, |lag| Cell::whole(lag, some(lag, "entry", "entries"))),
            Cell::amount(seat.silence.as_secs(), format!("{} ago", duration(seat.silence.as_secs()))),
        ]);
    }
    sheet
}

fn described(cluster: &Overview, own: &Standing) -> String {
    let name = |id: NodeId| {
        let seat = cluster.seats.iter().find(|seat| seat.node == id).and_then(|seat| seat.name.clone());
        let member = own.members.iter().find(|member| member.id == id).map(|member| member.name.clone());
        seat.or(member).map_or_else(|| id.to_string(), |name| name.to_string())
    };
    let mut text = format!(
        "term      {}, led by {} for {}\nview      {}, {}\npolicy    {}\n",
        cluster.epoch.0,
        name(cluster.leader),
        duration(cluster.reign.as_secs()),
        cluster.view.0,
        some(own.members.len() as u64, "member", "members"),
        cluster.policy,
    );
    if !cluster.drained.is_empty() {
        let names: Vec<String> = cluster.drained.iter().map(|&id| name(id)).collect();
        let _ = writeln!(text, "drained   {}", names.join(", "));
    }
    let life = own.status.map_or(0, |status| status.incarnation.0);
    let _ = write!(text, "asked     {}, life {life}", own.name);
    if own.dropped > 0 {
        let _ = write!(text, ", which dropped {}", some(own.dropped, "message", "messages"));
    }
    text + "\n\n" + &seats(cluster).shown(Format::Table)
}

fn as_json(cluster: Option<&Overview>, own: &Standing) -> serde_json::Value {
    let seat = |seat: &Seat| {
        serde_json::json!({
            "name": seat.name, "id": seat.node.to_string(), "votes": seat.votes, "lag_entries": seat.lag,
            "silent_s": crate::cli::text::rounded(seat.silence.as_secs()),
        })
    };
    let status = own.status;
    serde_json::json!({
        "quorum": cluster.is_some(),
        "term": cluster.map(|cluster| cluster.epoch.0),
        "leader": cluster.map(|cluster| cluster.leader.to_string()),
        "reign_s": cluster.map(|cluster| crate::cli::text::rounded(cluster.reign.as_secs())),
        "policy": cluster.map(|cluster| &cluster.policy),
        "drained": cluster.map(|cluster| cluster.drained.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "seats": cluster.map(|cluster| cluster.seats.iter().map(seat).collect::<Vec<_>>()),
        "node": {
            "name": own.name, "id": own.id.to_string(), "life": status.map(|status| status.incarnation.0),
            "member": status.map(|status| status.member), "view": status.map(|status| status.view.0),
            "term": status.map(|status| status.epoch.0), "leads": status.map(|status| status.leads),
            "votes": status.map(|status| status.votes), "held": status.map(|status| status.held),
            "dropped": own.dropped,
        },
    })
}

/// Does what `idunno policy` is told.
pub(in crate::cli) fn policy(policy: &Policy) -> Exit {
    let all = policies(&Options::default());
    let Some(name) = &policy.name else {
        return ended(policy.reach.client().and_then(|mut client| {
            let now = cluster(&mut client)?.policy;
            let mut sheet = Sheet::new(&[("name", "name"), ("in_force", "in force"), ("about", "about")]);
            for policy in &all {
                let in_force = *policy.name() == *now;
                sheet.row(vec![Cell::text(policy.name()), Cell::flag(in_force), Cell::text(policy.about())]);
            }
            Ok(policy.show.sheet(&sheet, ""))
        }));
    };
    if !all.iter().any(|policy| policy.name() == name) {
        let names = all.iter().map(|policy| policy.name()).collect::<Vec<_>>().join(", ");
        return ended(Err(Misuse(format!("there is no policy {name:?}; wanted one of {names}")).into()));
    }
    let request = Request::SetPolicy(name.as_str().into());
    changed(&policy.reach, &policy.show, &request, &format!("Workers are divided by {name} from now on."))
}

/// Does what `idunno drain` is told.
pub(in crate::cli) fn drain(drain: &Drain) -> Exit {
    ended(drain.reach.client_of_all().and_then(|(mut client, own)| {
        let node = member(&own, &drain.name)?;
        let done = if drain.undo { "works again" } else { "gets no more queries" };
        match client.request(&Request::Drain { node, drained: !drain.undo })? {
            Reply::Done => Ok(drain.show.note(&format!("{} {done}", drain.name))),
            _ => bail!("the node answered another question"),
        }
    }))
}

/// Does what `idunno handover` is told.
pub(in crate::cli) fn handover(handover: &Handover) -> Exit {
    ended(handover.reach.client_of_all().and_then(|(mut client, own)| {
        let to = handover.to.as_deref().map(|name| member(&own, name)).transpose()?;
        let before = cluster(&mut client)?;
        if to == Some(before.leader) {
            return Ok(handover.show.note("It leads already."));
        }
        if let Some(to) = to.filter(|to| !before.seats.iter().any(|seat| seat.votes && seat.node == *to)) {
            return Err(Misuse(format!("{} does not vote, and so cannot lead", name_of(&own, to))).into());
        }
        client.request(&Request::HandOver { epoch: before.epoch, to })?;
        let after = cluster(&mut client)?;
        let name = name_of(&own, after.leader);
        Ok(handover.show.note(&format!("{name} leads in term {}", after.epoch.0)))
    }))
}

fn name_of(own: &Standing, id: NodeId) -> String {
    let member = own.members.iter().find(|member| member.id == id);
    member.map_or_else(|| id.to_string(), |member| member.name.to_string())
}

/// Does what `idunno leave` is told.
pub(in crate::cli) fn leave(leave: &Leave) -> Exit {
    ended(left(leave))
}

fn left(leave: &Leave) -> Result<Exit> {
    let nodes = leave.reach.nodes();
    let mut any = leave.reach.client()?;
    let own = any.standing()?;
    any.learn(&own);
    let node = match &leave.name {
        Some(name) => member(&own, name)?,
        None if nodes.len() == 1 => own.id,
        None => {
            let why = "which of them shall leave? Say its name, or only one with --node".to_owned();
            return Err(Misuse(why).into());
        }
    };
    let goes = own.members.iter().find(|member| member.id == node);
    let Some(goes) = goes else { bail!("the node belongs to no cluster") };
    leave.reach.client_of(&[goes.address.to_string()])?.leave()?;
    // The last one takes the cluster along, and nobody is left to ask.
    if own.members.len() > 1 {
        let others = own.members.iter().filter(|member| member.id != node);
        let others: Vec<String> = others.map(|member| member.address.to_string()).collect();
        let mut client = leave.reach.client_of(&others)?;
        let began = Instant::now();
        while client.standing()?.members.iter().any(|member| member.id == node) {
            if began.elapsed() >= Duration::from_nanos(leave.reach.timeout.0) {
                bail!("{} was told to leave, and is still a member", goes.name);
            }
            thread::sleep(LOOK_EVERY);
        }
    }
    Ok(leave.show.note(&format!("{} has left", goes.name)))
}
