//! The options of k-means: what they promise, and that none of them depends on the number of threads.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;

use deepcluster_clustering::{
    Clustering, ClusteringAlgorithm, ClusteringError, ClusteringObserver, HostRows, Initialization,
    IterationStats, KMeansConfig, KMeansStart, KMeansVariant, ScanPrecision, assign,
};
use ndarray::{Array2, Axis, concatenate, s};
use proptest::prelude::*;

/// Rows around 40 centres, `[num_rows, 24]`.
fn clouds(num_rows: usize) -> Array2<f32> {
    let mut state = 7_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let centres = Array2::from_shape_simple_fn((40, 24), &mut next);
    Array2::from_shape_fn((num_rows, 24), |(i, j)| centres[[i % 40, j]] + 0.3 * next())
}

fn fit(config: &KMeansConfig, features: &Array2<f32>) -> Clustering {
    config.init().unwrap().cluster(&features, 3, &mut ()).unwrap()
}

fn every_option() -> Vec<KMeansConfig> {
    let plain = KMeansConfig { num_clusters: 37, num_iterations: 8, ..Default::default() };
    let with = |change: fn(&mut KMeansConfig)| {
        let mut config = plain.clone();
        change(&mut config);
        config
    };
    vec![
        plain.clone(),
        with(|config| config.initialization = Initialization::KMeansPlusPlus),
        with(|config| config.initialization = Initialization::AfkMc2),
        with(|config| config.spherical = true),
        with(|config| config.tolerance = 0.01),
        with(|config| config.max_samples_per_cluster = Some(10)),
        with(|config| config.variant = KMeansVariant::MiniBatch),
        with(|config| config.variant = KMeansVariant::TwoLevel),
        with(|config| config.precision = ScanPrecision::F32),
        with(|config| config.num_redos = 3),
    ]
}

/// Rows that are copied into a buffer whenever they are read, as those of a file may be.
struct Copied<'a>(&'a Array2<f32>);

impl HostRows for Copied<'_> {
    fn num_rows(&self) -> usize {
        self.0.nrows()
    }

    fn feature_dim(&self) -> usize {
        self.0.ncols()
    }

    fn read_rows<'a>(&'a self, first: usize, count: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        buffer.clear();
        buffer.extend(self.0.slice(s![first..first + count, ..]).iter());
        buffer
    }
}

fn without_times(mut clustering: Clustering) -> Clustering {
    clustering.iterations.iter_mut().for_each(|stats| stats.elapsed = Default::default());
    clustering
}

#[test]
fn every_option_gives_the_same_bits_for_any_number_of_threads_and_any_source() {
    let features = clouds(3000);
    for config in every_option() {
        let run = |num_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
            without_times(pool.install(|| fit(&config, &features)))
        };
        let expected = run(1);
        for num_threads in [2, 3, 7] {
            assert_eq!(run(num_threads), expected, "{config:?}");
        }
        let kmeans = config.init().unwrap();
        let copied = kmeans.fit(&Copied(&features), None, KMeansStart::Seed(3), &mut ()).unwrap();
        assert_eq!(without_times(copied), expected, "{config:?}");
    }
}

#[test]
fn labels_inertia_and_centroids_belong_together_whatever_the_option() {
    let features = clouds(2000);
    for config in every_option() {
        let clustering = fit(&config, &features);
        assert_eq!(clustering.centroids.dim(), (37, 24));
        let (labels, distances) =
            assign(&features, clustering.centroids.view(), ScanPrecision::Auto).unwrap();
        assert_eq!(clustering.assignments.labels(), labels, "{config:?}");
        assert_eq!(clustering.squared_distances, distances);
        assert_eq!(clustering.inertia, distances.iter().map(|&distance| f64::from(distance)).sum::<f64>());
        assert!(!clustering.iterations.is_empty());
    }
}

#[test]
fn the_precision_of_the_scan_changes_nothing() {
    let features = clouds(2500);
    let with = |precision| {
        without_times(fit(&KMeansConfig { num_clusters: 50, precision, ..Default::default() }, &features))
    };
    assert_eq!(with(ScanPrecision::Auto), with(ScanPrecision::F32));
}

#[test]
fn a_weight_of_two_counts_like_a_second_sample() {
    let features = clouds(300);
    let twice = features.slice(s![..100, ..]).to_owned();
    let doubled = concatenate![Axis(0), features, twice];
    let weights: Vec<f32> = (0..300).map(|i| if i < 100 { 2.0 } else { 1.0 }).collect();
    let kmeans = KMeansConfig { num_clusters: 12, ..Default::default() }.init().unwrap();
    let start = features.slice(s![..12, ..]);
    let weighted =
        kmeans.fit(&features.view(), Some(&weights), KMeansStart::Centroids(start), &mut ()).unwrap();
    let repeated = kmeans.fit(&doubled, None, KMeansStart::Centroids(start), &mut ()).unwrap();
    assert_eq!(weighted.assignments.labels(), &repeated.assignments.labels()[..300]);
    for (a, b) in weighted.centroids.iter().zip(&repeated.centroids) {
        assert!((a - b).abs() <= 1e-6);
    }
    assert!((weighted.inertia - repeated.inertia).abs() <= 1e-6 * repeated.inertia);
}

#[test]
fn spherical_centroids_have_unit_norm() {
    let config = KMeansConfig { num_clusters: 20, spherical: true, ..Default::default() };
    for centroid in fit(&config, &clouds(500)).centroids.rows() {
        assert!((centroid.dot(&centroid) - 1.0).abs() < 1e-6);
    }
}

