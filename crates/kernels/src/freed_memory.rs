//! Memory that the allocator keeps.

/// Lets the allocator of the C library keep large blocks that are freed, instead of giving them back to the system, which must
/// clear every page of them before it hands them out again: a training step frees and takes its tensors over and over. Call it
/// once, where a program begins. It does nothing where the C library is not glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt only sets two numbers of the allocator, and takes its lock for it.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}
