//! k-means and PCA-whitening on random features of the sizes of a small run.
//!
//! `cargo bench --bench clustering`
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use deepcluster::prelude::*;
use ndarray::Array2;

/// Deterministic values in `[-1, 1)` without structure.
fn features(num_samples: usize, feature_dim: usize) -> Array2<f32> {
    let mut state = 1_u64;
    Array2::from_shape_fn((num_samples, feature_dim), |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

fn clustering(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clustering");
    group.sample_size(10);
    let whitened = features(10_000, 256);
    let kmeans =
        KMeansConfig { num_clusters: 100, ..Default::default() }.init().expect("a valid configuration");
    group.bench_function("kmeans/n10000_d256_k100_20_iterations", |bencher| {
        bencher.iter(|| {
            kmeans.cluster(black_box(whitened.view()), 1, &mut ()).expect("finite features").inertia
        });
    });
    let raw = features(10_000, 1024);
    let whitening = WhiteningConfig::default();
    group.bench_function("whitening_fit/n10000_d1024_to_256", |bencher| {
        bencher.iter(|| whitening.fit(black_box(raw.view())).expect("finite features").num_components());
    });
    group.finish();
}

criterion_group!(benches, clustering);
criterion_main!(benches);
