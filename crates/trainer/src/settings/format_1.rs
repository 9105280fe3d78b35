//! Settings of runs of format 1, in which the tables were `data`, `model`, `clustering`, `training` and
//! `nat`.
//!
//! They are read as the present ones. The header of a model is still written in them where they can express
//! its settings, so that the same training leaves the same bytes as before.

use toml::{Table, Value};

use crate::error::TrainerError;
use crate::objectives::config::{ObjectiveConfig, ObjectiveKind};
use crate::settings::config::TrainConfig;
use crate::settings::file::{flat, with_line};
use crate::settings::overrides::{Overrides, unknown_key};

/// A setting of format 1.
struct Old {
    key: &'static str,
    /// In TOML; empty for one that is left out.
    default: &'static str,
    name: &'static str,
    /// The objectives and algorithms that it counted for, separated by blanks; empty for all.
    owners: &'static str,
}

const fn old(key: &'static str, default: &'static str, name: &'static str) -> Old {
    Old { key, default, name, owners: "" }
}

const fn of(owners: &'static str, setting: Old) -> Old {
    Old { owners, ..setting }
}

/// All settings of format 1 in the order in which it wrote them.
const SETTINGS: [Old; 52] = [
    old("seed", "31", "seed"),
    old("objective.kind", "", "objective.kind"),
    old("data.image_size", "224", "images.size"),
    old("data.resize", "", "images.resize"),
    old("data.labels", "\"auto\"", "images.labels"),
    old("data.crop_scale_min", "0.08", "images.crop_scale_min"),
    old("data.crop_scale_max", "1.0", "images.crop_scale_max"),
    old("data.crop_ratio_min", "0.75", "images.crop_ratio_min"),
    old("data.crop_ratio_max", "1.3333333333333333", "images.crop_ratio_max"),
    old("data.flip_probability", "0.5", "images.flip_probability"),
    old("data.num_workers", "0", "images.num_workers"),
    old("data.prefetch_batches", "4", "images.prefetch_batches"),
    old("data.cache_mib", "1024", "images.cache_mib"),
    old("data.disk_cache", "", "images.disk_cache"),
    old("data.disk_cache_mib", "10240", "images.disk_cache_mib"),
    old("data.shrink_to", "", "images.shrink_to"),
    old("data.max_pixels", "178956970", "images.max_pixels"),
    old("model.architecture", "", "network.kind"),
    old("model.sobel", "true", "network.sobel"),
    old("model.width", "1.0", "network.width"),
    old("model.dropout", "0.5", "network.dropout"),
    old("clustering.algorithm", "\"kmeans\"", "objective.clustering.algorithm"),
    old("clustering.num_clusters", "", "objective.clustering.num_clusters"),
    of("kmeans", old("clustering.num_iterations", "20", "objective.clustering.num_iterations")),
    of("kmeans lin-cohen-pic", old("clustering.num_redos", "1", "objective.clustering.num_redos")),
    of("kmeans", old("clustering.initialization", "\"random\"", "objective.clustering.initialization")),
    of("kmeans", old("clustering.variant", "\"lloyd\"", "objective.clustering.variant")),
    of("kmeans", old("clustering.mini_batch_size", "4096", "objective.clustering.mini_batch_size")),
    of("kmeans", old("clustering.spherical", "false", "objective.clustering.spherical")),
    of("kmeans", old("clustering.tolerance", "0.0", "objective.clustering.tolerance")),
    of(
        "kmeans",
        old("clustering.max_samples_per_cluster", "", "objective.clustering.max_samples_per_cluster"),
    ),
    old("clustering.pca_dim", "256", "objective.whitening.num_components"),
    old("clustering.whiten", "true", "objective.whitening.whiten"),
    of("pic lin-cohen-pic", old("clustering.num_neighbors", "5", "objective.clustering.num_neighbors")),
    of(
        "pic lin-cohen-pic",
        old("clustering.kernel_bandwidth", "0.2", "objective.clustering.kernel_bandwidth"),
    ),
    of("pic", old("clustering.damping", "0.001", "objective.clustering.damping")),
    old("training.epochs", "200", "training.epochs"),
    old("training.batch_size", "256", "training.batch_size"),
    of("deepcluster", old("training.learning_rate", "0.05", "objective.learning_rate")),
    of("deepcluster", old("training.momentum", "0.9", "objective.momentum")),
    of("deepcluster", old("training.weight_decay", "0.00001", "objective.weight_decay")),
    of("deepcluster", old("training.epochs_per_clustering", "1.0", "objective.epochs_per_clustering")),
    of("deepcluster", old("training.sampling", "\"uniform\"", "objective.sampling")),
    old("training.feature_batch_size", "256", "training.feature_batch_size"),
    old("training.feature_type", "\"f32\"", "training.feature_type"),
    old("training.precision", "\"f32\"", "network.precision"),
    old("training.checkpoint_steps", "0", "training.checkpoint_steps"),
    old("training.knn_neighbors", "20", "training.knn_neighbors"),
    old("training.tensorboard", "true", "training.tensorboard"),
    of("nat", old("nat.target_dim", "2048", "objective.target_dim")),
    of("nat", old("nat.exchange_every", "3", "objective.exchange_every")),
    of("nat", old("nat.learning_rate", "0.01", "objective.learning_rate")),
];

