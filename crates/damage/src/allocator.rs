//! How much memory a piece of code takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, which counts by thread what is held, whether or not it is ever touched.
#[derive(Debug)]
pub struct CountingAllocator;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// The result of `code`, and the most bytes that its thread held beyond those of before. Without a
/// [`CountingAllocator`] these are 0.
pub fn peak_allocation<T>(code: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = code();
    (result, usize::try_from(PEAK.get() - before).unwrap_or(0))
}

/// A thread that ends has no counters any more.
fn count(num_bytes: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + num_bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator;

    #[test]
    fn memory_that_is_freed_or_never_touched_counts() {
        let (_, bytes) = peak_allocation(|| {
            drop(vec![1_u8; 5000]);
            vec![0_u8; 3000]
        });
        assert_eq!(bytes, 5000);
        let (_, bytes) = peak_allocation(|| vec![0_u8; 100 << 30].len());
        assert_eq!(bytes, 100 << 30);
        assert_eq!(peak_allocation(|| ()).1, 0);
    }
}
