//! From the features of all images to clusters: PCA-whitening and the chosen algorithm (section 3.2 of the paper).

use std::ops::ControlFlow;
use std::time::Instant;

use deepcluster_clustering::{Clustering, ClusteringError, ClusteringObserver, IterationStats, Whitening};
use deepcluster_engine::features::store::{EpochFeatures, WhitenedFeatures};
use deepcluster_engine::{EngineError, Epoch, EpochClusters, Event, Observer, Phase, SeedUse};

use crate::settings::config::TrainConfig;

/// The clusters of all images, and everything that gives new images theirs.
pub(crate) struct ImageClusters {
    pub(crate) clusters: EpochClusters,
    pub(crate) whitening: Whitening,
    pub(crate) whitened: WhitenedFeatures,
}

/// Whitens and clusters the features of all images.
pub(crate) fn cluster_images(
    features: EpochFeatures,
    config: &TrainConfig,
    epoch: &mut Epoch<'_>,
) -> Result<ImageClusters, EngineError> {
    let start = Instant::now();
    let (whitening, whitened) = features.whiten(&config.whitening_config())?;
    let whitening_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let clustering = cluster(&whitened, config, epoch)?;
    let clusters = EpochClusters {
        clustering,
        previous: None,
        num_components: whitening.num_components(),
        whitening_seconds,
        clustering_seconds: start.elapsed().as_secs_f64(),
    };
    Ok(ImageClusters { clusters, whitening, whitened })
}

fn cluster(
    whitened: &WhitenedFeatures,
    config: &TrainConfig,
    epoch: &mut Epoch<'_>,
) -> Result<Clustering, EngineError> {
    let phase = Phase::iterations("clustering");
    let total = config.clustering.num_iterations;
    epoch.observer.event(&Event::Started { phase, epoch: Some(epoch.of_run()), total });
    let num_clusters = config.num_clusters(whitened.num_rows());
    let algorithm = config.clustering_config(num_clusters).init()?;
    let seed = epoch.place.seed(SeedUse::Clustering, 0);
    let mut observer = ForwardIterations { observer: epoch.observer };
    whitened.cluster(algorithm.as_ref(), seed, &mut observer).map_err(|error| match error {
        ClusteringError::Cancelled => EngineError::Stopped { epoch: epoch.place.epoch, step: 0 },
        error => error.into(),
    })
}

struct ForwardIterations<'a> {
    observer: &'a mut dyn Observer,
}

impl ClusteringObserver for ForwardIterations<'_> {
    fn iteration(&mut self, stats: &IterationStats) -> ControlFlow<()> {
        self.observer.event(&Event::ClusteringIteration(stats.clone()));
        self.observer.event(&Event::Progress { done: stats.iteration + 1, loss: None });
        if self.observer.should_stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
