//! What `idunno allocate` is asked about: jobs, and the allocation before.

use std::collections::{BTreeMap, BTreeSet};

use super::sheet::{Limits, Problems, Shape, Sheet, number, whole};
use crate::policy::Need;

/// The columns of a file of jobs. The first five are required.
const JOBS: Shape = Shape {
    columns: &[
        "job",
        "queries",
        "elapsed_s",
        "seconds_per_query",
        "remaining",
        "weight",
        "priority",
        "arrival_s",
        "recent_qps",
        "isolated_s",
    ],
    required: 5,
    ignored: &[],
    rows_max: 1_000_000,
};

/// The columns of an earlier allocation. An answer of this very command is one.
const PREVIOUS: Shape = Shape {
    columns: &["job", "workers"],
    required: 2,
    ignored: &["policy", "rate_qps"],
    rows_max: 1_000_000,
};

/// The most queries of a job, which a double still holds exactly.
const QUERIES_MAX: i64 = 1_000_000_000_000_000;
/// The longest time in seconds, thirty years or so, whose nanoseconds fit a number of 64 bits.
const SECONDS_MAX: f64 = 1e9;

const QUERIES: Limits<i64> =
    Limits { wanted: "a whole number from 1 to 10^15", read: |text| whole(text, 1, QUERIES_MAX) };
const REMAINING: Limits<i64> =
    Limits { wanted: "a whole number from 0 to the job's queries", read: |text| whole(text, 0, QUERIES_MAX) };
const SECONDS: Limits<f64> =
    Limits { wanted: "seconds from 0 to 10^9", read: |text| number(text, 0.0, SECONDS_MAX, false) };
const LENGTH: Limits<f64> =
    Limits { wanted: "seconds from 10^-9 to 10^9", read: |text| positive(text, 1e-9, SECONDS_MAX) };
const RATE: Limits<f64> =
    Limits { wanted: "queries per second from 0 to 10^12", read: |text| number(text, 0.0, 1e12, false) };
const WEIGHT: Limits<f64> =
    Limits { wanted: "a number above 0, to 10^6", read: |text| number(text, 0.0, 1e6, true) };
const PRIORITY: Limits<i64> =
    Limits { wanted: "a whole number from -1000 to 1000", read: |text| whole(text, -1000, 1000) };
const WORKERS: Limits<i64> =
    Limits { wanted: "a whole number from 0 to 10^9", read: |text| whole(text, 0, 1_000_000_000) };

/// A number from `low`, which is above zero: nothing and less than nothing are called what they are.
fn positive(text: &str, low: f64, high: f64) -> Result<f64, &'static str> {
    match number(text, 0.0, high, false)? {
        0.0 => Err("is zero"),
        value if value < low => Err("is too small"),
        value => Ok(value),
    }
}

/// One row of a file of jobs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) queries: u64,
    pub(super) elapsed_s: f64,
    pub(super) seconds_per_query: f64,
    pub(super) remaining: u64,
    pub(super) weight: f64,
    pub(super) priority: i32,
    pub(super) arrival_s: Option<f64>,
    pub(super) recent_qps: Option<f64>,
    pub(super) isolated_s: Option<f64>,
}

impl Row {
    /// Whether the row says what `need` asks for.
    pub(super) fn meets(&self, need: Need) -> bool {
        match need {
            Need::Arrival => self.arrival_s.is_some(),
            Need::RecentRate => self.recent_qps.is_some(),
            Need::Isolated => self.isolated_s.is_some(),
        }
    }
}

/// The column that says what `need` asks for.
pub(super) fn column(need: Need) -> &'static str {
    match need {
        Need::Arrival => "arrival_s",
        Need::RecentRate => "recent_qps",
        Need::Isolated => "isolated_s",
    }
}

/// Reads a file of jobs.
pub(super) fn read(bytes: &[u8], origin: &str) -> Result<Vec<Row>, Problems> {
    let sheet = Sheet::read(bytes, origin, JOBS)?;
    let mut problems = Problems::none(origin);
    let mut rows = Vec::new();
    let mut lines: BTreeMap<&str, u64> = BTreeMap::new();
    for cells in sheet.cells() {
        let wrong = &mut problems;
        let name = cells.name("job", wrong);
        if let Some(name) = name
            && let Some(earlier) = lines.insert(name, cells.line())
        {
            cells.refuse(
                "job",
                wrong,
                format!("{name} has been there, on line {earlier}; wanted each job once"),
            );
        }
        let queries = cells.required("queries", wrong, &QUERIES);
        let elapsed = cells.required("elapsed_s", wrong, &SECONDS);
        let seconds = cells.required("seconds_per_query", wrong, &LENGTH);
        let remaining = cells.required("remaining", wrong, &REMAINING);
        if let (Some(queries), Some(remaining)) = (queries, remaining)
            && remaining > queries
        {
            let what = format!("{remaining} is more than the job's {queries} queries; wanted at most that");
            cells.refuse("remaining", wrong, what);
        }
        let weight = cells.optional("weight", wrong, &WEIGHT).unwrap_or(1.0);
        let priority = cells.optional("priority", wrong, &PRIORITY).unwrap_or(0) as i32;
        let arrival_s = cells.optional("arrival_s", wrong, &SECONDS);
        let recent_qps = cells.optional("recent_qps", wrong, &RATE);
        let isolated_s = cells.optional("isolated_s", wrong, &LENGTH);
        if let (Some(name), Some(queries), Some(elapsed_s), Some(seconds_per_query), Some(remaining)) =
            (name, queries, elapsed, seconds, remaining)
        {
            let (queries, remaining) = (queries as u64, remaining as u64);
            let name = name.to_owned();
            rows.push(Row {
                name,
                queries,
                elapsed_s,
                seconds_per_query,
                remaining,
                weight,
                priority,
                arrival_s,
                recent_qps,
                isolated_s,
            });
        }
    }
    problems.unless_any(rows)
}

