//! Identity of a task, which a saved state must share: settings, network and data.

use std::path::Path;

use deepcluster_models::NamedWeights;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::TransferError;

/// The settings of a task as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct TaskSettings(Value);

impl TaskSettings {
    /// All fields of `settings` but those in `changeable`, such as `sgd.num_steps`, which may differ when the
    /// task is resumed.
    pub(crate) fn new(settings: &impl Serialize, changeable: &[&str]) -> Self {
        // Settings have names for keys, so that they can be written; the text of a number is read back as the
        // same number.
        let mut value = serde_json::to_value(settings).unwrap_or_default();
        for path in changeable {
            let (parents, field) = path.rsplit_once('.').unwrap_or(("", path));
            let parent =
                parents.split('.').filter(|name| !name.is_empty()).try_fold(&mut value, Value::get_mut);
            if let Some(Value::Object(fields)) = parent {
                fields.remove(field);
            }
        }
        Self(value)
    }

    /// The first setting whose value is not that of `saved`, in words.
    fn difference(&self, saved: &Self) -> Option<String> {
        difference("", &saved.0, &self.0)
    }
}

/// The first value of two trees that differs, by its path.
fn difference(path: &str, saved: &Value, wanted: &Value) -> Option<String> {
    match (saved, wanted) {
        (Value::Object(saved), Value::Object(wanted)) => {
            let names = wanted.keys().chain(saved.keys().filter(|name| !wanted.contains_key(*name)));
            names.into_iter().find_map(|name| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let value = |fields: &serde_json::Map<String, Value>| fields.get(name).cloned();
                difference(&path, &value(saved).unwrap_or_default(), &value(wanted).unwrap_or_default())
            })
        }
        _ if saved == wanted => None,
        _ => {
            Some(format!("its {} is {saved}, not {wanted}", if path.is_empty() { "settings" } else { path }))
        }
    }
}

/// Tells a task from others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskIdentity {
    settings: TaskSettings,
    /// Checksum of the network's first weights and of the names of the data.
    fingerprint: u32,
}

impl TaskIdentity {
    pub(crate) fn new(settings: TaskSettings, fingerprint: u32) -> Self {
        Self { settings, fingerprint }
    }

    /// Compares a task with that of a state in the file at `path`.
    ///
    /// # Errors
    /// [`TransferError::OtherTask`] with the first difference.
    pub(crate) fn check(&self, saved: &Self, path: &Path) -> Result<(), TransferError> {
        let difference = if saved.fingerprint == self.fingerprint {
            self.settings.difference(&saved.settings)
        } else {
            Some("the network or the images differ".to_string())
        };
        match difference {
            None => Ok(()),
            Some(difference) => Err(TransferError::OtherTask { path: path.to_path_buf(), difference }),
        }
    }
}

/// Checksum of weights and names, for [`TaskIdentity`].
pub(crate) fn fingerprint<'a>(weights: &NamedWeights, names: impl Iterator<Item = &'a [u8]>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for (name, data) in weights {
        hasher.update(name.as_bytes());
        hasher.update(data.as_bytes());
    }
    names.for_each(|name| {
        hasher.update(name);
        hasher.update(b"\n");
    });
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fine_tuning::FineTunedLayers;
    use crate::voc_classification::VocClassificationConfig;

    fn identity(config: &VocClassificationConfig) -> TaskIdentity {
        TaskIdentity::new(TaskSettings::new(config, &["sgd.num_steps"]), 7)
    }

    /// As it comes back from a file.
    fn saved(config: &VocClassificationConfig) -> TaskIdentity {
        serde_json::from_str(&serde_json::to_string(&identity(config)).unwrap()).unwrap()
    }

    #[test]
    fn the_setting_that_differs_is_named_with_both_values() {
        let default = VocClassificationConfig::default();
        let refused = |config: VocClassificationConfig| {
            identity(&config).check(&saved(&default), Path::new("state")).unwrap_err().to_string()
        };
        let mut other = default.clone();
        other.sgd.learning_rate = 0.1 + 0.2;
        let error = refused(other);
        assert!(error.contains("sgd.learning_rate is 0.003, not 0.30000000000000004"), "{error}");
        let error = refused(VocClassificationConfig { layers: FineTunedLayers::All, ..default.clone() });
        assert!(error.contains("layers is \"fc6-8\", not \"all\""), "{error}");
        let error = refused(VocClassificationConfig { crop_scale: (0.1, 0.6), ..default.clone() });
        assert!(error.contains("crop_scale is [0.1,0.5], not [0.1,0.6]"), "{error}");
    }

    #[test]
    fn equal_settings_are_equal_after_a_file_and_changeable_ones_may_differ() {
        let mut config = VocClassificationConfig::default();
        // A number whose shortest text has 17 digits.
        (config.sgd.learning_rate, config.sgd.weight_decay) = (0.1 + 0.2, 5e-324);
        let before = saved(&config);
        config.sgd.num_steps += 1;
        identity(&config).check(&before, Path::new("state")).unwrap();
        let other = TaskIdentity { fingerprint: 8, ..identity(&config) };
        let error = other.check(&before, Path::new("state")).unwrap_err().to_string();
        assert!(error.contains("the network or the images differ"), "{error}");
    }
}
