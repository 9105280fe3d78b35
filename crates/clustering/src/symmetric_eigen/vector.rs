//! Sums over vectors, in lanes that leave room for vector instructions and in an order that is fixed.

/// Partial sums of one vector.
const LANES: usize = 16;

/// Inner product of vectors of the same length.
#[inline(always)]
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_groups, a_rest) = a.as_chunks::<LANES>();
    let (b_groups, b_rest) = b[..a.len()].as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_groups.iter().zip(b_groups) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// `vector += factor * other`.
#[inline(always)]
pub(super) fn add_multiple(vector: &mut [f64], factor: f64, other: &[f64]) {
    for (value, other) in vector.iter_mut().zip(other) {
        *value += factor * other;
    }
}

/// The sum of `squares[j] / (poles[j] - shift)`.
#[inline(always)]
pub(super) fn sum_of_poles(squares: &[f64], poles: &[f64], shift: f64) -> f64 {
    let (squares, squares_rest) = squares.as_chunks::<LANES>();
    let (poles, poles_rest) = poles.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (squares, poles) in squares.iter().zip(poles) {
        for (sum, (square, pole)) in sums.iter_mut().zip(squares.iter().zip(poles)) {
            *sum += square / (pole - shift);
        }
    }
    let rest = squares_rest.iter().zip(poles_rest).map(|(square, pole)| square / (pole - shift));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}
