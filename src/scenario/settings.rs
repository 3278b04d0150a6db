//! The settings of a real node: the keys of a scenario that say something about nodes and models, in a file of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::Document;
use super::error::{Problem, ScenarioError, Wrong};
use super::plan::{ModelPlan, Plan};
use super::write;
use crate::node::Config;
use crate::policy::Options;

/// The tables that mean the same to a real node as to a rehearsed one.
const TABLES: [&str; 7] = ["cluster", "dispatch", "failover", "membership", "model", "scheduler", "store"];
/// The keys that only a rehearsal has a use for.
const REHEARSED: [&str; 14] = [
    "name",
    "about",
    "seed",
    "trials",
    "until",
    "liveness_within",
    "nodes",
    "node",
    "network",
    "disk",
    "job",
    "arrivals",
    "request",
    "fault",
];

/// What a real node is told by its file.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The settings of the state machine, the same on all nodes of a cluster.
    pub config: Arc<Config>,
    /// The models that the node can run.
    pub models: BTreeMap<Arc<str>, ModelPlan>,
    /// What the policy in `config` was made with.
    pub options: Options,
}

impl Settings {
    /// Reads settings; `origin` is the path by which messages call the file. On an error nothing has happened.
    pub fn read(source: &str, origin: &str) -> Result<Settings, ScenarioError> {
        let document = Document::parse(source, origin)?;
        let foreign = document.root.entries.iter().filter(|entry| REHEARSED.contains(&entry.name.as_str()));
        let problems: Vec<Problem> = foreign
            .map(|entry| Problem {
                place: entry.place.clone(),
                key: entry.name.clone(),
                wrong: Wrong::Contradiction(format!(
                    "says something about rehearsals, and a real node has no use for it; wanted the tables {}",
                    TABLES.join(", ")
                )),
            })
            .collect();
        if !problems.is_empty() {
            return Err(ScenarioError::new(problems));
        }
        // A rehearsal needs a name for its results and something that happens; a node does not.
        let plan = Plan::with_overrides(source, origin, &["name=node", "until=1s"])?;
        Ok(Settings { config: plan.config, models: plan.models, options: plan.options })
    }

    /// The settings and the models, every one of them written out; read again, they are the same.
    pub fn to_toml_with_models(&self) -> String {
        write::settings_with_models(&self.config, &self.options, &self.models)
    }

    /// The settings without the models, every one of them written out; read again, they are the same.
    pub fn to_toml(&self) -> String {
        write::settings(&self.config, &self.options)
    }
}

/// The settings that make real nodes of a plan's, as the text of a file that [`Settings::read`] takes.
pub fn settings_of(plan: &Plan) -> String {
    let mut all: toml::Table = write::to_toml(plan).parse().expect("what is written can be read");
    all.retain(|name, _| TABLES.contains(&name));
    all.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;
    use crate::base::Span;

    #[test]
    fn settings_are_read_as_in_a_scenario_and_default_to_the_same() {
        let text = "membership.heartbeat = \"20ms\"\n[model.m]\nload = \"1s\"\nper_input = \"1ms\"\n";
        let settings = Settings::read(text, "my own nodes.toml").unwrap();
        assert_eq!(settings.config.membership.heartbeat, Span::millis(20));
        assert_eq!(settings.models.keys().map(|name| &**name).collect::<Vec<_>>(), ["m"]);
        assert_eq!(Settings::read("", "x.toml").unwrap().config.failover, Config::default().failover);
    }

    #[test]
    fn settings_that_were_written_are_read_as_the_same() {
        let text = "cluster.voters = 5\nmembership.evict_after = \"2345678901ns\"\nscheduler.policy = \"fair_time\"\n\
                    scheduler.slack = 0.3\ndispatch.window = 7\nfailover.standby = \"n2\"\n";
        for text in ["", text] {
            let settings = Settings::read(text, "x.toml").unwrap();
            let again = Settings::read(&settings.to_toml(), "y.toml").unwrap();
            assert_eq!(format!("{settings:?}"), format!("{again:?}"), "{}", settings.to_toml());
            let with_models = format!("{text}[model.a-b]\nper_input = \"3ms\"\nload = \"exp(1s)\"\n");
            let settings = Settings::read(&with_models, "x.toml").unwrap();
            let again = Settings::read(&settings.to_toml_with_models(), "y.toml").unwrap();
            assert_eq!(format!("{settings:?}"), format!("{again:?}"), "{}", settings.to_toml_with_models());
        }
    }

    #[test]
    fn what_only_a_rehearsal_knows_is_refused_by_name_and_line() {
        let refused =
            Settings::read("[model.m]\n[[fault]]\nkind = \"crash\"\n", "x.toml").unwrap_err().to_string();
        assert!(refused.starts_with("x.toml:2: fault: ") && refused.contains("membership"), "{refused}");
        let wrong = Settings::read("[membership]\nheartbeat = 20\n", "x.toml").unwrap_err().to_string();
        assert!(wrong.starts_with("x.toml:2: membership.heartbeat: 20 "), "{wrong}");
    }

    #[test]
    fn the_settings_of_a_plan_are_read_back() {
        for (name, source) in super::super::shipped() {
            let plan = Plan::read(source, name).unwrap();
            let settings = Settings::read(&settings_of(&plan), "settings.toml").unwrap();
            assert_eq!(settings.models, plan.models);
            assert_eq!(format!("{:?}", settings.config), format!("{:?}", plan.config));
        }
    }

    #[test]
    fn every_key_belongs_to_one_of_the_two() {
        for key in keys() {
            let first = key.path.split('.').next().unwrap_or_default();
            assert!(TABLES.contains(&first) != REHEARSED.contains(&first), "{}", key.path);
        }
    }
}
