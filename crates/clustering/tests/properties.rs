//! Properties that hold for any features, and the edges of what is allowed.

#![allow(clippy::unwrap_used, reason = "tests")]

use deepcluster_clustering::{
    ClusterModel, Clustering, ClusteringAlgorithm, ClusteringError, KMeansConfig, KMeansStart,
    LinCohenPicConfig, PicConfig, ScanPrecision, WhiteningConfig, assign, nearest_neighbors,
};
use deepcluster_evaluation::{NmiNorm, nmi, purity};
use ndarray::{Array2, Axis, s};
use proptest::prelude::*;

/// Features on a coarse grid, so that equal rows and equal distances occur.
fn features(max_rows: usize) -> impl Strategy<Value = Array2<f32>> {
    (2..max_rows, 1_usize..6).prop_flat_map(|(num_rows, dim)| {
        proptest::collection::vec(-8_i8..8, num_rows * dim).prop_map(move |values| {
            Array2::from_shape_vec(
                (num_rows, dim),
                values.into_iter().map(|value| f32::from(value) / 4.0).collect(),
            )
            .unwrap()
        })
    })
}

fn kmeans(features: &Array2<f32>, initial_centroids: &Array2<f32>) -> Clustering {
    let kmeans =
        KMeansConfig { num_clusters: initial_centroids.nrows(), ..Default::default() }.init().unwrap();
    kmeans.fit(&features, None, KMeansStart::Centroids(initial_centroids.view()), &mut ()).unwrap()
}

/// Values in `[-1, 1)` without structure, around a different mean in each column.
fn scattered(num_rows: usize, dim: usize) -> Array2<f32> {
    let mut state = 1_u64;
    Array2::from_shape_fn((num_rows, dim), |(_, j)| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0 + j as f32 / 10.0
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn inertia_never_rises_unless_a_cluster_was_split(features in features(60), k in 1_usize..8) {
        let k = k.min(features.nrows());
        let clustering = kmeans(&features, &features.slice(s![..k, ..]).to_owned());
        let mut inertias: Vec<f64> = clustering.iterations.iter().map(|stats| stats.inertia).collect();
        inertias.push(clustering.inertia);
        for (stats, pair) in clustering.iterations.iter().zip(inertias.windows(2)) {
            // Centroids are rounded to f32.
            prop_assert!(stats.num_empty > 0 || pair[1] <= pair[0] * (1.0 + 1e-6) + 1e-9, "{inertias:?}");
        }
    }

    #[test]
    fn labels_name_the_nearest_returned_centroid(features in features(60), k in 1_usize..8, seed: u64) {
        let num_clusters = k.min(features.nrows());
        let kmeans = KMeansConfig { num_clusters, ..Default::default() }.init().unwrap();
        let clustering = kmeans.cluster(&features, seed, &mut ()).unwrap();
        let assigned = assign(&features, clustering.centroids.view(), ScanPrecision::Auto);
        let (labels, distances) = assigned.unwrap();
        prop_assert_eq!(clustering.assignments.labels(), &labels[..]);
        prop_assert_eq!(&clustering.squared_distances, &distances);
        prop_assert!(clustering.centroids.iter().all(|value| value.is_finite()));
        let inertia: f64 = distances.iter().map(|&distance| f64::from(distance)).sum();
        prop_assert_eq!(clustering.inertia, inertia);
    }

    #[test]
    fn permuted_rows_get_permuted_labels(features in features(60), k in 1_usize..8, shift in 1_usize..50) {
        // On the grid of the features all sums are exact, so the order of the rows leaves no trace.
        let initial = features.slice(s![..k.min(features.nrows()), ..]).to_owned();
        let num_rows = features.nrows();
        let order: Vec<usize> = (0..num_rows).rev().map(|row| (row + shift) % num_rows).collect();
        let plain = kmeans(&features, &initial);
        let permuted = kmeans(&features.select(Axis(0), &order), &initial);
        prop_assert_eq!(&plain.centroids, &permuted.centroids);
        for (position, &row) in order.iter().enumerate() {
            prop_assert_eq!(plain.assignments.labels()[row], permuted.assignments.labels()[position]);
        }
    }

    #[test]
    fn neighbours_are_sorted_complete_and_never_the_query(features in features(60), k in 1_usize..8) {
        let k = k.min(features.nrows() - 1);
        let neighbors = nearest_neighbors(features.view(), features.view(), k, true).unwrap();
        for (query, indices) in neighbors.indices.rows().into_iter().enumerate() {
            let distance = |row: usize| {
                let difference = &features.row(row) - &features.row(query);
                difference.dot(&difference)
            };
            let mut expected: Vec<usize> = (0..features.nrows()).filter(|&row| row != query).collect();
            expected.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)).then(a.cmp(&b)));
            let found: Vec<usize> = indices.iter().map(|&row| row as usize).collect();
            prop_assert_eq!(&found[..], &expected[..k]);
        }
    }

    #[test]
    fn whitened_rows_are_finite_with_unit_or_zero_norm(features in features(40)) {
        let whitening = WhiteningConfig::default().fit(&features).unwrap();
        prop_assert!(whitening.num_components() <= features.ncols());
        for row in whitening.transform(&features).unwrap().rows() {
            let norm = row.dot(&row);
            prop_assert!(norm == 0.0 || (norm - 1.0).abs() < 1e-5, "{}", norm);
        }
    }

    #[test]
    fn pic_gives_every_sample_a_cluster_with_members(features in features(60), join_singletons: bool) {
        let num_neighbors = 3.min(features.nrows() - 1);
        let pic = PicConfig { num_neighbors, join_singletons, ..Default::default() }.init().unwrap();
        let clustering = pic.cluster(&features, 0, &mut ()).unwrap();
        prop_assert_eq!(clustering.assignments.len(), features.nrows());
        prop_assert_eq!(clustering.assignments.num_empty(), 0);
        prop_assert!(clustering.centroids.iter().all(|value| value.is_finite()));
    }
}

