//! Results against figures computed with the original code, faiss, numpy and scikit-learn on real features.
//!
//! The figures lie in `shared/fixtures/clustering` beside the project; without them the tests say so and
//! pass.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use deepcluster_clustering::{
    ClusteringAlgorithm, KMeansConfig, KMeansStart, PicConfig, WhiteningConfig, nearest_neighbors,
};
use deepcluster_evaluation::{NmiNorm, adjusted_rand_index, nmi, purity};
use ndarray::{Array1, Array2, Axis};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/clustering")
}

fn figures() -> Option<Value> {
    let path = folder().join("expected.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(_) => {
            eprintln!("skipped: {} is absent", path.display());
            None
        }
    }
}

/// Shape and values of a row-major little-endian `.npy` file of the given type, such as `<f4`.
fn npy<T, const SIZE: usize>(name: &str, dtype: &str, value: fn([u8; SIZE]) -> T) -> (Vec<usize>, Vec<T>) {
    let bytes = std::fs::read(folder().join(name)).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01"), "{name}");
    let data = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..data]).unwrap();
    assert!(header.contains(&format!("'descr': '{dtype}'")), "{name}: {header}");
    assert!(header.contains("'fortran_order': False"), "{name}: {header}");
    let shape = header.split_once('(').unwrap().1.split_once(')').unwrap().0;
    let shape: Vec<usize> = shape
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(|size| size.parse().unwrap())
        .collect();
    let (values, rest) = bytes[data..].as_chunks::<SIZE>();
    assert!(rest.is_empty() && values.len() == shape.iter().product::<usize>(), "{name}");
    (shape, values.iter().map(|&bytes| value(bytes)).collect())
}

fn matrix(name: &str) -> Array2<f32> {
    let (shape, values) = npy(name, "<f4", f32::from_le_bytes);
    Array2::from_shape_vec((shape[0], shape[1]), values).unwrap()
}

fn numbers(name: &str) -> Vec<u32> {
    npy(name, "<u2", u16::from_le_bytes).1.into_iter().map(u32::from).collect()
}

fn class_labels() -> Vec<u32> {
    npy("labels.npy", "|u1", u8::from_le_bytes).1.into_iter().map(u32::from).collect()
}

fn assert_close(what: &str, value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance, "{what} is {value}, not {expected}");
}

fn assert_kmeans_agrees(num_clusters: usize) {
    let Some(figures) = figures() else { return };
    let expected = &figures[format!("k{num_clusters}")];
    let features = matrix("features_whitened.npy");
    let (_, rows) = npy(&format!("kmeans_k{num_clusters}_init.npy"), "<u4", u32::from_le_bytes);
    let rows: Vec<usize> = rows.into_iter().map(|row| row as usize).collect();
    let kmeans = KMeansConfig { num_clusters, num_iterations: 20, ..Default::default() }.init().unwrap();
    let clustering = kmeans
        .fit(&features, None, KMeansStart::Centroids(features.select(Axis(0), &rows).view()), &mut ())
        .unwrap();
    assert_eq!(clustering.assignments.labels(), numbers(&format!("kmeans_k{num_clusters}_assignments.npy")));
    // A run ends where nothing moves any more; the original repeats its last objective.
    let objectives: Vec<f64> = expected["objective_per_iteration"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap())
        .collect();
    let inertias = clustering.iterations.iter().map(|stats| stats.inertia);
    for (iteration, expected) in objectives.iter().enumerate() {
        let inertia = inertias.clone().nth(iteration).unwrap_or(clustering.inertia);
        assert_close(&format!("the objective of iteration {iteration}"), inertia, *expected, 1e-6 * expected);
    }
    let objective = expected["final_objective"].as_f64().unwrap();
    assert_close("the final objective", clustering.inertia, objective, 1e-6 * objective);
    assert!(clustering.iterations.iter().all(|stats| stats.num_empty == 0));
}

#[test]
fn a_hundred_clusters_agree_with_faiss_in_every_assignment() {
    assert_kmeans_agrees(100);
}

