//! Problems with feature files.

/// Why a file cannot be used for features.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureFileProblem {
    /// The header of a `.npy` file cannot be understood.
    #[error("it is no well-formed .npy file: {detail}")]
    NpyHeader {
        /// The first fault of the header.
        detail: &'static str,
    },
    /// The file is neither a `.npy` file nor a well-formed safetensors file.
    #[error("it is neither a .npy file nor a well-formed safetensors file")]
    Safetensors {
        /// The error of the safetensors reader.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// No tensor has the requested name.
    #[error("it has no tensor {name}, but {}", available.join(", "))]
    NoSuchTensor {
        /// The requested name.
        name: String,
        /// The names in the file.
        available: Vec<String>,
    },
    /// No name was given, and there is not exactly one tensor.
    #[error("it has {} tensors ({}): name one", available.len(), available.join(", "))]
    NotOneTensor {
        /// The names in the file.
        available: Vec<String>,
    },
    /// The array does not have two axes.
    #[error("its shape is {shape:?}, expected [num_samples, feature_dim]")]
    NotAMatrix {
        /// The size of each axis.
        shape: Vec<usize>,
    },
    /// The columns lie one after the other, not the rows.
    #[error("it is in Fortran order: save it in C order (numpy.ascontiguousarray)")]
    FortranOrder,
    /// The numbers are neither f32 nor f16, or big-endian.
    #[error("its numbers are {found}, expected little-endian f32 or f16 (<f4, <f2, F32, F16)")]
    DataType {
        /// The type as the file names it.
        found: String,
    },
    /// The file ends before its last row.
    #[error("it is truncated: {actual} bytes instead of {expected}")]
    Truncated {
        /// The bytes that the shape requires.
        expected: u128,
        /// The bytes in the file.
        actual: usize,
    },
    /// A number is too large for a file of f16.
    #[error("{value} in row {row} leaves the range of f16: write f32")]
    BeyondF16 {
        /// The row, counted from 0.
        row: usize,
        /// The number.
        value: f32,
    },
}
