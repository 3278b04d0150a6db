//! The points of a sweep: every combination of the values that some keys of a scenario shall take.

use crate::scenario::magnitude;

/// The most points of a grid.
pub const POINTS_MAX: usize = 1_000;

/// Keys that a sweep may not change: trials are compared seed by seed, and all points share a folder.
const FIXED: [&str; 3] = ["name", "seed", "trials"];

/// Why a grid was refused. Nothing has been run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GridError {
    /// There is nothing to tell the key from its values.
    #[error("--sweep {flag}: no \"=\"; wanted KEY=VALUE,VALUE,… such as scheduler.policy=even,time_share")]
    NoValues {
        /// The flag's argument.
        flag: String,
    },
    /// A key without a name.
    #[error("--sweep {flag}: there is no key before \"=\"; wanted KEY=VALUE,VALUE,…")]
    NoKey {
        /// The flag's argument.
        flag: String,
    },
    /// A value that is nothing.
    #[error(
        "--sweep {flag}: value {position} is empty; wanted values between commas (an empty text is written \"\")"
    )]
    Empty {
        /// The flag's argument.
        flag: String,
        /// Which value, from 1.
        position: usize,
    },
    /// A quotation mark or bracket without its partner.
    #[error("--sweep {flag}: {mark} has no partner")]
    Open {
        /// The flag's argument.
        flag: String,
        /// The mark.
        mark: char,
    },
    /// A value that comes twice.
    #[error("--sweep {flag}: the value {value} comes twice; wanted each one once")]
    Twice {
        /// The flag's argument.
        flag: String,
        /// The value.
        value: String,
    },
    /// A key that is swept twice.
    #[error("{key} is swept twice; wanted all of its values in one --sweep")]
    SameKey {
        /// The key.
        key: String,
    },
    /// A key that is swept and set.
    #[error("{key} is both swept and set; wanted one of --sweep and --set")]
    AlsoSet {
        /// The key.
        key: String,
    },
    /// A key that must be the same at every point.
    #[error(
        "{key} cannot be swept: every point runs the same seeds, so that trials can be compared one by one"
    )]
    Fixed {
        /// The key.
        key: String,
    },
    /// More points than can be run.
    #[error("the grid has {points} points; wanted at most {POINTS_MAX}")]
    TooMany {
        /// How many.
        points: u128,
    },
}

/// A key with the values that it takes in turn, as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Its dotted path.
    pub key: String,
    /// Its values, at least one.
    pub values: Vec<String>,
}

/// All combinations of the values of some keys. The first point has the first value of each; the last key changes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    keys: Vec<Swept>,
}

impl Grid {
    /// Reads arguments such as `scheduler.policy=even,time_share`. Commas within quotation marks, parentheses and brackets
    /// belong to a value. `set` are the `KEY=VALUE` that hold at every point.
    pub fn read(flags: &[String], set: &[String]) -> Result<Grid, GridError> {
        let mut keys: Vec<Swept> = Vec::new();
        for flag in flags {
            let swept = swept(flag)?;
            let key = swept.key.clone();
            if FIXED.contains(&key.as_str()) {
                return Err(GridError::Fixed { key });
            }
            if keys.iter().any(|known| known.key == key) {
                return Err(GridError::SameKey { key });
            }
            if set.iter().any(|set| set.split_once('=').is_some_and(|(other, _)| other.trim() == key)) {
                return Err(GridError::AlsoSet { key });
            }
            keys.push(swept);
        }
        let points =
            keys.iter().fold(1_u128, |points, swept| points.saturating_mul(swept.values.len() as u128));
        if points > POINTS_MAX as u128 {
            return Err(GridError::TooMany { points });
        }
        Ok(Grid { keys })
    }

    /// The keys, in the order in which they were given.
    pub fn keys(&self) -> &[Swept] {
        &self.keys
    }

    /// How many points there are, at least one.
    pub fn points(&self) -> usize {
        self.keys.iter().map(|swept| swept.values.len()).product()
    }

    /// For each key the position of the value that it has at a point.
    pub fn positions(&self, point: usize) -> Vec<usize> {
        assert!(point < self.points(), "points are numbered from 0");
        let mut rest = point;
        let mut positions: Vec<usize> = self
            .keys
            .iter()
            .rev()
            .map(|swept| {
                let position = rest % swept.values.len();
                rest /= swept.values.len();
                position
            })
            .collect();
        positions.reverse();
        positions
    }

    /// The values at a point, without their quotation marks.
    pub fn values(&self, point: usize) -> Vec<&str> {
        let positions = self.positions(point);
        self.keys.iter().zip(positions).map(|(swept, position)| bare(&swept.values[position])).collect()
    }

    /// What has to be set for a point, as `KEY=VALUE`.
    pub fn overrides(&self, point: usize) -> Vec<String> {
        let positions = self.positions(point);
        let set = |(swept, position): (&Swept, usize)| format!("{}={}", swept.key, swept.values[position]);
        self.keys.iter().zip(positions).map(set).collect()
    }
}

