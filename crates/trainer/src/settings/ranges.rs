//! The ranges of the settings.
//!
//! Every number has an upper end: TOML holds none above 2^63, counts of epochs and steps have their places in
//! the names of checkpoints, and what is laid out in memory before it is used must fit there.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::error::TrainerError;
use crate::settings::config::TrainConfig;

/// The end of numbers that nothing else bounds: far beyond any use, and far from any overflow.
const LARGEST: u64 = 1_000_000_000_000;

/// Most epochs, as checkpoints are named by five digits.
const MAX_EPOCHS: usize = 99_999;

/// Most steps of an epoch, as checkpoints are named by seven digits.
const MAX_STEPS: usize = 9_999_999;

/// Most images that several passes draw in an epoch: their order is laid out before the first is read.
const MAX_SAMPLES: usize = 1 << 28;

impl TrainConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`TrainerError::InvalidConfig`] naming the first field out of its range, or what the network says of
    /// its input size.
    pub fn validate(&self) -> Result<(), TrainerError> {
        check_range("seed", self.seed, 0..=i64::MAX as u64)?;
        self.validate_data()?;
        self.validate_clustering()?;
        self.validate_training()?;
        self.validate_nat()?;
        self.network()?;
        Ok(())
    }

    fn validate_data(&self) -> Result<(), TrainerError> {
        let data = &self.data;
        check_range("data.image_size", data.image_size, 32..=1024)?;
        if let Some(resize) = data.resize {
            let allowed = format!("image_size ({}) to 4096", data.image_size);
            check("data.resize", resize, (data.image_size..=4096).contains(&resize), &allowed)?;
        }
        // Crops are computed in single precision, where smaller numbers would be none.
        let (low, high) = (data.crop_scale_min, data.crop_scale_max);
        check("data.crop_scale_min", low, low >= 1e-6 && low <= high, "0.000001 to crop_scale_max")?;
        check("data.crop_scale_max", high, high <= 1.0, "at most 1")?;
        let (low, high) = (data.crop_ratio_min, data.crop_ratio_max);
        check("data.crop_ratio_min", low, low >= 0.01 && low <= high, "0.01 to crop_ratio_max")?;
        check("data.crop_ratio_max", high, high <= 100.0, "at most 100")?;
        let flip = data.flip_probability;
        check("data.flip_probability", flip, (0.0..=1.0).contains(&flip), "0 to 1")?;
        check_range("data.num_workers", data.num_workers, 0..=1024)?;
        check_range("data.prefetch_batches", data.prefetch_batches, 1..=1024)?;
        check_range("data.cache_mib", data.cache_mib, 0..=LARGEST)?;
        check_range("data.disk_cache_mib", data.disk_cache_mib, 0..=LARGEST)?;
        if let Some(side) = data.shrink_to {
            let resize = self.resize() as usize;
            let allowed = format!("resize ({resize}) to 16384");
            check("data.shrink_to", side, (resize..=16_384).contains(&side), &allowed)?;
        }
        check_range("data.max_pixels", data.max_pixels, 1..=LARGEST)
    }

    fn validate_clustering(&self) -> Result<(), TrainerError> {
        let clustering = &self.clustering;
        let k = clustering.num_clusters.unwrap_or(2);
        check_range("clustering.num_clusters", k, 2..=u32::MAX as usize)?;
        check_range("clustering.num_iterations", clustering.num_iterations, 1..=1_000_000)?;
        check_range("clustering.num_redos", clustering.num_redos, 1..=10_000)?;
        check_range("clustering.mini_batch_size", clustering.mini_batch_size as u64, 1..=LARGEST)?;
        let most = clustering.max_samples_per_cluster.unwrap_or(1) as u64;
        check_range("clustering.max_samples_per_cluster", most, 1..=LARGEST)?;
        check_range("clustering.pca_dim", clustering.pca_dim, 1..=1_000_000)?;
        check_range("clustering.num_neighbors", clustering.num_neighbors, 1..=1000)?;
        let (tolerance, bandwidth) = (clustering.tolerance, clustering.kernel_bandwidth);
        check("clustering.tolerance", tolerance, tolerance >= 0.0 && tolerance.is_finite(), "at least 0")?;
        let sound = bandwidth > 0.0 && bandwidth.is_finite();
        check("clustering.kernel_bandwidth", bandwidth, sound, "more than 0")?;
        let damping = clustering.damping;
        check("clustering.damping", damping, damping > 0.0 && damping < 1.0, "more than 0, less than 1")?;
        self.clustering_config(k).init()?;
        Ok(())
    }

    fn validate_training(&self) -> Result<(), TrainerError> {
        let training = &self.training;
        check_range("training.epochs", training.epochs, 0..=MAX_EPOCHS)?;
        check_range("training.batch_size", training.batch_size, 2..=1 << 20)?;
        check_range("training.feature_batch_size", training.feature_batch_size, 1..=1 << 20)?;
        let rate = training.learning_rate;
        check("training.learning_rate", rate, rate > 0.0 && rate.is_finite(), "more than 0")?;
        let momentum = training.momentum;
        check("training.momentum", momentum, (0.0..1.0).contains(&momentum), "at least 0, less than 1")?;
        let decay = training.weight_decay;
        check("training.weight_decay", decay, decay >= 0.0 && decay.is_finite(), "at least 0")?;
        let passes = training.epochs_per_clustering;
        let allowed = "more than 0, at most 10000";
        check("training.epochs_per_clustering", passes, passes > 0.0 && passes <= 1e4, allowed)?;
        check_range("training.checkpoint_steps", training.checkpoint_steps as u64, 0..=LARGEST)?;
        check_range("training.knn_neighbors", training.knn_neighbors as u64, 0..=LARGEST)
    }

    fn validate_nat(&self) -> Result<(), TrainerError> {
        let nat = &self.nat;
        check_range("nat.target_dim", nat.target_dim, 2..=1 << 16)?;
        check_range("nat.exchange_every", nat.exchange_every, 1..=MAX_EPOCHS)?;
        let rate = nat.learning_rate;
        check("nat.learning_rate", rate, rate > 0.0 && rate.is_finite(), "more than 0")
    }

    /// Checks that the steps of an epoch over `num_images` images can be laid out.
    ///
    /// # Errors
    /// [`TrainerError::InvalidConfig`] with the passes that can be made.
    pub(crate) fn check_num_samples(&self, num_images: usize) -> Result<(), TrainerError> {
        let num_samples = self.num_samples(num_images);
        let by_steps = self.training.batch_size.saturating_mul(MAX_STEPS);
        let most = MAX_SAMPLES.max(num_images).min(by_steps);
        let allowed = format!("at most {} with {num_images} images", most as f64 / num_images.max(1) as f64);
        let passes = self.training.epochs_per_clustering;
        check("training.epochs_per_clustering", passes, num_samples <= most, &allowed)
    }
}

