//! A rank alone.

use crate::communicator::Communicator;
use crate::error::CollectiveError;

/// One rank, for which every sum is its own part.
///
/// ```
/// use deepcluster_collectives::{Communicator, Single};
///
/// let mut values = [1.5];
/// Single.sum_in_tree(&mut values)?;
/// assert_eq!((values, Single.size()), ([1.5], 1));
/// # Ok::<(), deepcluster_collectives::CollectiveError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Single;

impl Communicator for Single {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum_i64(&self, _values: &mut [i64]) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn max_f32(&self, _values: &mut [f32]) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn sum_in_tree(&self, _values: &mut [f32]) -> Result<(), CollectiveError> {
        Ok(())
    }

    fn broadcast(&self, root: usize, _bytes: &mut [u8]) -> Result<(), CollectiveError> {
        if root == 0 { Ok(()) } else { Err(no_such_rank(root, 1)) }
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        Ok(vec![own.to_vec()])
    }

    fn exchange(&self, parts: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        if parts.len() == 1 { Ok(parts) } else { Err(wrong_number_of_parts(parts.len(), 1)) }
    }

    fn abort(&self, exit_code: u8) -> ! {
        std::process::exit(exit_code.into())
    }
}

pub(crate) fn no_such_rank(root: usize, size: usize) -> CollectiveError {
    CollectiveError::Mismatch { reason: format!("rank {root} of {size} does not exist") }
}

pub(crate) fn wrong_number_of_parts(found: usize, size: usize) -> CollectiveError {
    CollectiveError::Mismatch { reason: format!("{found} parts for {size} ranks") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_alone_keeps_its_part() {
        let (mut integers, mut floats, mut bytes) = ([3, -4], [0.5, f32::NAN], [7, 8]);
        Single.sum_i64(&mut integers).unwrap();
        Single.max_f32(&mut floats).unwrap();
        Single.broadcast(0, &mut bytes).unwrap();
        assert_eq!((integers, floats[0], bytes), ([3, -4], 0.5, [7, 8]));
        assert_eq!(Single.gather(&[1, 2]).unwrap(), [[1, 2]]);
        assert_eq!(Single.exchange(vec![vec![5]]).unwrap(), [[5]]);
    }

    #[test]
    fn ranks_that_do_not_exist_are_refused() {
        assert!(matches!(Single.broadcast(1, &mut []), Err(CollectiveError::Mismatch { .. })));
        assert!(matches!(Single.exchange(vec![]), Err(CollectiveError::Mismatch { .. })));
    }
}