/// The allocation before: workers by job, and the names among them that are none of `jobs`, which have ended since.
#[derive(Debug, Default)]
pub(super) struct Previous {
    pub(super) workers: BTreeMap<String, u32>,
    pub(super) ended: Vec<String>,
}

/// Reads an earlier allocation.
pub(super) fn read_previous(bytes: &[u8], origin: &str, jobs: &[Row]) -> Result<Previous, Problems> {
    let sheet = Sheet::read(bytes, origin, PREVIOUS)?;
    let mut problems = Problems::none(origin);
    let known: BTreeSet<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    let mut lines: BTreeMap<&str, u64> = BTreeMap::new();
    let mut previous = Previous::default();
    for cells in sheet.cells() {
        let wrong = &mut problems;
        let (name, workers) = (cells.name("job", wrong), cells.required("workers", wrong, &WORKERS));
        let Some(name) = name else { continue };
        if let Some(earlier) = lines.insert(name, cells.line()) {
            let what =
                format!("{name} has been there, on line {earlier}; wanted each job once, of one policy");
            cells.refuse("job", wrong, what);
        }
        if !known.contains(name) {
            previous.ended.push(name.to_owned());
        }
        previous.workers.insert(name.to_owned(), workers.unwrap_or(0) as u32);
    }
    problems.unless_any(previous)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "job,queries,elapsed_s,seconds_per_query,remaining,weight,priority\n";

    fn refused(row: &str) -> String {
        read(format!("{HEAD}{row}\n").as_bytes(), "jobs.csv").expect_err("it shall be refused").to_string()
    }

    #[test]
    fn a_row_is_a_job_and_what_is_not_said_is_usual() {
        let text = "remaining,job,queries,seconds_per_query,elapsed_s\n40,resnet,100,0.5,12.5\n";
        let rows = read(text.as_bytes(), "jobs.csv").unwrap();
        let [row] = rows.as_slice() else { panic!("one job") };
        assert_eq!((row.name.as_str(), row.queries, row.remaining), ("resnet", 100, 40));
        assert_eq!((row.elapsed_s, row.seconds_per_query, row.weight, row.priority), (12.5, 0.5, 1.0, 0));
        assert!(!row.meets(Need::Arrival) && !row.meets(Need::RecentRate) && !row.meets(Need::Isolated));
    }

    #[test]
    fn every_bad_cell_is_refused_with_line_column_what_was_found_and_what_is_wanted() {
        for (row, said) in [
            (",1,0,1,1,,", "jobs.csv:2: column 1 (job): empty; wanted a name"),
            (
                "a,0,0,1,0,,",
                "jobs.csv:2: column 2 (queries): 0 is too small; wanted a whole number from 1 to 10^15",
            ),
            ("a,1.5,0,1,0,,", "column 2 (queries): 1.5 is not a whole number"),
            ("a,99999999999999999999,0,1,0,,", "column 2 (queries): 99999999999999999999 is too large"),
            ("a,1,-1,1,0,,", "column 3 (elapsed_s): -1 is negative; wanted seconds from 0 to 10^9"),
            ("a,1,NaN,1,0,,", "column 3 (elapsed_s): NaN is not a number"),
            ("a,1,inf,1,0,,", "column 3 (elapsed_s): inf is not finite"),
            ("a,1,1e300,1,0,,", "column 3 (elapsed_s): 1e300 is too large"),
            ("a,1,,1,0,,", "column 3 (elapsed_s): empty; wanted seconds"),
            ("a,1,0,0,0,,", "column 4 (seconds_per_query): 0 is zero; wanted seconds from 10^-9 to 10^9"),
            ("a,1,0,soon,0,,", "column 4 (seconds_per_query): soon is not a number"),
            ("a,1,0,1,2,,", "column 5 (remaining): 2 is more than the job's 1 queries"),
            ("a,1,0,1,-2,,", "column 5 (remaining): -2 is negative"),
            ("a,1,0,1,1,0,", "column 6 (weight): 0 is too small; wanted a number above 0"),
            ("a,1,0,1,1,,1.5", "column 7 (priority): 1.5 is not a whole number"),
            ("a,1,0,1,1,,1001", "column 7 (priority): 1001 is too large"),
            ("a,1,0,1,1,,\na,1,0,1,1,,", "jobs.csv:3: column 1 (job): a has been there, on line 2"),
        ] {
            let shown = refused(row);
            assert!(shown.contains(said), "{said:?} is not in {shown:?}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let shown = refused("a,x,-1,0,-1,,\nb,1,0,1,1,,\nc,1,0,1,9,,");
        assert_eq!(shown.lines().count(), 5, "{shown}");
    }

    #[test]
    fn an_answer_can_be_the_previous_allocation() {
        let jobs = read(format!("{HEAD}a,9,0,1,9,,\n").as_bytes(), "jobs.csv").unwrap();
        let answer = "policy,job,workers,rate_qps\neven,a,3,1.5\neven,gone,2,1.0\n# policy=even\n";
        let previous = read_previous(answer.as_bytes(), "prev.csv", &jobs).unwrap();
        assert_eq!((previous.workers["a"], previous.workers["gone"]), (3, 2));
        assert_eq!(previous.ended, ["gone"]);
        let twice = read_previous(b"job,workers\na,1\na,2\n", "prev.csv", &jobs).unwrap_err().to_string();
        assert!(twice.contains("prev.csv:3: column 1 (job): a has been there, on line 2"), "{twice}");
    }
}
