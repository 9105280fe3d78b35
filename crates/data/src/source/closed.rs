//! Images of which only names are known, since their place cannot be opened here.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use crate::decode::bytes::ImageBytes;
use crate::source::folder::FileNames;
use crate::source::{ImageSource, Location};

/// The images of a run that was begun on a source of another program. Tables and captions have their names;
/// reading one is an error.
#[derive(Debug)]
pub(crate) struct ClosedSource {
    location: Location,
    names: FileNames,
}

impl ClosedSource {
    pub(crate) fn new(location: Location, names: Vec<PathBuf>) -> Self {
        Self { location, names: FileNames::new(names) }
    }
}

impl ImageSource for ClosedSource {
    fn location(&self) -> Location {
        self.location.clone()
    }

    fn len(&self) -> usize {
        self.names.len()
    }

    fn name(&self, index: usize) -> &str {
        self.names.text(index)
    }

    fn os_name(&self, index: usize) -> &OsStr {
        self.names.path(index).as_os_str()
    }

    fn read(&self, _index: usize) -> io::Result<ImageBytes> {
        let reason = format!("{} can only be opened by the program that has these images", self.location);
        Err(io::Error::new(io::ErrorKind::Unsupported, reason))
    }

    fn is_there(&self) -> bool {
        false
    }
}