impl Old {
    fn counts_for(&self, choices: &[String]) -> bool {
        self.owners.is_empty() || self.owners.split(' ').any(|owner| choices.iter().any(|name| name == owner))
    }
}

/// The present name of a setting that had another in format 1.
pub(crate) fn new_name(key: &str) -> Option<&'static str> {
    SETTINGS.iter().find(|setting| setting.key == key && setting.name != key).map(|setting| setting.name)
}

/// All settings of format 1 that have another name now, with it.
#[cfg(test)]
pub(crate) fn renamed() -> impl Iterator<Item = (&'static str, &'static str)> {
    SETTINGS.iter().filter(|setting| setting.name != setting.key).map(|setting| (setting.key, setting.name))
}

impl TrainConfig {
    /// Reads the settings of a run of either format; `origin` names them in errors.
    pub(crate) fn from_run(text: &str, origin: &str) -> Result<Self, TrainerError> {
        let unreadable =
            |reason: String| TrainerError::UnreadableConfig { origin: origin.to_string(), reason };
        let table: Table = text.parse().map_err(|error| unreadable(with_line(text, &error)))?;
        // Format 1 always wrote this table, which the present one does not have.
        if !table.contains_key("data") {
            return Self::from_toml(text, origin);
        }
        let mut overrides = Overrides::default();
        overrides.add(translated(flat(&table))?, origin);
        Self::from_overrides(&overrides)
    }

    /// The settings as the header of a model has them.
    pub(crate) fn to_model_text(&self) -> String {
        self.to_format_1().unwrap_or_else(|| self.to_toml())
    }

