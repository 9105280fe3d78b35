//! The settings of a run.

use std::ops::Bound::{Excluded, Included};
use std::path::PathBuf;

use deepcluster_clustering::FeatureType;
use deepcluster_data::{DiskCacheConfig, LabelSource, LoaderConfig, Normalization, ScanConfig, Transform};
use deepcluster_engine::ImageReading;
use deepcluster_models::{Architecture, ConvNetConfig, Input, Precision};

use crate::error::TrainerError;
use crate::objectives::config::ObjectiveConfig;
use crate::settings::limits::{LARGEST, any, described, floats, integers};
use crate::settings::schema::settings;

/// Most epochs, as checkpoints are named by five digits.
pub(crate) const MAX_EPOCHS: u64 = 99_999;

settings! {
    /// Everything that decides the result of a run. The defaults are the recipe of the paper (Caron et al.,
    /// section 4.1) and of the original code; what depends on the data is chosen from it and written into the
    /// run.
    ///
    /// ```
    /// use deepcluster_trainer::TrainConfig;
    ///
    /// let mut config = TrainConfig::default();
    /// config.images.size = 64;
    /// config.set("objective.clustering.num_clusters=100")?;
    /// config.validate()?;
    /// assert_eq!(config.num_clusters(5_000), 100);
    /// # Ok::<(), deepcluster_trainer::TrainerError>(())
    /// ```
    pub struct TrainConfig {
        /// The one seed of everything random
        seed: u64 = 31 => integers(0, i64::MAX as u64),
        /// Task without labels that the network learns
        objective: ObjectiveConfig,
        /// Network
        network: NetworkConfig,
        /// Images, and how they are cropped and read
        images: ImagesConfig,
        /// Course of the training
        training: TrainingConfig,
    }
}

settings! {
    /// The network.
    pub struct NetworkConfig {
        /// Network; alexnet from 63 px, the others from 32 px
        kind: Option<Architecture> => any().default_is("alexnet, below 63 px alexnet-small"),
        /// Whether the fixed Sobel filter replaces colour
        sobel: bool = true,
        /// Factor on all channel counts and widths; the network has at most 1073741824 weights
        width: f64 = 1.0 => floats((Excluded(0.0), Included(8.0))),
        /// Probability of dropout around the fully connected layers
        dropout: f64 = 0.5 => floats(0.0..1.0),
        /// Numbers that convolutions and fully connected layers compute with; bf16 on devices that have it
        precision: Precision = Precision::F32,
    }
}

settings! {
    /// Images, and how they are cropped and read.
    pub struct ImagesConfig {
        /// Side of the network's input in pixels
        size: usize = 224 => integers(32, 1024),
        /// Shorter side in pixels before the centre crop of the feature pass
        resize: Option<usize> => described("size to 4096").default_is("256/224 of size, below 64 px size"),
        /// Labels, for reports only: auto, none, folders, or a CSV file with columns path and label
        labels: LabelSource = LabelSource::Auto,
        /// Smallest area of a random crop, as a part of the image
        crop_scale_min: f64 = 0.08 => described("0.000001 to crop_scale_max"),
        /// Largest area of a random crop, as a part of the image
        crop_scale_max: f64 = 1.0 => described("at most 1"),
        /// Smallest width to height of a random crop
        crop_ratio_min: f64 = 3.0 / 4.0 => described("0.01 to crop_ratio_max"),
        /// Largest width to height of a random crop
        crop_ratio_max: f64 = 4.0 / 3.0 => described("at most 100"),
        /// Probability of a horizontal flip
        flip_probability: f64 = 0.5 => floats(0.0..=1.0),
        /// Threads that decode images; 0: one per core
        num_workers: usize = 0 => integers(0, 1024).changeable(),
        /// Batches decoded ahead of the network
        prefetch_batches: usize = 4 => integers(1, 1024).changeable(),
        /// Memory for decoded images in MiB, so that small sets are decoded once
        cache_mib: u64 = 1024 => integers(0, LARGEST).changeable(),
        /// Folder where decoded images are kept for further epochs and runs
        disk_cache: Option<PathBuf> => any().changeable(),
        /// Most MiB of all files in disk_cache together
        disk_cache_mib: u64 = 10_240 => integers(0, LARGEST).changeable(),
        /// Images whose shorter side is longer, in pixels, are first resized to it
        shrink_to: Option<usize> => described("resize to 16384"),
        /// Images with more pixels are skipped as decompression bombs
        max_pixels: u64 = 178_956_970 => integers(1, LARGEST),
    }
}

