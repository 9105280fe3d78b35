//! One labelling with its labels numbered without gaps.

use std::borrow::Cow;

use rayon::prelude::*;

/// Labels below this many times the number of samples are numbered by a table, others by sorting.
const TABLE_ENTRIES_PER_SAMPLE: usize = 4;

/// The labels that occur, and each sample's position among them.
pub(super) struct Labelling<'a> {
    /// The labels that occur, in ascending order.
    pub(super) labels: Vec<u32>,
    /// For each sample the position of its label in `labels`.
    pub(super) positions: Cow<'a, [u32]>,
    /// Number of samples of each of `labels`.
    pub(super) sizes: Vec<u64>,
}

impl<'a> Labelling<'a> {
    /// Numbers the labels of at most `u32::MAX` samples.
    pub(super) fn new(samples: &'a [u32]) -> Self {
        let num_entries = samples.par_iter().max().map_or(0, |&largest| largest as usize + 1);
        if num_entries / TABLE_ENTRIES_PER_SAMPLE <= samples.len() {
            Self::by_table(samples, num_entries)
        } else {
            Self::by_sorting(samples)
        }
    }

    fn by_table(samples: &'a [u32], num_entries: usize) -> Self {
        let mut counts = vec![0_u32; num_entries];
        for &label in samples {
            counts[label as usize] += 1;
        }
        let labels: Vec<u32> = (0..).zip(&counts).filter(|&(_, &count)| count > 0).map(|(i, _)| i).collect();
        let sizes = labels.iter().map(|&label| u64::from(counts[label as usize])).collect();
        if labels.len() == num_entries {
            return Self { labels, positions: Cow::Borrowed(samples), sizes };
        }
        let mut table = counts;
        for (position, &label) in (0..).zip(&labels) {
            table[label as usize] = position;
        }
        let positions = samples.par_iter().map(|&label| table[label as usize]).collect();
        Self { labels, positions: Cow::Owned(positions), sizes }
    }

    fn by_sorting(samples: &[u32]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.par_sort_unstable();
        let runs = || sorted.chunk_by(|a, b| a == b);
        let labels: Vec<u32> = runs().map(|run| run[0]).collect();
        let sizes = runs().map(|run| run.len() as u64).collect();
        let position = |label: &u32| labels.partition_point(|other| other < label) as u32;
        let positions = samples.par_iter().map(position).collect();
        Self { labels, positions: Cow::Owned(positions), sizes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(samples: &[u32]) -> (Vec<u32>, Vec<u32>, Vec<u64>) {
        let Labelling { labels, positions, sizes } = Labelling::new(samples);
        (labels, positions.into_owned(), sizes)
    }

    #[test]
    fn labels_are_numbered_in_ascending_order_whether_small_or_large() {
        assert_eq!(parts(&[1, 0, 1]), (vec![0, 1], vec![1, 0, 1], vec![1, 2]));
        assert_eq!(parts(&[3, 1, 3]), (vec![1, 3], vec![1, 0, 1], vec![1, 2]));
        let far = [u32::MAX, 7, u32::MAX];
        assert_eq!(parts(&far), (vec![7, u32::MAX], vec![1, 0, 1], vec![1, 2]));
    }

    #[test]
    fn labels_without_gaps_are_not_copied() {
        assert!(matches!(Labelling::new(&[1, 0, 2]).positions, Cow::Borrowed(_)));
        assert!(matches!(Labelling::new(&[1, 0, 3]).positions, Cow::Owned(_)));
    }
}
