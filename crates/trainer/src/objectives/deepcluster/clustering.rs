//! From the features of all images to clusters: PCA-whitening and the chosen algorithm (section 3.2 of the
//! paper).

use std::ops::ControlFlow;
use std::time::Instant;

use deepcluster_clustering::{
    Clustering, ClusteringError, ClusteringObserver, IterationStats, Rows, Whitening, WhiteningConfig,
};
use deepcluster_engine::{EngineError, Epoch, EpochClusters, Event, Observer, Phase, SeedUse};

use crate::settings::clustering::ClusteringSettings;

/// The clusters of all images, and everything needed to assign new ones.
pub(crate) struct ImageClusters {
    pub(crate) clusters: EpochClusters,
    pub(crate) whitening: Whitening,
    /// `[num_images, num_components]`, where the features lay.
    pub(crate) whitened: Box<dyn Rows>,
}

/// Whitens and clusters the features of all images.
pub(crate) fn cluster_images(
    features: Box<dyn Rows>,
    whitening: &WhiteningConfig,
    settings: &ClusteringSettings,
    epoch: &mut Epoch<'_>,
) -> Result<ImageClusters, EngineError> {
    let start = Instant::now();
    let whitening = whitening.fit(features.as_ref())?;
    let whitened = features.whitened(&whitening)?;
    // They are larger than all that follows.
    drop(features);
    let whitening_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let clustering = cluster(whitened.as_ref(), settings, epoch)?;
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
    whitened: &dyn Rows,
    settings: &ClusteringSettings,
    epoch: &mut Epoch<'_>,
) -> Result<Clustering, EngineError> {
    let phase = Phase::iterations("clustering");
    let total = settings.num_iterations();
    epoch.observer.event(&Event::Started { phase, epoch: Some(epoch.place_in_run()), total });
    let algorithm = settings.for_images(whitened.num_rows()).init()?;
    let seed = epoch.place.seed(SeedUse::Clustering, 0);
    let mut observer = ForwardIterations { observer: epoch.observer };
    algorithm.cluster(whitened, seed, &mut observer).map_err(|error| match error {
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
