//! In which settings two scenarios differ, by dotted paths.

use std::collections::BTreeMap;

use toml::Value;

/// A setting in which the two scenarios differ. `None` where one of them has no such key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its dotted path, as `--set` takes it.
    pub path: String,
    /// What it is in A, as it would be written without quotes.
    pub a: Option<String>,
    /// What it is in B.
    pub b: Option<String>,
}

/// What is no setting: it changes nothing.
const WORDS: [&str; 1] = ["about"];

/// Every value of a scenario by its dotted path.
pub(super) fn flat(table: &toml::Table) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in table.iter().filter(|(name, _)| !WORDS.contains(&name.as_str())) {
        add(&mut found, name.clone(), value);
    }
    found
}

fn add(found: &mut BTreeMap<String, String>, path: String, value: &Value) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                add(found, format!("{path}.{name}"), value);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_table) => {
            for (position, value) in list.iter().enumerate() {
                add(found, format!("{path}.{position}"), value);
            }
        }
        Value::String(text) => {
            found.insert(path, text.clone());
        }
        other => {
            found.insert(path, other.to_string());
        }
    }
}

/// The paths at which the two have not the same, in order.
pub(super) fn differences(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<Setting> {
    let mut paths: Vec<&String> = a.keys().chain(b.keys()).collect();
    paths.sort_unstable_by_key(|path| key(path));
    paths.dedup();
    let setting =
        |path: &String| Setting { path: path.clone(), a: a.get(path).cloned(), b: b.get(path).cloned() };
    paths.into_iter().map(setting).filter(|setting| setting.a != setting.b).collect()
}

/// Positions in lists count as numbers: `job.2` comes before `job.10`.
fn key(path: &str) -> Vec<(Option<u64>, &str)> {
    path.split('.').map(|part| (part.parse().ok(), part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_differ_are_named_by_their_dotted_paths() {
        let read = |text: &str| flat(&text.parse().unwrap());
        let a = read(
            "about = \"one\"\nseed = 1\n[network]\nloss = 0.01\n[[job]]\nname = \"x\"\n[[job]]\nname = \"y\"\n",
        );
        let b = read(
            "about = \"two\"\nseed = 1\n[network]\nloss = 0\n[[job]]\nname = \"x\"\n[[job]]\nname = \"z\"\nbatch = 2\n",
        );
        let text = |text: &str| Some(text.to_owned());
        let wanted = [
            Setting { path: "job.1.batch".into(), a: None, b: text("2") },
            Setting { path: "job.1.name".into(), a: text("y"), b: text("z") },
            Setting { path: "network.loss".into(), a: text("0.01"), b: text("0") },
        ];
        assert_eq!(differences(&a, &b), wanted);
        assert_eq!(differences(&a, &a), []);
    }

    #[test]
    fn positions_count_as_numbers() {
        let of = |n: usize| (0..n).map(|i| (format!("job.{i}"), String::new())).collect::<BTreeMap<_, _>>();
        let paths: Vec<String> =
            differences(&of(1), &of(12)).into_iter().map(|setting| setting.path).collect();
        assert_eq!(paths.first().map(String::as_str), Some("job.1"));
        assert_eq!(paths.last().map(String::as_str), Some("job.11"));
    }
}
