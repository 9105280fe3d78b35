//! Settings from files and options on top of others.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use crate::error::TrainerError;
use crate::settings::config::TrainConfig;
use crate::settings::file::{flat, read_text, with_line};
use crate::settings::format_1;
use crate::settings::list::{SettingHelp, all_settings, plain};
use crate::settings::schema::Walk;
use crate::settings::value;

/// Settings of which later ones win over earlier ones, applied together: a file may have settings of an
/// objective that only an option chooses.
///
/// ```
/// use deepcluster_trainer::{Overrides, TrainConfig};
///
/// let mut overrides = Overrides::default();
/// overrides.set("objective.target_dim=64")?;
/// overrides.set("objective.kind=nat")?;
/// let mut config = TrainConfig::default();
/// overrides.apply(&mut config)?;
/// assert_eq!(config.objective.kind().name(), "nat");
/// # Ok::<(), deepcluster_trainer::TrainerError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    given: Vec<Given>,
}

#[derive(Debug, Clone)]
struct Given {
    key: String,
    /// Forms of the value, the likelier first.
    forms: Vec<Value>,
    /// The file or the assignment, for messages.
    origin: String,
}

impl Overrides {
    /// Adds the settings of a TOML file.
    ///
    /// # Errors
    /// [`TrainerError::UnreadableConfig`] for a file that is not text or not TOML, then with the line.
    pub fn load(&mut self, path: &Path) -> Result<(), TrainerError> {
        let origin = path.display().to_string();
        match read_text(path) {
            Ok(text) => self.add_toml(&text, &origin),
            Err(reason) => Err(TrainerError::UnreadableConfig { origin, reason }),
        }
    }

    /// Adds the settings of TOML text; `origin` names it in errors.
    ///
    /// # Errors
    /// As [`Overrides::load`].
    pub fn add_toml(&mut self, text: &str, origin: &str) -> Result<(), TrainerError> {
        let table: Table = text.parse().map_err(|error| TrainerError::UnreadableConfig {
            origin: origin.to_string(),
            reason: with_line(text, &error),
        })?;
        self.add(flat(&table), origin);
        Ok(())
    }

    pub(crate) fn add(&mut self, values: impl IntoIterator<Item = (String, Value)>, origin: &str) {
        let given = |(key, value)| Given { key, forms: vec![value], origin: origin.to_string() };
        self.given.extend(values.into_iter().map(given));
    }

    /// Adds one setting, as in `training.epochs=100`. Text needs no quotes.
    ///
    /// # Errors
    /// [`TrainerError::UnreadableConfig`] for anything else than a key, `=` and a value.
    pub fn set(&mut self, assignment: &str) -> Result<(), TrainerError> {
        let origin = format!("setting {}", shortened(assignment));
        let unreadable = |reason: String| TrainerError::UnreadableConfig { origin: origin.clone(), reason };
        let (key, value) =
            assignment.split_once('=').ok_or_else(|| unreadable("write it as key=value".to_string()))?;
        let (key, value) = (key.trim().to_string(), value.trim());
        if is_beyond_toml(value) {
            return Err(unreadable(format!("the number is too large: at most {} is allowed", i64::MAX)));
        }
        // A value with a line break could bring keys of its own.
        let parsed = format!("value = {value}").parse::<Table>().ok().filter(|table| table.len() == 1);
        let parsed = parsed.and_then(|mut table| table.remove("value"));
        // A label file may be called `10`: text that cannot be a value of the type is tried as it is.
        let forms = parsed.into_iter().chain([Value::String(value.to_string())]).collect();
        self.given.push(Given { key, forms, origin });
        Ok(())
    }

