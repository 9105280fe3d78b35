//! The database rows that may still be among the nearest of one query.

/// A database row whose score, `||c||^2 - 2 <x, c>`, lies between `lower` and `upper`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) lower: f32,
    pub(super) upper: f32,
    pub(super) index: u32,
}

/// The candidates of one query: every row seen whose score may be among the `count` lowest.
#[derive(Debug)]
pub(super) struct Candidates {
    list: Vec<Candidate>,
    /// The `count` lowest upper bounds seen, ascending; empty if only one neighbour is sought.
    lowest_uppers: Vec<f32>,
    count: usize,
    limit: f32,
    has_overflowed: bool,
}

impl Candidates {
    /// For the `count` nearest rows, at least 1.
    pub(super) fn new(count: usize) -> Self {
        Self {
            list: Vec::with_capacity(Self::capacity(count)),
            lowest_uppers: Vec::with_capacity(if count == 1 { 0 } else { count + 1 }),
            count,
            limit: f32::INFINITY,
            has_overflowed: false,
        }
    }

    /// Forgets everything; `limit` is a score that the sought rows are known not to exceed.
    pub(super) fn reset(&mut self, limit: f32) {
        self.list.clear();
        self.lowest_uppers.clear();
        self.limit = limit;
        self.has_overflowed = false;
    }

    /// Number of rows sought.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Rows with a higher lower bound are none of the nearest.
    pub(super) fn limit(&self) -> f32 {
        self.limit
    }

    /// Whether more rows could not be ruled out than are kept: the list is useless then.
    pub(super) fn has_overflowed(&self) -> bool {
        self.has_overflowed
    }

    /// Those that are left, in the order they were pushed.
    pub(super) fn remaining(&self) -> impl Iterator<Item = u32> {
        self.list.iter().filter(|candidate| candidate.lower <= self.limit).map(|candidate| candidate.index)
    }

    /// Takes a row into account.
    #[inline]
    pub(super) fn push(&mut self, candidate: Candidate) {
        if candidate.lower > self.limit {
            return;
        }
        self.lower_limit(candidate.upper);
        if self.list.len() == Self::capacity(self.count) {
            let limit = self.limit;
            self.list.retain(|candidate| candidate.lower <= limit);
            if 2 * self.list.len() > Self::capacity(self.count) {
                self.has_overflowed = true;
                // No further row passes.
                self.limit = f32::NEG_INFINITY;
                return;
            }
        }
        self.list.push(candidate);
    }

    /// Takes into account that a row has this upper bound.
    pub(super) fn lower_limit(&mut self, upper: f32) {
        if upper >= self.limit {
            return;
        }
        if self.count == 1 {
            self.limit = upper;
            return;
        }
        let position = self.lowest_uppers.partition_point(|&other| other <= upper);
        self.lowest_uppers.insert(position, upper);
        self.lowest_uppers.truncate(self.count);
        if self.lowest_uppers.len() == self.count {
            self.limit = self.limit.min(self.lowest_uppers[self.count - 1]);
        }
    }

    fn capacity(count: usize) -> usize {
        4 * count + 60
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(lower: f32, upper: f32, index: u32) -> Candidate {
        Candidate { lower, upper, index }
    }

    #[test]
    fn rows_above_the_lowest_upper_bound_are_ruled_out() {
        let mut candidates = Candidates::new(1);
        candidates.push(candidate(4.0, 6.0, 0));
        candidates.push(candidate(3.0, 5.0, 1));
        candidates.push(candidate(5.5, 7.0, 2));
        candidates.push(candidate(1.0, 3.5, 3));
        assert_eq!(candidates.limit(), 3.5);
        assert_eq!(candidates.remaining().collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn as_many_rows_as_sought_are_never_ruled_out() {
        let mut candidates = Candidates::new(2);
        for (index, score) in [(0, 9.0), (1, 8.0), (2, 7.0), (3, 8.5)] {
            candidates.push(candidate(score - 0.1, score + 0.1, index));
        }
        assert_eq!(candidates.limit(), 8.1);
        assert_eq!(candidates.remaining().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_known_limit_rules_out_from_the_start() {
        let mut candidates = Candidates::new(1);
        candidates.reset(2.0);
        candidates.push(candidate(2.5, 3.0, 0));
        candidates.push(candidate(1.5, 2.5, 1));
        assert_eq!(candidates.remaining().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn falling_scores_do_not_overflow_and_equal_ones_do() {
        let mut candidates = Candidates::new(3);
        for index in 0..10_000 {
            let score = 10_000.0 - index as f32;
            candidates.push(candidate(score - 0.25, score + 0.25, index));
        }
        assert!(!candidates.has_overflowed());
        assert_eq!(candidates.remaining().collect::<Vec<_>>(), [9997, 9998, 9999]);

        candidates.reset(f32::INFINITY);
        for index in 0..10_000 {
            candidates.push(candidate(4.0, 6.0, index));
        }
        assert!(candidates.has_overflowed());
    }
}
