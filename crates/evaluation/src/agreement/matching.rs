//! The best one-to-one matching of the two sides of a sparse table.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The largest sum of weights that a matching of rows and columns collects, where each row and each column
/// takes part in at most one cell. `offsets`, `[num_rows + 1]`, holds where the cells of each row begin in
/// `cells`, which hold column and weight. Sums of two weights must fit into an `i64`.
///
/// Each row in turn enters along the shortest augmenting path (Kuhn, 1955; Edmonds, Karp, 1972), found by
/// Dijkstra's search on costs that dual variables keep from being negative. A row may also stay unmatched.
pub(super) fn largest_matching(offsets: &[usize], cells: &[(u32, i64)], num_columns: usize) -> i64 {
    let mut search = Search::new(offsets, cells, num_columns);
    (0..offsets.len() - 1).for_each(|row| search.augment(row as u32));
    search.total()
}

const NONE: u32 = u32::MAX;

/// Matched columns by the lengths of the paths to them, the shortest first.
type Queue = BinaryHeap<Reverse<(i64, u32)>>;

struct Search<'a> {
    offsets: &'a [usize],
    cells: &'a [(u32, i64)],
    /// For every cell `row_duals[row] + column_duals[column] >= weight`, with equality for the matched ones.
    row_duals: Vec<i64>,
    column_duals: Vec<i64>,
    /// The row matched with each column, or `NONE`.
    row_of: Vec<u32>,
    /// The column matched with each row, or `NONE`.
    column_of: Vec<u32>,
    /// Length of the shortest path found to each matched column; `i64::MAX` between two searches.
    distances: Vec<i64>,
    /// The row from which that path reaches the column.
    previous: Vec<u32>,
    touched: Vec<u32>,
}

impl<'a> Search<'a> {
    fn new(offsets: &'a [usize], cells: &'a [(u32, i64)], num_columns: usize) -> Self {
        let heaviest =
            |range: &[usize]| cells[range[0]..range[1]].iter().map(|cell| cell.1).max().unwrap_or(0);
        Self {
            offsets,
            cells,
            row_duals: offsets.windows(2).map(heaviest).collect(),
            column_duals: vec![0; num_columns],
            row_of: vec![NONE; num_columns],
            column_of: vec![NONE; offsets.len() - 1],
            distances: vec![i64::MAX; num_columns],
            previous: vec![NONE; num_columns],
            touched: Vec::new(),
        }
    }

    /// Brings `start` into the matching, or leaves the row unmatched whose loss is smallest.
    fn augment(&mut self, start: u32) {
        let mut queue = BinaryHeap::new();
        let mut end = (self.row_duals[start as usize], End::Row(start));
        // The rows that the search has reached, with the lengths of their paths.
        let mut reached = vec![(start, 0)];
        self.relax(start, 0, &mut end, &mut queue);
        while let Some(Reverse((distance, column))) = queue.pop() {
            if distance >= end.0 {
                break;
            }
            if distance > self.distances[column as usize] {
                continue; // a shorter path was found meanwhile
            }
            let row = self.row_of[column as usize];
            reached.push((row, distance));
            let unmatched = distance + self.row_duals[row as usize];
            if unmatched < end.0 {
                end = (unmatched, End::Row(row));
            }
            self.relax(row, distance, &mut end, &mut queue);
        }
        let (length, end) = end;
        for &(row, distance) in &reached {
            let column = self.column_of[row as usize];
            self.row_duals[row as usize] -= length - distance;
            if column != NONE {
                self.column_duals[column as usize] += length - distance;
            }
        }
        self.shift(end);
        for column in self.touched.drain(..) {
            self.distances[column as usize] = i64::MAX;
        }
    }

    /// Looks for shorter paths through `row`, itself at `distance`. A free column may become the `end`, which
    /// is the shortest way to end so far; paths to other columns are of use only below its length.
    fn relax(&mut self, row: u32, distance: i64, end: &mut (i64, End), queue: &mut Queue) {
        let range = self.offsets[row as usize]..self.offsets[row as usize + 1];
        let from = distance + self.row_duals[row as usize];
        for &(column, weight) in &self.cells[range] {
            let index = column as usize;
            let through = from + self.column_duals[index] - weight;
            if through >= end.0 {
                continue;
            }
            if self.row_of[index] == NONE {
                *end = (through, End::Column(column));
                self.previous[index] = row;
            } else if through < self.distances[index] {
                self.touched.push(column);
                self.distances[index] = through;
                self.previous[index] = row;
                queue.push(Reverse((through, column)));
            }
        }
    }

    /// Passes the columns on along the path to `end`.
    fn shift(&mut self, end: End) {
        let mut column = match end {
            End::Column(column) => column,
            End::Row(row) => std::mem::replace(&mut self.column_of[row as usize], NONE),
        };
        while column != NONE {
            let row = self.previous[column as usize];
            self.row_of[column as usize] = row;
            column = std::mem::replace(&mut self.column_of[row as usize], column);
        }
    }

    fn total(&self) -> i64 {
        // The duals of unmatched rows and columns are 0, so the sum of all is the weight of the matching.
        self.row_duals.iter().sum::<i64>() + self.column_duals.iter().sum::<i64>()
    }
}

/// How an augmenting path ends.
#[derive(Clone, Copy)]
enum End {
    /// At a free column, which its last row takes.
    Column(u32),
    /// At a row that gives its column away and becomes unmatched.
    Row(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest sum over all choices of at most one cell per row and column, by trying all.
    fn by_trying(table: &[Vec<i64>], taken: &mut Vec<bool>) -> i64 {
        let Some((row, rest)) = table.split_first() else { return 0 };
        let mut best = by_trying(rest, taken);
        for (column, &weight) in row.iter().enumerate() {
            if !taken[column] {
                taken[column] = true;
                best = best.max(weight + by_trying(rest, taken));
                taken[column] = false;
            }
        }
        best
    }

    /// `largest_matching` of the cells that are not 0.
    fn by_paths(table: &[Vec<i64>], num_columns: usize) -> i64 {
        let mut offsets = vec![0];
        let mut cells = Vec::new();
        for row in table {
            cells.extend((0..).zip(row.iter().copied()).filter(|cell| cell.1 > 0));
            offsets.push(cells.len());
        }
        largest_matching(&offsets, &cells, num_columns)
    }

    #[test]
    fn the_best_matching_may_leave_the_largest_cell_out() {
        // 9 + 8 beats 10 + 1
        assert_eq!(by_paths(&[vec![10, 9], vec![8, 1]], 2), 17);
        // one column for three rows
        assert_eq!(by_paths(&[vec![2], vec![5], vec![3]], 1), 5);
        assert_eq!(by_paths(&[vec![0, 0], vec![0, 4]], 2), 4);
        assert_eq!(by_paths(&[], 3), 0);
    }

    #[test]
    fn small_tables_of_every_shape_reach_the_best_of_all_matchings() {
        let mut state = 1_u64;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % limit
        };
        for _ in 0..500 {
            let (num_rows, num_columns, limit) = (1 + below(6), 1 + below(6), 2 + below(8));
            let table: Vec<Vec<i64>> = (0..num_rows)
                .map(|_| (0..num_columns).map(|_| below(limit).saturating_sub(1) as i64).collect())
                .collect();
            let expected = by_trying(&table, &mut vec![false; num_columns as usize]);
            assert_eq!(by_paths(&table, num_columns as usize), expected, "{table:?}");
        }
    }
}
