//! The check of all settings, each against its range and some against others.

use crate::error::TrainerError;
use crate::objectives::config::ObjectiveConfig;
use crate::settings::config::{ImagesConfig, TrainConfig};
use crate::settings::schema::Walk;
use crate::settings::value::Number;

/// Most steps of an epoch, as checkpoints are named by seven digits.
const MAX_STEPS: usize = 9_999_999;

/// Most images that several passes draw in an epoch: their order is laid out before the first is read.
const MAX_SAMPLES: usize = 1 << 28;

impl TrainConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`TrainerError::InvalidConfig`] naming the first out of its range, or the errors of
    /// [`TrainConfig::network`].
    pub fn validate(&self) -> Result<(), TrainerError> {
        self.validate_without_network()?;
        self.network()?;
        Ok(())
    }

    /// As [`validate`](Self::validate) without building the network, for runs of a network that the settings
    /// do not name.
    ///
    /// # Errors
    /// [`TrainerError::InvalidConfig`] naming the first out of its range.
    pub fn validate_without_network(&self) -> Result<(), TrainerError> {
        let mut outcome = Ok(());
        Walk::over(&mut self.clone(), &mut |setting| {
            let Some(number) = setting.value.number() else { return };
            if outcome.is_ok() && !setting.entry.limits.contain(number) {
                outcome = check(&setting.key, text(number), false, &setting.entry.limits.text());
            }
        });
        outcome?;
        self.images.validate_together()?;
        self.objective.clustering().algorithm.validate()?;
        Ok(())
    }

    /// Checks that the steps of an epoch over `num_images` images can be laid out.
    ///
    /// # Errors
    /// [`TrainerError::InvalidConfig`] with the passes that can be made.
    pub(crate) fn check_num_samples(&self, num_images: usize) -> Result<(), TrainerError> {
        let ObjectiveConfig::DeepCluster(config) = &self.objective else { return Ok(()) };
        let num_samples = config.num_samples(num_images);
        let by_steps = self.training.batch_size.saturating_mul(MAX_STEPS);
        let most = MAX_SAMPLES.max(num_images).min(by_steps);
        let allowed = format!("at most {} with {num_images} images", most as f64 / num_images.max(1) as f64);
        let passes = config.epochs_per_clustering;
        check("objective.epochs_per_clustering", passes.to_string(), num_samples <= most, &allowed)
    }
}

impl ImagesConfig {
    fn validate_together(&self) -> Result<(), TrainerError> {
        if let Some(resize) = self.resize {
            let allowed = format!("size ({}) to 4096", self.size);
            check("images.resize", resize.to_string(), (self.size..=4096).contains(&resize), &allowed)?;
        }
        // Crops are computed in single precision, where smaller numbers would be none.
        let ends = [
            ("scale", self.crop_scale_min, self.crop_scale_max, 1e-6, 1.0),
            ("ratio", self.crop_ratio_min, self.crop_ratio_max, 0.01, 100.0),
        ];
        for (name, low, high, least, most) in ends {
            let allowed = format!("{least} to crop_{name}_max");
            let is_sound = low >= least && low <= high;
            check(&format!("images.crop_{name}_min"), low.to_string(), is_sound, &allowed)?;
            let allowed = format!("at most {most}");
            check(&format!("images.crop_{name}_max"), high.to_string(), high <= most, &allowed)?;
        }
        if let Some(side) = self.shrink_to {
            let resize = self.resize() as usize;
            let allowed = format!("resize ({resize}) to 16384");
            check("images.shrink_to", side.to_string(), (resize..=16_384).contains(&side), &allowed)?;
        }
        Ok(())
    }
}

fn text(number: Number) -> String {
    match number {
        Number::Integer(number) => number.to_string(),
        Number::Float(number) => number.to_string(),
    }
}

fn check(field: &str, value: String, is_sound: bool, allowed: &str) -> Result<(), TrainerError> {
    if is_sound {
        return Ok(());
    }
    Err(TrainerError::InvalidConfig { field: field.to_string(), value, allowed: allowed.to_string() })
}

#[cfg(test)]
mod tests {
    use deepcluster_models::MAX_WEIGHTS;

    use super::*;
    use crate::objectives::deepcluster::config::DeepClusterConfig;
    use crate::settings::clustering::ClusteringChoice;
    use crate::settings::list::all_settings;

