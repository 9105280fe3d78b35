//! How fast the processor multiplies and adds single-precision numbers when nothing has to be loaded.

/// Billions of floating-point operations per second of `threads` threads together; `None` on processors
/// without a loop for them here.
pub fn peak_gflops(threads: usize) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    {
        x86::peak_gflops(threads)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = threads;
        None
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;
    use std::time::Instant;

    /// Independent sums, enough to hide the latency of the instruction and few enough to stay in registers.
    const NUM_SUMS: usize = 12;
    const NUM_ROUNDS: usize = 50_000_000;

    pub(super) fn peak_gflops(threads: usize) -> Option<f64> {
        // SAFETY: each loop is chosen only where the processor has its instructions.
        let (rounds, lanes): (fn(), usize) = if is_x86_feature_detected!("avx512f") {
            (|| unsafe { rounds_avx512() }, 16)
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            (|| unsafe { rounds_avx2() }, 8)
        } else {
            return None;
        };
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(rounds);
            }
        });
        let operations = (threads * NUM_ROUNDS * NUM_SUMS * lanes * 2) as f64;
        Some(operations / start.elapsed().as_secs_f64() / 1e9)
    }

    #[target_feature(enable = "avx512f")]
    fn rounds_avx512() {
        let (factor, term) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(1.0)));
        let mut sums = [_mm512_setzero_ps(); NUM_SUMS];
        for _ in 0..NUM_ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, term);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    fn rounds_avx2() {
        let (factor, term) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(1.0)));
        let mut sums = [_mm256_setzero_ps(); NUM_SUMS];
        for _ in 0..NUM_ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, term);
            }
        }
        black_box(sums);
    }
}
