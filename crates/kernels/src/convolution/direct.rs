//! Convolution of any kernel and stride as products of matrices of patches.

use std::ops::Range;

use rayon::prelude::*;

use super::patches::Phases;
use super::shape::{ConvShape, Epilogue};
use super::tasks::convolve_tasks;
use crate::host::matrix_product::{Matrix, Panels, multiply, pack, panel_width, panels_len};
use crate::host::sums::sum_of;

/// Places whose gradients of the weights are added up at a time.
const PLACES_IN_A_SUM: usize = 256;
/// Images whose gradients of the weights are added up one after the other.
const IMAGES_PER_BLOCK: usize = 4;

/// Maps `[batch, channels_out, h', w']` of images, weights and biases.
pub(super) fn convolve(
    images: &[f32],
    weight: &[f32],
    bias: &[f32],
    shape: &ConvShape,
    epilogue: Epilogue,
) -> Vec<f32> {
    let (places, patch_len) = (shape.map_size().len(), shape.patch_len());
    let panel_width = panel_width();
    let scratch = || (Phases::new(shape), vec![0.0; patch_len * panel_width]);
    convolve_tasks(images, shape, epilogue, 1, scratch, |(phases, patches), image, maps| {
        phases.load(image);
        for panel in pieces(places, panel_width) {
            phases.patches(panel.clone(), patches, panel_width);
            let sizes = [shape.channels_out, panel.len(), patch_len];
            let left = Matrix::rows(weight, patch_len);
            let right = Panels::packed(patches, patch_len);
            multiply(sizes, left, right, &mut maps[panel.start..], places, false);
            for (map, bias) in maps.chunks_exact_mut(places).zip(bias) {
                map[panel.clone()].iter_mut().for_each(|value| *value = epilogue.activate(*value + bias));
            }
        }
    })
}

/// The gradient of the images from that of the maps.
pub(super) fn image_gradient(weight: &[f32], of_maps: &[f32], shape: &ConvShape) -> Vec<f32> {
    let (places, patch_len) = (shape.map_size().len(), shape.patch_len());
    let mut of_images = vec![0.0; shape.batch * shape.image_len()];
    let pairs = of_images.par_chunks_mut(shape.image_len()).zip(of_maps.par_chunks(shape.maps_len()));
    let panel_width = panel_width();
    let scratch = || {
        let (of_panel, of_patches) = (shape.channels_out * panel_width, patch_len * panel_width);
        (Phases::new(shape), vec![0.0; of_panel], vec![0.0; of_patches])
    };
    pairs.for_each_init(scratch, |(phases, of_panel, of_patches), (of_image, of_maps)| {
        phases.clear();
        for panel in pieces(places, panel_width) {
            pack(Matrix::rows(&of_maps[panel.start..], places), shape.channels_out, panel.len(), of_panel);
            let sizes = [patch_len, panel.len(), shape.channels_out];
            let left = Matrix::rows(weight, patch_len).transposed();
            let right = Panels::packed(of_panel, shape.channels_out);
            multiply(sizes, left, right, of_patches, panel_width, false);
            phases.add_patches(panel, of_patches, panel_width);
        }
        phases.add_to(of_image);
    });
    of_images
}

/// The gradient of the weights from that of the maps.
pub(super) fn weight_gradient(images: &[f32], of_maps: &[f32], shape: &ConvShape) -> Vec<f32> {
    let (places, patch_len) = (shape.map_size().len(), shape.patch_len());
    let blocks = images
        .par_chunks(IMAGES_PER_BLOCK * shape.image_len())
        .zip(of_maps.par_chunks(IMAGES_PER_BLOCK * shape.maps_len()));
    let of_block = |(images, of_maps): (&[f32], &[f32])| {
        // Transposed, `[patch_len, channels_out]`.
        let mut of_weight = vec![0.0; patch_len * shape.channels_out];
        let mut phases = Phases::new(shape);
        let (mut patches, mut of_panels) = (Vec::new(), Vec::new());
        for (image, of_maps) in
            images.chunks_exact(shape.image_len()).zip(of_maps.chunks_exact(shape.maps_len()))
        {
            phases.load(image);
            for piece in pieces(places, PLACES_IN_A_SUM) {
                patches.resize(patch_len * piece.len(), 0.0);
                phases.patches(piece.clone(), &mut patches, piece.len());
                of_panels.resize(panels_len(piece.len(), shape.channels_out), 0.0);
                let right = Matrix::rows(&of_maps[piece.start..], places).transposed();
                pack(right, piece.len(), shape.channels_out, &mut of_panels);
                let sizes = [patch_len, shape.channels_out, piece.len()];
                let left = Matrix::rows(&patches, piece.len());
                let right = Panels::packed(&of_panels, piece.len());
                multiply(sizes, left, right, &mut of_weight, shape.channels_out, true);
            }
        }
        of_weight
    };
    let of_blocks: Vec<Vec<f32>> = blocks.map(of_block).collect();
    let transposed = sum_in_order(of_blocks, patch_len * shape.channels_out);
    let mut of_weight = vec![0.0; transposed.len()];
    for (channel, filter) in of_weight.chunks_exact_mut(patch_len).enumerate() {
        let column = transposed[channel..].iter().step_by(shape.channels_out);
        filter.iter_mut().zip(column).for_each(|(weight, value)| *weight = *value);
    }
    of_weight
}

/// The gradient of the biases from that of the maps.
pub(super) fn bias_gradient(of_maps: &[f32], channels_out: usize, places: usize) -> Vec<f32> {
    let of_plane = |plane: &[f32]| sum_of(plane, |value| value) as f32;
    let of_image = |of_maps: &[f32]| -> Vec<f32> { of_maps.chunks_exact(places).map(of_plane).collect() };
    let of_images: Vec<Vec<f32>> = of_maps.par_chunks(channels_out * places).map(of_image).collect();
    sum_in_order(of_images, channels_out)
}

fn pieces(total: usize, len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..total).step_by(len).map(move |first| first..(first + len).min(total))
}

fn sum_in_order(parts: Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let mut parts = parts.into_iter();
    let mut sum = parts.next().unwrap_or_else(|| vec![0.0; len]);
    for part in parts {
        sum.iter_mut().zip(&part).for_each(|(sum, value)| *sum += value);
    }
    sum
}
