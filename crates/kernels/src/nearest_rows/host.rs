//! The search on slices: for backends without a kernel, and to test kernels against.

/// Numbers and scores of the rows with the `count` lowest scores, `[num_rows, count]` each.
pub(super) fn nearest_rows(
    rows: &[f32],
    database: &[f32],
    half_norms: &[f32],
    dim: usize,
    count: usize,
) -> (Vec<i32>, Vec<f32>) {
    let num_rows = rows.len() / dim.max(1);
    let mut indices = vec![0; num_rows * count];
    let mut scores = vec![f32::MAX; num_rows * count];
    let outputs = indices.chunks_exact_mut(count).zip(scores.chunks_exact_mut(count));
    for (row, (indices, scores)) in rows.chunks_exact(dim).zip(outputs) {
        for (index, (entry, half_norm)) in (0..).zip(database.chunks_exact(dim).zip(half_norms)) {
            let product: f32 = row.iter().zip(entry).fold(0.0, |sum, (x, c)| x.mul_add(*c, sum));
            let score = half_norm - product;
            let place = scores.partition_point(|&better| better <= score);
            if place < count {
                scores[place..].rotate_right(1);
                indices[place..].rotate_right(1);
                (scores[place], indices[place]) = (score, index);
            }
        }
    }
    (indices, scores)
}
