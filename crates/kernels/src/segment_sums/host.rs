//! The sums on slices: for backends without a kernel, and to test kernels against.

/// High and low parts, `[starts.len() - 1, dim]` each.
pub(super) fn segment_sums(
    rows: &[f32],
    order: &[i32],
    starts: &[i32],
    scales: &[f32],
    low_bits: u32,
) -> (Vec<i32>, Vec<i32>) {
    let (dim, num_segments) = (scales.len(), starts.len().saturating_sub(1));
    let (mut high, mut low) = (vec![0; num_segments * dim], vec![0; num_segments * dim]);
    for (segment, bounds) in starts.windows(2).enumerate() {
        let range = segment * dim..(segment + 1) * dim;
        for &row in &order[bounds[0] as usize..bounds[1] as usize] {
            let values = rows[row as usize * dim..][..dim].iter().zip(scales);
            let sums = high[range.clone()].iter_mut().zip(&mut low[range.clone()]);
            for ((high, low), (value, scale)) in sums.zip(values) {
                let scaled = f64::from(*value) * f64::from(*scale);
                *high += scaled.trunc() as i32;
                *low += (scaled.fract() * f64::from(1 << low_bits)).round_ties_even() as i32;
            }
        }
    }
    (high, low)
}
