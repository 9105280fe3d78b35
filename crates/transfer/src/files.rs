//! Writing files whole or not at all.

use std::io::Write;
use std::path::Path;

use crate::error::TransferError;

/// Writes a file through a temporary one in its folder, which is made where it does not exist.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TransferError> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let attempt = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.persist(path)?;
        Ok(())
    };
    attempt().map_err(|source| TransferError::Io { action: "write", path: path.to_path_buf(), source })
}
