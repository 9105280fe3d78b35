//! Files of proposals.

use std::path::Path;

use crate::proposals::csv_file;
use crate::proposals::error::ProposalError;
use crate::proposals::image_boxes::Proposals;

/// Reads the boxes of all images from a `.csv` file with the columns `image` (the name without extension),
/// `x_min`, `y_min`, `x_max`, `y_max`, in pixels from 0.
///
/// # Errors
/// [`ProposalError::UnknownFormat`], [`ProposalError::Matlab`], [`ProposalError::Io`],
/// [`ProposalError::Malformed`].
pub fn read_proposals(path: &Path) -> Result<Proposals, ProposalError> {
    match path.extension().map(|extension| extension.to_ascii_lowercase()) {
        Some(extension) if extension == "mat" => Err(ProposalError::Matlab { path: path.to_path_buf() }),
        Some(extension) if extension == "csv" => csv_file::read(path),
        _ => Err(ProposalError::UnknownFormat { path: path.to_path_buf() }),
    }
}
