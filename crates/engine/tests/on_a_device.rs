//! Features on a device yield the same clusters as on the host.
//!
//! Runs on the CPU backend, and on a GPU if one is compiled in and available.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests, which say when they skip")]

use burn::tensor::{Device, DeviceType, Tensor, TensorData};
use deepcluster_clustering::{
    ClusteringConfig, ClusteringError, DeviceRows, FeatureType, KMeansConfig, PicConfig, WhiteningConfig,
};
use deepcluster_engine::features::{DeviceFeatures, Room};
use ndarray::{Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn devices() -> Vec<Device> {
    let mut devices = vec![Device::flex()];
    let kinds: Vec<DeviceType> = vec![
        #[cfg(feature = "cuda")]
        DeviceType::Cuda,
        #[cfg(feature = "metal")]
        DeviceType::Metal,
        #[cfg(feature = "vulkan")]
        DeviceType::Vulkan,
        #[cfg(feature = "wgpu")]
        DeviceType::Wgpu,
    ];
    let gpu = kinds.into_iter().find_map(|kind| Device::enumerate(kind).into_iter().next());
    if gpu.is_none() {
        assert!(std::env::var_os("DEEPCLUSTER_TEST_GPU").is_none(), "a GPU was promised, and there is none");
        eprintln!("without a GPU: only on the host");
    }
    devices.extend(gpu);
    devices
}

fn normal(num_rows: usize, dim: usize, seed: u64) -> Array2<f32> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((num_rows, dim), || StandardNormal.sample(&mut generator))
}

fn tensor(rows: ArrayView2<'_, f32>, device: &Device) -> Tensor<2> {
    let values: Vec<f32> = rows.iter().copied().collect();
    Tensor::from_data(TensorData::new(values, [rows.nrows(), rows.ncols()]), device)
}

/// Room for everything; for a part, the rest on the host; and in chunks of a few rows.
fn rooms(row_bytes: u64) -> [Room; 3] {
    [
        Room { total: u64::MAX, chunk: 1 << 20 },
        Room { total: 100 * row_bytes, chunk: 37 * row_bytes },
        Room { total: 0, chunk: 64 * row_bytes },
    ]
}

/// The rows, in batches of 25.
fn features(rows: &Array2<f32>, device: &Device, room: Room) -> DeviceFeatures {
    let mut features = DeviceFeatures::new(device, rows.ncols(), FeatureType::F32, room);
    for batch in rows.axis_chunks_iter(Axis(0), 25) {
        features.append(tensor(batch, device)).unwrap();
    }
    features.finish().unwrap()
}

#[test]
fn clusters_are_those_of_the_host_wherever_the_rows_lie() {
    let dim = 24;
    let rows = normal(300, dim, 1);
    let configs = [
        ClusteringConfig::KMeans(KMeansConfig { num_clusters: 20, ..Default::default() }),
        ClusteringConfig::Pic(PicConfig { num_neighbors: 4, ..Default::default() }),
    ];
    for device in devices() {
        for room in rooms(4 * dim as u64) {
            let on_device = features(&rows, &device, room);
            let expected = (room.total / (4 * dim as u64)).min(300) as usize;
            assert!(on_device.num_on_device() <= expected);
            assert!(room.total < u64::MAX || on_device.num_on_device() == 300);
            for config in &configs {
                let algorithm = config.init().unwrap();
                let of_host = algorithm.cluster(&rows, 5, &mut ()).unwrap();
                let found = algorithm.cluster(&on_device, 5, &mut ()).unwrap();
                assert_eq!(found.assignments, of_host.assignments, "{device:?} {room:?}");
                assert_eq!(found.centroids, of_host.centroids, "{device:?} {room:?}");
                for (found, of_host) in found.squared_distances.iter().zip(&of_host.squared_distances) {
                    assert!((found - of_host).abs() <= 1e-5 * of_host.max(1e-3), "{found} {of_host}");
                }
            }
        }
    }
}

