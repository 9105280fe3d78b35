//! The linear maps of Toom and Cook with the points 0, two pairs of opposite numbers and infinity, on vectors
//! of channels.
//!
//! The product of two polynomials of degree 5 in all is known from its values at six points: a convolution of
//! `R` weights to `6 - R + 1` outputs takes six products instead of `R` for each output (Lavin & Gray, *Fast
//! Algorithms for Convolutional Neural Networks*, CVPR 2016, section 4). The points are the roots of 1/2 and
//! 2 and not 1 and 2 as there: their powers and the factors of the inputs stay smaller, and with them the
//! errors of rounding.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use pulp::Simd;

/// Points, and the side of a tile of inputs.
pub(super) const POINTS: usize = 6;

/// The positive points, their squares, whose product is 1, and the sum of the squares.
const NEAR: f32 = FRAC_1_SQRT_2;
const FAR: f32 = SQRT_2;
const NEAR_SQUARED: f32 = 0.5;
const FAR_SQUARED: f32 = 2.0;
const SUM_OF_SQUARES: f32 = 2.5;

/// Factors on the values of weights at each point: one by the product of the differences from the other
/// finite points.
pub(super) const WEIGHT_SCALES: [f32; POINTS] = [1.0, -2.0 / 3.0, -2.0 / 3.0, 1.0 / 6.0, 1.0 / 6.0, 1.0];

/// A linear map of vectors. Maps are types and not closures, so that they become part of the code that is
/// compiled for the instructions of the processor.
pub(super) trait LinearMap<const FROM: usize, const TO: usize> {
    fn apply<S: Simd>(simd: S, values: [S::f32s; FROM]) -> [S::f32s; TO];
}

/// Values at the points of polynomials with the given coefficients: gradients of outputs, or weights.
pub(super) struct Evaluate;

impl<const N: usize> LinearMap<N, POINTS> for Evaluate {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, coefficients: [S::f32s; N]) -> [S::f32s; POINTS] {
        let near = sum_of_powers(simd, coefficients, 0, NEAR_SQUARED);
        let far = sum_of_powers(simd, coefficients, 0, FAR_SQUARED);
        let odd_near = sum_of_powers(simd, coefficients, 1, NEAR_SQUARED);
        let odd_far = sum_of_powers(simd, coefficients, 1, FAR_SQUARED);
        [
            coefficients[0],
            times(simd, NEAR, odd_near, near),
            times(simd, -NEAR, odd_near, near),
            times(simd, FAR, odd_far, far),
            times(simd, -FAR, odd_far, far),
            coefficients[N - 1],
        ]
    }
}

/// Every other coefficient from `first`, times rising powers of `square`.
#[inline(always)]
fn sum_of_powers<S: Simd, const N: usize>(
    simd: S,
    coefficients: [S::f32s; N],
    first: usize,
    square: f32,
) -> S::f32s {
    let mut sum = simd.splat_f32s(0.0);
    for index in (0..N).rev() {
        if index >= first && (index - first).is_multiple_of(2) {
            sum = times(simd, square, sum, coefficients[index]);
        }
    }
    sum
}

/// The transposed map of [`Evaluate`]: products at the points to outputs, or to gradients of weights.
pub(super) struct EvaluateTransposed;

impl<const N: usize> LinearMap<POINTS, N> for EvaluateTransposed {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, values: [S::f32s; POINTS]) -> [S::f32s; N] {
        let [at_0, at_near, at_minus_near, at_far, at_minus_far, at_infinity] = values;
        let even = [simd.add_f32s(at_near, at_minus_near), simd.add_f32s(at_far, at_minus_far)];
        let odd = [simd.sub_f32s(at_near, at_minus_near), simd.sub_f32s(at_far, at_minus_far)];
        let mut powers = [[1.0, 1.0], [NEAR, FAR]];
        let mut result = [at_0; N];
        for index in 0..N {
            let [near, far] = if index % 2 == 0 { even } else { odd };
            let [of_near, of_far] = powers[index % 2];
            let sum = times(simd, of_far, far, simd.mul_f32s(simd.splat_f32s(of_near), near));
            result[index] = if index == 0 { simd.add_f32s(at_0, sum) } else { sum };
            powers[index % 2] = [of_near * NEAR_SQUARED, of_far * FAR_SQUARED];
        }
        result[N - 1] = simd.add_f32s(result[N - 1], at_infinity);
        result
    }
}

/// Transform of six inputs, to be multiplied with the values of the weights.
pub(super) struct Spread;

impl LinearMap<POINTS, POINTS> for Spread {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, inputs: [S::f32s; POINTS]) -> [S::f32s; POINTS] {
        let [d0, d1, d2, d3, d4, d5] = inputs;
        let near = times(simd, -FAR_SQUARED, d2, d4);
        let far = times(simd, -NEAR_SQUARED, d2, d4);
        let odd_near = times(simd, -FAR_SQUARED, d1, d3);
        let odd_far = times(simd, -NEAR_SQUARED, d1, d3);
        [
            simd.add_f32s(d0, times(simd, -SUM_OF_SQUARES, d2, d4)),
            times(simd, NEAR, odd_near, near),
            times(simd, -NEAR, odd_near, near),
            times(simd, FAR, odd_far, far),
            times(simd, -FAR, odd_far, far),
            simd.add_f32s(d1, times(simd, -SUM_OF_SQUARES, d3, d5)),
        ]
    }
}

