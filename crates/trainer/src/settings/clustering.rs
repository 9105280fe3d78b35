//! The settings of the clusters: whitening, algorithm, number.

use deepcluster_clustering::{ClusteringConfig, KMeansConfig, LinCohenPicConfig, PicConfig, WhiteningConfig};
use serde::{Deserialize, Serialize};

use crate::settings::limits::{LARGEST, any, floats, integers, positive};
use crate::settings::schema::{Entry, Field, Section, Walk, section};

/// How features become clusters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusteringSettings {
    /// Number of clusters k; `None` is a 50th of the images, at most 10,000, the paper's value for ImageNet.
    pub num_clusters: Option<usize>,
    /// The algorithm with its settings; its own number of clusters is replaced by the one here.
    pub algorithm: ClusteringConfig,
}

/// Names of clustering algorithms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusteringChoice {
    /// k-means, the paper's choice.
    #[default]
    #[serde(rename = "kmeans")]
    KMeans,
    /// Power Iteration Clustering in the variant of the original code, which finds the number of clusters
    /// itself.
    Pic,
    /// Power Iteration Clustering as published by Lin and Cohen, with a given number of clusters.
    LinCohenPic,
}

impl ClusteringChoice {
    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::KMeans => "kmeans",
            Self::Pic => "pic",
            Self::LinCohenPic => "lin-cohen-pic",
        }
    }

    /// The algorithm with its default settings.
    pub fn config(self) -> ClusteringConfig {
        match self {
            Self::KMeans => ClusteringConfig::default(),
            Self::Pic => ClusteringConfig::Pic(PicConfig::default()),
            // One start, as for k-means: the search of the neighbours is what takes time in a run.
            Self::LinCohenPic => {
                ClusteringConfig::LinCohenPic(LinCohenPicConfig { num_redos: 1, ..Default::default() })
            }
        }
    }
}

impl ClusteringSettings {
    /// The name of the algorithm.
    pub fn choice(&self) -> ClusteringChoice {
        match self.algorithm {
            ClusteringConfig::KMeans(_) => ClusteringChoice::KMeans,
            ClusteringConfig::Pic(_) => ClusteringChoice::Pic,
            ClusteringConfig::LinCohenPic(_) => ClusteringChoice::LinCohenPic,
        }
    }

    /// Number of clusters for `num_images` images: the setting, or a 50th of the images between 2 and 10,000.
    pub fn num_clusters(&self, num_images: usize) -> usize {
        self.num_clusters.unwrap_or_else(|| (num_images / 50).clamp(2, 10_000))
    }

    /// The algorithm for `num_images` images.
    pub(crate) fn for_images(&self, num_images: usize) -> ClusteringConfig {
        let k = self.num_clusters(num_images);
        let mut algorithm = self.algorithm.clone();
        match &mut algorithm {
            ClusteringConfig::KMeans(KMeansConfig { num_clusters, .. })
            | ClusteringConfig::LinCohenPic(LinCohenPicConfig { num_clusters, .. }) => *num_clusters = k,
            ClusteringConfig::Pic(_) => {}
        }
        algorithm
    }

    /// Most iterations of the algorithm.
    pub(crate) fn num_iterations(&self) -> usize {
        match &self.algorithm {
            ClusteringConfig::KMeans(config) => config.num_iterations,
            ClusteringConfig::Pic(config) => config.num_iterations,
            ClusteringConfig::LinCohenPic(config) => config.num_iterations,
        }
    }
}

impl Section for ClusteringSettings {
    fn settings(&mut self, walk: &mut Walk<'_>) {
        let mut choice = self.choice();
        let algorithm = Entry { name: "algorithm", help: "Clustering algorithm", limits: any() };
        choice.visit(walk, &algorithm);
        if choice != self.choice() {
            self.algorithm = choice.config();
        }
        let num_clusters = Entry {
            name: "num_clusters",
            help: "Number of clusters k, about 10 times the kinds you expect; PIC finds its own",
            limits: integers(2, u32::MAX.into()).default_is("a 50th of the images, 2 to 10000"),
        };
        self.num_clusters.visit(walk, &num_clusters);
        let section: &mut dyn Section = match &mut self.algorithm {
            ClusteringConfig::KMeans(config) => config,
            ClusteringConfig::Pic(config) => config,
            ClusteringConfig::LinCohenPic(config) => config,
        };
        walk.choice(algorithm.name, choice.name(), section);
    }
}

impl Field for ClusteringSettings {
    fn visit(&mut self, walk: &mut Walk<'_>, entry: &Entry) {
        walk.table(entry.name, self);
    }
}

section! {
    KMeansConfig {
        /// Most rounds of assigning images and moving centroids
        num_iterations => integers(1, 1_000_000),
        /// Runs from different starts, of which the best is kept
        num_redos => integers(1, 10_000),
        /// How the initial centroids are chosen
        initialization,
        /// Length of the Markov chains of afk-mc2
        chain_length => integers(1, 1_000_000),
        /// Course of a run; mini-batch for very many images, two-level for very many clusters, both faster
        /// with a somewhat higher inertia
        variant,
        /// Images of a mini-batch; all, if there are fewer
        batch_size as "mini_batch_size" => integers(1, LARGEST),
        /// Whether centroids are scaled to unit norm
        spherical,
        /// A run ends when an iteration lowers the inertia by no more than this part of it
        tolerance => floats(0.0..),
        /// Most images per cluster that the centroids are learnt from
        max_samples_per_cluster => integers(1, LARGEST).default_is("all"),
    } without num_clusters, precision
}

section! {
    PicConfig {
        /// Neighbours of an image in the graph
        num_neighbors => integers(1, 1000),
        /// Bandwidth sigma of the graph's weights
        kernel_bandwidth => positive(),
        /// Damping alpha of the power iteration
        damping => floats((std::ops::Bound::Excluded(0.0), std::ops::Bound::Excluded(1.0))),
        /// Most power iterations
        num_iterations => integers(1, 1_000_000),
        /// Whether images that are a cluster of their own join that of a neighbour
        join_singletons,
    }
}

section! {
    LinCohenPicConfig {
        /// Neighbours of an image in the graph
        num_neighbors => integers(1, 1000),
        /// Bandwidth sigma of the graph's weights
        kernel_bandwidth => positive(),
        /// Most power iterations
        num_iterations => integers(1, 1_000_000),
        /// Runs of k-means on the embedding, of which the best is kept
        num_redos => integers(1, 10_000),
    } without num_clusters
}

section! {
    WhiteningConfig {
        /// Dimensions kept by PCA; fewer where the features span fewer
        num_components => integers(1, 1_000_000),
        /// Whether the kept dimensions are scaled to equal variance
        whiten,
    } without normalize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_clusters_is_that_of_the_paper() {
        let settings = ClusteringSettings::default();
        assert_eq!(settings.num_clusters(1_281_167), 10_000);
        assert_eq!(settings.num_clusters(5), 2);
        for choice in [ClusteringChoice::KMeans, ClusteringChoice::Pic, ClusteringChoice::LinCohenPic] {
            let settings = ClusteringSettings { num_clusters: Some(7), algorithm: choice.config() };
            assert_eq!(settings.choice(), choice);
            assert_eq!(settings.for_images(100).init().unwrap().name(), choice.name());
        }
    }
}
