//! Counting of the pairs of two numbered labellings.

use rayon::prelude::*;

use super::labelling::Labelling;

/// Fewest samples that are grouped at once. The groups of a block of this size stay in the cache of a core.
const SAMPLES_PER_BLOCK: usize = 1 << 17;

/// Groups are counted in this many tasks, whatever the number of threads.
const NUM_TASKS: usize = 32;

/// The pairs of consecutive first labels.
pub(super) struct Rows {
    /// How many different second labels occur with each first label.
    pub(super) lengths: Vec<usize>,
    /// Row after row the positions of these second labels in ascending order, with the number of samples.
    pub(super) counts: Vec<(u32, u32)>,
}

/// The pairs that occur, one row for each first label in ascending order, cut into consecutive parts.
pub(super) fn count_pairs(first: &Labelling<'_>, second: &Labelling<'_>) -> Vec<Rows> {
    let (num_first, num_second) = (first.labels.len(), second.labels.len());
    let samples_per_block = SAMPLES_PER_BLOCK.max(num_first);
    let blocks: Vec<Block> = first
        .positions
        .par_chunks(samples_per_block)
        .zip(second.positions.par_chunks(samples_per_block))
        .map(|(first, second)| Block::new(first, second, num_first))
        .collect();
    let groups_per_task = num_first.div_ceil(NUM_TASKS);
    (0..NUM_TASKS)
        .into_par_iter()
        .map(|task| {
            let begin = (task * groups_per_task).min(num_first);
            let groups = begin..(begin + groups_per_task).min(num_first);
            let num_samples: u64 = first.sizes[groups.clone()].iter().sum();
            let most = groups.len().saturating_mul(num_second).min(num_samples as usize);
            let mut rows =
                Rows { lengths: Vec::with_capacity(groups.len()), counts: Vec::with_capacity(most) };
            let mut counter = Counter::new(num_second);
            for group in groups {
                let members = blocks.iter().map(|block| block.group(group));
                let begin = rows.counts.len();
                counter.count(first.sizes[group], members, |second, count| rows.counts.push((second, count)));
                rows.lengths.push(rows.counts.len() - begin);
            }
            rows
        })
        .collect()
}

/// The second labels of some samples, grouped by the first label.
struct Block {
    offsets: Vec<u32>,
    grouped: Vec<u32>,
}

impl Block {
    fn new(first: &[u32], second: &[u32], num_first: usize) -> Self {
        // While the samples are laid out, entry i + 1 is where the next sample of group i goes.
        let mut offsets = vec![0_u32; num_first + 2];
        for &group in first {
            offsets[group as usize + 2] += 1;
        }
        for index in 2..offsets.len() {
            offsets[index] += offsets[index - 1];
        }
        let mut grouped = vec![0; second.len()];
        for (&group, &label) in first.iter().zip(second) {
            let next = &mut offsets[group as usize + 1];
            grouped[*next as usize] = label;
            *next += 1;
        }
        Self { offsets, grouped }
    }

    fn group(&self, index: usize) -> &[u32] {
        &self.grouped[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }
}

/// Counts equal numbers below a limit. All counts are zero between two calls.
struct Counter {
    counts: Vec<u32>,
    /// One bit for each number that was counted, to find them again in ascending order.
    occurs: Vec<u64>,
    sorted: Vec<u32>,
}

impl Counter {
    fn new(limit: usize) -> Self {
        Self { counts: vec![0; limit], occurs: vec![0; limit.div_ceil(64)], sorted: Vec::new() }
    }

    /// Passes every number of `parts`, of `size` elements together, to `emit` in ascending order with its
    /// count.
    fn count<'a>(
        &mut self,
        size: u64,
        parts: impl Iterator<Item = &'a [u32]>,
        mut emit: impl FnMut(u32, u32),
    ) {
        // Few numbers are sorted faster than the bits of all are searched.
        if size < self.occurs.len() as u64 / 4 {
            self.sorted.clear();
            parts.for_each(|part| self.sorted.extend_from_slice(part));
            self.sorted.sort_unstable();
            for run in self.sorted.chunk_by(|a, b| a == b) {
                emit(run[0], run.len() as u32);
            }
            return;
        }
        for &number in parts.flatten() {
            self.counts[number as usize] += 1;
            self.occurs[number as usize / 64] |= 1 << (number % 64);
        }
        for (word, bits) in (0..).zip(&mut self.occurs) {
            while *bits != 0 {
                let number = word * 64 + bits.trailing_zeros();
                *bits &= *bits - 1;
                emit(number, std::mem::take(&mut self.counts[number as usize]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_ascending_order_whether_sorted_or_counted() {
        // of 8 words the bits of a group of 1 are not searched, those of a group of 6 are
        let mut counter = Counter::new(512);
        for numbers in [vec![500], vec![500, 3, 64, 500, 63, 3], vec![511], vec![0; 9]] {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            let expected: Vec<(u32, u32)> =
                sorted.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).collect();
            let mut found = Vec::new();
            let (left, right) = numbers.split_at(numbers.len() / 2);
            counter.count(numbers.len() as u64, [left, right].into_iter(), |number, count| {
                found.push((number, count));
            });
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn several_blocks_and_tasks_count_what_one_sort_counts() {
        let num_samples = 3 * SAMPLES_PER_BLOCK / 2;
        let first: Vec<u32> = (0..num_samples as u32).map(|i| i.wrapping_mul(2_654_435_761) >> 25).collect();
        let second: Vec<u32> = (0..num_samples as u32).map(|i| i.wrapping_mul(40_503) >> 12 & 1023).collect();
        let mut sorted: Vec<(u32, u32)> = first.iter().copied().zip(second.iter().copied()).collect();
        sorted.sort_unstable();
        let rows = || sorted.chunk_by(|a, b| a.0 == b.0);
        let row_lengths: Vec<usize> = rows().map(|row| row.chunk_by(|a, b| a == b).count()).collect();
        let counts: Vec<(u32, u32)> =
            sorted.chunk_by(|a, b| a == b).map(|run| (run[0].1, run.len() as u32)).collect();
        // 128 and 1,024 labels, so that positions are labels
        let parts = count_pairs(&Labelling::new(&first), &Labelling::new(&second));
        assert_eq!(parts.iter().flat_map(|rows| rows.lengths.clone()).collect::<Vec<_>>(), row_lengths);
        assert_eq!(parts.iter().flat_map(|rows| rows.counts.clone()).collect::<Vec<_>>(), counts);
    }
}