    /// The settings as format 1 wrote them, or `None` where it did not have one of them.
    fn to_format_1(&self) -> Option<String> {
        let mut untouched =
            Self { objective: ObjectiveConfig::new(self.objective.kind()), ..Self::default() };
        untouched.objective.clustering_mut().algorithm = self.objective.clustering().choice().config();
        let choices = self.choices();
        let (mut rows, untouched) = (self.rows(), untouched.rows());
        let mut written = Vec::new();
        for setting in &SETTINGS {
            let mut value = setting.default.to_string();
            if setting.counts_for(&choices) {
                let row = rows.iter().position(|row| row.key == setting.name)?;
                value = rows.remove(row).value.map(|value| value.to_string()).unwrap_or_default();
            }
            written.push((setting, value));
        }
        if rows.iter().any(|row| !untouched.contains(row)) {
            return None;
        }
        let is_deepcluster = self.objective.kind() == ObjectiveKind::DeepCluster;
        let is_nat = |setting: &Old| setting.key.starts_with("nat.");
        let has_nat = written.iter().any(|(setting, value)| is_nat(setting) && value != setting.default);
        let (mut text, mut table) = (String::new(), "");
        for (setting, value) in written {
            let is_left_out =
                (setting.key == "objective.kind" && is_deepcluster) || (is_nat(setting) && !has_nat);
            if value.is_empty() || is_left_out {
                continue;
            }
            let (of_setting, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
            if of_setting != table {
                table = of_setting;
                text.push_str(&format!("\n[{table}]\n"));
            }
            text.push_str(&format!("{name} = {value}\n"));
        }
        Some(text)
    }

    /// The names of the objective and of the clustering algorithm.
    fn choices(&self) -> [String; 2] {
        let algorithm = self.objective.clustering().choice();
        [self.objective.kind().name().to_string(), algorithm.name().to_string()]
    }
}

/// Settings of format 1 under their present names, without those that did not count.
fn translated(values: Vec<(String, Value)>) -> Result<Vec<(String, Value)>, TrainerError> {
    let chosen = |key: &str, default: &str| {
        let value = values.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_str());
        value.unwrap_or(default).to_string()
    };
    let choices = [chosen("objective.kind", "deepcluster"), chosen("clustering.algorithm", "kmeans")];
    let mut translated = Vec::new();
    let is_empty = |value: &Value| value.as_table().is_some_and(Table::is_empty);
    for (key, value) in values.into_iter().filter(|(_, value)| !is_empty(value)) {
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        let setting = setting.ok_or_else(|| unknown_key(&key, SETTINGS.iter().map(|setting| setting.key)))?;
        if setting.counts_for(&choices) {
            translated.push((setting.name.to_string(), value));
        }
    }
    Ok(translated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::list::all_settings;

    /// The settings of a run of NAT as format 1 wrote them.
    const NAT: &str = include_str!("../../tests/fixtures/format-1-nat.toml");

    #[test]
    fn a_run_of_nat_keeps_its_settings_and_its_text() {
        let config = TrainConfig::from_run(NAT, "test").unwrap();
        let ObjectiveConfig::Nat(nat) = &config.objective else { panic!() };
        assert_eq!((nat.target_dim, nat.learning_rate, nat.exchange_every), (32, 0.02, 3));
        assert_eq!(config.objective.whitening().num_components, 16);
        assert_eq!(config.to_model_text(), NAT);
        // Settings without effect are gone, and the rest is in the present form.
        let text = config.to_toml();
        assert!(text.contains("[objective.clustering]") && !text.contains("momentum"), "{text}");
        assert_eq!(TrainConfig::from_run(&text, "test").unwrap(), config);
    }

    #[test]
    fn defaults_are_those_of_format_1_for_every_choice() {
        for kind in ["deepcluster", "nat"] {
            for algorithm in ["kmeans", "pic", "lin-cohen-pic"] {
                let mut config = TrainConfig::default();
                config.set(&format!("objective.kind={kind}")).unwrap();
                config.set(&format!("objective.clustering.algorithm={algorithm}")).unwrap();
                let text = config.to_format_1().unwrap();
                assert!(text.contains("num_redos = 1\n") && text.contains("num_iterations = 20\n"), "{text}");
                assert_eq!(TrainConfig::from_run(&text, "test").unwrap(), config);
                let only = format!(
                    "[data]\n[objective]\nkind = \"{kind}\"\n[clustering]\nalgorithm = \"{algorithm}\"\n"
                );
                assert_eq!(TrainConfig::from_run(&only, "test").unwrap(), config);
            }
        }
    }

    #[test]
    fn every_setting_of_format_1_has_its_present_one() {
        let all = all_settings();
        for setting in &SETTINGS {
            let found = all.iter().filter(|now| now.key == setting.name).collect::<Vec<_>>();
            assert!(!found.is_empty(), "{}", setting.name);
            let mut owners: Vec<&str> = setting.owners.split_whitespace().collect();
            owners.sort_unstable();
            // Several settings of one name differ between objectives.
            assert!(
                found.iter().any(|now| now.owners == owners) || setting.name.ends_with("num_redos"),
                "{}",
                setting.key
            );
        }
    }

    #[test]
    fn settings_that_format_1_lacked_are_written_in_the_present_form() {
        let mut config = TrainConfig::default();
        config.set("objective.clustering.chain_length=7").unwrap();
        let text = config.to_model_text();
        assert!(text.contains("chain_length = 7"), "{text}");
        assert_eq!(TrainConfig::from_run(&text, "test").unwrap(), config);
    }

    #[test]
    fn damage_is_refused_with_the_nearest_old_name() {
        let error = TrainConfig::from_run("[data]\nimage_siz = 32\n", "test").unwrap_err().to_string();
        assert!(error.contains("'data.image_size'"), "{error}");
        assert!(TrainConfig::from_run("data = 3", "test").is_err());
    }
}
