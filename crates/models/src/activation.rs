//! Activations of a layer.

use burn::tensor::Tensor;

/// Activations of a layer for a batch of images.
#[derive(Debug, Clone)]
pub enum Activation {
    /// Maps, `[batch, channels, rows, columns]`.
    Map(Tensor<4>),
    /// Tokens of a transformer, `[batch, tokens, channels]`.
    Tokens(Tensor<3>),
    /// One vector for each image, `[batch, channels]`.
    Vector(Tensor<2>),
}

impl Activation {
    /// All values of an image in one row, `[batch, values]`.
    pub fn into_rows(self) -> Tensor<2> {
        match self {
            Self::Map(maps) => maps.flatten(1, 3),
            Self::Tokens(tokens) => tokens.flatten(1, 2),
            Self::Vector(rows) => rows,
        }
    }

    /// Sizes of the tensor, the batch first.
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Self::Map(maps) => maps.dims().to_vec(),
            Self::Tokens(tokens) => tokens.dims().to_vec(),
            Self::Vector(rows) => rows.dims().to_vec(),
        }
    }
}
