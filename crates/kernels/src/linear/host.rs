//! Fully connected layers on the CPU.

use rayon::prelude::*;

use crate::host::matrix_product::{Matrix, Panels, multiply, pack, panels_len};

/// Outputs, or rows of the weights, that a thread takes at a time.
const CHUNK: usize = 64;
/// Inputs whose weights are packed at a time, so that they stay in the second cache.
const INPUTS_AT_A_TIME: usize = 256;

/// Sizes of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LayerShape {
    pub(super) batch: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

/// `[batch, outputs]`.
pub(super) fn forward(input: &[f32], weight: &[f32], bias: &[f32], shape: LayerShape) -> Vec<f32> {
    let LayerShape { batch, inputs, outputs } = shape;
    let chunk = |first: usize| {
        let width = CHUNK.min(outputs - first);
        let mut values = Vec::with_capacity(batch * width);
        for _ in 0..batch {
            values.extend_from_slice(&bias[first..first + width]);
        }
        let mut panels = Vec::new();
        for input_start in (0..inputs).step_by(INPUTS_AT_A_TIME) {
            let inner = INPUTS_AT_A_TIME.min(inputs - input_start);
            panels.resize(panels_len(inner, width), 0.0);
            let right = Matrix::rows(&weight[input_start * outputs + first..], outputs);
            pack(right, inner, width, &mut panels);
            let left = Matrix::rows(&input[input_start..], inputs);
            multiply([batch, width, inner], left, Panels::packed(&panels, inner), &mut values, width, true);
        }
        values
    };
    let firsts: Vec<usize> = (0..outputs).step_by(CHUNK).collect();
    let chunks: Vec<Vec<f32>> = firsts.par_iter().map(|&first| chunk(first)).collect();
    let mut output = Vec::with_capacity(batch * outputs);
    for row in 0..batch {
        for (chunk, first) in chunks.iter().zip(&firsts) {
            let width = CHUNK.min(outputs - first);
            output.extend_from_slice(&chunk[row * width..(row + 1) * width]);
        }
    }
    output
}

/// The gradient of the input, `[batch, inputs]`.
pub(super) fn input_gradient(weight: &[f32], of_output: &[f32], shape: LayerShape) -> Vec<f32> {
    let LayerShape { batch, inputs, outputs } = shape;
    let mut panels = vec![0.0; panels_len(outputs, batch)];
    pack(Matrix::rows(of_output, outputs).transposed(), outputs, batch, &mut panels);
    // Transposed, `[inputs, batch]`: the weights are read row by row as they lie.
    let mut transposed = vec![0.0; inputs * batch];
    let chunks = transposed.par_chunks_mut(CHUNK * batch).zip(weight.par_chunks(CHUNK * outputs));
    chunks.for_each(|(target, weight)| {
        let sizes = [target.len() / batch, batch, outputs];
        multiply(
            sizes,
            Matrix::rows(weight, outputs),
            Panels::packed(&panels, outputs),
            target,
            batch,
            false,
        );
    });
    let mut gradient = vec![0.0; batch * inputs];
    gradient.par_chunks_mut(inputs).enumerate().for_each(|(row, gradient)| {
        let column = transposed[row..].iter().step_by(batch);
        gradient.iter_mut().zip(column).for_each(|(gradient, value)| *gradient = *value);
    });
    gradient
}

/// The gradient of the weights, `[inputs, outputs]`.
pub(super) fn weight_gradient(input: &[f32], of_output: &[f32], shape: LayerShape) -> Vec<f32> {
    let LayerShape { batch, inputs, outputs } = shape;
    let mut panels = vec![0.0; panels_len(batch, outputs)];
    pack(Matrix::rows(of_output, outputs), batch, outputs, &mut panels);
    let mut gradient = vec![0.0; inputs * outputs];
    // Few rows at a time, so that the rows are written from their beginning to their end.
    const ROWS: usize = 12;
    gradient.par_chunks_mut(ROWS * outputs).enumerate().for_each(|(index, target)| {
        let sizes = [target.len() / outputs, outputs, batch];
        let left = Matrix::rows(&input[index * ROWS..], inputs).transposed();
        multiply(sizes, left, Panels::packed(&panels, batch), target, outputs, false);
    });
    gradient
}

/// The gradient of the biases, `[outputs]`.
pub(super) fn bias_gradient(of_output: &[f32], shape: LayerShape) -> Vec<f32> {
    let mut gradient = vec![0.0; shape.outputs];
    for row in of_output.chunks_exact(shape.outputs) {
        gradient.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    gradient
}
