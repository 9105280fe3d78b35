//! The database rows that may still be among the nearest of one query.

/// Candidates of one query, with scores that rank them up to an error of `bound`.
///
/// At least all rows with a score up to `limit` are kept among those seen, where `limit` is the `count`-th lowest
/// score seen at some time plus twice the error: a row above it has `count` truly nearer ones.
pub(super) struct Candidates {
    rows: Vec<(f32, u32)>,
    count: usize,
    margin: f64,
    limit: f32,
    capacity: usize,
}

impl Candidates {
    /// For the `count` nearest rows by scores that are off by at most `bound`.
    pub(super) fn new(count: usize, bound: f64) -> Self {
        let capacity = 4 * count + 64;
        Self {
            rows: Vec::with_capacity(capacity),
            count,
            margin: 2.0 * bound,
            limit: f32::INFINITY,
            capacity,
        }
    }

    /// Rows with a higher score are none of the nearest.
    pub(super) fn limit(&self) -> f32 {
        self.limit
    }

    /// Adds `row`; `distance` gives the true distance of a row and is asked only where too many scores are too close.
    pub(super) fn push(&mut self, score: f32, row: u32, distance: impl Fn(u32) -> f64) {
        self.rows.push((score, row));
        if self.rows.len() >= self.capacity {
            self.drop_far_rows();
            if self.rows.len() > self.capacity / 2 {
                self.keep_nearest(distance);
            }
        }
    }

    /// The nearest rows by true distance, nearest first, the lowest row number first among equals.
    pub(super) fn into_nearest(mut self, distance: impl Fn(u32) -> f64) -> Vec<(f64, u32)> {
        self.drop_far_rows();
        self.ranked(distance).into_iter().map(|(distance, (_, row))| (distance, row)).collect()
    }

    fn drop_far_rows(&mut self) {
        if self.rows.len() > self.count {
            let (_, &mut (score, _), _) =
                self.rows.select_nth_unstable_by(self.count - 1, |(a, _), (b, _)| a.total_cmp(b));
            self.limit = self.limit.min(round_up(f64::from(score) + self.margin));
            let limit = self.limit;
            self.rows.retain(|&(score, _)| score <= limit);
        }
    }

    fn keep_nearest(&mut self, distance: impl Fn(u32) -> f64) {
        self.rows = self.ranked(distance).into_iter().map(|(_, candidate)| candidate).collect();
    }

    /// At most `count` candidates with their true distances.
    fn ranked(&self, distance: impl Fn(u32) -> f64) -> Vec<(f64, (f32, u32))> {
        let mut ranked: Vec<_> =
            self.rows.iter().map(|&(score, row)| (distance(row), (score, row))).collect();
        ranked.sort_unstable_by(|(a, (_, first)), (b, (_, second))| a.total_cmp(b).then(first.cmp(second)));
        ranked.truncate(self.count);
        ranked
    }
}

/// The lowest `f32` that is not below `value`.
fn round_up(value: f64) -> f32 {
    let rounded = value as f32;
    if f64::from(rounded) < value { rounded.next_up() } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_within_the_error_are_decided_by_the_true_distance() {
        // Scores are off by up to 0.5: row 2 seems farthest of the first three but is nearest.
        let distances = [1.2, 1.1, 1.0, 9.0];
        let distance = |row: u32| distances[row as usize];
        let mut candidates = Candidates::new(2, 0.5);
        for (row, score) in [(0, 1.0), (1, 1.1), (2, 1.4), (3, 9.0)] {
            candidates.push(score, row, distance);
        }
        assert_eq!(candidates.into_nearest(distance), [(1.0, 2), (1.1, 1)]);
    }

    #[test]
    fn many_equal_candidates_are_thinned_out_to_the_lowest_row_numbers() {
        let mut candidates = Candidates::new(3, 1e-3);
        for row in (0..10_000).rev() {
            candidates.push(5.0, row, |_| 25.0);
            assert!(candidates.rows.len() <= candidates.capacity);
        }
        assert_eq!(candidates.into_nearest(|_| 25.0), [(25.0, 0), (25.0, 1), (25.0, 2)]);
    }

    #[test]
    fn the_limit_falls_as_nearer_rows_come() {
        let mut candidates = Candidates::new(1, 0.25);
        for row in 0..200 {
            let score = 1000.0 - row as f32;
            if score <= candidates.limit() {
                candidates.push(score, row, |row| f64::from(1000 - row));
            }
        }
        assert!(candidates.limit() < 1000.0);
        assert_eq!(candidates.into_nearest(|row| f64::from(1000 - row)), [(801.0, 199)]);
    }

    #[test]
    fn rounding_up_never_goes_below() {
        for value in [0.1, -0.1, 1.0, 1e-50, f64::from(f32::MAX)] {
            assert!(f64::from(round_up(value)) >= value);
        }
    }
}
