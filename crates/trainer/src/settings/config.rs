//! The settings of a run.

use std::path::PathBuf;

use deepcluster_clustering::{
    ClusteringConfig, FeatureType, Initialization, KMeansConfig, KMeansVariant, LinCohenPicConfig, PicConfig,
    WhiteningConfig,
};
use deepcluster_data::{DiskCacheConfig, LabelSource, LoaderConfig, Normalization, ScanConfig, Transform};
use deepcluster_engine::ImageReading;
use deepcluster_models::{Architecture, ConvNetConfig, Input, Precision};
use serde::{Deserialize, Serialize};

use crate::error::TrainerError;
use crate::objectives::nat::config::NatConfig;

/// Everything that decides the result of a run. The defaults are the recipe of the paper (Caron et al.,
/// section 4.1) and of the original code; what depends on the data is chosen from it and written into the
/// run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The one seed of the run, at most 9,223,372,036,854,775,807: the largest number of TOML.
    pub seed: u64,
    /// The task without labels that the network is trained on.
    #[serde(skip_serializing_if = "is_default")]
    pub objective: ObjectiveConfig,
    /// Images and how they are cropped.
    pub data: DataConfig,
    /// The network.
    pub model: ModelConfig,
    /// How features become clusters.
    pub clustering: ClusteringSettings,
    /// How the network learns the clusters.
    pub training: TrainingConfig,
    /// The objective NAT.
    #[serde(skip_serializing_if = "is_default")]
    pub nat: NatConfig,
}

/// The task without labels that the network is trained on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// `"deepcluster"` or `"nat"`.
    pub kind: ObjectiveKind,
}

/// The objectives of this crate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectiveKind {
    /// The clusters of the features are the labels of an epoch (Caron et al., ECCV 2018).
    #[default]
    DeepCluster,
    /// Fixed random targets, matched to the features within batches (Bojanowski and Joulin, ICML 2017).
    Nat,
}

impl ObjectiveKind {
    /// All objectives.
    pub const ALL: [Self; 2] = [Self::DeepCluster, Self::Nat];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeepCluster => "deepcluster",
            Self::Nat => "nat",
        }
    }
}

/// Images and how they are cropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Side of the square network input in pixels, 32 to 1024. 224 in the paper.
    pub image_size: usize,
    /// Shorter side in pixels to which an image is resized before the centre crop of the feature pass, at
    /// least `image_size`. Default: 256/224 of `image_size` as in the original, and `image_size` itself below
    /// 64 px.
    pub resize: Option<usize>,
    /// Where labels come from, if any: `"auto"`, `"none"`, `"folders"` or a CSV file. For reports only;
    /// training never sees them.
    pub labels: LabelSource,
    /// Smallest area of a random crop as a fraction of the image, from 0.000001 to `crop_scale_max`.
    pub crop_scale_min: f64,
    /// Largest area of a random crop as a fraction of the image, at most 1.
    pub crop_scale_max: f64,
    /// Smallest width to height of a random crop, from 0.01 to `crop_ratio_max`.
    pub crop_ratio_min: f64,
    /// Largest width to height of a random crop, at most 100.
    pub crop_ratio_max: f64,
    /// Probability of a horizontal flip, in `[0, 1]`.
    pub flip_probability: f64,
    /// Threads that decode images, at most 1024; 0 uses every core.
    pub num_workers: usize,
    /// Batches decoded ahead of the network, 1 to 1024.
    pub prefetch_batches: usize,
    /// Memory for decoded images in MiB, so that small data sets are decoded once; 0 keeps none.
    pub cache_mib: u64,
    /// Folder where training keeps decoded images for further epochs and runs, for sets that memory does not
    /// hold.
    pub disk_cache: Option<PathBuf>,
    /// Most MiB of all files in `disk_cache` together.
    pub disk_cache_mib: u64,
    /// Images whose shorter side is longer than this, in pixels, are first resized to it: more of them fit
    /// into the caches, and what they show changes a little. At least `resize`.
    pub shrink_to: Option<usize>,
    /// Images with more pixels than this are skipped as decompression bombs.
    pub max_pixels: u64,
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// `"alexnet"`, `"alexnet-small"` or `"vgg16"`. Default: AlexNet, and its small variant below 63 px.
    pub architecture: Option<Architecture>,
    /// Whether the fixed Sobel filter replaces colour, as in the paper's main results.
    pub sobel: bool,
    /// Factor on all channel counts and widths, in `(0, 8]`; 1 is the original.
    pub width: f64,
    /// Probability of dropout around the fully connected layers, in `[0, 1)`.
    pub dropout: f64,
}

