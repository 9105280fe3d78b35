//! The order of work between the threads that read images and the caller that takes batches.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::loader::batch::{BatchBuffer, Sample};

/// Hands out single images in the order of the plan, and finished batches in the same order.
#[derive(Debug)]
pub(crate) struct WorkQueue {
    state: Mutex<State>,
    /// Signalled when there may be an image to read or a reason to stop.
    work_changed: Condvar,
    /// Signalled when the batch that is next may be finished.
    batch_finished: Condvar,
    max_batches: usize,
}

#[derive(Debug)]
struct State {
    /// Batches that are not begun.
    plan: VecDeque<Vec<Sample>>,
    /// Batches that are begun and not taken by the caller, at most `max_batches`, in the order of the plan.
    begun: VecDeque<Begun>,
    /// Number of batches the caller has taken, which is the number in the plan of the first in `begun`.
    num_taken: usize,
    stopped: bool,
}

#[derive(Debug)]
struct Begun {
    buffer: Arc<BatchBuffer>,
    /// First slot that no thread has taken.
    next_slot: usize,
    num_filled: usize,
}

/// One image to be read.
pub(crate) struct Task {
    /// Number of the batch in the plan.
    batch_number: usize,
    pub(crate) buffer: Arc<BatchBuffer>,
    pub(crate) slot: usize,
}

impl WorkQueue {
    pub(crate) fn new(plan: Vec<Vec<Sample>>, max_batches: usize) -> Self {
        let state = State { plan: plan.into(), begun: VecDeque::new(), num_taken: 0, stopped: false };
        Self {
            state: Mutex::new(state),
            work_changed: Condvar::new(),
            batch_finished: Condvar::new(),
            max_batches,
        }
    }

    /// Waits for an image to read; `None` once there will be none.
    pub(crate) fn next_task(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(task) = self.take_task(&mut state) {
                return Some(task);
            }
            if state.plan.is_empty() {
                return None;
            }
            state = self.work_changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`WorkQueue::next_task`], but `None` also if there is nothing to do just now.
    pub(crate) fn try_next_task(&self) -> Option<Task> {
        self.take_task(&mut self.lock())
    }

    /// Notes that the slot of a task is filled.
    pub(crate) fn finish(&self, task: Task) {
        let Task { batch_number, buffer, .. } = task;
        // Whoever takes the finished batch must be its only owner.
        drop(buffer);
        let mut state = self.lock();
        let position = batch_number - state.num_taken;
        if let Some(batch) = state.begun.get_mut(position) {
            batch.num_filled += 1;
            if position == 0 && batch.is_finished() {
                self.batch_finished.notify_all();
            }
        }
    }

    /// Waits for the next batch of the plan if `wait` is set; `None` after the last one, or if it is not
    /// finished.
    pub(crate) fn take_batch(&self, wait: bool) -> Option<BatchBuffer> {
        let mut state = self.lock();
        loop {
            if state.begun.front().is_some_and(Begun::is_finished) {
                let batch = state.begun.pop_front()?;
                state.num_taken += 1;
                self.work_changed.notify_all();
                return Arc::into_inner(batch.buffer);
            }
            if !wait || (state.begun.is_empty() && state.plan.is_empty()) {
                return None;
            }
            state = self.batch_finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Number of batches that are not taken.
    pub(crate) fn num_left(&self) -> usize {
        let state = self.lock();
        state.plan.len() + state.begun.len()
    }

    /// Lets every thread return after the image it is at.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.work_changed.notify_all();
    }

    fn take_task(&self, state: &mut State) -> Option<Task> {
        loop {
            let num_taken = state.num_taken;
            for (position, batch) in state.begun.iter_mut().enumerate() {
                if batch.next_slot < batch.buffer.samples.len() {
                    let slot = batch.next_slot;
                    batch.next_slot += 1;
                    let buffer = batch.buffer.clone();
                    return Some(Task { batch_number: num_taken + position, buffer, slot });
                }
            }
            if state.begun.len() >= self.max_batches {
                return None;
            }
            let samples = state.plan.pop_front()?;
            // A batch without samples is finished at once.
            if samples.is_empty() {
                self.batch_finished.notify_all();
            }
            let buffer = Arc::new(BatchBuffer::new(samples));
            state.begun.push_back(Begun { buffer, next_slot: 0, num_filled: 0 });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Begun {
    fn is_finished(&self) -> bool {
        self.num_filled == self.buffer.samples.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(sizes: &[usize]) -> Vec<Vec<Sample>> {
        let sample = |image_index| Sample { image_index, augmentation_seed: 0, crop: 0 };
        sizes.iter().map(|&size| (0..size).map(sample).collect()).collect()
    }

    #[test]
    fn no_batch_is_begun_beyond_the_bound() {
        let queue = WorkQueue::new(plan(&[1, 2, 1]), 2);
        let mut tasks: Vec<Task> = std::iter::from_fn(|| queue.try_next_task()).collect();
        let begun: Vec<(usize, usize)> = tasks.iter().map(|task| (task.batch_number, task.slot)).collect();
        assert_eq!(begun, [(0, 0), (1, 0), (1, 1)]);
        assert_eq!(queue.num_left(), 3);

        // The second batch is finished first and still waits for the first.
        queue.finish(tasks.remove(1));
        queue.finish(tasks.remove(1));
        assert!(queue.take_batch(false).is_none());
        queue.finish(tasks.remove(0));
        assert_eq!(queue.take_batch(true).unwrap().samples.len(), 1);
        let task = queue.try_next_task().unwrap();
        assert_eq!(task.batch_number, 2);
        queue.finish(task);
        assert_eq!(queue.take_batch(true).unwrap().samples.len(), 2);
        assert_eq!(queue.take_batch(true).unwrap().samples.len(), 1);
        assert!(queue.take_batch(true).is_none() && queue.next_task().is_none());
    }

    #[test]
    fn batches_without_samples_are_finished_at_once() {
        let queue = WorkQueue::new(plan(&[0, 0, 1]), 4);
        assert_eq!(queue.try_next_task().unwrap().batch_number, 2);
        assert!(queue.take_batch(true).is_some() && queue.take_batch(true).is_some());
        assert!(queue.take_batch(false).is_none());
    }

    #[test]
    fn a_stopped_queue_hands_out_nothing() {
        let queue = WorkQueue::new(plan(&[3]), 4);
        queue.stop();
        assert!(queue.next_task().is_none());
    }
}
