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
