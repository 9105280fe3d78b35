//! Mean and covariance of the rows, formed on the device.

use burn::tensor::Tensor;
use deepcluster_clustering::{ClusteringError, Moments};
use deepcluster_kernels::precise_matmul;

use crate::features::device::features::{DeviceFeatures, row_blocks};
use crate::features::device::read::{floats, vector};
use crate::features::device::sums::largest_magnitude;

/// Rows that are added up in single precision before the sum is read or joins others.
const ROWS_PER_SUM: usize = 2048;

/// Partial sums per group: short summation chains keep rounding errors small.
const SUMS_PER_GROUP: usize = 32;

const DURING: &str = "their mean and covariance were computed";

/// The mean, and `sum (x - mean)(x - mean)^T / num_rows`.
///
/// Rows are centred by their mean in single precision, and divided by a power of two that brings all values
/// below 1, before they are multiplied; the rounding error of the mean is corrected afterwards.
pub(crate) fn moments(features: &DeviceFeatures) -> Result<Moments, ClusteringError> {
    let (num_rows, dim) = (features.len() as f64, features.feature_dim());
    let first_mean = mean(features)?;
    let largest = f64::from(largest_magnitude(features)?);
    let scale = if largest > 0.0 { (-largest.log2().ceil() - 1.0).exp2() } else { 1.0 };
    let center: Vec<f32> = first_mean.iter().map(|&mean| mean as f32).collect();
    let center_tensor = vector(center.clone(), features.device()).unsqueeze::<2>();

    let (mut total, mut group): (Option<Tensor<2>>, Option<Tensor<2>>) = (None, None);
    let mut in_group = 0;
    let mut sums = Vec::new();
    for chunk in &features.chunks {
        for rows in row_blocks(chunk.rows(features.device()), ROWS_PER_SUM) {
            let centred = (rows - center_tensor.clone()) * scale;
            sums.push(centred.clone().sum_dim(0));
            let products = precise_matmul(centred.clone().transpose(), centred);
            group = Some(added(group, products));
            in_group += 1;
            if in_group == SUMS_PER_GROUP {
                total = group.take().map(|group| added(total.take(), group));
                in_group = 0;
            }
        }
    }
    let total = match (total, group) {
        (Some(total), Some(group)) => total + group,
        (Some(sum), None) | (None, Some(sum)) => sum,
        (None, None) => return Ok(Moments { mean: first_mean, covariance: vec![0.0; dim * dim] }),
    };
    let products = floats(total, DURING)?;
    let rests = column_sums(sums, dim)?;
    let rests: Vec<f64> = rests.into_iter().map(|sum| sum / num_rows).collect();
    let mut covariance = Vec::with_capacity(dim * dim);
    for (row, of_row) in products.chunks_exact(dim).zip(&rests) {
        covariance.extend(row.iter().zip(&rests).map(|(&product, of_column)| {
            (f64::from(product) / num_rows - of_row * of_column) / (scale * scale)
        }));
    }
    let mean = center.iter().zip(&rests).map(|(&center, rest)| f64::from(center) + rest / scale).collect();
    Ok(Moments { mean, covariance })
}

fn added(sum: Option<Tensor<2>>, other: Tensor<2>) -> Tensor<2> {
    match sum {
        Some(sum) => sum + other,
        None => other,
    }
}

fn mean(features: &DeviceFeatures) -> Result<Vec<f64>, ClusteringError> {
    let mut sums = Vec::new();
    for chunk in &features.chunks {
        sums.extend(row_blocks(chunk.rows(features.device()), ROWS_PER_SUM).map(|rows| rows.sum_dim(0)));
    }
    let sums = column_sums(sums, features.feature_dim())?;
    Ok(sums.into_iter().map(|sum| sum / features.len() as f64).collect())
}

/// The sum of many sums, `[1, dim]` each, in double precision.
fn column_sums(sums: Vec<Tensor<2>>, dim: usize) -> Result<Vec<f64>, ClusteringError> {
    let mut totals = vec![0.0; dim];
    if sums.is_empty() {
        return Ok(totals);
    }
    for row in floats(Tensor::cat(sums, 0), DURING)?.chunks_exact(dim) {
        totals.iter_mut().zip(row).for_each(|(total, &sum)| *total += f64::from(sum));
    }
    Ok(totals)
}
