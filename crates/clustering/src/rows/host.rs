//! Rows that the host reads in blocks, from memory or from a file.

use ndarray::{ArrayBase, Axis, Data, Ix2, s};

/// Rows of features, `[num_rows, feature_dim]`, that are read block by block: the algorithms that take a
/// source work on more rows than fit in memory.
///
/// A source returns the same values every time it is read.
pub trait HostRows: Sync {
    /// Number of rows.
    fn num_rows(&self) -> usize;

    /// Number of values of each row.
    fn feature_dim(&self) -> usize;

    /// The rows `first..first + count`, one after the other, `[count, feature_dim]`.
    ///
    /// They are borrowed from the source where they lie so in memory, and written to `buffer` otherwise.
    ///
    /// # Panics
    /// If the source has no such rows.
    fn read_rows<'a>(&'a self, first: usize, count: usize, buffer: &'a mut Vec<f32>) -> &'a [f32];
}

impl<T: HostRows + ?Sized> HostRows for &T {
    fn num_rows(&self) -> usize {
        (**self).num_rows()
    }

    fn feature_dim(&self) -> usize {
        (**self).feature_dim()
    }

    fn read_rows<'a>(&'a self, first: usize, count: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        (**self).read_rows(first, count, buffer)
    }
}

impl<S: Data<Elem = f32> + Sync> HostRows for ArrayBase<S, Ix2> {
    fn num_rows(&self) -> usize {
        self.len_of(Axis(0))
    }

    fn feature_dim(&self) -> usize {
        self.len_of(Axis(1))
    }

    fn read_rows<'a>(&'a self, first: usize, count: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        let dim = self.feature_dim();
        if let Some(values) = self.as_slice() {
            return &values[first * dim..][..count * dim];
        }
        buffer.clear();
        buffer.extend(self.slice(s![first..first + count, ..]).iter());
        buffer
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn rows_are_borrowed_where_they_can_be_and_copied_where_not() {
        let features = array![[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let mut buffer = Vec::new();
        assert_eq!(features.view().read_rows(1, 1, &mut buffer), [4.0, 5.0, 6.0]);
        assert!(buffer.is_empty());
        let transposed = features.t();
        assert_eq!((transposed.num_rows(), transposed.feature_dim()), (3, 2));
        assert_eq!(transposed.read_rows(1, 2, &mut buffer), [2.0, 5.0, 3.0, 6.0]);
    }
}