#[test]
fn a_tolerance_ends_the_run_early_at_little_cost() {
    let features = clouds(2000);
    let with =
        |tolerance| fit(&KMeansConfig { num_clusters: 60, tolerance, ..Default::default() }, &features);
    let (full, early) = (with(0.0), with(0.01));
    assert!(early.iterations.len() < full.iterations.len());
    assert!(early.inertia <= 1.05 * full.inertia);
}

#[test]
fn careful_seeding_lowers_the_inertia_after_few_iterations() {
    let features = clouds(2000);
    let with = |initialization| {
        let config =
            KMeansConfig { num_clusters: 40, num_iterations: 2, initialization, ..Default::default() };
        fit(&config, &features).inertia
    };
    let random = with(Initialization::Random);
    assert!(with(Initialization::KMeansPlusPlus) < random);
    assert!(with(Initialization::AfkMc2) < random);
}

#[test]
fn impossible_wishes_are_refused() {
    let features = clouds(50);
    let kmeans = KMeansConfig { num_clusters: 5, ..Default::default() }.init().unwrap();
    let fit = |weights: &[f32], start| kmeans.fit(&features.view(), Some(weights), start, &mut ());
    let short = fit(&[1.0; 49], KMeansStart::Seed(1)).unwrap_err();
    assert!(matches!(short, ClusteringError::DimensionMismatch { expected: 50, actual: 49, .. }));
    let negative = fit(&[-1.0; 50], KMeansStart::Seed(1)).unwrap_err();
    assert!(matches!(negative, ClusteringError::InvalidWeight { row: 0, .. }));
    let few = fit(&[1.0; 50], KMeansStart::Centroids(features.slice(s![..4, ..]))).unwrap_err();
    assert!(matches!(few, ClusteringError::DimensionMismatch { expected: 5, actual: 4, .. }));
    let config = KMeansConfig { num_clusters: 5, variant: KMeansVariant::TwoLevel, ..Default::default() };
    let start = features.slice(s![..5, ..]);
    let error =
        config.init().unwrap().fit(&features, None, KMeansStart::Centroids(start), &mut ()).unwrap_err();
    assert!(matches!(error, ClusteringError::InvalidConfig { field: "variant", .. }));
}

#[test]
fn numbers_beyond_all_samples_and_counts_neither_overflow_nor_claim_memory() {
    let features = clouds(120);
    let plain = KMeansConfig { num_clusters: 5, num_iterations: 4, ..Default::default() };
    for huge in [1 << 31, 1 << 32, 1_000_000_000_000, usize::MAX] {
        let mini_batch = KMeansConfig { variant: KMeansVariant::MiniBatch, ..plain.clone() };
        let all_samples = fit(&KMeansConfig { batch_size: 120, ..mini_batch.clone() }, &features);
        let batch = fit(&KMeansConfig { batch_size: huge, ..mini_batch }, &features);
        assert_eq!(batch.centroids, all_samples.centroids);
        // Lloyd's iterations end where nothing moves any more; of the redos the observer has enough.
        fit(&KMeansConfig { num_iterations: huge, ..plain.clone() }, &features);
        fit(&KMeansConfig { max_samples_per_cluster: Some(huge), ..plain.clone() }, &features);
        let redos = KMeansConfig { num_iterations: huge, num_redos: huge, ..plain.clone() };
        let outcome = redos.init().unwrap().cluster(&features, 3, &mut StopAfter(200));
        assert!(matches!(outcome, Err(ClusteringError::Cancelled)));
        let too_many = KMeansConfig { num_clusters: huge.min(u32::MAX as usize), ..plain.clone() };
        let outcome = too_many.init().unwrap().cluster(&features, 3, &mut ());
        assert!(matches!(outcome, Err(ClusteringError::TooFewSamples { .. })));
    }
}

/// Breaks off after so many iterations.
struct StopAfter(usize);

impl ClusteringObserver for StopAfter {
    fn iteration(&mut self, _stats: &IterationStats) -> ControlFlow<()> {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn light_samples_move_their_centroid_beside_the_heaviest() {
    let mut weights = [0.0_f32; 30];
    for (row, weight) in [(5, 1e7), (10, 1e9), (13, 3e7), (23, 1e22), (25, 1.0), (27, 1.0), (29, 1e11)] {
        weights[row] = weight;
    }
    let kmeans = KMeansConfig { num_clusters: 5, ..Default::default() }.init().unwrap();
    let fit = kmeans.fit(&clouds(30).view(), Some(&weights), KMeansStart::Seed(1), &mut ()).unwrap();
    let inertias: Vec<f64> = fit.iterations.iter().map(|stats| stats.inertia).collect();
    assert!(inertias.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-5)), "{inertias:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_weights_give_finite_means_and_a_falling_inertia(
        weights in proptest::collection::vec((0_u8..4, -30_i32..30), 30),
        k in 1_usize..6,
    ) {
        let features = clouds(30);
        let weights: Vec<f32> = weights.iter().map(|&(m, e)| f32::from(m) * 10_f32.powi(e)).collect();
        prop_assume!(weights.iter().any(|&weight| weight > 0.0));
        let kmeans = KMeansConfig { num_clusters: k, ..Default::default() }.init().unwrap();
        let fit = kmeans.fit(&features.view(), Some(&weights), KMeansStart::Seed(1), &mut ()).unwrap();
        prop_assert!(fit.centroids.iter().all(|value| value.is_finite()));
        let inertias: Vec<f64> = fit.iterations.iter().map(|stats| stats.inertia).collect();
        for (stats, pair) in fit.iterations.iter().zip(inertias.windows(2)) {
            prop_assert!(stats.num_empty > 0 || pair[1] <= pair[0] * (1.0 + 1e-5), "{inertias:?}");
        }
    }
}