/// A valid file of a model of 12 clusters in 8 dimensions.
fn model_bytes() -> Vec<u8> {
    let features = scattered(60, 10);
    let whitening = WhiteningConfig { num_components: 8, ..Default::default() }.fit(&features).unwrap();
    let model = ClusterModel { whitening: Some(whitening), centroids: scattered(12, 8) };
    model.to_bytes().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_damaged_model_is_an_error_or_another_model_no_larger_than_its_bytes(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
        number in proptest::option::of((any::<prop::sample::Index>(), any::<u64>())),
    ) {
        let mut bytes = model_bytes();
        // A digit of the header becomes a long number: shapes and places that claim much.
        if let Some((at, number)) = number {
            let length = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let digits: Vec<usize> = (8..length).filter(|&at| bytes[at].is_ascii_digit()).collect();
            let at = digits[at.index(digits.len())];
            bytes.splice(at..=at, number.to_string().into_bytes());
            let length = (length - 8 + number.to_string().len() - 1) as u64;
            bytes[..8].copy_from_slice(&length.to_le_bytes());
        }
        if let Some((from, to)) = cut {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            bytes.drain(from.min(to)..from.max(to));
        }
        for (at, value) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        if let Ok(model) = ClusterModel::from_bytes(&bytes) {
            prop_assert!(model.centroids.len() * 4 <= bytes.len());
            let _ = model.assign(&scattered(3, 10));
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (wide, tall) = (scattered(150, 600), scattered(1500, 40));
    let run = |num_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
        pool.install(|| {
            let whitenings = [&wide, &tall].map(|features| {
                let whitening = WhiteningConfig { num_components: 20, ..Default::default() }.fit(&features);
                let whitening = whitening.unwrap();
                let rows = whitening.transform(&features).unwrap();
                (whitening, rows)
            });
            let rows = whitenings[1].1.view();
            let kmeans = KMeansConfig { num_clusters: 30, ..Default::default() }.init().unwrap();
            let kmeans = kmeans.cluster(&rows, 3, &mut ()).unwrap();
            let inertias: Vec<f64> = kmeans.iterations.iter().map(|stats| stats.inertia).collect();
            let kmeans =
                (kmeans.assignments, kmeans.centroids, kmeans.squared_distances, kmeans.inertia, inertias);
            let pic = PicConfig { kernel_bandwidth: 1.0, ..Default::default() }.init().unwrap();
            let pic = pic.cluster(&rows, 3, &mut ()).unwrap();
            let lin_cohen =
                LinCohenPicConfig { num_clusters: 30, kernel_bandwidth: 1.0, ..Default::default() };
            let lin_cohen = lin_cohen.init().unwrap().cluster(&rows, 3, &mut ()).unwrap();
            let nmi = nmi(kmeans.0.labels(), pic.assignments.labels(), NmiNorm::Arithmetic).unwrap();
            let neighbors = nearest_neighbors(rows, rows, 7, true).unwrap();
            (whitenings, kmeans, pic, neighbors, lin_cohen, nmi.to_bits())
        })
    };
    let one = run(1);
    assert!(one.2.assignments.num_clusters() < 1500);
    for num_threads in [2, 3] {
        assert!(run(num_threads) == one, "{num_threads} threads give other bits than one");
    }
}

#[test]
fn as_many_clusters_as_samples_leave_no_distance() {
    let features = scattered(20, 3);
    let kmeans = KMeansConfig { num_clusters: 20, ..Default::default() }.init().unwrap();
    let clustering = kmeans.cluster(&features, 1, &mut ()).unwrap();
    assert_eq!(clustering.inertia, 0.0);
    assert_eq!(clustering.assignments.cluster_sizes(), [1; 20]);
}

#[test]
fn a_single_cluster_has_the_mean_of_all() {
    let features = scattered(20, 3);
    let kmeans = KMeansConfig { num_clusters: 1, ..Default::default() }.init().unwrap();
    let clustering = kmeans.cluster(&features, 1, &mut ()).unwrap();
    let mean = features.mean_axis(Axis(0)).unwrap();
    assert!(clustering.centroids.row(0).iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-6));
    assert_eq!(clustering.assignments.labels(), [0; 20]);
}