#[test]
fn a_thousand_clusters_agree_with_faiss_in_every_assignment() {
    assert_kmeans_agrees(1000);
}

#[test]
fn the_agreement_with_the_classes_is_that_of_scikit_learn() {
    let Some(figures) = figures() else { return };
    let classes = class_labels();
    for num_clusters in [100, 1000] {
        let expected = &figures[format!("k{num_clusters}")];
        let assignments = numbers(&format!("kmeans_k{num_clusters}_assignments.npy"));
        for (what, value) in [
            ("nmi_labels_arithmetic", nmi(&classes, &assignments, NmiNorm::Arithmetic).unwrap()),
            ("nmi_labels_geometric", nmi(&classes, &assignments, NmiNorm::Geometric).unwrap()),
            ("ari_labels", adjusted_rand_index(&classes, &assignments).unwrap()),
        ] {
            assert_close(what, value, expected[what].as_f64().unwrap(), 1e-9);
        }
    }
}

#[test]
fn five_nearest_neighbours_agree_with_the_exact_ones() {
    if figures().is_none() {
        return;
    }
    let features = matrix("features_whitened.npy");
    let neighbors = nearest_neighbors(features.view(), features.view(), 5, true).unwrap();
    assert_eq!(neighbors.indices.into_raw_vec_and_offset().0, numbers("knn5_ids.npy"));
    let distances = matrix("knn5_sqdist.npy");
    for (distance, expected) in neighbors.squared_distances.iter().zip(&distances) {
        // The expected ones are f32 sums of norms and inner products of up to 2.
        assert_close("a squared distance", f64::from(*distance), f64::from(*expected), 4e-6);
    }
}

/// The loops of the original PIC as they stand in its code, every operation rounded by `round`.
fn original_pic(neighbors: &Array2<u32>, squared_distances: &Array2<f32>, round: fn(f64) -> f64) -> Vec<u32> {
    let num_rows = neighbors.nrows();
    let mut graph = vec![BTreeMap::new(); num_rows];
    for ((row, rank), &column) in neighbors.indexed_iter() {
        let weight = round((-f64::from(squared_distances[[row, rank]]) / 0.2_f64.powi(2)).exp());
        for (from, to) in [(row, column as usize), (column as usize, row)] {
            let sum = graph[from].entry(to).or_insert(0.0);
            *sum = round(*sum + weight);
        }
    }
    let (alpha, constant) = (round(0.001), round(0.999 / num_rows as f64));
    let mut values = vec![round(1.0 / num_rows as f64); num_rows];
    for _ in 0..200 {
        let next = graph.iter().map(|edges| {
            let sum =
                edges.iter().fold(0.0, |sum, (&column, weight)| round(sum + round(weight * values[column])));
            round(round(alpha * sum) + constant)
        });
        let next: Vec<f64> = next.collect();
        let norm = pairwise_sum(&next, round);
        values = next.into_iter().map(|value| round(value / norm)).collect();
    }
    let uphill = |row: usize| {
        let gains = graph[row]
            .iter()
            .map(|(&column, weight)| (round(weight * round(values[column] - values[row])), column));
        gains.fold((0.0, row), |best, gain| if gain.0 > best.0 { gain } else { best }).1
    };
    let pointers: Vec<usize> = (0..num_rows).map(uphill).collect();
    let ends: Vec<usize> = (0..num_rows).filter(|&row| pointers[row] == row).collect();
    let climb = |mut row: usize| {
        while pointers[row] != row {
            row = pointers[row];
        }
        ends.binary_search(&row).unwrap() as u32
    };
    (0..num_rows).map(climb).collect()
}

