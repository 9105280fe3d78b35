//! Memory that the allocator keeps.

/// Cores whose threads take their memory from the same pool.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const CORES_OF_A_POOL: usize = 8;

/// Lets the allocator of the C library keep large blocks that are freed, instead of giving them back to the
/// system, which must clear every page of them before it hands them out again: a training step frees and
/// takes its tensors over and over. Threads share what is kept. Call it once, where a program begins. It does
/// nothing where the C library is not glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let num_cores = std::thread::available_parallelism().map_or(1, usize::from);
        let num_pools = num_cores.div_ceil(CORES_OF_A_POOL).try_into().unwrap_or(libc::c_int::MAX);
        // SAFETY: mallopt only sets parameters of the allocator, under its lock.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
            libc::mallopt(libc::M_ARENA_MAX, num_pools);
        }
    }
}

/// Gives back what the allocator has kept, as between two phases that need memory in blocks of other sizes.
/// It does nothing where the C library is not glibc.
pub fn release_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: malloc_trim takes the lock of each arena and gives back pages that no block lies in.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
