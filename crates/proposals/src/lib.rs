//! Boxes that may hold an object, which a detector then looks at.
//!
//! - [`selective_search`]: regions of an image that are merged step by step (Uijlings et al., IJCV 2013);
//! - [`read_proposals`]: boxes that another program has found, from MATLAB or CSV files; [`write_proposals`].
//!
//! Boxes are in pixels from 0, and the last row and column belong to them, as in PASCAL VOC.

mod csv_file;
mod error;
mod matlab;
mod proposal_file;
mod proposals;
mod selective_search;

pub use csv_file::write_proposals;
pub use error::ProposalError;
pub use proposal_file::read_proposals;
pub use proposals::Proposals;
pub use selective_search::{ColorSpace, SelectiveSearchConfig, selective_search};

use deepcluster_evaluation::BoundingBox;

/// Share of `objects` that one of `proposals` overlaps by at least `min_overlap`; `None` without objects.
pub fn recall_of_proposals(
    proposals: &[BoundingBox],
    objects: &[BoundingBox],
    min_overlap: f32,
) -> Option<f64> {
    let is_found = |object: &&BoundingBox| proposals.iter().any(|found| found.overlap(object) >= min_overlap);
    let num_found = objects.iter().filter(is_found).count();
    (!objects.is_empty()).then(|| num_found as f64 / objects.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_objects() {
        let square = |x: f32| BoundingBox { x_min: x, y_min: 0.0, x_max: x + 9.0, y_max: 9.0 };
        let recall = recall_of_proposals(&[square(0.0), square(100.0)], &[square(1.0), square(50.0)], 0.5);
        assert_eq!(recall, Some(0.5));
        assert_eq!(recall_of_proposals(&[square(0.0)], &[], 0.5), None);
        assert_eq!(recall_of_proposals(&[], &[square(0.0)], 0.5), Some(0.0));
    }
}