/// A value without the quotation marks around it.
pub(super) fn bare(value: &str) -> &str {
    let inside = |mark: char| value.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

fn swept(flag: &str) -> Result<Swept, GridError> {
    let own = || flag.to_owned();
    let (key, text) = flag.split_once('=').ok_or_else(|| GridError::NoValues { flag: own() })?;
    let key = key.trim().to_owned();
    if key.is_empty() {
        return Err(GridError::NoKey { flag: own() });
    }
    let values = split(text).map_err(|mark| GridError::Open { flag: own(), mark })?;
    if let Some(position) = values.iter().position(String::is_empty) {
        return Err(GridError::Empty { flag: own(), position: position + 1 });
    }
    for (position, value) in values.iter().enumerate() {
        if values[..position].iter().any(|earlier| are_same(bare(earlier), bare(value))) {
            return Err(GridError::Twice { flag: own(), value: value.clone() });
        }
    }
    Ok(Swept { key, values })
}

/// Whether two values mean the same, as `250ms` and `0.25s` do.
fn are_same(one: &str, other: &str) -> bool {
    let share = |text| match magnitude(text)? {
        (per_cent, "%") => Some((per_cent / 100.0, "")),
        other => Some(other),
    };
    one == other
        || share(one).zip(share(other)).is_some_and(|((one, unit), (other, another))| {
            unit == another && (one - other).abs() <= 1e-12 * one.abs()
        })
}

/// The parts of a text between its outer commas; on failure the mark that has no partner.
fn split(text: &str) -> Result<Vec<String>, char> {
    let mut parts = vec![String::new()];
    // What has been opened and not closed, from the outside.
    let mut open: Vec<char> = Vec::new();
    let mut escaped = false;
    for letter in text.chars() {
        let quoted = open.last().copied().filter(|mark| matches!(mark, '"' | '\''));
        match (quoted, letter) {
            (None, ',') if open.is_empty() => {
                parts.push(String::new());
                continue;
            }
            (None, '"' | '\'' | '(' | '[' | '{') => open.push(letter),
            (None, ')' | ']' | '}') => {
                let partner = match letter {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                if open.pop() != Some(partner) {
                    return Err(letter);
                }
            }
            (Some(mark), letter) if letter == mark && !escaped => drop(open.pop()),
            _ => {}
        }
        escaped = quoted == Some('"') && letter == '\\' && !escaped;
        parts.last_mut().expect("there is a part").push(letter);
    }
    match open.last() {
        Some(mark) => Err(*mark),
        None => Ok(parts.iter().map(|part| part.trim().to_owned()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &[&str]) -> Result<Grid, GridError> {
        Grid::read(&flags.iter().map(|&flag| flag.to_owned()).collect::<Vec<_>>(), &[])
    }

    #[test]
    fn a_grid_is_every_combination_and_the_last_key_changes_first() {
        let grid = read(&["scheduler.policy=even, time_share", "cluster.voters=3,5,7"]).unwrap();
        assert_eq!(grid.points(), 6);
        assert_eq!(grid.overrides(0), ["scheduler.policy=even", "cluster.voters=3"]);
        assert_eq!(grid.values(1), ["even", "5"]);
        assert_eq!(grid.values(5), ["time_share", "7"]);
        assert_eq!(grid.positions(3), [1, 0]);
        assert_eq!(read(&["x=1,1s,1%,1ms,exp(1s)"]).unwrap().points(), 5);
    }

    #[test]
    fn commas_within_quotes_and_parentheses_belong_to_a_value() {
        let grid = read(&[r#"about="a, \"b","c",lognormal(1ms, 0.2),[1, 2]"#]).unwrap();
        assert_eq!(grid.keys()[0].values, [r#""a, \"b""#, r#""c""#, "lognormal(1ms, 0.2)", "[1, 2]"]);
        assert_eq!(grid.values(1), ["c"]);
        assert_eq!(grid.overrides(1), [r#"about="c""#]);
    }

    #[test]
    fn what_is_no_grid_is_refused_by_what_is_wrong_with_it() {
        for (flags, said) in [
            (&["scheduler.policy"][..], "--sweep scheduler.policy: no \"=\"; wanted KEY=VALUE,VALUE"),
            (&["=a,b"], "--sweep =a,b: there is no key before"),
            (&["x="], "--sweep x=: value 1 is empty"),
            (&["x=a,,b"], "--sweep x=a,,b: value 2 is empty"),
            (&["x=a,b,"], "value 3 is empty"),
            (&["x=\"a,b"], "--sweep x=\"a,b: \" has no partner"),
            (&["x=a),b"], ") has no partner"),
            (&["x=(a,b"], "( has no partner"),
            (&["x=a,b,\"a\""], "the value \"a\" comes twice"),
            (&["x=250ms,1s,0.25s"], "the value 0.25s comes twice"),
            (&["x=3%,0.03"], "the value 0.03 comes twice"),
            (&["x=5,5.0"], "the value 5.0 comes twice"),
            (&["x=a,b", "x =c"], "x is swept twice"),
            (&["seed=1,2"], "seed cannot be swept: every point runs the same seeds"),
            (&["trials=1,2"], "trials cannot be swept"),
        ] {
            let shown = read(flags).expect_err("it shall be refused").to_string();
            assert!(shown.contains(said), "{said:?} is not in {shown:?}");
        }
        let both = Grid::read(&["x=1,2".into()], &["x = 3".into()]).unwrap_err().to_string();
        assert!(both.contains("x is both swept and set"), "{both}");
    }

    #[test]
    fn more_than_a_thousand_points_are_too_many() {
        let values = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
        let (first, second) = (format!("a={}", values(40)), format!("b={}", values(25)));
        assert_eq!(read(&[&first, &second]).unwrap().points(), 1000);
        let more = format!("b={}", values(26));
        assert_eq!(read(&[&first, &more]), Err(GridError::TooMany { points: 1040 }));
    }
}
