//! Output of picture sheets.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use deepcluster::report::sheets::ContactSheet;
use deepcluster_files::{Replaceable, ResultFolder};

use crate::arguments::Replacing;

/// A folder of sheets.
pub(super) struct SheetFolder {
    path: PathBuf,
    files: ResultFolder,
}

impl SheetFolder {
    /// The folder `out`, or that for pictures in the run. Refuses to replace `names`
    /// before the pictures are computed.
    pub(super) fn new(
        out: Option<&PathBuf>,
        replacing: Replacing,
        run: &Path,
        names: &[String],
    ) -> anyhow::Result<Self> {
        let path = out.cloned().unwrap_or_else(|| pictures_folder(run));
        let files = ResultFolder::new(&path, replacing.in_folder(out));
        let checked = files.check(names.iter().map(String::as_str));
        checked.with_context(|| format!("cannot write sheets to {}", path.display()))?;
        Ok(Self { path, files })
    }

    /// Writes a sheet as PNG and returns its path.
    pub(super) fn save(&mut self, name: &str, sheet: &ContactSheet) -> anyhow::Result<PathBuf> {
        let bytes = sheet.to_png()?;
        self.files
            .stage(name, &bytes)
            .and_then(|()| self.files.publish(|_| false))
            .with_context(|| format!("cannot write sheets to {}", self.path.display()))?;
        Ok(self.path.join(name))
    }
}

/// Destination of one sheet: a file named by the user, or one in the run directory.
pub(super) enum SheetFile<'a> {
    Named(&'a Path),
    InRun { run: &'a Path, name: &'static str },
}

impl SheetFile<'_> {
    /// Ends the command where a file of the user would be replaced that is not to be.
    pub(super) fn check(&self, force: bool) -> anyhow::Result<()> {
        match self {
            Self::Named(path) if path.is_file() && !force => {
                bail!("{} exists already: replace it with --force, or name another file", path.display())
            }
            _ => Ok(()),
        }
    }

    /// Writes the sheet as PNG and returns its path.
    pub(super) fn save(&self, sheet: &ContactSheet) -> anyhow::Result<PathBuf> {
        match *self {
            Self::Named(path) => {
                sheet.save(path)?;
                Ok(path.to_path_buf())
            }
            Self::InRun { run, name } => {
                let path = pictures_folder(run);
                let files = ResultFolder::new(&path, Replaceable::Any);
                SheetFolder { path, files }.save(name, sheet)
            }
        }
    }
}

fn pictures_folder(run: &Path) -> PathBuf {
    run.join("pictures")
}
