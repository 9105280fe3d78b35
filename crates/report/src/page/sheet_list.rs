//! Sheets of thumbnails, within the page or beside it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use deepcluster_files::ResultFolder;
use serde::Serialize;

/// Folder of thumbnails beside the page.
pub(super) const THUMBNAILS: &str = "thumbnails/";

/// Sheets of thumbnails: kept for the page, until they are too many and go to files.
pub(super) struct Sheets {
    embed_bytes: u64,
    num_bytes: u64,
    kept: Vec<Vec<u8>>,
    /// Names of files.
    written: Vec<String>,
}

/// The sheets as the page lists them.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum SheetList {
    /// JPEG files in base64.
    Inside { embedded: Vec<String> },
    /// Names of files relative to the page.
    Beside(BesideList),
}

#[derive(Serialize)]
pub(super) struct BesideList {
    files: Vec<String>,
}

impl Sheets {
    pub(super) fn new(embed_bytes: u64) -> Self {
        Self { embed_bytes, num_bytes: 0, kept: Vec::new(), written: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        number: usize,
        jpeg: Vec<u8>,
        files: &mut ResultFolder,
    ) -> std::io::Result<()> {
        self.num_bytes += jpeg.len() as u64;
        if self.num_bytes <= self.embed_bytes {
            self.kept.push(jpeg);
            return Ok(());
        }
        for (number, kept) in std::mem::take(&mut self.kept).into_iter().enumerate() {
            self.write(number, &kept, files)?;
        }
        self.write(number, &jpeg, files)
    }

    fn write(&mut self, number: usize, jpeg: &[u8], files: &mut ResultFolder) -> std::io::Result<()> {
        let name = format!("{THUMBNAILS}{number:05}.jpg");
        files.stage(&name, jpeg)?;
        self.written.push(name);
        Ok(())
    }

    pub(super) fn finish(self) -> SheetList {
        if self.written.is_empty() {
            SheetList::Inside { embedded: self.kept.iter().map(|jpeg| STANDARD.encode(jpeg)).collect() }
        } else {
            SheetList::Beside(BesideList { files: self.written })
        }
    }
}
