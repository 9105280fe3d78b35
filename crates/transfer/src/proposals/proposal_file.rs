//! Files of proposals.

use std::path::Path;

use crate::proposals::error::ProposalError;
use crate::proposals::image_boxes::Proposals;
use crate::proposals::{csv_file, matlab};

/// Reads the boxes of all images from a `.mat` file as Fast R-CNN's selective search leaves them (variables
/// `boxes` and `images`; version 5 of the format, which `save -v7` and older write) or from a `.csv` file
/// with the columns `image`, `x_min`, `y_min`, `x_max`, `y_max`.
///
/// # Errors
/// [`ProposalError::UnknownFormat`], [`ProposalError::Io`], [`ProposalError::Malformed`].
pub fn read_proposals(path: &Path) -> Result<Proposals, ProposalError> {
    match path.extension().map(|extension| extension.to_ascii_lowercase()) {
        Some(extension) if extension == "mat" => matlab::read(path),
        Some(extension) if extension == "csv" => csv_file::read(path),
        _ => Err(ProposalError::UnknownFormat { path: path.to_path_buf() }),
    }
}
