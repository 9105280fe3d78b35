//! Images of a batch among the threads, and the epilogue.

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::shape::{ConvShape, Epilogue};
use crate::pooling::{Pooling, pool_plane};

/// Lets `convolve` fill the maps of `images_per_task` images at a time, all of their values, and pools them
/// where the epilogue says so: maps that are pooled exist for the images of a thread only.
pub(super) fn convolve_tasks<Scratch>(
    images: &[f32],
    shape: &ConvShape,
    epilogue: Epilogue,
    images_per_task: usize,
    scratch: impl Fn() -> Scratch + Sync + Send,
    convolve: impl Fn(&mut Scratch, &[f32], &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let (maps_len, width) = (shape.maps_len(), shape.map_size().width);
    let output_len = shape.channels_out * shape.output_size(epilogue).len();
    let mut output = vec![0.0; shape.batch * output_len];
    let tasks = output
        .par_chunks_mut(images_per_task * output_len)
        .zip(images.par_chunks(images_per_task * shape.image_len()));
    let arch = Arch::new();
    let scratch = || (scratch(), Vec::new(), Vec::new());
    tasks.for_each_init(scratch, |(scratch, maps, row), (output, images)| {
        let Some(pooling) = epilogue.pooling() else {
            return convolve(scratch, images, output);
        };
        maps.resize(images.len() / shape.image_len() * maps_len, 0.0);
        convolve(scratch, images, maps);
        let planes = maps.chunks_exact(shape.map_size().len());
        let pooled = output.chunks_exact_mut(output_len / shape.channels_out);
        for (plane, pooled) in planes.zip(pooled) {
            arch.dispatch(Pool { plane, pooled, width, pooling, row });
        }
    });
    output
}

/// [`pool_plane`] for the vectors of the processor.
struct Pool<'a> {
    plane: &'a [f32],
    pooled: &'a mut [f32],
    width: usize,
    pooling: Pooling,
    row: &'a mut Vec<f32>,
}

impl NullaryFnOnce for Pool<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { plane, pooled, width, pooling, row } = self;
        pool_plane(plane, pooled, width, pooling, |value| value, row);
    }
}
