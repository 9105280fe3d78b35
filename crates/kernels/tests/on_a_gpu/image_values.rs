//! Values of bytes.

use burn::tensor::Device;
use deepcluster_kernels::{ByteScale, ImageBytes, image_values};

use crate::gpu;

#[test]
fn every_byte_becomes_its_value_mirrored_or_not() {
    let scale = ByteScale { factors: [0.5, 0.25, 2.0], offsets: [-1.0, 0.0, 3.0] };
    for (num_images, size) in [(1, 1), (3, 5), (2, 16)] {
        let bytes: Vec<u8> =
            (0..num_images * size * size * 3).map(|place| (place * 37 % 256) as u8).collect();
        let flips: Vec<bool> = (0..num_images).map(|image| image % 2 == 1).collect();
        let images = ImageBytes { bytes: &bytes, flips: &flips, size };
        let mut expected = Vec::new();
        for image in 0..num_images {
            for channel in 0..3 {
                for row in 0..size {
                    for column in 0..size {
                        let column = if flips[image] { size - 1 - column } else { column };
                        let byte = bytes[((image * size + row) * size + column) * 3 + channel];
                        expected.push(f32::from(byte) * scale.factors[channel] + scale.offsets[channel]);
                    }
                }
            }
        }
        for device in [Some(Device::flex()), gpu()].into_iter().flatten() {
            for device in [device.clone(), device.autodiff()] {
                let values = image_values(images, scale, &device);
                assert_eq!(values.dims(), [num_images, 3, size, size]);
                assert_eq!(values.into_data().try_to_vec::<f32>().unwrap(), expected);
            }
        }
    }
}
