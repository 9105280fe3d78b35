//! Memory budget shared by all decoders of the process.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Memory of all decoders and the images they hand out to the loader, in bytes: 1.5 GiB.
///
/// Twenty photographs of 24 megapixels are decoded at once within it (72 MB each), or two of the largest
/// images that are read unless set otherwise. An image that needs more than this alone is decoded when no
/// other is.
const DECODER_BYTES: u64 = 3 << 29;

/// The budget of this process.
pub(crate) static DECODER_MEMORY: MemoryBudget = MemoryBudget::new(DECODER_BYTES);

/// A memory budget granted in the order of requests, so that large requests are
/// not delayed forever. A thread that holds a share must not ask for another.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    state: Mutex<State>,
    /// Signalled when memory was given back or the next in line may ask.
    changed: Condvar,
    max_bytes: u64,
}

#[derive(Debug)]
struct State {
    lent_bytes: u64,
    /// Number of the next request.
    next_number: u64,
    /// Number of the request whose turn it is.
    turn: u64,
}

impl MemoryBudget {
    pub(crate) const fn new(max_bytes: u64) -> Self {
        let state = State { lent_bytes: 0, next_number: 0, turn: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new(), max_bytes }
    }

    /// Waits until `num_bytes` fit beside what is lent, or nothing is lent.
    pub(crate) fn borrow(&self, num_bytes: u64) -> MemoryShare<'_> {
        let mut state = self.lock();
        let number = state.next_number;
        state.next_number += 1;
        let fits = |state: &State| {
            state.lent_bytes == 0 || state.lent_bytes.saturating_add(num_bytes) <= self.max_bytes
        };
        while state.turn != number || !fits(&state) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.turn += 1;
        state.lent_bytes = state.lent_bytes.saturating_add(num_bytes);
        drop(state);
        self.changed.notify_all();
        MemoryShare { budget: self, num_bytes }
    }

    fn give_back(&self, num_bytes: u64) {
        let mut state = self.lock();
        state.lent_bytes = state.lent_bytes.saturating_sub(num_bytes);
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory that was granted; dropping it returns it.
#[derive(Debug)]
pub(crate) struct MemoryShare<'a> {
    budget: &'a MemoryBudget,
    num_bytes: u64,
}

impl MemoryShare<'_> {
    /// Gives back all but `num_bytes`.
    pub(crate) fn shrink_to(&mut self, num_bytes: u64) {
        if num_bytes < self.num_bytes {
            self.budget.give_back(self.num_bytes - num_bytes);
            self.num_bytes = num_bytes;
        }
    }
}

impl Drop for MemoryShare<'_> {
    fn drop(&mut self) {
        self.budget.give_back(self.num_bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_is_lent_than_there_is_and_everyone_gets_a_share() {
        let budget = MemoryBudget::new(100);
        let (lent, most) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (budget, lent, most) = (&budget, &lent, &most);
                scope.spawn(move || {
                    for turn in 0..50 {
                        let num_bytes = 1 + (thread * 37 + turn * 11) % 100;
                        let mut share = budget.borrow(num_bytes);
                        most.fetch_max(
                            lent.fetch_add(num_bytes, Ordering::SeqCst) + num_bytes,
                            Ordering::SeqCst,
                        );
                        thread::yield_now();
                        lent.fetch_sub(num_bytes, Ordering::SeqCst);
                        share.shrink_to(num_bytes / 2);
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 100);
        assert_eq!(budget.lock().lent_bytes, 0);
    }

    #[test]
    fn more_than_there_is_is_lent_to_one_alone() {
        let budget = MemoryBudget::new(100);
        let large = budget.borrow(u64::MAX);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(budget.borrow(1)));
            thread::sleep(Duration::from_millis(50));
            assert!(!waiting.is_finished());
            drop(large);
            waiting.join().unwrap();
        });
        assert_eq!(budget.lock().lent_bytes, 0);
    }

    #[test]
    fn a_large_share_is_not_passed_over() {
        let budget = MemoryBudget::new(100);
        let first = budget.borrow(60);
        thread::scope(|scope| {
            let large = scope.spawn(|| drop(budget.borrow(90)));
            while budget.lock().next_number < 2 {
                thread::yield_now();
            }
            let small = scope.spawn(|| drop(budget.borrow(10)));
            thread::sleep(Duration::from_millis(50));
            assert!(!large.is_finished() && !small.is_finished());
            drop(first);
            large.join().unwrap();
            small.join().unwrap();
        });
    }
}
