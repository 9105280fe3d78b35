//! Tensors against their figures: mean, L2 norm, first and last values.

use burn::tensor::TensorData;
use deepcluster_models::weights::transpose;
use serde_json::Value;

/// The values in PyTorch's order.
pub(crate) fn in_pytorch_layout(data: &TensorData, is_transposed: bool) -> Vec<f32> {
    let data = if is_transposed { transpose(data) } else { data.clone() };
    data.as_slice::<f32>().unwrap().to_vec()
}

/// Norm, mean, and the first and last values together agree to a relative error of `tolerance`.
pub(crate) fn assert_tensor_agrees(name: &str, values: &[f32], expected: &Value, tolerance: f64) {
    let error_of_norm = assert_norm_agrees(name, values, expected, tolerance);
    let num_values = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / num_values;
    let (mean_there, l2_there) = (number(expected, "mean"), number(expected, "l2"));
    // An error of the size allowed in every value would move the mean by this much.
    let root_mean_square = l2_there / num_values.sqrt();
    assert!(
        (mean - mean_there).abs() <= tolerance * root_mean_square,
        "{name}: mean {mean}, not {mean_there}"
    );

    let (first, last) = (numbers(expected, "first"), numbers(expected, "last"));
    let shown = values[..first.len()].iter().chain(&values[values.len() - last.len()..]);
    let there: Vec<f64> = first.into_iter().chain(last).collect();
    let error = relative_error(shown, &there, 0.0);
    eprintln!("{name}: error of the norm {error_of_norm:.1e}, of the values shown {error:.1e}");
    assert!(error <= tolerance, "{name}: relative error {error} of the first and last values");
}

/// Norm and first values of a gradient agree to `tolerance`. Single values are compared with the root mean
/// square where they are smaller, since the error of a sum is that of its terms.
pub(crate) fn assert_gradient_agrees(
    name: &str,
    values: &[f32],
    expected: &Value,
    tolerance: f64,
    is_removed_by_norm: bool,
) {
    if is_removed_by_norm {
        // Batch norm takes a bias before it away again: rounding is all there is in its gradient.
        assert!(number(expected, "l2") < 1e-12, "{name}");
        assert!(values.iter().all(|value| value.abs() < 1e-4), "{name} is not 0");
        return;
    }
    let error_of_norm = assert_norm_agrees(name, values, expected, tolerance);
    let there = numbers(expected, "first");
    let root_mean_square = number(expected, "l2") / (values.len() as f64).sqrt();
    let error = relative_error(values.iter().take(there.len()), &there, root_mean_square);
    eprintln!("{name}: error of the norm {error_of_norm:.1e}, of the values shown {error:.1e}");
    assert!(error <= tolerance, "{name}: relative error {error} of the first values");
}

fn assert_norm_agrees(name: &str, values: &[f32], expected: &Value, tolerance: f64) -> f64 {
    let l2 = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    let l2_there = number(expected, "l2");
    let error = (l2 / l2_there - 1.0).abs();
    assert!(error <= tolerance, "{name}: L2 norm {l2}, not {l2_there}, a relative error of {error}");
    error
}

/// L2 norm of the differences to `there` over that of `there`, which counts as if its values were at least
/// `least_size`.
fn relative_error<'a>(values: impl Iterator<Item = &'a f32>, there: &[f64], least_size: f64) -> f64 {
    let differences = values.zip(there).map(|(&value, there)| (f64::from(value) - there).powi(2));
    let size = there.iter().map(|there| there.powi(2)).sum::<f64>();
    let size = size.max(there.len() as f64 * least_size.powi(2));
    (differences.sum::<f64>() / size).sqrt()
}

fn number(figures: &Value, key: &str) -> f64 {
    figures[key].as_f64().unwrap()
}

fn numbers(figures: &Value, key: &str) -> Vec<f64> {
    figures[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}
