//! A run of k-means among those of all redos.

use std::time::Instant;

use crate::kmeans::config::KMeansConfig;
use crate::kmeans::samples::Samples;

/// One run among those of all redos.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) config: &'a KMeansConfig,
    pub(super) samples: &'a Samples<'a>,
    pub(super) place: RunPlace,
}

/// Where a run stands among those of all redos.
#[derive(Clone, Copy)]
pub(super) struct RunPlace {
    pub(super) first_iteration: usize,
    /// Most iterations of all runs.
    pub(super) total_iterations: usize,
    pub(super) begin: Instant,
}

impl RunPlace {
    /// The numbers of the iterations of the run.
    pub(super) fn iterations(&self, config: &KMeansConfig) -> impl Iterator<Item = usize> + use<> {
        let first = self.first_iteration;
        (0..config.num_iterations).map(move |iteration| first.saturating_add(iteration))
    }
}