#[test]
fn rows_that_are_alike_have_the_clusters_of_the_host() {
    let mut rows = normal(200, 5, 3);
    for row in 0..120 {
        rows.row_mut(row).fill((row % 3) as f32);
    }
    let config = KMeansConfig { num_clusters: 9, ..Default::default() };
    let kmeans = ClusteringConfig::KMeans(config).init().unwrap();
    let of_host = kmeans.cluster(&rows, 2, &mut ()).unwrap();
    for device in devices() {
        let on_device = features(&rows, &device, Room { total: u64::MAX, chunk: 900 });
        let found = kmeans.cluster(&on_device, 2, &mut ()).unwrap();
        assert_eq!(
            (found.assignments, found.centroids),
            (of_host.assignments.clone(), of_host.centroids.clone())
        );
    }
}

#[test]
fn whitened_rows_agree_with_those_of_the_host() {
    // Columns of unequal variance around large means.
    let scales = Array2::from_shape_fn((1, 40), |(_, column)| 1.0 / (1.0 + column as f32));
    let rows = normal(500, 40, 7) * &scales + 3.0;
    for normalize in [true, false] {
        let config = WhiteningConfig { num_components: 12, normalize, ..Default::default() };
        let of_host = config.fit(&rows).unwrap();
        let expected = of_host.transform(&rows).unwrap();
        for device in devices() {
            for room in rooms(4 * 40) {
                let on_device = features(&rows, &device, room);
                let whitening = config.fit(&on_device).unwrap();
                let whitened = on_device.whitened(&whitening).unwrap();
                assert_eq!((whitened.len(), whitened.feature_dim()), (500, 12));
                let whitened = whitened.to_matrix().unwrap();
                let difference = (&whitened - &expected).fold(0.0_f32, |most, value| most.max(value.abs()));
                assert!(difference < 2e-4, "{difference} on {device:?}");
            }
        }
    }
}

#[test]
fn rows_without_variance_become_zeros() {
    let config = WhiteningConfig { num_components: 3, ..Default::default() };
    for device in devices() {
        let rows = Array2::from_elem((8, 3), 0.1);
        let on_device = features(&rows, &device, Room { total: u64::MAX, chunk: 1 << 20 });
        let whitening = config.fit(&on_device).unwrap();
        let whitened = on_device.whitened(&whitening).unwrap().to_matrix().unwrap();
        assert_eq!(whitened, config.fit(&rows).unwrap().transform(&rows).unwrap());
    }
}

#[test]
fn bad_rows_are_named_and_wrong_ones_refused() {
    let kmeans =
        ClusteringConfig::KMeans(KMeansConfig { num_clusters: 2, ..Default::default() }).init().unwrap();
    for device in devices() {
        for (bad, row) in [(f32::NAN, 7), (f32::INFINITY, 33), (2e18, 12)] {
            let mut rows = normal(40, 4, 1);
            rows[[row, 2]] = bad;
            let on_device = features(&rows, &device, Room { total: u64::MAX, chunk: 200 });
            let of_host = kmeans.cluster(&rows, 1, &mut ());
            let found = kmeans.cluster(&on_device, 1, &mut ());
            match of_host {
                Ok(of_host) => assert_eq!(found.unwrap().centroids, of_host.centroids),
                Err(error) => assert_eq!(found.unwrap_err().to_string(), error.to_string()),
            }
        }
        let mut on_device = features(&normal(10, 4, 1), &device, Room { total: u64::MAX, chunk: 1 << 20 });
        let wrong = on_device.append(tensor(normal(2, 3, 1).view(), &device)).unwrap_err();
        assert!(matches!(wrong, ClusteringError::DimensionMismatch { expected: 4, actual: 3, .. }));
        assert_eq!(on_device.num_rows(), 10);
        let empty = features(&Array2::zeros((0, 4)), &device, Room { total: u64::MAX, chunk: 1 << 20 });
        assert!(matches!(kmeans.cluster(&empty, 1, &mut ()), Err(ClusteringError::EmptyFeatures { .. })));
    }
}
