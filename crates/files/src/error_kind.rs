//! Kinds of failures, for programs that choose an exit code or a status by them.

/// The kind of a failure, wherever it arose.
///
/// ```
/// use deepcluster_files::{HasKind, Kind};
///
/// #[derive(Debug)]
/// struct TooFewImages;
///
/// impl HasKind for TooFewImages {
///     fn kind(&self) -> Kind {
///         Kind::Usage
///     }
/// }
///
/// assert_eq!(TooFewImages.kind(), Kind::Usage);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An impossible setting, option or path: the caller has to change the request.
    Usage,
    /// The caller asked to stop.
    Stopped,
    /// An input, such as an image, that cannot be read or processed.
    Input,
    /// A device that fails or lacks memory.
    Device,
    /// A file of this program that is damaged or does not fit the others.
    Damaged,
    /// Any other failure, of the system among others.
    Failure,
}

/// Errors that know their [`Kind`].
pub trait HasKind {
    /// The kind of this failure; that of its cause where it only passes one on.
    fn kind(&self) -> Kind;
}