/// Which algorithm makes the clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusteringChoice {
    /// k-means, the paper's choice.
    Kmeans,
    /// Power Iteration Clustering in the variant of the original code, which finds the number of clusters
    /// itself.
    Pic,
    /// Power Iteration Clustering as published by Lin and Cohen, with a given number of clusters.
    #[serde(rename = "lin-cohen-pic")]
    LinCohenPic,
}

/// How features become clusters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusteringSettings {
    /// `"kmeans"`, `"pic"` or `"lin-cohen-pic"`.
    pub algorithm: ClusteringChoice,
    /// Number of clusters k, from 2 to the number of images. Default: a 50th of the images, at most 10,000
    /// (the paper's value for ImageNet). About 10 times the number of kinds you expect works well. PIC
    /// ignores it.
    pub num_clusters: Option<usize>,
    /// Rounds of k-means, 1 to 1,000,000.
    pub num_iterations: usize,
    /// Runs of k-means from different starts, of which the best is kept; 1 to 10,000.
    pub num_redos: usize,
    /// k-means: how the initial centroids are chosen, `"random"`, `"k-means-plus-plus"` or `"afk-mc2"`.
    pub initialization: Initialization,
    /// k-means: the course of a run, `"lloyd"`, `"mini-batch"` or `"two-level"`.
    pub variant: KMeansVariant,
    /// k-means: samples of a mini-batch, at least 1; as many as there are images, if those are fewer.
    pub mini_batch_size: usize,
    /// k-means: whether centroids are scaled to unit norm.
    pub spherical: bool,
    /// k-means: a run ends when an iteration lowers the inertia by no more than this part of it, at least 0.
    pub tolerance: f64,
    /// k-means: most images per cluster that the centroids are learnt from, at least 1. Default: all images.
    pub max_samples_per_cluster: Option<usize>,
    /// Dimensions kept by PCA, 1 to 1,000,000; fewer are kept where the data has fewer.
    pub pca_dim: usize,
    /// Whether the kept dimensions are scaled to equal variance.
    pub whiten: bool,
    /// PIC: neighbours of an image in the graph, 1 to 1000.
    pub num_neighbors: usize,
    /// PIC: bandwidth sigma of the graph's weights, more than 0.
    pub kernel_bandwidth: f64,
    /// PIC: damping alpha of the power iteration, in `(0, 1)`.
    pub damping: f64,
}

/// Which images an epoch trains on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Every cluster equally often (section 3.3, avoiding trivial parametrization).
    Uniform,
    /// The sampler of the original code, whose indices are shifted against its data set, so that clusters are
    /// not drawn equally often.
    Misaligned,
    /// Every image once, whatever its cluster.
    Shuffle,
}

