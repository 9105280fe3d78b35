//! The iterator over the batches of a plan.

use std::iter::FusedIterator;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::loader::batch::{ImageBatch, Sample};
use crate::loader::image_reader::ImageReader;
use crate::loader::work_queue::{Task, WorkQueue};
use crate::view::resize::Resampler;

/// The batches of a plan, in its order; made by [`Loader::batches`](crate::Loader::batches).
///
/// Threads read ahead until it is dropped.
#[derive(Debug)]
pub struct Batches {
    queue: Arc<WorkQueue>,
    reader: Arc<ImageReader>,
    workers: Vec<JoinHandle<()>>,
}

impl Batches {
    pub(crate) fn start(
        reader: ImageReader,
        plan: Vec<Vec<Sample>>,
        num_workers: usize,
        max_batches: usize,
    ) -> Self {
        let num_images: usize = plan.iter().map(Vec::len).sum();
        let queue = Arc::new(WorkQueue::new(plan, max_batches));
        let mut batches = Self { queue, reader: Arc::new(reader), workers: Vec::new() };
        for _ in 0..num_workers.min(num_images) {
            let (queue, reader) = (batches.queue.clone(), batches.reader.clone());
            let work = move || {
                let mut resampler = Resampler::default();
                while let Some(task) = queue.next_task() {
                    perform(task, &queue, &reader, &mut resampler);
                }
            };
            match thread::Builder::new().name("image-reader".into()).spawn(work) {
                Ok(worker) => batches.workers.push(worker),
                Err(error) => {
                    log::warn!("only {} threads read images: {error}", batches.workers.len());
                    break;
                }
            }
        }
        batches
    }

    /// For want of threads the caller reads the images of the next batch itself.
    fn work_without_threads(&self) {
        let mut resampler = Resampler::default();
        while let Some(task) = self.queue.try_next_task() {
            perform(task, &self.queue, &self.reader, &mut resampler);
        }
    }
}

impl Iterator for Batches {
    type Item = ImageBatch;

    fn next(&mut self) -> Option<ImageBatch> {
        let buffer = match self.queue.take_batch(!self.workers.is_empty()) {
            Some(buffer) => buffer,
            None if self.workers.is_empty() => {
                self.work_without_threads();
                self.queue.take_batch(false)?
            }
            None => return None,
        };
        Some(buffer.into_batch(self.reader.transform()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let num_left = self.queue.num_left();
        (num_left, Some(num_left))
    }
}

impl ExactSizeIterator for Batches {}

impl FusedIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        self.queue.stop();
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                log::warn!("a thread that reads images ended with a panic");
            }
        }
    }
}

fn perform(task: Task, queue: &WorkQueue, reader: &ImageReader, resampler: &mut Resampler) {
    let outcome = reader.read(task.buffer.samples[task.slot], resampler);
    task.buffer.fill(task.slot, outcome);
    queue.finish(task);
}
