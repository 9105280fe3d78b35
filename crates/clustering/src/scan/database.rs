//! The rows that are searched, laid out for the kernels.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::quantize::{MAX_DIM, quantize, quantized_len};
use crate::rows::distance::squared_norm;
use crate::simd::{Instructions, PANEL};

/// Rows, such as centroids, prepared for a scan: finite, with sums of squares that leave distances in range.
#[derive(Debug)]
pub(crate) struct Database<'a> {
    values: &'a [f32],
    dim: usize,
    instructions: Instructions,
    /// `||c||^2` in single precision, padded to whole panels with infinity, so that padding is never near.
    pub(super) squared_norms: Vec<[f32; PANEL]>,
    /// The largest norm, not too small.
    pub(super) largest_norm: f32,
    pub(super) int8: Option<Int8Panels>,
    f32: OnceLock<Vec<f32>>,
    /// Rows whose integers left too many candidates, and rows seen: from which it follows whether integers
    /// pay.
    num_overflowed: AtomicUsize,
    num_scanned: AtomicUsize,
}

/// The rows in 8-bit integers.
#[derive(Debug)]
pub(super) struct Int8Panels {
    /// `[num_panels, row_len / 4, PANEL, 4]`, each integer plus 128.
    pub(super) values: Vec<u8>,
    pub(super) terms: Vec<PanelTerms>,
    pub(super) row_len: usize,
}

/// The terms of the scores of a panel and of their bounds.
#[derive(Debug, Clone)]
pub(super) struct PanelTerms {
    pub(super) scales: [f32; PANEL],
    pub(super) norms: [f32; PANEL],
    pub(super) errors: [f32; PANEL],
    /// The largest of `norms` and of `errors`.
    pub(super) largest_norm: f32,
    pub(super) largest_error: f32,
}

impl<'a> Database<'a> {
    /// Prepares `values`, `[num_rows, dim]`, at least one row, for a scan that begins with integers or not.
    pub(crate) fn new(values: &'a [f32], dim: usize, instructions: Instructions, use_int8: bool) -> Self {
        let squared_norms = values
            .par_chunks(PANEL * dim)
            .map(|rows| {
                let mut norms = [f32::INFINITY; PANEL];
                for (row, norm) in rows.chunks_exact(dim).zip(&mut norms) {
                    *norm = squared_norm(row) as f32;
                }
                norms
            })
            .collect::<Vec<_>>();
        let finite = squared_norms.iter().flatten().filter(|norm| norm.is_finite());
        let largest_norm = finite.fold(0.0, |largest: f32, &norm| largest.max(norm)).sqrt() * (1.0 + 1e-6);
        let int8 = (use_int8 && dim <= MAX_DIM).then(|| Int8Panels::new(values, dim));
        Self {
            values,
            dim,
            instructions,
            squared_norms,
            largest_norm,
            int8,
            f32: OnceLock::new(),
            num_overflowed: AtomicUsize::new(0),
            num_scanned: AtomicUsize::new(0),
        }
    }

    pub(crate) fn num_rows(&self) -> usize {
        self.values.len() / self.dim
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn instructions(&self) -> Instructions {
        self.instructions
    }

    pub(crate) fn row(&self, index: u32) -> &[f32] {
        &self.values[index as usize * self.dim..][..self.dim]
    }

    /// The panels in single precision, `[num_panels, dim, PANEL]`, made when they are first needed.
    pub(super) fn f32_panels(&self) -> &[f32] {
        // On one thread: one that waited here for others could meanwhile take up a scan that waits for this
        // initialisation, and all would wait forever.
        self.f32.get_or_init(|| {
            let mut panels = vec![0.0; self.squared_norms.len() * PANEL * self.dim];
            let with_rows = panels.chunks_mut(PANEL * self.dim).zip(self.values.chunks(PANEL * self.dim));
            for (panel, rows) in with_rows {
                for (column, row) in rows.chunks_exact(self.dim).enumerate() {
                    for (values, &value) in panel.as_chunks_mut::<PANEL>().0.iter_mut().zip(row) {
                        values[column] = value;
                    }
                }
            }
            panels
        })
    }

    /// The panels of integers, unless too many rows had to be scanned again in single precision.
    pub(super) fn int8_if_it_pays(&self) -> Option<&Int8Panels> {
        let (overflowed, scanned) =
            (self.num_overflowed.load(Ordering::Relaxed), self.num_scanned.load(Ordering::Relaxed));
        self.int8.as_ref().filter(|_| overflowed <= 64 || 4 * overflowed <= scanned)
    }

    pub(super) fn note_scan(&self, num_rows: usize, num_overflowed: usize) {
        self.num_scanned.fetch_add(num_rows, Ordering::Relaxed);
        self.num_overflowed.fetch_add(num_overflowed, Ordering::Relaxed);
    }
}

impl Int8Panels {
    fn new(values: &[f32], dim: usize) -> Self {
        let row_len = quantized_len(dim);
        let num_panels = (values.len() / dim).div_ceil(PANEL);
        let mut panels = vec![128; num_panels * PANEL * row_len];
        let terms = panels
            .par_chunks_mut(PANEL * row_len)
            .zip(values.par_chunks(PANEL * dim))
            .map_init(
                || vec![0; row_len],
                |integers, (panel, rows)| {
                    let mut terms = PanelTerms::default();
                    for (column, row) in rows.chunks_exact(dim).enumerate() {
                        let quantized = quantize(row, integers);
                        terms.scales[column] = quantized.scale;
                        terms.norms[column] = quantized.norm;
                        terms.errors[column] = quantized.error;
                        let groups = panel.chunks_exact_mut(4 * PANEL).zip(integers.as_chunks::<4>().0);
                        for (group, integers) in groups {
                            let column = &mut group[4 * column..][..4];
                            for (out, &integer) in column.iter_mut().zip(integers) {
                                *out = integer.wrapping_add(-128) as u8;
                            }
                        }
                    }
                    terms.largest_norm = terms.norms.into_iter().fold(0.0, f32::max);
                    terms.largest_error = terms.errors.into_iter().fold(0.0, f32::max);
                    terms
                },
            )
            .collect();
        Self { values: panels, terms, row_len }
    }
}

impl Default for PanelTerms {
    fn default() -> Self {
        Self {
            scales: [0.0; PANEL],
            norms: [0.0; PANEL],
            errors: [0.0; PANEL],
            largest_norm: 0.0,
            largest_error: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Threads of a pool that ask at once for the panels, many times over, all get them.
    #[test]
    fn panels_asked_for_by_all_threads_of_a_pool_do_not_block_them() {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(7).build().unwrap();
            let values: Vec<f32> = (0..PANEL * 40 * 8).map(|value| value as f32).collect();
            pool.install(|| {
                for _ in 0..3000 {
                    let database = Database::new(&values, 8, Instructions::best(), false);
                    let lengths = (0..64).into_par_iter().map(|_| database.f32_panels().len());
                    assert_eq!(lengths.sum::<usize>(), 64 * values.len());
                }
            });
            done.send(()).unwrap();
        });
        assert!(is_done.recv_timeout(Duration::from_secs(60)).is_ok(), "the threads wait for each other");
    }
}
