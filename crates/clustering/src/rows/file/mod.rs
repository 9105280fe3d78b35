//! Feature matrices in files.

mod npy;
mod open;
mod problem;
mod writer;

pub use open::FeatureFile;
pub use problem::FeatureFileProblem;
pub use writer::NpyWriter;

use half::f16;
use serde::{Deserialize, Serialize};

/// The type of the numbers of features that are kept; in files both are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureType {
    /// 32-bit floating point, `<f4` in `.npy`.
    F32,
    /// IEEE 754 half precision, `<f2` in `.npy`: half the size, 11 significant bits, magnitudes up to 65,504.
    F16,
}

/// The first value of a row that is finite and that halves cannot hold.
pub(crate) fn beyond_f16<'a>(row: impl IntoIterator<Item = &'a f32>) -> Option<f32> {
    row.into_iter().copied().find(|value| value.is_finite() && f16::from_f32(*value).is_infinite())
}

impl FeatureType {
    /// Bytes of one number.
    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}
