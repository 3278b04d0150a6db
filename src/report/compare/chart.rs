//! A comparison as a figure: the error of each metric in per cent, with its interval.

use super::{Comparison, Group, Line};
use crate::report::figure::{Axis, Bar, Bars, Estimate, Figure, Panel};

/// More metrics than this are not drawn; recovery and cluster come before jobs.
const GROUPS_MAX: usize = 24;

impl Comparison {
    /// The error of B against A in per cent, a bar per metric with the 95 % interval as its whisker. Metrics that one side
    /// lacks, or whose mean in A is zero, have no bar. `None` when none has.
    pub fn figure(&self) -> Option<Figure> {
        let mut lines: Vec<(&Line, Estimate)> =
            self.lines.iter().filter_map(|line| Some((line, estimate(line)?))).collect();
        let all = lines.len();
        let is_job = |line: &Line| matches!(line.group, Group::Job(_));
        let mut room = GROUPS_MAX.saturating_sub(lines.iter().filter(|(line, _)| !is_job(line)).count());
        lines.retain(|(line, _)| {
            let drawn = !is_job(line) || room > 0;
            room -= usize::from(is_job(line) && drawn);
            drawn
        });
        lines.truncate(GROUPS_MAX);
        if lines.is_empty() {
            return None;
        }
        let axis = Axis { label: "Error of the mean of B against A (%)".to_owned(), ..Axis::default() };
        let groups = lines.iter().map(|(line, _)| label(line)).collect();
        let values = lines.iter().map(|(_, estimate)| Some(*estimate)).collect();
        let bars = vec![Bar { name: "B against A".to_owned(), values }];
        Some(Figure {
            title: self.title(),
            subtitle: self.subtitle(all - lines.len()),
            panel: Panel::Bars(Bars { axis, groups, legend: String::new(), bars }),
        })
    }

    fn title(&self) -> String {
        let (a, b) = (&self.a.scenario, &self.b.scenario);
        if a == b { format!("How far B is from A: {a}") } else { format!("How far B ({b}) is from A ({a})") }
    }

    fn subtitle(&self, left_out: usize) -> String {
        let [a, b] = [&self.a, &self.b].map(|side| {
            let trials =
                if side.trials == 1 { "1 trial".to_owned() } else { format!("{} trials", side.trials) };
            format!("{} ({trials})", side.folder.display())
        });
        let changed = match self.settings.as_slice() {
            [] => ". The same settings".to_owned(),
            few @ ([_] | [_, _]) => {
                let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
                let one = |s: &super::Setting| format!("{} from {} to {}", s.path, value(&s.a), value(&s.b));
                format!(". Changed: {}", few.iter().map(one).collect::<Vec<_>>().join(", "))
            }
            many => format!(". {} settings differ", many.len()),
        };
        let more = match left_out {
            0 => String::new(),
            more => format!(". {more} more metrics are in compare.csv"),
        };
        format!("A: {a}, B: {b}{changed}. Whiskers: 95 % interval of the difference{more}")
    }
}

fn estimate(line: &Line) -> Option<Estimate> {
    let (value, interval) = line.difference?.percent()?;
    let (low, high) = interval.unwrap_or((value, value));
    Some(Estimate { value, low, high })
}

fn label(line: &Line) -> String {
    match &line.group {
        Group::Recovery(kind) => format!("{kind}: {}", line.short()),
        Group::Job(job) => format!("{job}: {}", line.short()),
        Group::Cluster => line.metric.clone(),
    }
}
