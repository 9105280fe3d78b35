//! Sums of floats in an order that the number of ranks alone decides.

/// The element-wise sum of `parts`, which have one length, in a binary tree over neighbours.
pub(crate) fn sum_in_tree(mut parts: Vec<Vec<f32>>) -> Vec<f32> {
    while parts.len() > 1 {
        let mut pairs = parts.into_iter();
        let mut sums = Vec::with_capacity(pairs.len().div_ceil(2));
        while let Some(mut left) = pairs.next() {
            if let Some(right) = pairs.next() {
                left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
            }
            sums.push(left);
        }
        parts = sums;
    }
    parts.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_added_first() {
        // In f32, 2^24 + 1 is 2^24: ((a + 1) + (1 + 1)) is 2^24 + 2, from left to right it would be 2^24.
        let parts = [16_777_216.0, 1.0, 1.0, 1.0].map(|value| vec![value]).to_vec();
        assert_eq!(sum_in_tree(parts), [16_777_218.0]);
        assert_eq!(sum_in_tree(vec![vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]]), [9.0, 12.0]);
        assert_eq!(sum_in_tree(vec![vec![7.0]]), [7.0]);
    }
}
