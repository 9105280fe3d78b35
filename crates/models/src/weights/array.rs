//! Named arrays on their way into a file.

use std::borrow::Cow;
use std::io::{self, Write};

use burn::tensor::TensorData;

use super::export::mismatch;
use crate::weights::error::WeightsError;

/// A named array, row-major.
pub(crate) struct Array<'a> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Values<'a>,
}

pub(crate) enum Values<'a> {
    F32(Cow<'a, [f32]>),
    /// The transpose of a matrix of f32, made when it is written.
    Transposed(&'a TensorData),
    F64(&'a [f64]),
    I64(i64),
}

impl<'a> Array<'a> {
    pub(crate) fn from_data(name: String, data: &'a TensorData) -> Result<Self, WeightsError> {
        let values = data
            .as_slice::<f32>()
            .map_err(|error| mismatch(format!("the weight '{name}' cannot be read: {error}")))?;
        Ok(Self { name, shape: data.shape().to_vec(), values: Values::F32(values.into()) })
    }

    pub(crate) fn transposed(name: String, matrix: &'a TensorData) -> Self {
        let shape = matrix.shape().iter().rev().copied().collect();
        Self { name, shape, values: Values::Transposed(matrix) }
    }

    pub(crate) fn from_f32(name: &str, shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self { name: name.to_string(), shape, values: Values::F32(values.into()) }
    }

    pub(crate) fn from_f64(name: &str, shape: Vec<usize>, values: &'a [f64]) -> Self {
        Self { name: name.to_string(), shape, values: Values::F64(values) }
    }

    /// An array without dimensions.
    pub(crate) fn from_i64(name: String, value: i64) -> Self {
        Self { name, shape: Vec::new(), values: Values::I64(value) }
    }

    pub(crate) fn num_bytes(&self) -> usize {
        let size = match self.values {
            Values::F32(_) | Values::Transposed(_) => 4,
            Values::F64(_) | Values::I64(_) => 8,
        };
        size * self.shape.iter().product::<usize>()
    }

    /// Writes the values in little-endian order.
    pub(crate) fn write_values(&self, writer: &mut impl Write) -> io::Result<()> {
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

/// The matrix with rows and columns exchanged.
///
/// # Panics
/// If `data` is not a matrix of f32.
pub fn transpose(data: &TensorData) -> TensorData {
    let (rows, columns) = (data.shape()[0], data.shape()[1]);
    let values = data.as_slice::<f32>().expect("weights on the host are f32");
    // In squares, so that neither side is walked a cache line per value.
    const SIDE: usize = 32;
    let mut result = vec![0.0_f32; values.len()];
    for top in (0..rows).step_by(SIDE) {
        for left in (0..columns).step_by(SIDE) {
            for row in top..rows.min(top + SIDE) {
                for column in left..columns.min(left + SIDE) {
                    result[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    TensorData::new(result, [columns, rows])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn transposing_moves_every_value() {
        let (rows, columns) = (37, 70);
        let data =
            TensorData::new((0..rows * columns).map(|i| i as f32).collect::<Vec<_>>(), [rows, columns]);
        let transposed = transpose(&data);
        assert_eq!(transposed.shape().to_vec(), [columns, rows]);
        let values = transposed.as_slice::<f32>().unwrap();
        for row in 0..rows {
            for column in 0..columns {
                assert_eq!(values[column * rows + row], (row * columns + column) as f32);
            }
        }
    }
}