/// The transposed map of [`Spread`]: gradients of inputs from those of what was multiplied.
pub(super) struct SpreadTransposed;

impl LinearMap<POINTS, POINTS> for SpreadTransposed {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, values: [S::f32s; POINTS]) -> [S::f32s; POINTS] {
        let [v0, v1, v2, v3, v4, v5] = values;
        let (near, far) = (simd.add_f32s(v1, v2), simd.add_f32s(v3, v4));
        let odd_near = simd.mul_f32s(simd.splat_f32s(NEAR), simd.sub_f32s(v1, v2));
        let odd_far = simd.mul_f32s(simd.splat_f32s(FAR), simd.sub_f32s(v3, v4));
        let of_squares = times(simd, NEAR_SQUARED, far, simd.mul_f32s(simd.splat_f32s(FAR_SQUARED), near));
        [
            v0,
            times(simd, -FAR_SQUARED, odd_near, times(simd, -NEAR_SQUARED, odd_far, v5)),
            simd.sub_f32s(simd.mul_f32s(simd.splat_f32s(-SUM_OF_SQUARES), v0), of_squares),
            times(simd, -SUM_OF_SQUARES, v5, simd.add_f32s(odd_near, odd_far)),
            simd.add_f32s(v0, simd.add_f32s(near, far)),
            v5,
        ]
    }
}

#[inline(always)]
fn times<S: Simd>(simd: S, factor: f32, value: S::f32s, plus: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(factor), value, plus)
}

/// A linear map applied to the rows and then the columns of a square: `FROM x FROM` to `TO x TO`.
#[inline(always)]
pub(super) fn in_two_directions<S: Simd, Map: LinearMap<FROM, TO>, const FROM: usize, const TO: usize>(
    simd: S,
    square: [[S::f32s; FROM]; FROM],
) -> [[S::f32s; TO]; TO] {
    let zero = simd.splat_f32s(0.0);
    let mut rows = [[zero; TO]; FROM];
    for (row, inputs) in rows.iter_mut().zip(square) {
        *row = Map::apply(simd, inputs);
    }
    let mut result = [[zero; TO]; TO];
    for column in 0..TO {
        let mut inputs = [zero; FROM];
        for (input, row) in inputs.iter_mut().zip(&rows) {
            *input = row[column];
        }
        for (row, value) in result.iter_mut().zip(Map::apply(simd, inputs)) {
            row[column] = value;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use pulp::Scalar;

    use super::*;

    /// The matrix of a map, column by column.
    fn matrix<const FROM: usize, const TO: usize>(map: impl Fn([f32; FROM]) -> [f32; TO]) -> Vec<[f32; TO]> {
        let unit = |index: usize| std::array::from_fn(|at| if at == index { 1.0 } else { 0.0 });
        (0..FROM).map(|index| map(unit(index))).collect()
    }

    fn assert_transposed<const FROM: usize, const TO: usize>(map: &[[f32; TO]], other: &[[f32; FROM]]) {
        for (column, values) in map.iter().enumerate() {
            for (row, &value) in values.iter().enumerate() {
                assert!((value - other[row][column]).abs() < 1e-6, "{row} {column}");
            }
        }
    }

    #[test]
    fn gradients_use_the_transposed_maps() {
        let three = matrix(|values: [f32; 3]| Evaluate::apply(Scalar, values));
        assert_transposed(
            &three,
            &matrix(|values| -> [f32; 3] { EvaluateTransposed::apply(Scalar, values) }),
        );
        let five = matrix(|values: [f32; 5]| Evaluate::apply(Scalar, values));
        assert_transposed(&five, &matrix(|values| -> [f32; 5] { EvaluateTransposed::apply(Scalar, values) }));
        let inputs = matrix(|values| Spread::apply(Scalar, values));
        assert_transposed(&inputs, &matrix(|values| SpreadTransposed::apply(Scalar, values)));
    }

    /// One row of inputs, by the maps and by sums of products.
    fn assert_convolves<const R: usize, const M: usize>() {
        let inputs = [0.5, -1.25, 2.0, 3.5, -0.75, 1.0];
        let weights: [f32; R] = std::array::from_fn(|index| 1.5 - index as f32 * 0.75);
        let (spread_inputs, values) = (Spread::apply(Scalar, inputs), Evaluate::apply(Scalar, weights));
        let products =
            std::array::from_fn(|point| spread_inputs[point] * values[point] * WEIGHT_SCALES[point]);
        let outputs: [f32; M] = EvaluateTransposed::apply(Scalar, products);
        for (place, output) in outputs.into_iter().enumerate() {
            let expected: f32 = (0..R).map(|index| inputs[place + index] * weights[index]).sum();
            assert!((output - expected).abs() < 1e-5, "{output} {expected}");
        }
    }

    #[test]
    fn the_maps_convolve() {
        assert_convolves::<3, 4>();
        assert_convolves::<5, 2>();
    }
}
