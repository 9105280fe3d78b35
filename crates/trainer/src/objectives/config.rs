//! The settings of the objective of a run: its kind, and those of the kind.

use deepcluster_clustering::WhiteningConfig;
use deepcluster_engine::Sgd;
use serde::{Deserialize, Serialize};

use crate::objectives::deepcluster::config::DeepClusterConfig;
use crate::objectives::nat::config::NatConfig;
use crate::settings::clustering::ClusteringSettings;
use crate::settings::limits::any;
use crate::settings::schema::{Entry, Field, Section, Walk};

/// The task without labels that the network is trained on, with its settings.
///
/// ```
/// use deepcluster_trainer::{NatConfig, ObjectiveConfig, TrainConfig};
///
/// let nat = NatConfig { target_dim: 512, ..NatConfig::default() };
/// let config = TrainConfig { objective: ObjectiveConfig::Nat(nat), ..TrainConfig::default() };
/// assert_eq!(config.objective.kind().name(), "nat");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum ObjectiveConfig {
    /// The clusters of the features are the labels of an epoch (Caron et al., ECCV 2018).
    DeepCluster(DeepClusterConfig),
    /// Fixed random targets, matched to the features within batches (Bojanowski and Joulin, ICML 2017).
    Nat(NatConfig),
}

/// Names of the objectives of this crate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectiveKind {
    /// That of [`DeepCluster`](crate::DeepCluster).
    #[default]
    DeepCluster,
    /// That of [`Nat`](crate::Nat).
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

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self::DeepCluster(DeepClusterConfig::default())
    }
}

impl ObjectiveConfig {
    /// The default settings of an objective.
    pub fn new(kind: ObjectiveKind) -> Self {
        match kind {
            ObjectiveKind::DeepCluster => Self::DeepCluster(DeepClusterConfig::default()),
            ObjectiveKind::Nat => Self::Nat(NatConfig::default()),
        }
    }

    /// Which objective it is.
    pub fn kind(&self) -> ObjectiveKind {
        match self {
            Self::DeepCluster(_) => ObjectiveKind::DeepCluster,
            Self::Nat(_) => ObjectiveKind::Nat,
        }
    }

    /// How the features of a run become clusters.
    pub fn clustering(&self) -> &ClusteringSettings {
        match self {
            Self::DeepCluster(config) => &config.clustering,
            Self::Nat(config) => &config.clustering,
        }
    }

    /// As [`clustering`](Self::clustering), to be changed.
    pub fn clustering_mut(&mut self) -> &mut ClusteringSettings {
        match self {
            Self::DeepCluster(config) => &mut config.clustering,
            Self::Nat(config) => &mut config.clustering,
        }
    }

    /// How features are whitened before they are clustered.
    pub fn whitening(&self) -> &WhiteningConfig {
        match self {
            Self::DeepCluster(config) => &config.whitening,
            Self::Nat(config) => &config.whitening,
        }
    }

    /// As [`whitening`](Self::whitening), to be changed.
    pub fn whitening_mut(&mut self) -> &mut WhiteningConfig {
        match self {
            Self::DeepCluster(config) => &mut config.whitening,
            Self::Nat(config) => &mut config.whitening,
        }
    }

    /// Step size of the network's SGD.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::DeepCluster(config) => config.learning_rate,
            Self::Nat(config) => config.learning_rate,
        }
    }

    /// The SGD of DeepCluster, for other objectives that of its defaults: with it the same network can be
    /// trained with labels.
    pub fn sgd(&self) -> Sgd {
        let defaults = DeepClusterConfig::default();
        let config = if let Self::DeepCluster(config) = self { config } else { &defaults };
        Sgd::new(config.learning_rate, config.momentum, config.weight_decay)
    }

    /// Another objective with its default settings, and the whitening and clustering of this one.
    fn changed_to(&self, kind: ObjectiveKind) -> Self {
        let mut changed = Self::new(kind);
        *changed.clustering_mut() = self.clustering().clone();
        *changed.whitening_mut() = self.whitening().clone();
        changed
    }
}

impl Section for ObjectiveConfig {
    fn settings(&mut self, walk: &mut Walk<'_>) {
        let mut kind = self.kind();
        let entry =
            Entry { name: "kind", help: "Task without labels that the network learns", limits: any() };
        kind.visit(walk, &entry);
        if kind != self.kind() {
            *self = self.changed_to(kind);
        }
        let section: &mut dyn Section = match self {
            Self::DeepCluster(config) => config,
            Self::Nat(config) => config,
        };
        walk.choice(entry.name, kind.name(), section);
    }
}

impl Field for ObjectiveConfig {
    fn visit(&mut self, walk: &mut Walk<'_>, entry: &Entry) {
        walk.table(entry.name, self);
    }
}
