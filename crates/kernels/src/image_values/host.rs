//! The values on slices: for backends without a kernel, and to test kernels against.

use super::ByteScale;

/// `[flips.len(), 3, size, size]`
pub(super) fn image_values(words: &[i32], flips: &[i32], size: usize, scale: ByteScale) -> Vec<f32> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut values = Vec::with_capacity(flips.len() * 3 * size * size);
    for (image, &flip) in flips.iter().enumerate() {
        for channel in 0..3 {
            for place in 0..size * size {
                let (row, column) = (place / size, place % size);
                let column = if flip == 0 { column } else { size - 1 - column };
                let byte = bytes[((image * size + row) * size + column) * 3 + channel];
                values.push(f32::from(byte) * scale.factors[channel] + scale.offsets[channel]);
            }
        }
    }
    values
}
