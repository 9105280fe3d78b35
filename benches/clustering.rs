//! The works of the clustering at sizes that take little time; `benches/peers/clustering.py` sets the full
//! sizes beside those of other libraries.
//!
//! `cargo bench --bench clustering`
use std::hint::black_box;

use deepcluster::clustering::{
    KMeansConfig, KMeansStart, PicConfig, ScanPrecision, WhiteningConfig, assign, nearest_neighbors,
};
use deepcluster::evaluation::{NmiNorm, nmi};
use deepcluster_testing::criterion::{Criterion, criterion_group, criterion_main};
use ndarray::{Array2, ArrayView2, s};

/// A deterministic sequence without structure.
struct Sequence(u64);

impl Sequence {
    /// In `[-1, 1)`.
    fn value(&mut self) -> f32 {
        self.next() as f32 / (1 << 23) as f32 - 1.0
    }

    /// Below `bound`.
    fn number(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Of 24 bits.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 40
    }
}

fn features(num_samples: usize, feature_dim: usize) -> Array2<f32> {
    let mut sequence = Sequence(1);
    Array2::from_shape_simple_fn((num_samples, feature_dim), || sequence.value())
}

/// Rows of unit norm in groups whose members have a correlation of 0.3, about that of whitened features.
fn grouped_rows(num_samples: usize, feature_dim: usize, num_groups: usize) -> Array2<f32> {
    let centers = features(num_groups, feature_dim);
    let mut sequence = Sequence(2);
    let mut rows = Array2::zeros((num_samples, feature_dim));
    for mut row in rows.rows_mut() {
        let center = centers.row(sequence.number(num_groups as u64) as usize);
        row.zip_mut_with(&center, |value, center| {
            *value = 0.3_f32.sqrt() * center + 0.7_f32.sqrt() * sequence.value();
        });
        let norm = row.dot(&row).sqrt();
        row /= norm;
    }
    rows
}

fn clustering(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clustering");
    group.sample_size(10);

    let rows = grouped_rows(20_000, 256, 500);
    // The rows are in no order: the first ones are as good as random ones.
    let centroids = |num_clusters: usize| rows.slice(s![..num_clusters, ..]);
    group.bench_function("assign/n20000_d256_k1000", |bencher| {
        bencher.iter(|| {
            assign(black_box(&rows), centroids(1000), ScanPrecision::Auto).expect("finite features")
        });
    });

    let config = KMeansConfig { num_clusters: 100, ..Default::default() };
    let kmeans = config.init().expect("a valid configuration");
    group.bench_function("kmeans/n20000_d256_k100_20_iterations", |bencher| {
        bencher.iter(|| {
            let fit =
                kmeans.fit(&black_box(rows.view()), None, KMeansStart::Centroids(centroids(100)), &mut ());
            fit.expect("finite features").inertia
        });
    });

    let points: ArrayView2<'_, f32> = rows.slice(s![..5_000, ..]);
    group.bench_function("nearest_neighbors/n5000_d256_5", |bencher| {
        bencher.iter(|| nearest_neighbors(black_box(points), points, 5, true).expect("finite features"));
    });

    let graph = nearest_neighbors(points, points, 5, true).expect("finite features");
    let pic = PicConfig::default().init().expect("a valid configuration");
    group.bench_function("pic_of_a_graph/n5000_5", |bencher| {
        bencher.iter(|| pic.cluster_graph(black_box(&graph)).expect("a sound graph").num_clusters());
    });

    let raw = features(10_000, 1024);
    let whitening = WhiteningConfig::default();
    group.bench_function("whitening_fit/n10000_d1024_to_256", |bencher| {
        bencher.iter(|| whitening.fit(black_box(&raw)).expect("finite features").num_components());
    });

    let (first, second) = labellings(200_000, 10_000);
    group.bench_function("nmi/n200000_10000_labels", |bencher| {
        bencher.iter(|| nmi(black_box(&first), &second, NmiNorm::Arithmetic).expect("equal lengths"));
    });
    group.finish();
}

/// Two labellings that agree on three samples of five.
fn labellings(num_samples: usize, num_labels: u64) -> (Vec<u32>, Vec<u32>) {
    let mut sequence = Sequence(3);
    (0..num_samples)
        .map(|_| {
            let (first, other) = (sequence.number(num_labels), sequence.number(num_labels));
            let second = if sequence.number(5) < 3 { first } else { other };
            (first as u32, second as u32)
        })
        .unzip()
}

criterion_group!(benches, clustering);
criterion_main!(benches);
