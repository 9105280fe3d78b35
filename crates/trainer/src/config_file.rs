//! Configuration files (TOML) and `key=value` overrides on top of the defaults.

use std::path::Path;

use toml::{Table, Value};

use crate::config::TrainConfig;
use crate::error::TrainerError;

/// Keys without a default value, which the serialised defaults do not show.
const OPTIONAL_KEYS: [&str; 6] = [
    "data.resize",
    "data.disk_cache",
    "data.shrink_to",
    "model.architecture",
    "clustering.num_clusters",
    "clustering.max_samples_per_cluster",
];

impl TrainConfig {
    /// Reads a TOML file; keys it leaves out keep their defaults.
    ///
    /// # Errors
    /// [`TrainerError::Io`], [`TrainerError::UnreadableConfig`] with the line, [`TrainerError::UnknownKey`] with the
    /// nearest valid key.
    pub fn load(path: &Path) -> Result<Self, TrainerError> {
        let text = std::fs::read_to_string(path).map_err(TrainerError::io("read", path))?;
        Self::from_toml(&text, &path.display().to_string())
    }

    /// Reads TOML text; `origin` names it in errors.
    ///
    /// # Errors
    /// As [`TrainConfig::load`].
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, TrainerError> {
        let unreadable =
            |reason: String| TrainerError::UnreadableConfig { origin: origin.to_string(), reason };
        let table: Table = text.parse().map_err(|error: toml::de::Error| unreadable(error.to_string()))?;
        let known = known_keys();
        for key in keys_of(&table, "") {
            if !known.contains(&key) {
                return Err(unknown_key(&key, &known));
            }
        }
        toml::from_str(text).map_err(|error| unreadable(error.to_string()))
    }

    /// Sets one value by its dotted key, as in `clustering.num_clusters=100`. Text needs no quotes.
    ///
    /// # Errors
    /// [`TrainerError::UnknownKey`], or [`TrainerError::UnreadableConfig`] for a value of the wrong type.
    pub fn set(&mut self, assignment: &str) -> Result<(), TrainerError> {
        let origin = format!("--set {assignment}");
        let unreadable = |reason: String| TrainerError::UnreadableConfig { origin: origin.clone(), reason };
        let (key, value) =
            assignment.split_once('=').ok_or_else(|| unreadable("write it as key=value".to_string()))?;
        let (key, value) = (key.trim(), value.trim());
        let known = known_keys();
        if !known.iter().any(|known| known == key) {
            return Err(unknown_key(key, &known));
        }
        let mut table = self.to_table();
        let as_text = Value::String(value.to_string());
        let parsed =
            format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
        // A label file may be called `10`: what cannot be that type is tried as text.
        for value in [parsed, Some(as_text)].into_iter().flatten() {
            insert(&mut table, key, value);
            match table.clone().try_into() {
                Ok(config) => {
                    *self = config;
                    return Ok(());
                }
                Err(_) => continue,
            }
        }
        let error = match table.try_into::<TrainConfig>() {
            Ok(_) => "the value does not fit".to_string(),
            Err(error) => error.message().to_string(),
        };
        Err(unreadable(error))
    }

    /// The settings as TOML, as they are written into a run directory.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("plain fields always serialise")
    }

    /// The values by dotted key, for comparison and display.
    pub(crate) fn values(&self) -> Vec<(String, String)> {
        let table = self.to_table();
        keys_of(&table, "")
            .into_iter()
            .map(|key| {
                let value = lookup(&table, &key).map(|value| value.to_string()).unwrap_or_default();
                (key, value)
            })
            .collect()
    }

    fn to_table(&self) -> Table {
        Table::try_from(self).expect("plain fields always serialise")
    }
}

fn lookup(table: &Table, key: &str) -> Option<Value> {
    match key.split_once('.') {
        None => table.get(key).cloned(),
        Some((section, rest)) => lookup(table.get(section)?.as_table()?, rest),
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_string(), value);
        }
        Some((section, rest)) => {
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                insert(section, rest, value);
            }
        }
    }
}

fn known_keys() -> Vec<String> {
    let mut keys = keys_of(&TrainConfig::default().to_table(), "");
    keys.extend(OPTIONAL_KEYS.map(String::from));
    keys.sort();
    keys
}

fn keys_of(table: &Table, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(section) if prefix.is_empty() && !section.is_empty() => {
                keys.extend(keys_of(section, &key))
            }
            _ => keys.push(key),
        }
    }
    keys
}

fn unknown_key(key: &str, known: &[String]) -> TrainerError {
    let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_string();
    let likeness = |candidate: &String| {
        let (asked, known) = (name(key), name(candidate));
        let part: f64 = if known.contains(&asked) || asked.contains(&known) { 0.9 } else { 0.0 };
        part.max(strsim::jaro_winkler(&asked, &known)).max(strsim::jaro_winkler(key, candidate))
    };
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let hint = match nearest {
        Some(nearest) if likeness(nearest) > 0.75 => format!("; did you mean '{nearest}'?"),
        _ => format!("; the keys are {}", known.join(", ")),
    };
    TrainerError::UnknownKey { key: key.to_string(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_configuration_reads_back_the_same() {
        let mut config = TrainConfig::default();
        config.set("clustering.num_clusters=77").unwrap();
        config.set("model.architecture=vgg16").unwrap();
        assert_eq!(TrainConfig::from_toml(&config.to_toml(), "test").unwrap(), config);
    }

    #[test]
    fn left_out_keys_keep_their_defaults() {
        let config = TrainConfig::from_toml("[training]\nepochs = 3\n", "test").unwrap();
        assert_eq!(config.training.epochs, 3);
        assert_eq!(config.training.batch_size, TrainConfig::default().training.batch_size);
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest() {
        let error = TrainConfig::from_toml("[training]\nepoch = 3\n", "test").unwrap_err().to_string();
        assert!(error.contains("'training.epochs'"), "{error}");
        let error = TrainConfig::from_toml("clusters = 3\n", "test").unwrap_err().to_string();
        assert!(error.contains("'clustering.num_clusters'"), "{error}");
        let error = TrainConfig::default().set("training.lerning_rate=1").unwrap_err().to_string();
        assert!(error.contains("'training.learning_rate'"), "{error}");
    }

    #[test]
    fn values_of_the_wrong_type_are_refused() {
        let error = TrainConfig::default().set("training.epochs=many").unwrap_err().to_string();
        assert!(error.contains("training.epochs=many"), "{error}");
        assert!(TrainConfig::from_toml("[training]\nepochs = -1\n", "test").is_err());
        assert!(TrainConfig::from_toml("training = 3", "test").is_err());
        assert!(TrainConfig::from_toml("not toml", "test").is_err());
    }
}