    #[test]
    fn every_setting_out_of_range_is_named_with_the_range() {
        for (setting, range) in [
            ("images.size=31", "32 to 1024"),
            ("images.resize=100", "size (224) to 4096"),
            ("images.crop_scale_min=0.0", "0.000001 to crop_scale_max"),
            ("images.crop_scale_min=1e-300", "0.000001 to crop_scale_max"),
            ("images.crop_scale_max=1.5", "at most 1"),
            ("images.crop_ratio_min=nan", "0.01 to crop_ratio_max"),
            ("images.crop_ratio_max=1e9", "at most 100"),
            ("images.flip_probability=2.0", "0 to 1"),
            ("images.prefetch_batches=0", "1 to 1024"),
            ("images.shrink_to=255", "resize (256) to 16384"),
            ("images.max_pixels=0", "1 to 1000000000000"),
            ("objective.clustering.num_clusters=1", "2 to 4294967295"),
            ("objective.whitening.num_components=0", "1 to 1000000"),
            ("objective.learning_rate=nan", "more than 0"),
            ("objective.momentum=1.0", "at least 0, less than 1"),
            ("objective.weight_decay=-1.0", "at least 0"),
            ("objective.epochs_per_clustering=0.0", "more than 0, at most 10000"),
            ("training.epochs=100000", "0 to 99999"),
            ("training.batch_size=1", "2 to 1048576"),
            ("network.width=nan", "more than 0, at most 8"),
        ] {
            let mut config = TrainConfig::default();
            config.set(setting).unwrap();
            let error = config.validate().unwrap_err().to_string();
            let key = setting.split('=').next().unwrap();
            assert!(error.starts_with(key) && error.contains(range), "{setting}: {error}");
        }
        let config = TrainConfig { seed: u64::MAX, ..TrainConfig::default() };
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with("seed = 18446744073709551615"), "{error}");
    }

    /// Numbers nobody means. The last are no integers of TOML, and some no numbers of anything.
    const ABSURD: [&str; 22] = [
        "0",
        "1",
        "2",
        "-1",
        "65536",
        "2147483648",
        "4294967295",
        "4294967296",
        "1000000000000",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "1e308",
        "-1e308",
        "1e-300",
        "5e-324",
        "0.9999999999999999",
        "-0.0",
        "nan",
        "inf",
        "-inf",
    ];

    #[test]
    fn no_setting_is_believed_for_its_number() {
        let mut num_accepted = 0;
        for setting in all_settings() {
            for (size, value) in [32, 1024].into_iter().flat_map(|size| ABSURD.map(|value| (size, value))) {
                let mut config = TrainConfig::default();
                config.images.size = size;
                for (selector, name) in setting.only.iter().flatten() {
                    config.set(&format!("{selector}={name}")).unwrap();
                }
                let Ok(()) = config.set(&format!("{}={value}", setting.key)) else { continue };
                let Ok(()) = config.validate() else { continue };
                num_accepted += 1;
                use_everywhere(&config);
                // Accepted settings are kept: a run reads them back.
                assert_eq!(TrainConfig::from_toml(&config.to_toml(), "test").unwrap(), config);
            }
        }
        assert!(num_accepted > 200, "{num_accepted}");
    }

    /// Everything that is sized by settings alone or with a number of images, none of which may panic.
    fn use_everywhere(config: &TrainConfig) {
        config.loader_config().validate().unwrap();
        config.reading().transform().validate().unwrap();
        config.images.training_transform().validate().unwrap();
        config.objective.whitening().validate().unwrap();
        assert!(config.network().unwrap().num_weights() <= MAX_WEIGHTS);
        for num_images in [1, 64, 1_300_000, u32::MAX as usize] {
            config.objective.clustering().for_images(num_images).init().unwrap();
            let ObjectiveConfig::DeepCluster(settings) = &config.objective else { continue };
            if config.check_num_samples(num_images).is_ok() {
                let num_samples = settings.num_samples(num_images);
                assert!(num_samples <= MAX_SAMPLES.max(num_images));
                assert!(num_samples.div_ceil(config.training.batch_size) <= MAX_STEPS);
            }
        }
    }

    #[test]
    fn more_samples_than_can_be_laid_out_are_refused_with_what_can_be() {
        let with_passes = |epochs_per_clustering| TrainConfig {
            objective: ObjectiveConfig::DeepCluster(DeepClusterConfig {
                epochs_per_clustering,
                ..DeepClusterConfig::default()
            }),
            ..TrainConfig::default()
        };
        let config = with_passes(10_000.0);
        config.check_num_samples(20_000).unwrap();
        let error = config.check_num_samples(268_435_456 / 5000).unwrap_err().to_string();
        assert!(error.contains("epochs_per_clustering = 10000") && error.contains("at most 5000"), "{error}");
        // A pass over any number of images is one.
        let mut config = with_passes(1.0);
        config.check_num_samples(1 << 30).unwrap();
        config.training.batch_size = 2;
        assert!(config.check_num_samples(1 << 30).is_err());
    }

    #[test]
    fn settings_of_every_algorithm_are_checked() {
        for choice in [ClusteringChoice::KMeans, ClusteringChoice::Pic, ClusteringChoice::LinCohenPic] {
            let mut config = TrainConfig::default();
            config.objective.clustering_mut().algorithm = choice.config();
            config.validate().unwrap();
            config.set("objective.clustering.num_iterations=0").unwrap();
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with("objective.clustering.num_iterations = 0"), "{error}");
        }
    }
}
