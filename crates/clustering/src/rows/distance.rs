//! Norms and distances of rows, in `f64` and in an order that is fixed.

use crate::error::ClusteringError;

/// Sums are taken in so many lanes, in an order that is fixed but leaves room for vector instructions.
const LANES: usize = 8;

/// Sums of squares up to this keep every squared distance, at most four times as large, finite in `f32`.
pub(crate) const LARGEST_SQUARED_NORM: f64 = f32::MAX as f64 / 16.0;

/// Sum of squares of `row`, which is row `index` of the features.
#[inline(always)]
pub(crate) fn checked_squared_norm(row: &[f32], index: usize) -> Result<f64, ClusteringError> {
    let squared_norm = squared_norm(row);
    if squared_norm <= LARGEST_SQUARED_NORM {
        Ok(squared_norm)
    } else if row.iter().all(|value| value.is_finite()) {
        Err(ClusteringError::FeaturesTooLarge { row: index })
    } else {
        Err(ClusteringError::NonFiniteFeatures { row: index })
    }
}

/// Sum of squares of `row`; NaN or infinite where a value is.
#[inline(always)]
pub(crate) fn squared_norm(row: &[f32]) -> f64 {
    let (lanes, tail) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for values in lanes {
        for lane in 0..LANES {
            sums[lane] += f64::from(values[lane]) * f64::from(values[lane]);
        }
    }
    let tail: f64 = tail.iter().map(|&value| f64::from(value).powi(2)).sum();
    sums.iter().sum::<f64>() + tail
}

/// Squared Euclidean distance of two rows of the same length.
#[inline(always)]
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let ((a_lanes, a_tail), (b_lanes, b_tail)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            let difference = f64::from(a[lane]) - f64::from(b[lane]);
            sums[lane] += difference * difference;
        }
    }
    let tail: f64 = a_tail.iter().zip(b_tail).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    sums.iter().sum::<f64>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_include_the_values_after_the_last_full_group_of_lanes() {
        let a: Vec<f32> = (0..11).map(|i| i as f32).collect();
        let b = vec![0.0; 11];
        // 0 + 1 + 4 + ... + 100 = 385
        assert_eq!(squared_distance(&a, &b), 385.0);
        assert_eq!(squared_norm(&a), 385.0);
    }
}