    /// Changes `config`, which stays as it was after an error. Settings that belong to an objective or an
    /// algorithm that is no longer chosen go.
    ///
    /// # Errors
    /// [`TrainerError::UnknownKey`] with the nearest valid key, [`TrainerError::UnreadableConfig`] for a
    /// value of the wrong type, [`TrainerError::InvalidConfig`] for a setting of another objective or
    /// algorithm than the chosen.
    pub fn apply(&self, config: &mut TrainConfig) -> Result<(), TrainerError> {
        let mut changed = config.clone();
        let mut left: BTreeMap<&str, &Given> =
            self.given.iter().map(|given| (given.key.as_str(), given)).collect();
        let mut outcome = Ok(());
        let mut keys = Vec::new();
        Walk::over(&mut changed, &mut |setting| {
            if let Some(given) = left.remove(setting.key.as_str()) {
                let assigned = given.assign_to(setting.value);
                if outcome.is_ok() {
                    outcome = assigned;
                }
            }
            keys.push(setting.key);
        });
        outcome?;
        left.retain(|_, given| !given.is_empty_table(&keys));
        if let Some(given) = left.values().next() {
            return Err(given.misplaced(&changed, left.keys()));
        }
        *config = changed;
        Ok(())
    }
}

impl Given {
    /// Whether it is a table of settings without any.
    fn is_empty_table(&self, keys: &[String]) -> bool {
        let is_inside = |key: &String| key.strip_prefix(&self.key).is_some_and(|rest| rest.starts_with('.'));
        matches!(&self.forms[..], [Value::Table(table)] if table.is_empty()) && keys.iter().any(is_inside)
    }

    fn assign_to(&self, value: &mut dyn value::Value) -> Result<(), TrainerError> {
        let mut reason = None;
        for form in &self.forms {
            match value.assign(form.clone()) {
                Ok(()) => return Ok(()),
                Err(error) => reason = reason.or(Some(error)),
            }
        }
        let reason = shortened(&reason.unwrap_or_default());
        let reason = if self.origin.contains(&self.key) { reason } else { format!("{}: {reason}", self.key) };
        Err(TrainerError::UnreadableConfig { origin: self.origin.clone(), reason })
    }

    /// Why `config` has no such setting; `keys` are all that it does not have.
    fn misplaced<'a>(&self, config: &TrainConfig, keys: impl Iterator<Item = &'a &'a str>) -> TrainerError {
        if let Some(name) = format_1::new_name(&self.key) {
            let others = keys.filter(|key| **key != self.key);
            let others =
                others.filter_map(|key| Some(format!(", '{key}' is '{}'", format_1::new_name(key)?)));
            let hint = format!("; it is '{name}' now{}", others.collect::<String>());
            return TrainerError::UnknownKey { key: self.key.clone(), hint };
        }
        let all = all_settings();
        match all.iter().find(|setting| setting.key == self.key) {
            Some(setting) => TrainerError::InvalidConfig {
                field: self.key.clone(),
                value: self.forms.first().map(plain).unwrap_or_default(),
                allowed: belongs_elsewhere(setting, config),
            },
            None => unknown_key(&self.key, all.iter().map(|setting| setting.key.as_str())),
        }
    }
}

/// Whose setting it is, and what has been chosen.
fn belongs_elsewhere(setting: &SettingHelp, config: &TrainConfig) -> String {
    let mut words = format!("it is a setting of {}", setting.owners.join(" and "));
    let chosen = config.rows().into_iter().find(|row| {
        let owners = || setting.only.iter().flatten().filter(|(selector, _)| *selector == row.key);
        owners().count() > 0 && !owners().any(|(_, name)| row.text() == *name)
    });
    if let Some(row) = chosen {
        words.push_str(&format!(", and {} is {}", row.key, row.text()));
    }
    words
}

/// Whether the text is a whole number that TOML does not have.
fn is_beyond_toml(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<i64>().is_err()
}

