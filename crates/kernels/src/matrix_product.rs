//! Matrix products whose factors keep all their digits.

use burn::tensor::Tensor;

use crate::device_limits;

/// Multiplier that splits a factor in two (Veltkamp): the first part keeps 24 - 13 bits, as many as TF32 has.
const SPLITTER: f32 = 8193.0; // 2^13 + 1

/// `left * right`, `[rows, columns]`, with factors of 22 bits or more on every device.
///
/// Where matrix units round factors to 11 bits (TF32) each is cut in two, and three products are added; that
/// of the two small parts is below the rounding of the sum.
///
/// # Panics
/// Where the shapes do not fit together, as Burn's.
pub fn precise_matmul(left: Tensor<2>, right: Tensor<2>) -> Tensor<2> {
    if !device_limits(&left.device()).is_some_and(|limits| limits.has_tf32) {
        return left.matmul(right);
    }
    in_three_products(left, right)
}

fn in_three_products(left: Tensor<2>, right: Tensor<2>) -> Tensor<2> {
    let ((left, left_rest), (right, right_rest)) = (cut(left), cut(right));
    let small = left.clone().matmul(right_rest) + left_rest.matmul(right.clone());
    small + left.matmul(right)
}

/// Two tensors whose sum is `values`.
fn cut(values: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let large = values.clone() * SPLITTER;
    let high = large.clone() - (large - values.clone());
    let low = values - high.clone();
    (high, low)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use burn::tensor::{Device, TensorData};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(shape: [usize; 2], seed: u64) -> (Vec<f32>, Tensor<2>) {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| generator.random_range(-1.0..1.0)).collect();
        (values.clone(), Tensor::from_data(TensorData::new(values, shape), &Device::flex()))
    }

    /// A factor as a matrix unit rounds it.
    fn rounded_to_tf32(value: f32) -> f32 {
        f32::from_bits((value.to_bits() + 0x0fff + ((value.to_bits() >> 13) & 1)) & !0x1fff)
    }

    #[test]
    fn the_parts_of_a_factor_lose_nothing_in_a_matrix_unit() {
        let (values, tensor) = random([40, 50], 1);
        let (high, low) = cut(tensor);
        let [high, low] = [high, low].map(|part| part.into_data().try_to_vec::<f32>().unwrap());
        for ((value, high), low) in values.iter().zip(high).zip(low) {
            assert_eq!(high + low, *value);
            assert_eq!(rounded_to_tf32(high), high);
            // The small part may lose its last bit.
            assert!((rounded_to_tf32(low) - low).abs() <= value.abs() * (-22_f32).exp2());
        }
    }

    #[test]
    fn three_products_are_one() {
        let ((left, a), (right, b)) = (random([3, 200], 1), random([200, 5], 2));
        let products = in_three_products(a, b).into_data().try_to_vec::<f32>().unwrap();
        for (index, product) in products.iter().enumerate() {
            let (row, column) = (index / 5, index % 5);
            let exact: f64 =
                (0..200).map(|k| f64::from(left[row * 200 + k]) * f64::from(right[k * 5 + column])).sum();
            assert!((f64::from(*product) - exact).abs() < 1e-5, "{product} is not {exact}");
        }
    }
}