#[test]
fn identical_points_end_in_finite_clusters() {
    let features = Array2::from_elem((30, 4), 0.7_f32);
    let kmeans = KMeansConfig { num_clusters: 4, ..Default::default() }.init().unwrap();
    let clustering = kmeans.cluster(&features, 1, &mut ()).unwrap();
    assert!(clustering.centroids.iter().all(|value| value.is_finite()));
    // The halves of a split cluster are 1/1024 apart.
    assert!(clustering.inertia < 30.0 * 4.0 * (0.7_f64 / 1024.0).powi(2));
}

#[test]
fn ten_clusters_of_five_distinct_points_leave_no_more_than_the_splits() {
    let features = Array2::from_shape_fn((50, 2), |(i, j)| (i % 5) as f32 * 3.0 + j as f32);
    let kmeans = KMeansConfig { num_clusters: 10, ..Default::default() }.init().unwrap();
    let clustering = kmeans.cluster(&features, 1, &mut ()).unwrap();
    let points: Vec<u32> = (0..50).map(|i| i % 5).collect();
    // No cluster mixes points.
    assert_eq!(purity(clustering.assignments.labels(), &points).unwrap(), 1.0);
    assert!(clustering.centroids.iter().all(|value| value.is_finite()));
    assert!(clustering.inertia < 0.1);
}

#[test]
fn more_clusters_than_samples_and_bad_rows_are_refused() {
    let kmeans = KMeansConfig { num_clusters: 3, ..Default::default() }.init().unwrap();
    let error = kmeans.cluster(&scattered(2, 2), 0, &mut ()).unwrap_err();
    assert!(matches!(error, ClusteringError::TooFewSamples { num_samples: 2, num_clusters: 3 }));
    let mut features = scattered(9, 2);
    features[[4, 1]] = f32::NAN;
    let error = kmeans.cluster(&features, 0, &mut ()).unwrap_err();
    assert!(matches!(error, ClusteringError::NonFiniteFeatures { row: 4 }), "{error}");
    assert!(error.to_string().contains("row 4"));
    let good = scattered(9, 2);
    let mut initial = scattered(3, 2);
    initial[[2, 0]] = f32::INFINITY;
    let error = kmeans.fit(&good, None, KMeansStart::Centroids(initial.view()), &mut ()).unwrap_err();
    assert!(matches!(error, ClusteringError::NonFiniteFeatures { row: 2 }), "{error}");
    let error = kmeans.fit(&good, None, KMeansStart::Centroids(scattered(4, 2).view()), &mut ()).unwrap_err();
    assert!(matches!(error, ClusteringError::DimensionMismatch { expected: 3, actual: 4, .. }), "{error}");
    let error = kmeans.cluster(&Array2::zeros((5, 0)), 0, &mut ()).unwrap_err();
    assert!(matches!(error, ClusteringError::EmptyFeatures { num_samples: 5, feature_dim: 0 }), "{error}");
}

#[test]
fn a_model_assigns_the_training_rows_as_the_clustering_did() {
    let features = scattered(300, 30);
    let whitening = WhiteningConfig { num_components: 8, ..Default::default() }.fit(&features).unwrap();
    let kmeans = KMeansConfig { num_clusters: 12, ..Default::default() }.init().unwrap();
    let rows = whitening.transform(&features).unwrap();
    let clustering = kmeans.cluster(&rows, 5, &mut ()).unwrap();
    let model = ClusterModel { whitening: Some(whitening), centroids: clustering.centroids };
    let model = ClusterModel::from_bytes(&model.to_bytes().unwrap()).unwrap();
    let (labels, distances) = model.assign(&features).unwrap();
    assert_eq!(clustering.assignments.labels(), labels);
    assert_eq!(clustering.squared_distances, distances);
}
