//! Resizing and the centre crop against figures computed with Pillow by `golden/make_resize.py`.
#![allow(clippy::unwrap_used, clippy::panic)]

use deepcluster_data::{CropBox, Normalization, RgbImage8, Sample, Transform, resize, resize_crop};

const GOLDEN: &str = include_str!("golden/resize.txt");

/// The picture that the script draws.
fn picture(width: u32, height: u32) -> RgbImage8 {
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let rough = (x * x * 7 + y * 13 + x * y * 3) % 256;
            pixels.extend([rough as u8, (x * 255 / width) as u8, (((x / 4 + y / 4) % 2) * 200 + 20) as u8]);
        }
    }
    RgbImage8 { width, height, pixels }
}

fn bytes_of_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|start| u8::from_str_radix(&text[start..start + 2], 16).unwrap()).collect()
}

/// Mean and greatest absolute difference.
fn differences(ours: &[u8], expected: &[u8]) -> (f64, u8) {
    assert_eq!(ours.len(), expected.len());
    let differences: Vec<u8> = ours.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).collect();
    let sum: f64 = differences.iter().copied().map(f64::from).sum();
    (sum / differences.len() as f64, differences.iter().copied().max().unwrap())
}

fn central_crop(image: &RgbImage8, resize: u32, size: u32) -> Vec<u8> {
    let normalization = Normalization { mean: [0.0; 3], std: [1.0; 3] };
    let transform = Transform::Center { resize, size, normalization };
    let mut planes = vec![0.0; transform.num_values()];
    let sample = Sample { image_index: 0, augmentation_seed: 0, crop: 0 };
    transform.apply(image, sample, &mut planes).unwrap();
    let area = (size * size) as usize;
    (0..area * 3).map(|index| (planes[index % 3 * area + index / 3] * 255.0).round() as u8).collect()
}

#[test]
fn crops_and_resized_images_differ_by_rounding_only() {
    let mut num_cases = 0;
    for line in GOLDEN.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let numbers: Vec<u32> = fields[1..9].iter().map(|field| field.parse().unwrap()).collect();
        let [width, height, left, top, crop_width, crop_height, out_width, out_height] = numbers[..] else {
            panic!("{line}")
        };
        let image = picture(width, height);
        let ours = match fields[0] {
            "crop" => {
                let crop = CropBox { left, top, width: crop_width, height: crop_height };
                resize_crop(&image, crop, out_width, out_height).unwrap().pixels
            }
            _ => central_crop(&image, crop_width, out_width),
        };
        let (mean, greatest) = differences(&ours, &bytes_of_hex(fields[9]));
        assert!(mean <= 0.25 && greatest <= 2, "{:?}: mean {mean}, greatest {greatest}", &fields[..9]);
        num_cases += 1;
    }
    assert_eq!(num_cases, 15);
}

#[test]
fn the_size_of_the_image_itself_changes_nothing() {
    let image = picture(23, 31);
    assert_eq!(resize(&image, 23, 31).unwrap(), image);
    let square = picture(24, 24);
    assert_eq!(central_crop(&square, 24, 24), square.pixels);
}