/// How the network learns the clusters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// Rounds of clustering and training, at most 99,999. 200 in the original code, 500 in the paper; 0 only
    /// clusters the features of the network as it is.
    pub epochs: usize,
    /// Images per step, 2 to 1,048,576.
    pub batch_size: usize,
    /// Constant step size of SGD, more than 0.
    pub learning_rate: f64,
    /// Momentum of the network's SGD, in `[0, 1)`. The head has none.
    pub momentum: f64,
    /// L2 penalty on all weights, at least 0.
    pub weight_decay: f64,
    /// Passes over the data between two clusterings, more than 0 and at most 10,000; fractions are allowed.
    /// All passes together draw at most 268,435,456 images, or one pass over more.
    pub epochs_per_clustering: f64,
    /// Which images a pass draws.
    pub sampling: Sampling,
    /// Images per batch of the feature pass, 1 to 1,048,576. Changes results by rounding only.
    pub feature_batch_size: usize,
    /// How the features of all images are kept until they are whitened: `"f32"`, or `"f16"` in half the
    /// memory.
    pub feature_type: FeatureType,
    /// What convolutions and fully connected layers compute with: `"f32"` or `"bf16"`.
    pub precision: Precision,
    /// Steps between checkpoints within an epoch; 0 keeps only those at the end of epochs.
    pub checkpoint_steps: usize,
    /// Where labels exist: measure the nearest-neighbour accuracy of the first and last network with this
    /// many neighbours; 0 measures none.
    pub knn_neighbors: usize,
    /// Whether the numbers of every epoch are also written as an event file of TensorBoard.
    pub tensorboard: bool,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 31,
            data: DataConfig::default(),
            model: ModelConfig::default(),
            clustering: ClusteringSettings::default(),
            training: TrainingConfig::default(),
            objective: ObjectiveConfig::default(),
            nat: NatConfig::default(),
        }
    }
}

/// Whether settings need not be written: files of runs stay those of programs that did not have them.
fn is_default<T: Default + PartialEq>(settings: &T) -> bool {
    *settings == T::default()
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            image_size: 224,
            resize: None,
            labels: LabelSource::Auto,
            crop_scale_min: 0.08,
            crop_scale_max: 1.0,
            crop_ratio_min: 3.0 / 4.0,
            crop_ratio_max: 4.0 / 3.0,
            flip_probability: 0.5,
            num_workers: 0,
            prefetch_batches: 4,
            cache_mib: 1024,
            disk_cache: None,
            disk_cache_mib: 10_240,
            shrink_to: None,
            max_pixels: 178_956_970,
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { architecture: None, sobel: true, width: 1.0, dropout: 0.5 }
    }
}

impl Default for ClusteringSettings {
    fn default() -> Self {
        Self {
            algorithm: ClusteringChoice::Kmeans,
            num_clusters: None,
            num_iterations: 20,
            num_redos: 1,
            initialization: Initialization::Random,
            variant: KMeansVariant::Lloyd,
            mini_batch_size: 4096,
            spherical: false,
            tolerance: 0.0,
            max_samples_per_cluster: None,
            pca_dim: 256,
            whiten: true,
            num_neighbors: 5,
            kernel_bandwidth: 0.2,
            damping: 0.001,
        }
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 200,
            batch_size: 256,
            learning_rate: 0.05,
            momentum: 0.9,
            weight_decay: 1e-5,
            epochs_per_clustering: 1.0,
            sampling: Sampling::Uniform,
            feature_batch_size: 256,
            feature_type: FeatureType::F32,
            precision: Precision::F32,
            checkpoint_steps: 0,
            knn_neighbors: 20,
            tensorboard: true,
        }
    }
}

impl TrainConfig {
    /// The layers of the network these settings name.
    ///
    /// # Errors
    /// What [`ConvNetConfig::new`] and [`ConvNetConfig::validate`] find.
    pub fn network(&self) -> Result<ConvNetConfig, TrainerError> {
        let size = self.data.image_size;
        let default = if size < 63 { Architecture::AlexnetSmall } else { Architecture::Alexnet };
        let architecture = self.model.architecture.unwrap_or(default);
        let mut config = ConvNetConfig::new(architecture, size, self.model.sobel, self.model.width)?;
        config.dropout = self.model.dropout;
        config.validate()?;
        Ok(config)
    }

    /// Number of clusters for `num_images` images: the setting, or a 50th of the images between 2 and 10,000.
    pub fn num_clusters(&self, num_images: usize) -> usize {
        self.clustering.num_clusters.unwrap_or_else(|| (num_images / 50).clamp(2, 10_000))
    }

