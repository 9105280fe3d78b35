//! What goes into a batch and what comes out.

use std::sync::{Mutex, PoisonError};

/// One image of a batch to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Index of the image in its folder.
    pub image_index: usize,
    /// Seed of everything random about it; unused by transforms without random choices.
    pub augmentation_seed: u64,
}

/// Images that were read together.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageBatch {
    /// Normalised pixels, `[image_indices.len(), 3, size, size]`.
    pub pixels: Vec<f32>,
    /// Side of the images in pixels.
    pub size: u32,
    /// Which image of the folder each one is, in the order of the plan, those that failed left out.
    pub image_indices: Vec<usize>,
    /// Images that could not be read, by index in the folder, with the reason; in the order of the plan.
    pub failures: Vec<(usize, String)>,
}

/// A batch in work. Threads fill its slots in any order.
#[derive(Debug)]
pub(crate) struct BatchBuffer {
    pub(crate) samples: Vec<Sample>,
    slots: Mutex<Slots>,
}

#[derive(Debug)]
struct Slots {
    /// `[samples.len(), num_values]`
    pixels: Vec<f32>,
    /// Why a slot stays empty.
    failures: Vec<Option<String>>,
}

impl BatchBuffer {
    /// Slots of `num_values` for each of `samples`.
    pub(crate) fn new(samples: Vec<Sample>, num_values: usize) -> Self {
        let slots = Slots {
            pixels: vec![0.0; samples.len().saturating_mul(num_values)],
            failures: vec![None; samples.len()],
        };
        Self { samples, slots: Mutex::new(slots) }
    }

    /// Fills one slot; `values` has the length of a slot.
    pub(crate) fn fill(&self, slot: usize, values: Result<&[f32], String>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match values {
            Ok(values) => slots.pixels[slot * values.len()..][..values.len()].copy_from_slice(values),
            Err(reason) => slots.failures[slot] = Some(reason),
        }
    }

    /// Moves the images that were read together.
    pub(crate) fn into_batch(self, size: u32, num_values: usize) -> ImageBatch {
        let Slots { mut pixels, failures: reasons } =
            self.slots.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut image_indices = Vec::with_capacity(reasons.len());
        let mut failures = Vec::new();
        for (slot, (sample, reason)) in self.samples.iter().zip(reasons).enumerate() {
            if let Some(reason) = reason {
                failures.push((sample.image_index, reason));
                continue;
            }
            if image_indices.len() < slot {
                let source = slot * num_values;
                pixels.copy_within(source..source + num_values, image_indices.len() * num_values);
            }
            image_indices.push(sample.image_index);
        }
        pixels.truncate(image_indices.len() * num_values);
        ImageBatch { pixels, size, image_indices, failures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_move_up_over_failed_ones() {
        let samples = [7, 8, 9, 5].map(|image_index| Sample { image_index, augmentation_seed: 0 });
        let buffer = BatchBuffer::new(samples.to_vec(), 2);
        buffer.fill(3, Ok(&[3.0, 3.5]));
        buffer.fill(0, Err("empty".into()));
        buffer.fill(1, Ok(&[1.0, 1.5]));
        buffer.fill(2, Err("broken".into()));
        let batch = buffer.into_batch(1, 2);
        assert_eq!(batch.pixels, [1.0, 1.5, 3.0, 3.5]);
        assert_eq!(batch.image_indices, [8, 5]);
        assert_eq!(batch.failures, [(7, "empty".into()), (9, "broken".into())]);
    }
}
