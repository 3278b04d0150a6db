//! What `idunno tune` shows: what was tried, what to use, why, and what it does to the scenario.

use std::fmt::Write as _;
use std::path::Path;

use super::super::text::{columns, count, duration, number, quoted, some, wrapped};
use super::super::{Exit, Format, screen};
use super::own::Own;
use super::{Staged, Tune};
use crate::report::tune::{Limits, Point, Stage, Timing};
use crate::scenario::Plan;

/// All there is to say.
pub(super) struct Advice<'a> {
    pub(super) tune: &'a Tune,
    pub(super) plan: &'a Plan,
    pub(super) limits: Limits,
    pub(super) now: Timing,
    pub(super) advised: Timing,
    pub(super) staged: &'a [Staged],
    pub(super) own: &'a Own,
    pub(super) folder: &'a Path,
}

impl Advice<'_> {
    /// Shows it as it was asked for.
    pub(super) fn show(&self) -> Exit {
        if self.tune.quiet {
            return Exit::Fine;
        }
        let text = match self.tune.format {
            Format::Table => self.table(),
            Format::Json => format!("{}\n", self.json()),
            Format::Csv => match std::fs::read_to_string(self.folder.join("tune.csv")) {
                Ok(text) => text,
                Err(cause) => {
                    screen::error(&anyhow::Error::new(cause).context("cannot read tune.csv again"));
                    return Exit::Failed;
                }
            },
        };
        screen::say(&text)
    }

    fn table(&self) -> String {
        let mut parts = vec![self.heading()];
        parts.extend(self.staged.iter().map(|stage| self.stage(stage)));
        let what = if self.staged.iter().all(Staged::keeps_limits) {
            "Settings to use, in the place of those that a scenario has:"
        } else {
            "No settings keep all limits, as is said below. Those that come nearest, in the place of those that a scenario has:"
        };
        parts.push(format!("{what}\n\n{}", self.advised.toml().trim_end()));
        parts.push(self.try_them());
        parts.extend(self.cost());
        parts.extend(
            self.staged.iter().map(|stage| wrapped(&why(stage, &self.limits, self.tune.trials()), "  ")),
        );
        parts.push(self.own());
        parts.push(wrapped(
            "This holds for the network of the scenario, where messages are lost independently of each other. Real ones lose \
             them in bursts: try twice the loss as well (--set network.loss=…).",
            "  ",
        ));
        parts.push(format!("Every point and the charts are in {}.", self.folder.display()));
        parts.join("\n\n") + "\n\n"
    }

    fn heading(&self) -> String {
        let plan = self.plan;
        let nodes = some(plan.nodes.len() as u64, "node", "nodes");
        let trials = some(u64::from(self.tune.trials()), "trial", "trials");
        let first = format!("{}: {nodes}, {trials} of each setting from seed {}.", plan.name, plan.seed);
        let wanted = format!(
            "Wanted: at most {} false alarms per node and day, with 95 % confidence; at most {} messages per node and second \
             beside those of the work; nobody evicted who pauses for {} or less.",
            number(self.limits.alarms),
            number(self.limits.messages),
            self.tune.pause
        );
        format!("{first}\n{}", wrapped(&wanted, "  "))
    }

    /// What was tried in a stage: of detection the best of each heartbeat, of the others everything.
    fn stage(&self, staged: &Staged) -> String {
        let stage = staged.used().stage;
        let head: &[&str] = match stage {
            Stage::Detection => {
                &["Noticing a crash", "suspect_after", "p50", "slowest", "false alarms", "messages", "wasted"]
            }
            Stage::Eviction => &["Evicting the dead", "p50", "slowest", "false alarms"],
            Stage::Election => {
                &["Replacing the coordinator", "beat", "p50", "slowest", "false alarms", "messages"]
            }
        };
        let mut rows: Vec<Vec<String>> = vec![head.iter().map(|&head| head.to_owned()).collect()];
        let shown = self.shown(staged);
        rows.extend(shown.iter().map(|&at| self.row(&staged.points[at], staged)));
        let mut text = columns(&rows);
        if shown.len() < staged.points.len() {
            let _ = write!(text, "\n  and {} more in tune.csv", staged.points.len() - shown.len());
        }
        text
    }

    fn shown(&self, staged: &Staged) -> Vec<usize> {
        let all = 0..staged.points.len();
        if staged.used().stage != Stage::Detection {
            return all.collect();
        }
        let current = staged.current(&self.now);
        // Of each heartbeat the quickest setting that is quiet enough.
        let quiet: Vec<usize> =
            all.clone().filter(|&at| self.limits.alarms_kept(&staged.points[at])).collect();
        let beat = |at: usize| staged.points[at].timing.heartbeat;
        let first = |at: usize| quiet.iter().copied().find(|&other| beat(other) == beat(at)) == Some(at);
        let wanted = |at: &usize| {
            let point = &staged.points[*at];
            *at == staged.choice.point || current == Some(point) || first(*at)
        };
        all.filter(wanted).collect()
    }

    fn row(&self, point: &Point, staged: &Staged) -> Vec<String> {
        let mark = match (point == staged.used(), staged.current(&self.now) == Some(point)) {
            (true, true) => "← to use, as it is",
            (true, false) => "← to use",
            (false, true) => "← as it is",
            (false, false) => "",
        };
        let timing = &point.timing;
        let took = |seconds: Option<f64>| match seconds {
            Some(seconds) if seconds.is_finite() => duration(seconds),
            Some(_) => "never".to_owned(),
            None => "-".to_owned(),
        };
        let alarms = point.alarms();
        let alarms = format!("{} (≤ {})", count(alarms.count), number(alarms.at_most()));
        let messages = || point.messages().map_or_else(|| "-".to_owned(), number);
        let quick = [took(point.delay(500)), took(point.slowest())];
        let mut cells = match point.stage {
            Stage::Detection => vec![timing.heartbeat.to_string(), timing.suspect_after.to_string()],
            Stage::Eviction => vec![timing.evict_after.to_string()],
            Stage::Election => vec![timing.election.to_string(), timing.beat.to_string()],
        };
        cells.extend(quick);
        cells.push(alarms);
        if point.stage != Stage::Eviction {
            cells.push(messages());
        }
        if point.stage == Stage::Detection {
            cells.push(point.wasted().map_or_else(|| "-".to_owned(), |wasted| format!("{wasted:.1} ‰")));
        }
        cells.push(mark.to_owned());
        cells
    }

    /// How to run the scenario with the settings.
    fn try_them(&self) -> String {
        let differs = self.now.overrides();
        let set = self.advised.overrides().into_iter().filter(|one| !differs.contains(one));
        let set: Vec<String> =
            self.tune.set.iter().cloned().chain(set).map(|set| format!("--set {}", quoted(&set))).collect();
        if self.now == self.advised {
            return "They are what the scenario has already.".to_owned();
        }
        format!("Or try them: idunno sim {} {}", quoted(&self.tune.scenario), set.join(" "))
    }

    /// What the settings do to the recovery of the scenario; nothing where they change nothing, or where it needs none.
    fn cost(&self) -> Option<String> {
        let [now, advised] = self.own.sides.as_slice() else { return None };
        let each = advised.recovery.keys().filter_map(|kind| {
            let (before, after) = (now.recovery(kind)?, advised.recovery(kind)?);
            let kind = kind.replace('_', " ");
            Some(format!("{} after {kind} instead of {}", duration(after), duration(before)))
        });
        let each: Vec<String> = each.collect();
        let text = format!("With them the scenario is at work again, in the mean: {}.", each.join("; "));
        (self.now != self.advised && !each.is_empty()).then(|| wrapped(&text, ""))
    }

    /// The scenario before and after.
    fn own(&self) -> String {
        let trials = some(u64::from(self.own.trials), "trial", "trials");
        let mut rows = vec![vec![
            format!("The scenario itself, {trials}"),
            "as it is".to_owned(),
            "as advised".to_owned(),
        ]];
        let row = |name: String, value: &dyn Fn(usize) -> String| vec![name, value(0), value(1)];
        let sides = &self.own.sides;
        let mut kinds: Vec<_> = sides.iter().flat_map(|side| side.recovery.keys().cloned()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let mean = |at: usize| sides[at].recovery(&kind).map_or_else(|| "-".to_owned(), duration);
            rows.push(row(format!("at work again after {}, mean", kind.replace('_', " ")), &mean));
        }
        rows.push(row("attempts that did not count, per trial".to_owned(), &|at| number(sides[at].wasted())));
        let alarms = |which: usize| move |at: usize| count(sides[at].findings.false_alarms[which]);
        rows.push(row("false suspicions, in all".to_owned(), &alarms(0)));
        rows.push(row("false evictions, in all".to_owned(), &alarms(1)));
        rows.push(row("queries lost, in all".to_owned(), &|at| count(sides[at].findings.lost)));
        columns(&rows)
    }

    fn json(&self) -> serde_json::Value {
        let settings = |timing: &Timing| {
            let Timing { heartbeat, suspect_after, evict_after, election, beat } = timing;
            serde_json::json!({
                "membership.heartbeat": heartbeat.to_string(), "membership.suspect_after": suspect_after.to_string(),
                "membership.evict_after": evict_after.to_string(), "failover.election": election.to_string(),
                "failover.beat": beat.to_string(),
            })
        };
        let finite = |seconds: Option<f64>| seconds.filter(|seconds| seconds.is_finite());
        let stage = |staged: &Staged| {
            let (used, alarms) = (staged.used(), staged.used().alarms());
            serde_json::json!({
                "stage": used.stage.name(), "points": staged.points.len(),
                "alarms_kept": staged.choice.alarms_kept, "messages_kept": staged.choice.messages_kept,
                "quicker_with_too_many_alarms": staged.choice.alarming,
                "quicker_with_too_many_messages": staged.choice.talkative,
                "crashes": used.delays().len(), "p50_s": finite(used.delay(500)), "slowest_s": finite(used.slowest()),
                "false_alarms": alarms.count, "node_days": alarms.node_days,
                "false_alarms_per_node_day_at_most": alarms.at_most(),
                "messages_per_node_s": used.messages(), "wasted_per_1000": used.wasted(),
                "why": why(staged, &self.limits, self.tune.trials()),
            })
        };
        serde_json::json!({
            "scenario": self.plan.name, "seed": self.plan.seed, "trials": self.tune.trials(),
            "as_it_is": settings(&self.now), "to_use": settings(&self.advised),
            "limits_kept": self.staged.iter().all(Staged::keeps_limits),
            "stages": self.staged.iter().map(stage).collect::<Vec<_>>(), "folder": self.folder,
        })
    }
}