settings! {
    /// The course of the training, whatever the objective.
    pub struct TrainingConfig {
        /// Rounds of clustering and training, or passes over the images; 0 only clusters
        epochs: usize = 200 => integers(0, MAX_EPOCHS).changeable(),
        /// Images per training step
        batch_size: usize = 256 => integers(2, 1 << 20),
        /// Images per batch of the feature pass; changes results by rounding only
        feature_batch_size: usize = 256 => integers(1, 1 << 20),
        /// Numbers that the features of all images are kept as until they are whitened
        feature_type: FeatureType = FeatureType::F32,
        /// Steps between checkpoints within an epoch; 0: only at its end
        checkpoint_steps: usize = 0 => integers(0, LARGEST).changeable(),
        /// Neighbours that vote in the accuracy of the first and last network, where there are labels; 0:
        /// none
        knn_neighbors: usize = 20 => integers(0, LARGEST),
        /// Whether the numbers of every epoch are also written as an event file of TensorBoard
        tensorboard: bool = true => any().changeable(),
    }
}

impl TrainConfig {
    /// The layers of the network these settings name.
    ///
    /// # Errors
    /// Those of [`ConvNetConfig::new`] and [`ConvNetConfig::validate`].
    pub fn network(&self) -> Result<ConvNetConfig, TrainerError> {
        let NetworkConfig { kind, sobel, width, dropout, .. } = self.network;
        let size = self.images.size;
        let default = if size < 63 { Architecture::AlexnetSmall } else { Architecture::Alexnet };
        let mut config = ConvNetConfig::new(kind.unwrap_or(default), size, sobel, width)?;
        config.dropout = dropout;
        config.validate()?;
        Ok(config)
    }

    /// Number of clusters for `num_images` images: the setting, or a 50th of the images between 2 and 10,000.
    pub fn num_clusters(&self, num_images: usize) -> usize {
        self.objective.clustering().num_clusters(num_images)
    }

    /// Statistics that every pixel is normalised with before a network sees it.
    pub fn normalization(&self) -> Normalization {
        Normalization::default()
    }

    /// How the folder of images is scanned.
    pub fn scan_config(&self) -> ScanConfig {
        ScanConfig { labels: self.images.labels.clone() }
    }

    /// How images are loaded once the network has been trained.
    pub fn loader_config(&self) -> LoaderConfig {
        self.images.loader()
    }

    /// The square that the network sees of an image.
    pub fn input(&self) -> Input {
        self.images.input()
    }

    /// How the network reads images once it is trained, and for their features.
    pub fn reading(&self) -> ImageReading {
        let batch_size = self.training.feature_batch_size;
        ImageReading { input: self.input(), loader: self.loader_config(), batch_size }
    }
}

impl ImagesConfig {
    /// Shorter side in pixels to which an image is resized before its centre is cut out.
    pub fn resize(&self) -> u32 {
        let default = Input::for_side(self.size).resize;
        self.resize.map_or(default, |resize| resize as u32)
    }

    /// The square that a network sees of an image.
    pub fn input(&self) -> Input {
        let Normalization { mean, std } = Normalization::default();
        Input { side: self.size, resize: self.resize(), mean, std }
    }

    /// The random crop of training.
    pub(crate) fn training_transform(&self) -> Transform {
        Transform::RandomCrop {
            size: self.size as u32,
            scale: (self.crop_scale_min as f32, self.crop_scale_max as f32),
            ratio: (self.crop_ratio_min as f32, self.crop_ratio_max as f32),
            flip_probability: self.flip_probability as f32,
            normalization: Normalization::default(),
        }
    }

    fn loader(&self) -> LoaderConfig {
        LoaderConfig {
            num_workers: self.num_workers,
            prefetch_batches: self.prefetch_batches,
            cache_bytes: self.cache_mib.saturating_mul(1 << 20),
            disk_cache: None,
            shrink_to: self.shrink_to.map(|side| side as u32),
            max_pixels: self.max_pixels,
        }
    }

    /// How images are loaded in training, which comes back to each in every epoch.
    pub(crate) fn training_loader(&self) -> LoaderConfig {
        let disk_cache = self.disk_cache.as_ref().map(|folder| DiskCacheConfig {
            folder: folder.clone(),
            max_bytes: self.disk_cache_mib.saturating_mul(1 << 20),
        });
        LoaderConfig { disk_cache, ..self.loader() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_the_recipe_of_the_paper() {
        let config = TrainConfig::default();
        config.validate().unwrap();
        let Transform::Center { resize, size, .. } = config.reading().transform() else { panic!() };
        assert_eq!((resize, size), (256, 224));
    }
}
