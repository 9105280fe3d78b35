//! The input and the output of a batch.

use std::sync::{Mutex, PoisonError};

use crate::error::DataError;
use crate::view::Transform;
use crate::view::normalize::{Normalization, append_normalized};
use crate::view::square::Square;

/// One image of a batch to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Index of the image in its folder.
    pub image_index: usize,
    /// Seed of everything random about it; unused by transforms without random choices.
    pub augmentation_seed: u64,
    /// Number of the square that [`Transform::OneOfTen`] cuts out, 0 to 9; unused by other transforms.
    pub crop: u8,
}

impl Sample {
    /// Checks the number of the square.
    ///
    /// # Errors
    /// [`DataError::InvalidConfig`] for 10 and more.
    pub(crate) fn validate(&self) -> Result<(), DataError> {
        if self.crop < 10 { Ok(()) } else { Err(DataError::invalid_config("crop", self.crop, "0 to 9")) }
    }
}

/// Images that were read together. They stay bytes, a quarter of the memory of their values, until these are
/// asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageBatch {
    squares: Vec<Square>,
    normalization: Normalization,
    /// Side of the images in pixels.
    pub size: u32,
    /// Which image of the folder each one is, in the order of the plan, those that failed left out.
    pub image_indices: Vec<usize>,
    /// Images that could not be read, by index in the folder, with the reason; in the order of the plan.
    pub failures: Vec<(usize, String)>,
}

impl ImageBatch {
    /// The normalised pixels, `[image_indices.len(), 3, size, size]`.
    pub fn pixels(&self) -> Vec<f32> {
        let num_values = self.squares.iter().map(|square| square.pixels.len()).sum();
        let mut pixels = Vec::with_capacity(num_values);
        for Square { pixels: bytes, flip } in &self.squares {
            append_normalized(bytes, self.size, *flip, self.normalization, &mut pixels);
        }
        pixels
    }

    /// The bytes of the pixels, `[image_indices.len(), size, size, 3]`, as they are before normalisation and
    /// mirroring.
    pub fn bytes(&self) -> Vec<u8> {
        let squares: Vec<&[u8]> = self.squares.iter().map(|square| square.pixels.as_slice()).collect();
        squares.concat()
    }

    /// Whether left and right of an image change places, `[image_indices.len()]`.
    pub fn flips(&self) -> Vec<bool> {
        self.squares.iter().map(|square| square.flip).collect()
    }

    /// Cuts the batch after its first images, as many as `num_images`, and returns the others.
    ///
    /// # Panics
    /// If there are fewer images.
    pub fn split_off(&mut self, num_images: usize) -> Self {
        Self {
            squares: self.squares.split_off(num_images),
            normalization: self.normalization,
            size: self.size,
            image_indices: self.image_indices.split_off(num_images),
            failures: Vec::new(),
        }
    }

    /// How bytes become values.
    pub fn normalization(&self) -> Normalization {
        self.normalization
    }
}

/// A batch in work. Threads fill its slots in any order.
#[derive(Debug)]
pub(crate) struct BatchBuffer {
    pub(crate) samples: Vec<Sample>,
    /// For each of the samples what was read, or why there is nothing.
    slots: Mutex<Vec<Option<Result<Square, String>>>>,
}

impl BatchBuffer {
    pub(crate) fn new(samples: Vec<Sample>) -> Self {
        let slots = Mutex::new(samples.iter().map(|_| None).collect());
        Self { samples, slots }
    }

    /// Fills one slot.
    pub(crate) fn fill(&self, slot: usize, outcome: Result<Square, String>) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)[slot] = Some(outcome);
    }

    /// The images that were read.
    pub(crate) fn into_batch(self, transform: &Transform) -> ImageBatch {
        let slots = self.slots.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut squares = Vec::with_capacity(slots.len());
        let mut image_indices = Vec::with_capacity(slots.len());
        let mut failures = Vec::new();
        for (sample, outcome) in self.samples.iter().zip(slots) {
            match outcome {
                Some(Ok(square)) => {
                    squares.push(square);
                    image_indices.push(sample.image_index);
                }
                Some(Err(reason)) => failures.push((sample.image_index, reason)),
                None => failures.push((sample.image_index, "it was not read".into())),
            }
        }
        let (size, normalization) = (transform.size(), transform.normalization());
        ImageBatch { squares, normalization, size, image_indices, failures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_in_the_order_of_the_plan_without_those_that_failed() {
        let samples = [7, 8, 9, 5].map(|image_index| Sample { image_index, augmentation_seed: 0, crop: 0 });
        let normalization = Normalization { mean: [0.0; 3], std: [1.0 / 255.0; 3] };
        let transform = Transform::Center { resize: 1, size: 1, normalization };
        let buffer = BatchBuffer::new(samples.to_vec());
        let square = |pixels: [u8; 3]| Ok(Square { pixels: pixels.to_vec(), flip: false });
        buffer.fill(3, square([30, 31, 32]));
        buffer.fill(0, Err("empty".into()));
        buffer.fill(1, square([10, 11, 12]));
        buffer.fill(2, Err("broken".into()));
        let batch = buffer.into_batch(&transform);
        assert_eq!(batch.pixels(), [10.0, 11.0, 12.0, 30.0, 31.0, 32.0]);
        assert_eq!(batch.image_indices, [8, 5]);
        assert_eq!(batch.failures, [(7, "empty".into()), (9, "broken".into())]);
        let mut first = batch;
        let second = first.split_off(1);
        assert_eq!((first.pixels(), first.image_indices), (vec![10.0, 11.0, 12.0], vec![8]));
        assert_eq!((second.pixels(), second.image_indices), (vec![30.0, 31.0, 32.0], vec![5]));
    }
}
