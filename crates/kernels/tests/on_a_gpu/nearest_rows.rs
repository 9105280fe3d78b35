//! The fused search of nearest rows.

use burn::tensor::{Device, Int, Tensor, TensorData};
use deepcluster_kernels::{Magnitudes, nearest_rows, score_error};

use crate::{gpu, random};

struct Problem {
    rows: Vec<f32>,
    database: Vec<f32>,
    dim: usize,
}

impl Problem {
    fn random(num_rows: usize, num_entries: usize, dim: usize, seed: u64) -> Self {
        Self { rows: random(num_rows * dim, seed), database: random(num_entries * dim, seed + 1), dim }
    }

    /// Indices and scores of each row.
    fn solve(&self, count: usize, device: &Device, use_matrix_units: bool) -> (Vec<i32>, Vec<f32>) {
        let matrix = |values: &[f32]| {
            let shape = [values.len() / self.dim, self.dim];
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), device)
        };
        let half_norms: Vec<f32> = self
            .database
            .chunks_exact(self.dim)
            .map(|row| (row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / 2.0) as f32)
            .collect();
        let num_entries = half_norms.len();
        let half_norms = Tensor::<1>::from_data(TensorData::new(half_norms, [num_entries]), device);
        let largest = |values: &[f32]| values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let magnitudes = Magnitudes { rows: largest(&self.rows), database: largest(&self.database) };
        let (indices, scores): (Tensor<2, Int>, _) = nearest_rows(
            matrix(&self.rows),
            matrix(&self.database),
            half_norms,
            count,
            use_matrix_units.then_some(magnitudes),
        );
        (indices.into_data().convert::<i32>().try_to_vec().unwrap(), scores.into_data().try_to_vec().unwrap())
    }

    /// Checks the lists of `device` against scores in double precision.
    fn check(&self, count: usize, device: &Device) {
        for use_matrix_units in [false, true] {
            self.check_with(count, device, use_matrix_units);
        }
    }

    fn check_with(&self, count: usize, device: &Device, use_matrix_units: bool) {
        let (indices, scores) = self.solve(count, device, use_matrix_units);
        let norm = |row: &[f32]| row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        for (row, (indices, scores)) in
            self.rows.chunks_exact(self.dim).zip(indices.chunks_exact(count).zip(scores.chunks_exact(count)))
        {
            let exact: Vec<f64> = self
                .database
                .chunks_exact(self.dim)
                .map(|entry| {
                    let product: f64 =
                        row.iter().zip(entry).map(|(x, c)| f64::from(*x) * f64::from(*c)).sum();
                    norm(entry).powi(2) / 2.0 - product
                })
                .collect();
            let mut sorted = exact.clone();
            sorted.sort_by(f64::total_cmp);
            let largest = self.database.chunks_exact(self.dim).map(norm).fold(0.0, f64::max);
            let bound = score_error(self.dim) * (norm(row) * largest + largest.powi(2)) + 1e-33;
            let mut seen = std::collections::HashSet::new();
            for (place, (&index, &score)) in indices.iter().zip(scores).enumerate() {
                if place >= exact.len() {
                    assert_eq!((index, score), (0, f32::MAX));
                    continue;
                }
                assert!(seen.insert(index), "{index} twice");
                assert!((f64::from(score) - exact[index as usize]).abs() <= bound, "{score} {bound}");
                assert!((f64::from(score) - sorted[place]).abs() <= bound, "place {place}");
            }
            assert!(scores.is_sorted());
        }
    }
}

#[test]
fn lists_hold_the_lowest_scores_whatever_the_sizes() {
    let Some(device) = gpu() else { return };
    for (num_rows, num_entries, dim, count) in [
        (1, 1, 1, 1),
        (5, 3, 2, 4),
        (128, 128, 16, 3),
        (129, 300, 17, 3),
        (300, 257, 40, 7),
        (40, 1000, 64, 16),
    ] {
        Problem::random(num_rows, num_entries, dim, 7).check(count, &device);
    }
}

#[test]
fn adversarial_values_keep_their_order() {
    let Some(device) = gpu() else { return };
    let (num_rows, num_entries, dim) = (70, 150, 24);
    let plain = || Problem::random(num_rows, num_entries, dim, 3);
    let scaled = |factor: f32| {
        let mut problem = plain();
        for values in [&mut problem.rows, &mut problem.database] {
            values.iter_mut().for_each(|value| *value *= factor);
        }
        problem
    };
    let mut duplicates = plain();
    for (index, row) in duplicates.database.chunks_exact_mut(dim).enumerate() {
        row.fill((index % 7) as f32);
    }
    let mut far = plain();
    for values in [&mut far.rows, &mut far.database] {
        values.iter_mut().for_each(|value| *value += 1000.0);
    }
    let mut descending = plain();
    descending.rows.fill(1.0);
    for (index, row) in descending.database.chunks_exact_mut(dim).enumerate() {
        // Each entry is nearer than all before it: every one enters the lists.
        row.fill(0.9 * index as f32 / num_entries as f32);
    }
    for problem in [plain(), scaled(1e15), scaled(1e-12), scaled(0.0), duplicates, far, descending] {
        problem.check(3, &device);
    }
}

#[test]
fn the_host_and_the_gpu_find_the_same() {
    let Some(device) = gpu() else { return };
    let problem = Problem::random(200, 400, 33, 11);
    let ((on_host, _), (on_gpu, _)) =
        (problem.solve(2, &Device::flex(), false), problem.solve(2, &device, false));
    let same = on_host.iter().zip(&on_gpu).filter(|(a, b)| a == b).count();
    assert!(same >= on_host.len() - 2, "{same} of {}", on_host.len());
    problem.check(2, &Device::flex());
}