/// settings.toml: the settings, after what to do with them and, where limits are `broken`, which ones and why.
pub(super) fn settings(name: &str, advised: &Timing, broken: &[String]) -> String {
    let flags: Vec<String> = advised.overrides().iter().map(|set| format!("--set {set}")).collect();
    let begin = format!(
        "What idunno tune advises for {name}. The keys go in the place of those that a scenario has in [membership] and \
         [failover], each of which it may have once. {name} with them, whole, is in scenario.toml. For one run there are flags:"
    );
    let mut said = Vec::new();
    if !broken.is_empty() {
        said.push("NO SETTINGS KEEP ALL LIMITS. These come nearest.".to_owned());
        said.extend_from_slice(broken);
    }
    let said = said.iter().map(|text| wrapped(text, ""));
    let lines: Vec<String> = [wrapped(&begin, ""), flags.join(" ")].into_iter().chain(said).collect();
    let comment: Vec<String> =
        lines.iter().flat_map(|text| text.lines()).map(|line| format!("# {line}")).collect();
    format!("{}\n\n{}", comment.join("\n"), advised.toml())
}

/// Which limit decided.
pub(super) fn why(staged: &Staged, limits: &Limits, trials: u32) -> String {
    let (used, choice) = (staged.used(), &staged.choice);
    let timing = &used.timing;
    let what = match used.stage {
        Stage::Detection => {
            format!("heartbeat {}, suspect_after {}", timing.heartbeat, timing.suspect_after)
        }
        Stage::Eviction => format!("evict_after {}", timing.evict_after),
        Stage::Election => format!("election {}, beat {}", timing.election, timing.beat),
    };
    let word = used.stage.alarms();
    let limit = number(limits.alarms);
    let alarms = used.alarms();
    if !choice.alarms_kept {
        let ruled_out = staged.ruled_out();
        let how = if ruled_out > limits.alarms {
            let factor = (ruled_out / limits.alarms * f64::from(trials)).ceil();
            format!(
                " So few trials cannot tell: even none at all leaves {} possible; --trials {factor:.0} would do.",
                number(ruled_out)
            )
        } else {
            String::new()
        };
        return format!(
            "{what}: no setting of the grid keeps {limit} {word} per node and day. The best has {} in {} node-days, at most \
             {} a day.{how}",
            count(alarms.count),
            number(alarms.node_days),
            number(alarms.at_most())
        );
    }
    if !choice.messages_kept {
        return format!(
            "{what}: no setting of the grid keeps {} messages per node and second; this one has the fewest false alarms.",
            number(limits.messages)
        );
    }
    let quicker = match (choice.alarming, choice.talkative) {
        (0, 0) => "nothing quicker was tried".to_owned(),
        (alarming, 0) => format!("{} too many {word}", quicker(alarming)),
        (0, talkative) => format!("{} too many messages", quicker(talkative)),
        (alarming, talkative) => {
            format!("{} too many {word}, and {talkative} more too many messages", quicker(alarming))
        }
    };
    let seen =
        if alarms.count == 0 { "none was".to_owned() } else { format!("{} were", count(alarms.count)) };
    format!(
        "{what}: {quicker}. Of {word} {seen} seen in {} node-days: at most {} per node and day.",
        number(alarms.node_days),
        number(alarms.at_most())
    )
}

fn quicker(number: usize) -> String {
    if number == 1 {
        "the one setting that is quicker has".to_owned()
    } else {
        format!("{number} quicker settings have")
    }
}
