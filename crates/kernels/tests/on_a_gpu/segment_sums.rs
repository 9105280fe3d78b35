//! Exact sums of segments.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use deepcluster_kernels::segment_sums;

use crate::{gpu, random};

const LOW_BITS: u32 = 22;

/// The sums, scaled by `scales` and `2^LOW_BITS`.
fn solve(rows: &[f32], scales: &[f32], order: &[i32], starts: &[i32], device: &Device) -> Vec<i64> {
    let dim = scales.len();
    let matrix = TensorData::new(rows.to_vec(), [rows.len() / dim, dim]);
    let ints = |values: &[i32]| {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        Tensor::<1, Int>::from_data(data, (device, DType::I32))
    };
    let scales = Tensor::<1>::from_data(TensorData::new(scales.to_vec(), [dim]), device);
    let (high, low) =
        segment_sums(Tensor::from_data(matrix, device), ints(order), ints(starts), scales, LOW_BITS);
    let values = |tensor: Tensor<2, Int>| tensor.into_data().convert::<i32>().try_to_vec::<i32>().unwrap();
    values(high)
        .into_iter()
        .zip(values(low))
        .map(|(high, low)| (i64::from(high) << LOW_BITS) + i64::from(low))
        .collect()
}

#[test]
fn sums_are_exact_whatever_the_segments_and_values() {
    let Some(device) = gpu() else { return };
    let dim = 37;
    let mut rows = random(500 * dim, 5);
    for (index, row) in rows.chunks_exact_mut(dim).enumerate() {
        row[1] = 0.0;
        // Large values that cancel, values of one sign, tiny and huge ones, and ties.
        row[2] += if index % 2 == 0 { 1e6 } else { -1e6 };
        row[3] = -row[3].abs();
        row[4] *= 1e-9;
        row[5] *= 1e9;
        row[6] = (index as f32 - 250.0) * (-43_f32).exp2();
        row[7] = row[7].powi(9);
    }
    // Each column in [-2^20, 2^20].
    let mut scales = vec![(20_f32).exp2(); dim];
    (scales[2], scales[5]) = ((-1_f32).exp2(), (-10_f32).exp2());
    let order: Vec<i32> = (0..500).map(|index| index * 7 % 500).collect();
    for starts in [vec![0, 500], vec![0, 0, 1, 256, 256, 499, 500], vec![0, 0]] {
        let exact: Vec<i64> = starts
            .windows(2)
            .flat_map(|bounds| {
                let members = &order[bounds[0] as usize..bounds[1] as usize];
                (0..dim)
                    .map(|column| {
                        let scale = f64::from(scales[column]) * f64::from(LOW_BITS).exp2();
                        let value = |row: &i32| f64::from(rows[*row as usize * dim + column]) * scale;
                        members.iter().map(|row| value(row).round_ties_even() as i64).sum()
                    })
                    .collect::<Vec<i64>>()
            })
            .collect();
        assert_eq!(solve(&rows, &scales, &order, &starts, &device), exact);
        assert_eq!(solve(&rows, &scales, &order, &starts, &Device::flex()), exact);
    }
}