    pub(crate) fn clustering_config(&self, num_clusters: usize) -> ClusteringConfig {
        let settings = &self.clustering;
        match settings.algorithm {
            ClusteringChoice::Kmeans => ClusteringConfig::KMeans(KMeansConfig {
                num_clusters,
                num_iterations: settings.num_iterations,
                num_redos: settings.num_redos,
                initialization: settings.initialization,
                variant: settings.variant,
                batch_size: settings.mini_batch_size,
                spherical: settings.spherical,
                tolerance: settings.tolerance,
                max_samples_per_cluster: settings.max_samples_per_cluster,
                ..KMeansConfig::default()
            }),
            ClusteringChoice::Pic => ClusteringConfig::Pic(PicConfig {
                num_neighbors: settings.num_neighbors,
                kernel_bandwidth: settings.kernel_bandwidth,
                damping: settings.damping,
                ..PicConfig::default()
            }),
            ClusteringChoice::LinCohenPic => ClusteringConfig::LinCohenPic(LinCohenPicConfig {
                num_clusters,
                num_neighbors: settings.num_neighbors,
                kernel_bandwidth: settings.kernel_bandwidth,
                num_redos: settings.num_redos,
                ..LinCohenPicConfig::default()
            }),
        }
    }

    /// How features are whitened before they are clustered.
    pub fn whitening_config(&self) -> WhiteningConfig {
        WhiteningConfig {
            num_components: self.clustering.pca_dim,
            whiten: self.clustering.whiten,
            normalize: true,
        }
    }

    /// Statistics that every pixel is normalised with before a network sees it.
    pub fn normalization(&self) -> Normalization {
        Normalization::default()
    }

    /// What the shorter side of an image is resized to before its centre is cut out, in pixels.
    pub fn resize(&self) -> u32 {
        let size = self.data.image_size;
        let default = if size < 64 { size } else { (size * 256).div_ceil(224) };
        self.data.resize.unwrap_or(default) as u32
    }

    /// The random crop of training.
    pub(crate) fn training_transform(&self) -> Transform {
        let data = &self.data;
        Transform::RandomCrop {
            size: data.image_size as u32,
            scale: (data.crop_scale_min as f32, data.crop_scale_max as f32),
            ratio: (data.crop_ratio_min as f32, data.crop_ratio_max as f32),
            flip_probability: data.flip_probability as f32,
            normalization: self.normalization(),
        }
    }
}

impl TrainConfig {
    /// How the folder of images is scanned.
    pub fn scan_config(&self) -> ScanConfig {
        ScanConfig { labels: self.data.labels.clone() }
    }

    /// How images are loaded in training, which comes back to each in every epoch.
    pub(crate) fn training_loader_config(&self) -> LoaderConfig {
        let disk_cache = self.data.disk_cache.as_ref().map(|folder| DiskCacheConfig {
            folder: folder.clone(),
            max_bytes: self.data.disk_cache_mib.saturating_mul(1 << 20),
        });
        LoaderConfig { disk_cache, ..self.loader_config() }
    }

    /// How images are loaded once the network has been trained.
    pub fn loader_config(&self) -> LoaderConfig {
        LoaderConfig {
            num_workers: self.data.num_workers,
            prefetch_batches: self.data.prefetch_batches,
            cache_bytes: self.data.cache_mib.saturating_mul(1 << 20),
            disk_cache: None,
            shrink_to: self.data.shrink_to.map(|side| side as u32),
            max_pixels: self.data.max_pixels,
        }
    }

    /// Images drawn per epoch.
    pub(crate) fn num_samples(&self, num_images: usize) -> usize {
        ((self.training.epochs_per_clustering * num_images as f64) as usize).max(1)
    }

    /// The square that the network sees of an image.
    pub fn input(&self) -> Input {
        let Normalization { mean, std } = self.normalization();
        Input { side: self.data.image_size, resize: self.resize(), mean, std }
    }

    /// How the network reads images once it is trained, and for their features.
    pub fn reading(&self) -> ImageReading {
        let batch_size = self.training.feature_batch_size;
        ImageReading { input: self.input(), loader: self.loader_config(), batch_size }
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
        assert_eq!(config.num_clusters(1_281_167), 10_000);
        assert_eq!(config.num_clusters(5), 2);
    }
}