/// The order of summation of numpy.
fn pairwise_sum(values: &[f64], round: fn(f64) -> f64) -> f64 {
    if values.len() > 128 {
        let half = values.len() / 2 / 8 * 8;
        return round(pairwise_sum(&values[..half], round) + pairwise_sum(&values[half..], round));
    }
    let (groups, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for group in groups {
        for (sum, value) in sums.iter_mut().zip(group) {
            *sum = round(*sum + value);
        }
    }
    let pair = |i: usize| round(sums[i] + sums[i + 1]);
    let total = round(round(pair(0) + pair(2)) + round(pair(4) + pair(6)));
    rest.iter().fold(total, |sum, value| round(sum + value))
}

/// The original ran in f32, where the values of most samples are tied with those of their neighbours. Its
/// loops give its clusters when every operation is rounded to f32, and ours when none is: only the precision
/// differs.
#[test]
fn pic_agrees_with_the_original_up_to_the_precision_of_its_numbers() {
    let Some(figures) = figures() else { return };
    let features = matrix("features_whitened.npy");
    let neighbors = Array2::from_shape_vec((features.nrows(), 5), numbers("knn5_ids.npy")).unwrap();
    let distances = matrix("knn5_sqdist.npy");
    let original = numbers("pic_assignments_before_singletons.npy");
    assert_eq!(original_pic(&neighbors, &distances, |value| f64::from(value as f32)), original);

    let pic = PicConfig { join_singletons: false, ..Default::default() }.init().unwrap();
    let clustering = pic.cluster(&features, 0, &mut ()).unwrap();
    assert_eq!(clustering.assignments.labels(), original_pic(&neighbors, &distances, |value| value));

    // Without the ties more samples find a higher neighbour, and clusters of the original grow together.
    let expected = figures["pic_before_singletons"]["clusters"].as_u64().unwrap() as usize;
    let num_clusters = original.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!((num_clusters, clustering.assignments.num_clusters()), (expected, 713));
    let purity = purity(&original, clustering.assignments.labels()).unwrap();
    assert!(purity > 0.95, "{purity} of the samples stay with their cluster");
}

#[test]
fn whitened_rows_have_the_principal_directions_with_unit_variance() {
    if figures().is_none() {
        return;
    }
    let features = matrix("features_raw.npy");
    let config = WhiteningConfig { normalize: false, ..Default::default() };
    let rows = config.fit(&features).unwrap().transform(&features).unwrap().mapv(f64::from);
    let num_samples = features.nrows() as f64;
    let centered = features.mapv(f64::from);
    let centered = &centered - &centered.mean_axis(Axis(0)).unwrap();
    assert_eq!(rows.ncols(), 256);
    let covariance = rows.t().dot(&rows) / num_samples;
    for ((i, j), &value) in covariance.indexed_iter() {
        assert_close(&format!("the covariance of {i} and {j}"), value, if i == j { 1.0 } else { 0.0 }, 1e-5);
    }
    // With y_c = <v_c, x> / sqrt(lambda_c), the mean of y_c x is sqrt(lambda_c) v_c.
    let directions = rows.t().dot(&centered) / num_samples;
    let products = directions.dot(&directions.t());
    let variances: Vec<f64> = products.diag().to_vec();
    assert!(variances.is_sorted_by(|a, b| a >= b));
    for ((i, j), &value) in products.indexed_iter().filter(|((i, j), _)| i != j) {
        // The rows are rounded to f32, so a weak direction takes up a little of a strong one.
        assert_close(&format!("the product of {i} and {j}"), value, 0.0, 1e-7 * variances[i.min(j)]);
    }
    // The rest of the covariance has no larger variance in any direction: power iteration.
    let rest = centered.t().dot(&centered) / num_samples - directions.t().dot(&directions);
    let mut vector = Array1::from_shape_fn(rest.nrows(), |i| 1.0 + (i % 7) as f64);
    let mut largest = 0.0;
    for _ in 0..200 {
        vector /= vector.dot(&vector).sqrt();
        let next = rest.dot(&vector);
        largest = vector.dot(&next);
        vector = next;
    }
    assert!(largest > 0.0 && largest <= variances[255] * (1.0 + 1e-9), "{largest} is left of {variances:?}");
}
