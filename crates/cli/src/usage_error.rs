//! Wrong usage that the program finds itself.

use std::fmt;

use deepcluster::{HasKind, Kind};

/// A meaningless request; exits with the code of wrong usage.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

impl HasKind for UsageError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}