fn check_range<T: PartialOrd + Display>(
    field: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), TrainerError> {
    let allowed = format!("{} to {}", range.start(), range.end());
    let sound = range.contains(&value);
    check(field, value, sound, &allowed)
}

fn check(field: &str, value: impl ToString, sound: bool, allowed: &str) -> Result<(), TrainerError> {
    if sound {
        return Ok(());
    }
    let (field, value, allowed) = (field.to_string(), value.to_string(), allowed.to_string());
    Err(TrainerError::InvalidConfig { field, value, allowed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::config::ClusteringChoice;

    #[test]
    fn every_field_out_of_range_is_named() {
        type Change = fn(&mut TrainConfig);
        let changes: [(&str, Change); 21] = [
            ("seed", |c| c.seed = u64::MAX),
            ("data.image_size", |c| c.data.image_size = 31),
            ("data.resize", |c| c.data.resize = Some(100)),
            ("data.crop_scale_min", |c| c.data.crop_scale_min = 0.0),
            ("data.crop_scale_min", |c| c.data.crop_scale_min = 1e-300),
            ("data.crop_scale_max", |c| c.data.crop_scale_max = 1.5),
            ("data.crop_ratio_min", |c| c.data.crop_ratio_min = f64::NAN),
            ("data.crop_ratio_max", |c| c.data.crop_ratio_max = 1e9),
            ("data.flip_probability", |c| c.data.flip_probability = 2.0),
            ("data.prefetch_batches", |c| c.data.prefetch_batches = 0),
            ("data.shrink_to", |c| c.data.shrink_to = Some(255)),
            ("data.max_pixels", |c| c.data.max_pixels = 0),
            ("clustering.num_clusters", |c| c.clustering.num_clusters = Some(1)),
            ("clustering.pca_dim", |c| c.clustering.pca_dim = 0),
            ("training.epochs", |c| c.training.epochs = 100_000),
            ("training.batch_size", |c| c.training.batch_size = 1),
            ("training.learning_rate", |c| c.training.learning_rate = f64::NAN),
            ("training.momentum", |c| c.training.momentum = 1.0),
            ("training.weight_decay", |c| c.training.weight_decay = -1.0),
            ("training.epochs_per_clustering", |c| c.training.epochs_per_clustering = 0.0),
            ("model.width", |c| c.model.width = f64::NAN),
        ];
        for (field, change) in changes {
            let mut config = TrainConfig::default();
            change(&mut config);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(field), "{field}: {error}");
        }
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
        for (key, _) in TrainConfig::default().values().into_iter().chain(
            [
                "data.resize",
                "data.shrink_to",
                "clustering.num_clusters",
                "clustering.max_samples_per_cluster",
            ]
            .map(|key| (key.to_string(), String::new())),
        ) {
            for value in ABSURD {
                for (image_size, algorithm) in
                    [(32, ClusteringChoice::Kmeans), (1024, ClusteringChoice::LinCohenPic)]
                {
                    let mut config = TrainConfig::default();
                    config.data.image_size = image_size;
                    config.clustering.algorithm = algorithm;
                    let Ok(()) = config.set(&format!("{key}={value}")) else { continue };
                    let Ok(()) = config.validate() else { continue };
                    num_accepted += 1;
                    use_everywhere(&config);
                    // Accepted settings are kept: a run reads them back.
                    assert_eq!(TrainConfig::from_toml(&config.to_toml(), "test").unwrap(), config);
                }
            }
        }
        assert!(num_accepted > 200, "{num_accepted}");
    }

    /// Everything that is sized by settings alone or with a number of images, none of which may panic.
    fn use_everywhere(config: &TrainConfig) {
        config.loader_config().validate().unwrap();
        config.reading().transform().validate().unwrap();
        config.training_transform().validate().unwrap();
        config.whitening_config().validate().unwrap();
        assert!(config.network().unwrap().num_weights() <= deepcluster_models::MAX_WEIGHTS);
        for num_images in [1, 64, 1_300_000, u32::MAX as usize] {
            config.clustering_config(config.num_clusters(num_images)).init().unwrap();
            if config.check_num_samples(num_images).is_ok() {
                let num_samples = config.num_samples(num_images);
                assert!(num_samples <= MAX_SAMPLES.max(num_images));
                assert!(num_samples.div_ceil(config.training.batch_size) <= MAX_STEPS);
            }
        }
    }

    #[test]
    fn more_samples_than_can_be_laid_out_are_refused_with_what_can_be() {
        let mut config = TrainConfig::default();
        config.training.epochs_per_clustering = 10_000.0;
        config.check_num_samples(20_000).unwrap();
        let error = config.check_num_samples(268_435_456 / 5000).unwrap_err().to_string();
        assert!(error.contains("epochs_per_clustering = 10000") && error.contains("at most 5000"), "{error}");
        // A pass over any number of images is one.
        config.training.epochs_per_clustering = 1.0;
        config.check_num_samples(1 << 30).unwrap();
        config.training.batch_size = 2;
        assert!(config.check_num_samples(1 << 30).is_err());
    }
}
