//! From bytes of images to the values a network computes with, on the device.

#[cfg(feature = "gpu")]
mod cube;
mod extension;
mod host;

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use self::extension::ImageValuesOps;

/// Square images as bytes, a quarter of the size of their values.
#[derive(Debug, Clone, Copy)]
pub struct ImageBytes<'a> {
    /// `[num_images, size, size, 3]`, red, green, blue.
    pub bytes: &'a [u8],
    /// Whether left and right of an image change places, `[num_images]`.
    pub flips: &'a [bool],
    /// Side of the images in pixels.
    pub size: usize,
}

/// Factor and then summand for the bytes of each channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ByteScale {
    /// For red, green and blue.
    pub factors: [f32; 3],
    /// As the factors.
    pub offsets: [f32; 3],
}

/// Sends images to `device` as bytes and makes values of them there: `byte * factor + offset`,
/// `[num_images, 3, size, size]`.
///
/// # Panics
/// If there are not as many bytes as pixels.
pub fn image_values(images: ImageBytes<'_>, scale: ByteScale, device: &Device) -> Tensor<4> {
    let ImageBytes { bytes, flips, size } = images;
    assert_eq!(bytes.len(), flips.len() * size * size * 3, "three bytes for each pixel");
    let words = bytes.chunks(4).map(|bytes| {
        let mut word = [0; 4];
        word[..bytes.len()].copy_from_slice(bytes);
        i32::from_le_bytes(word)
    });
    let upload = |values: Vec<i32>| {
        let shape = [values.len()];
        let mut data = TensorData::new(values, shape);
        // Memory from which the device takes the bytes by itself.
        device.staging(std::iter::once(&mut data));
        Tensor::<1, Int>::from_data(data, (device, DType::I32))
    };
    let words = upload(words.collect());
    let flips = upload(flips.iter().map(|&flip| i32::from(flip)).collect());
    let values = Dispatch::image_values(words.into_dispatch(), flips.into_dispatch(), size, scale);
    Tensor::from_dispatch(values)
}
