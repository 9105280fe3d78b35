//! Images as sums of cosine waves.

use burn::tensor::{Device, Tensor, TensorData};

/// The waves of square images, in the order of their frequency along a side.
pub(super) struct CosineBasis {
    /// `[size, size]`, a wave in each row, all of length 1 and at right angles (the discrete cosine
    /// transform).
    waves: Tensor<2>,
    /// Weight of the wave of each pair of frequencies, `[size, size]`.
    weights: Tensor<2>,
}

impl CosineBasis {
    pub(super) fn new(size: usize, device: &Device) -> Self {
        let side = size as f64;
        let wave = |frequency: usize, place: usize| {
            let length = if frequency == 0 { (1.0 / side).sqrt() } else { (2.0 / side).sqrt() };
            let angle = std::f64::consts::PI * (place as f64 + 0.5) * frequency as f64 / side;
            (length * angle.cos()) as f32
        };
        // Photographs have amplitudes that fall with the frequency; so do the steps of an ascent that is
        // weighed so.
        let weight = |row: usize, column: usize| {
            let frequency = (row as f64).hypot(column as f64);
            (side / (2.0 * frequency.max(1.0))) as f32
        };
        let matrix = |value: &dyn Fn(usize, usize) -> f32| {
            let values: Vec<f32> = (0..size * size).map(|index| value(index / size, index % size)).collect();
            Tensor::from_data(TensorData::new(values, [size, size]), device)
        };
        Self { waves: matrix(&wave), weights: matrix(&weight) }
    }

    /// The images of coefficients, `[batch, planes, size, size]` both.
    pub(super) fn images(&self, coefficients: Tensor<4>) -> Tensor<4> {
        let waves: Tensor<4> = self.waves.clone().unsqueeze();
        let weighed = coefficients * self.weights.clone().unsqueeze::<4>();
        waves.clone().transpose().matmul(weighed).matmul(waves)
    }
}

/// Moves and scales of square images, made by [`resampling`]: `rows * image * columns^T` for each plane.
pub(super) struct Resampling {
    rows: Tensor<4>,
    columns: Tensor<4>,
}

/// Resamples images of `size` pixels: a pixel at `i` takes what is at `(i - centre) / zoom + centre + shift`,
/// between pixels by their distance, and beyond the edge the edge.
pub(super) fn resampling(size: usize, zoom: f64, shift: (f64, f64), device: &Device) -> Resampling {
    let centre = (size as f64 - 1.0) / 2.0;
    let matrix = |shift: f64| {
        let mut values = vec![0.0_f32; size * size];
        for (place, row) in values.chunks_exact_mut(size).enumerate() {
            let source = (place as f64 - centre) / zoom + centre + shift;
            let source = source.clamp(0.0, size as f64 - 1.0);
            let before = source.floor() as usize;
            let share = (source - source.floor()) as f32;
            row[before] += 1.0 - share;
            row[(before + 1).min(size - 1)] += share;
        }
        Tensor::<2>::from_data(TensorData::new(values, [size, size]), device).unsqueeze()
    };
    Resampling { rows: matrix(shift.0), columns: matrix(shift.1) }
}

impl Resampling {
    pub(super) fn apply(&self, images: Tensor<4>) -> Tensor<4> {
        self.rows.clone().matmul(images).matmul(self.columns.clone().transpose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn waves_are_of_length_one_and_at_right_angles() {
        let basis = CosineBasis::new(12, &Device::flex());
        let products = basis.waves.clone().matmul(basis.waves.transpose());
        let difference = (products - Tensor::eye(12, &Device::flex())).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-6, "{difference}");
    }

    #[test]
    fn a_coefficient_is_a_wave() {
        let device = Device::flex();
        let basis = CosineBasis::new(4, &device);
        let mut coefficients = vec![0.0_f32; 16];
        coefficients[1] = 1.0; // constant from top to bottom, half a wave from left to right
        let image =
            values(basis.images(Tensor::from_data(TensorData::new(coefficients, [1, 1, 4, 4]), &device)));
        // 4 / 2 * sqrt(1 / 4) * sqrt(2 / 4) * cos(pi / 8 * (1, 3, 5, 7))
        for (index, value) in image.iter().enumerate() {
            let angle = std::f64::consts::PI / 8.0 * (2 * (index % 4) + 1) as f64;
            let expected = 2.0 * 0.5 * 0.5_f64.sqrt() * angle.cos();
            assert!((f64::from(*value) - expected).abs() < 1e-6, "{index}: {value} is not {expected}");
        }
    }

    #[test]
    fn images_move_and_grow() {
        let device = Device::flex();
        let pixels: Vec<f32> = (0..16).map(|index| index as f32).collect();
        let image = Tensor::<4>::from_data(TensorData::new(pixels.clone(), [1, 1, 4, 4]), &device);
        let same = resampling(4, 1.0, (0.0, 0.0), &device).apply(image.clone());
        assert_eq!(values(same), pixels);
        let moved = values(resampling(4, 1.0, (1.0, 0.0), &device).apply(image.clone()));
        assert_eq!(moved[..4], pixels[4..8]);
        assert_eq!(moved[12..], pixels[12..]);
        let between = values(resampling(4, 1.0, (0.0, 0.5), &device).apply(image.clone()));
        assert_eq!(between[..4], [0.5, 1.5, 2.5, 3.0]);
        // Twice as large: the inner two pixels of each side lie half a pixel from the centre and go to a
        // quarter.
        let larger = values(resampling(4, 2.0, (0.0, 0.0), &device).apply(image));
        assert_eq!(larger[5], 0.25 * 4.0 + 0.25 + 1.0 + 4.0 - 1.0 + 1.0);
    }
}