/// The beginning of a text that may be of any length.
pub(crate) fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 200;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// The error for a key that is none of those known.
pub(crate) fn unknown_key<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> TrainerError {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    known.dedup();
    let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_string();
    let likeness = |candidate: &str| {
        let (asked, known) = (name(key), name(candidate));
        let part: f64 = if known.contains(&asked) || asked.contains(&known) { 0.9 } else { 0.0 };
        part.max(strsim::jaro_winkler(&asked, &known)).max(strsim::jaro_winkler(key, candidate))
    };
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let hint = match nearest {
        Some(nearest) if likeness(nearest) > 0.75 => format!("; did you mean '{nearest}'?"),
        _ => format!("; the keys are {}", known.join(", ")),
    };
    TrainerError::UnknownKey { key: shortened(key), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(assignments: &[&str]) -> String {
        let mut config = TrainConfig::default();
        let mut overrides = Overrides::default();
        let outcome = assignments.iter().try_for_each(|assignment| overrides.set(assignment));
        let error = outcome.and_then(|()| overrides.apply(&mut config)).unwrap_err();
        assert_eq!(config, TrainConfig::default());
        error.to_string()
    }

    #[test]
    fn settings_of_another_objective_or_algorithm_are_refused_with_the_chosen() {
        let error = refused(&["objective.target_dim=32"]);
        assert!(
            error.contains("objective.target_dim = 32 is not allowed: it is a setting of nat"),
            "{error}"
        );
        assert!(error.ends_with("objective.kind is deepcluster"), "{error}");
        let error = refused(&["objective.momentum=0.5", "objective.kind=nat"]);
        assert!(error.contains("a setting of deepcluster, and objective.kind is nat"), "{error}");
        let error = refused(&["objective.kind=nat", "objective.clustering.damping=0.5"]);
        assert!(error.contains("a setting of pic, and objective.clustering.algorithm is kmeans"), "{error}");
    }

    #[test]
    fn later_settings_win_and_choices_come_first() {
        let mut overrides = Overrides::default();
        overrides.add_toml("[objective]\ntarget_dim = 8\nclustering.num_clusters = 7\n", "test").unwrap();
        overrides.set("objective.target_dim=9").unwrap();
        overrides.set("objective.kind=nat").unwrap();
        let mut config = TrainConfig::default();
        overrides.apply(&mut config).unwrap();
        assert!(config.to_toml().contains("target_dim = 9"));
        assert_eq!(config.num_clusters(1000), 7);
        // The clusters stay where the objective changes.
        config.set("objective.kind=deepcluster").unwrap();
        assert_eq!(config.num_clusters(1000), 7);
    }

    #[test]
    fn old_names_are_refused_with_the_new_ones() {
        let error =
            TrainConfig::from_toml("[data]\nimage_size = 32\n[model]\nwidth = 0.5\n", "test").unwrap_err();
        let error = error.to_string();
        assert!(error.contains("'data.image_size'; it is 'images.size' now"), "{error}");
        assert!(error.contains("'model.width' is 'network.width'"), "{error}");
        assert!(refused(&["clustering.pca_dim=3"]).contains("'objective.whitening.num_components' now"));
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest() {
        for (assignment, nearest) in [
            ("training.epoch=3", "'training.epochs'"),
            ("clusters=3", "'objective.clustering.num_clusters'"),
            ("training.lerning_rate=1", "'objective.learning_rate'"),
            ("objective.targetdim=1", "'objective.target_dim'"),
        ] {
            let error = refused(&[assignment]);
            assert!(error.contains(nearest), "{error}");
        }
    }

    #[test]
    fn values_of_the_wrong_type_are_refused() {
        assert!(refused(&["training.epochs=many"]).contains("training.epochs=many: invalid type"));
        assert!(refused(&["training.epochs"]).contains("key=value"));
        assert!(refused(&["objective.kind=none"]).contains("unknown variant `none`"));
        for value in ["18446744073709551615", "9223372036854775808", "-99999999999999999999"] {
            assert!(refused(&[&format!("seed={value}")]).contains("at most 9223372036854775807"));
        }
        // A value brings no keys along.
        refused(&["seed=1\ntraining.epochs=2"]);
    }
}
