//! The kernels of the first convolution as a picture (Caron et al., figure 3).

use crate::sheets::{ContactSheet, Rgb, RgbImage, SheetCell, SheetColumns};
use deepcluster_models::{ConvNet, SOBEL_KERNELS};
use deepcluster_trainer::host_values;

use crate::error::ReportError;

const CELL_SIZE: u32 = 78;

/// A sheet of the kernels of the first convolution, each stretched to the full range of brightness.
///
/// With colour: a kernel is red, green and blue, and so is its picture; grey is 0. Behind the Sobel filter:
/// the left picture of a kernel is what it weighs the grey image with, Sobel and kernel together, and the two
/// beside it are its planes, for the horizontal and the vertical derivative.
///
/// # Errors
/// [`ReportError::Trainer`] where the device cannot be read.
pub fn kernel_sheet(network: &ConvNet) -> Result<ContactSheet, ReportError> {
    let kernels = network.first_kernels();
    let [num_filters, planes, side, _] = kernels.dims();
    let values = host_values(kernels, "while reading kernels")?;
    let kernels = values.chunks_exact(planes * side * side);
    if !network.has_sobel() {
        let cells = kernels.enumerate().map(|(filter, kernel)| cell(colour_picture(kernel, side), filter));
        let title = format!("conv1: {num_filters} kernels of {side} x {side}, in colour");
        return Ok(ContactSheet::grid(title, CELL_SIZE, 12, cells));
    }
    let row_cells = |(filter, kernel): (usize, &[f32])| {
        let (horizontal, vertical) = kernel.split_at(side * side);
        let on_image = with_sobel(kernel, side);
        let pictures =
            [grey_picture(&on_image, side + 2), grey_picture(horizontal, side), grey_picture(vertical, side)];
        pictures.map(|picture| Some(cell(picture, filter)))
    };
    let cells: Vec<[Option<SheetCell>; 3]> = kernels.enumerate().map(row_cells).collect();
    const PER_ROW: usize = 4;
    let rows = cells.chunks(PER_ROW).map(|row| row.iter().flatten().cloned().collect()).collect();
    let columns = (0..PER_ROW)
        .map(|_| SheetColumns { heading: "on the image, on each derivative".to_string(), count: 3 })
        .collect();
    let title = format!("conv1: {num_filters} kernels of {side} x {side}, behind the Sobel filter");
    Ok(ContactSheet { title, columns, cell_size: CELL_SIZE, rows })
}

fn cell(picture: RgbImage, filter: usize) -> SheetCell {
    SheetCell { picture, caption: filter.to_string(), frame: None }
}

/// The kernel that acts on the grey image as the Sobel filter and `kernel`, `[2, side, side]`, do one after
/// the other: `[side + 2, side + 2]`.
fn with_sobel(kernel: &[f32], side: usize) -> Vec<f32> {
    let whole = side + 2;
    let mut together = vec![0.0; whole * whole];
    for (plane, sobel) in kernel.chunks_exact(side * side).zip(SOBEL_KERNELS) {
        for (place, &weight) in plane.iter().enumerate() {
            let (row, column) = (place / side, place % side);
            for (offset, &sobel_weight) in sobel.iter().enumerate() {
                together[(row + offset / 3) * whole + column + offset % 3] += weight * sobel_weight;
            }
        }
    }
    together
}

/// Values around 0 as grey around the middle.
fn grey_picture(values: &[f32], side: usize) -> RgbImage {
    let most = most_of(values);
    let mut picture = RgbImage::new(side as u32, side as u32);
    for (pixel, &value) in picture.pixels_mut().zip(values) {
        *pixel = Rgb([brightness(value, most); 3]);
    }
    picture
}

fn colour_picture(kernel: &[f32], side: usize) -> RgbImage {
    let most = most_of(kernel);
    let mut picture = RgbImage::new(side as u32, side as u32);
    for (place, pixel) in picture.pixels_mut().enumerate() {
        *pixel = Rgb([0, 1, 2].map(|plane| brightness(kernel[plane * side * side + place], most)));
    }
    picture
}

fn most_of(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| value.abs().max(most))
}

/// 0 at `-most`, 255 at `most`.
fn brightness(value: f32, most: f32) -> u8 {
    let share = if most > 0.0 { value / most } else { 0.0 };
    (127.5 + 127.5 * share).round() as u8
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Device, Distribution, Tensor, TensorData};
    use deepcluster_models::{Architecture, ConvNetConfig, sobel};

    use super::*;

    #[test]
    fn sobel_and_kernel_together_are_one_kernel() {
        let device = Device::flex();
        let kernels = Tensor::<4>::random([1, 2, 5, 5], Distribution::Normal(0.0, 1.0), &device);
        let images =
            Tensor::<4>::random([1, 1, 20, 20], Distribution::Normal(0.0, 1.0), &device).repeat_dim(1, 3);
        let one_by_one =
            conv2d(sobel(images.clone()), kernels.clone(), None, ConvOptions::new([1, 1], [0, 0], [1, 1], 1));
        let values: Vec<f32> = kernels.into_data().try_to_vec().unwrap();
        let together = Tensor::from_data(TensorData::new(with_sobel(&values, 5), [1, 1, 7, 7]), &device);
        let grey = images.slice([0..1, 0..1, 0..20, 0..20]);
        let at_once = conv2d(grey, together, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1));
        // At the edge the Sobel filter pads with zeros, of which the kernel knows nothing.
        let inner = |maps: Tensor<4>| maps.slice([0..1, 0..1, 2..14, 2..14]);
        let difference = (inner(one_by_one) - inner(at_once)).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-4, "{difference}");
    }

    #[test]
    fn every_kernel_is_shown() {
        let network = |sobel| {
            let config = ConvNetConfig::new(Architecture::AlexnetSmall, 32, sobel, 0.25).unwrap();
            config.init(3, &Device::flex()).unwrap()
        };
        let grey = kernel_sheet(&network(true)).unwrap();
        assert_eq!(grey.rows.iter().map(Vec::len).sum::<usize>(), 3 * 12);
        assert_eq!(grey.rows[0][0].as_ref().unwrap().picture.dimensions(), (7, 7));
        let colour = kernel_sheet(&network(false)).unwrap();
        assert_eq!(colour.rows.iter().map(Vec::len).sum::<usize>(), 12);
        let picture = &colour.rows[0][0].as_ref().unwrap().picture;
        assert!(picture.pixels().any(|pixel| pixel.0[0] != pixel.0[1]));
        // The largest weight has the full brightness, or none.
        assert!(picture.pixels().any(|pixel| pixel.0.contains(&255) || pixel.0.contains(&0)));
        assert_eq!((brightness(0.0, 0.0), brightness(-1.0, 1.0), brightness(1.0, 1.0)), (128, 0, 255));
    }
}
