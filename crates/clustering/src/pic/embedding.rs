//! The one-dimensional embedding of Lin and Cohen.

use super::graph::Graph;

/// The power iteration `v <- W v / ||W v||_1` on the graph with its rows divided by their sums, the degrees,
/// from the degrees divided by their sum. `[num_rows]`.
///
/// Ends after `num_iterations`, or once no value changes by more than `1e-5 / num_rows` more or less than in
/// the iteration before: then the values of a cluster have come together, but not yet those of all clusters.
/// Rows without links keep the value 0.
pub(super) fn embed(graph: &Graph, num_iterations: usize) -> Vec<f64> {
    let num_rows = graph.num_rows();
    let mut degrees = vec![0.0; num_rows];
    graph.multiply(&vec![1.0; num_rows], &mut degrees, |_, degree| degree);
    let mut values = degrees.clone();
    normalize(&mut values);
    let mut next = vec![0.0; num_rows];
    let mut changes = vec![f64::INFINITY; num_rows];
    let threshold = 1e-5 / num_rows as f64;
    for _ in 0..num_iterations {
        graph.multiply(
            &values,
            &mut next,
            |row, sum| if degrees[row] > 0.0 { sum / degrees[row] } else { 0.0 },
        );
        normalize(&mut next);
        let mut acceleration = 0.0_f64;
        for ((&value, &next), change) in values.iter().zip(&next).zip(&mut changes) {
            let previous = std::mem::replace(change, (next - value).abs());
            acceleration = acceleration.max((*change - previous).abs());
        }
        std::mem::swap(&mut values, &mut next);
        if acceleration <= threshold {
            break;
        }
    }
    values
}

/// Divides by the sum, unless all values are 0.
fn normalize(values: &mut [f64]) {
    let sum: f64 = values.iter().sum();
    if sum > 0.0 {
        values.iter_mut().for_each(|value| *value /= sum);
    }
}

/// Shifts and scales to mean 0 and variance 1, so that `f32` can tell apart what `f64` could. Equal values
/// become 0.
pub(super) fn standardize(values: &[f64]) -> Vec<f32> {
    let num_values = values.len() as f64;
    let mean = values.iter().sum::<f64>() / num_values;
    let largest = values.iter().map(|value| (value - mean).abs()).fold(0.0, f64::max);
    // Below this the differences are rounding errors of the mean.
    if largest <= 1e-12 * mean.abs() {
        return vec![0.0; values.len()];
    }
    let squares = values.iter().map(|value| ((value - mean) / largest).powi(2));
    let deviation = largest * (squares.sum::<f64>() / num_values).sqrt();
    values.iter().map(|value| ((value - mean) / deviation) as f32).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::knn::Neighbors;

    fn chain() -> Graph {
        // 0 - 1 - 2 with weights 2 and 1, and 3 linked to 4 by 2; all distances are 0
        let indices = array![[1], [0], [1], [4], [3]];
        Graph::new(&Neighbors { squared_distances: array![[0.0], [0.0], [0.0], [0.0], [0.0]], indices }, 1.0)
            .unwrap()
    }

    #[test]
    fn one_iteration_gives_hand_computed_values() {
        // degrees 2, 3, 1, 2, 2 and their sum 10:
        // W v = (3, (2 * 2 + 1 * 1) / 3, 3, 2, 2) / 10, its sum 35/30
        let expected = [3.0, 5.0 / 3.0, 3.0, 2.0, 2.0].map(|value| value * 3.0 / 35.0);
        for (value, expected) in embed(&chain(), 1).iter().zip(expected) {
            assert!((value - expected).abs() < 1e-15, "{value} {expected}");
        }
    }

    #[test]
    fn unlinked_rows_keep_zero_and_a_graph_without_weights_is_no_nan() {
        // so far apart that the weight is 0
        let neighbors =
            Neighbors { indices: array![[1], [0], [0]], squared_distances: array![[0.5], [0.5], [1e6]] };
        assert_eq!(embed(&Graph::new(&neighbors, 1.0).unwrap(), 50), [0.5, 0.5, 0.0]);
        let far = Neighbors { squared_distances: array![[1e6], [1e6], [1e6]], ..neighbors };
        assert_eq!(embed(&Graph::new(&far, 1.0).unwrap(), 50), [0.0; 3]);
    }

    #[test]
    fn standardized_values_have_mean_zero_and_variance_one_whatever_their_scale() {
        for scale in [1.0, 1e-200] {
            let values = standardize(&[3.0 * scale, 5.0 * scale, 3.0 * scale, 5.0 * scale]);
            assert_eq!(values, [-1.0, 1.0, -1.0, 1.0]);
        }
        assert_eq!(standardize(&[0.1; 3]), [0.0; 3]);
        assert_eq!(standardize(&[0.0; 3]), [0.0; 3]);
    }
}
