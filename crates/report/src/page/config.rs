//! Settings of a report.

use deepcluster_files::Replaceable;

use crate::error::ReportError;

/// Settings of [`write_report`](crate::write_report).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportConfig {
    /// Title of the page; `None` is the name of the folder of images.
    pub title: Option<String>,
    /// Longest side of a thumbnail in pixels, 16 to 512.
    pub thumbnail_size: u32,
    /// Bytes of thumbnails that the page holds itself; where there are more, all are written beside it.
    pub embed_bytes: u64,
    /// Whether images get their places by t-SNE too, not only by their principal components.
    pub with_tsne: bool,
    /// Files in the folder that the report may replace.
    pub replaceable: Replaceable,
}

impl Default for ReportConfig {
    /// Thumbnails of 96 px, 24 MiB of them in the page, both maps, in place of an earlier report only.
    fn default() -> Self {
        Self {
            title: None,
            thumbnail_size: 96,
            embed_bytes: 24 << 20,
            with_tsne: true,
            replaceable: Replaceable::Own,
        }
    }
}

impl ReportConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ReportError::InvalidConfig`] naming the field that is out of range.
    pub fn validate(&self) -> Result<(), ReportError> {
        if (16..=512).contains(&self.thumbnail_size) {
            return Ok(());
        }
        let value = self.thumbnail_size.to_string();
        let allowed = "16 to 512".to_string();
        Err(ReportError::InvalidConfig { field: "thumbnail_size", value, allowed })
    }
}
