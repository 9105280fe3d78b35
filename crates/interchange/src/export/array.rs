//! Named arrays on their way into a file.

use std::borrow::Cow;
use std::io::{self, Write};

use burn::tensor::TensorData;

use super::mismatch;
use crate::error::InterchangeError;
use crate::parameter_names::transpose;

/// A named array, row-major.
pub(super) struct Array<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Values<'a>,
}

pub(super) enum Values<'a> {
    F32(Cow<'a, [f32]>),
    /// The transpose of a matrix of f32, made when it is written.
    Transposed(&'a TensorData),
    F64(&'a [f64]),
    I64(i64),
}

impl<'a> Array<'a> {
    pub(super) fn from_data(name: String, data: &'a TensorData) -> Result<Self, InterchangeError> {
        let values = data
            .as_slice::<f32>()
            .map_err(|error| mismatch(format!("the weight '{name}' cannot be read: {error}")))?;
        Ok(Self { name, shape: data.shape().to_vec(), values: Values::F32(values.into()) })
    }

    pub(super) fn transposed(name: String, matrix: &'a TensorData) -> Self {
        let shape = matrix.shape().iter().rev().copied().collect();
        Self { name, shape, values: Values::Transposed(matrix) }
    }

    pub(super) fn from_f32(name: &str, shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self { name: name.to_string(), shape, values: Values::F32(values.into()) }
    }

    pub(super) fn from_f64(name: &str, shape: Vec<usize>, values: &'a [f64]) -> Self {
        Self { name: name.to_string(), shape, values: Values::F64(values) }
    }

    /// An array without dimensions.
    pub(super) fn from_i64(name: String, value: i64) -> Self {
        Self { name, shape: Vec::new(), values: Values::I64(value) }
    }

    pub(super) fn num_bytes(&self) -> usize {
        let size = match self.values {
            Values::F32(_) | Values::Transposed(_) => 4,
            Values::F64(_) | Values::I64(_) => 8,
        };
        size * self.shape.iter().product::<usize>()
    }

    /// Writes the values in little-endian order.
    pub(super) fn write_values(&self, writer: &mut impl Write) -> io::Result<()> {
        match &self.values {
            Values::F32(values) => write_all(values, |value| value.to_le_bytes(), writer),
            Values::Transposed(matrix) => {
                let transposed = transpose(matrix);
                let values = transposed.as_slice::<f32>().expect("transpose() gives f32");
                write_all(values, |value| value.to_le_bytes(), writer)
            }
            Values::F64(values) => write_all(values, |value| value.to_le_bytes(), writer),
            Values::I64(value) => writer.write_all(&value.to_le_bytes()),
        }
    }
}

/// Converts in pieces, so that nothing large is copied.
fn write_all<T: Copy, const SIZE: usize>(
    values: &[T],
    to_bytes: impl Fn(T) -> [u8; SIZE],
    writer: &mut impl Write,
) -> io::Result<()> {
    const PIECE_LEN: usize = 4096;
    let mut buffer = vec![[0_u8; SIZE]; PIECE_LEN.min(values.len())];
    for piece in values.chunks(PIECE_LEN) {
        for (bytes, &value) in buffer.iter_mut().zip(piece) {
            *bytes = to_bytes(value);
        }
        writer.write_all(buffer[..piece.len()].as_flattened())?;
    }
    Ok(())
}
