//! The contents of a run that a report shows.

use deepcluster_clustering::{WhiteningConfig, nearest_neighbors};
use deepcluster_data::{Images, SkippedFile};
use deepcluster_trainer::{EpochMetrics, RunDirectory, TrainConfig, TrainerError};
use ndarray::Array2;

use crate::error::ReportError;

/// The images of a run, their clusters, and how they came about.
#[derive(Debug, Clone)]
pub struct RunContents {
    /// The settings.
    pub config: TrainConfig,
    /// The images, with labels where there are any.
    pub images: Images,
    /// Cluster of each image by the latest clustering.
    pub clusters: Vec<u32>,
    /// Distance of each image to the centre of its cluster.
    pub distances: Vec<f32>,
    /// Whitened features, the input of the clustering, `[num_images, num_components]`; only finished runs
    /// have them.
    pub features: Option<Array2<f32>>,
    /// The epochs so far.
    pub metrics: Vec<EpochMetrics>,
    /// Files that were passed over.
    pub skipped: Vec<SkippedFile>,
}

/// The images nearest to each image.
#[derive(Debug, Clone)]
pub(crate) struct NeighborTable {
    /// `[num_images, num_neighbors]`, nearest first.
    pub(crate) indices: Array2<u32>,
    /// Euclidean distances to them.
    pub(crate) distances: Array2<f32>,
}

impl RunContents {
    /// Reads a run whose images have been clustered at least once.
    ///
    /// # Errors
    /// [`ReportError::Trainer`] where a file is missing or damaged, or files do not belong together.
    pub fn read(run: &RunDirectory) -> Result<Self, ReportError> {
        // First, so that the tables are those of the features: resuming a finished run retires these
        // before.
        let features = match run.features() {
            Ok(features) => Some(features),
            Err(TrainerError::Unfinished { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let (images, assigned) = (run.images()?, run.assignments()?);
        let (clusters, distances) = assigned.into_iter().unzip();
        Ok(Self {
            config: run.config()?,
            images,
            clusters,
            distances,
            features,
            metrics: run.metrics()?,
            skipped: run.skipped()?,
        })
    }

    /// The `count` nearest images of each, or as many as there are others; `None` without features.
    pub(crate) fn neighbors(&self, count: usize) -> Result<Option<NeighborTable>, ReportError> {
        let Some(features) = &self.features else { return Ok(None) };
        let count = count.min(features.nrows().saturating_sub(1));
        if count == 0 {
            return Ok(None);
        }
        let found = nearest_neighbors(features.view(), features.view(), count, true)?;
        let distances = found.squared_distances.mapv(|squared| squared.max(0.0).sqrt());
        Ok(Some(NeighborTable { indices: found.indices, distances }))
    }

    /// The two directions in which the features vary most, `[num_images, 2]`; `None` without features.
    pub(crate) fn principal_components(&self) -> Result<Option<Array2<f32>>, ReportError> {
        let Some(features) = &self.features else { return Ok(None) };
        if features.nrows() < 2 || features.ncols() < 2 {
            return Ok(None);
        }
        // Whitened features have no such direction left: their first columns are those of the features
        // before.
        if self.config.objective.whitening().whiten {
            return Ok(Some(features.slice(ndarray::s![.., ..2]).to_owned()));
        }
        let config = WhiteningConfig { num_components: 2, whiten: false, normalize: false };
        let pca = config.fit(&features)?;
        Ok(Some(pca.transform(&features)?))
    }

    /// Whether the run is finished.
    pub(crate) fn is_finished(&self) -> bool {
        self.features.is_some()
    }

    /// Label of an image.
    pub(crate) fn label(&self, image_index: usize) -> Option<u32> {
        self.images.labels().and_then(|labels| labels.of_image[image_index])
    }
}
