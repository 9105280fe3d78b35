//! Files.

use std::io::Write;
use std::path::Path;

use deepcluster_files::create_folder;

use crate::error::TransferError;

/// Writes a file through a temporary one in its folder, which is made where it does not exist.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TransferError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    create_folder(folder).map_err(TransferError::io("create", folder))?;
    deepcluster_files::write_whole(path, |writer| writer.write_all(bytes))
        .map_err(TransferError::io("write", path))
}
