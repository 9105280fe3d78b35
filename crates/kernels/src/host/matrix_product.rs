//! Products of small matrices of 32-bit numbers on one thread.
//!
//! Every element of a product is a sum in an order that depends on the inner index alone, so that its bits do
//! not depend on how rows and columns are cut into pieces.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

/// Most rows of the right matrix that are multiplied at a time, so that a panel of them stays in the first
/// cache.
const MOST_INNER: usize = 256;
/// Most products that are added up one after the other: the error of a sum grows with their number.
const MOST_IN_A_SUM: usize = 32;

/// The widest panel of any processor.
const MOST_PANEL_WIDTH: usize = 32;

/// Rows of the left matrix whose addresses are computed from one pointer.
const ROW_GROUP: usize = 3;

/// A matrix in a slice: element `(i, j)` lies at `i * row_step + j * column_step`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) row_step: usize,
    pub(crate) column_step: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other, `row_step` apart.
    pub(crate) fn rows(values: &'a [f32], row_step: usize) -> Self {
        Self { values, row_step, column_step: 1 }
    }

    pub(crate) fn transposed(self) -> Self {
        Self { row_step: self.column_step, column_step: self.row_step, ..self }
    }

    /// Whether all elements of `rows x columns` lie in the slice.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0
            || columns == 0
            || (rows - 1) * self.row_step + (columns - 1) * self.column_step < self.values.len()
    }
}

/// Columns of the right matrix that lie together: as many as the registers of the processor hold beside the
/// sums.
pub(crate) fn panel_width() -> usize {
    struct PanelWidth;
    impl WithSimd for PanelWidth {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            if S::F32_LANES == 16 { 32 } else { 16 }
        }
    }
    Arch::new().dispatch(PanelWidth)
}

/// Values of `inner` rows of `columns` columns in panels: `[columns / panel_width(), inner, panel_width()]`,
/// the last filled with zeros.
pub(crate) fn panels_len(inner: usize, columns: usize) -> usize {
    columns.next_multiple_of(panel_width()) * inner
}

/// Lays the `inner x columns` elements of `matrix` out in panels, see [`panels_len`].
pub(crate) fn pack(matrix: Matrix<'_>, inner: usize, columns: usize, panels: &mut [f32]) {
    assert!(matrix.holds(inner, columns) && panels.len() == panels_len(inner, columns));
    if inner == 0 {
        return;
    }
    let panel_width = panel_width();
    for (index, panel) in panels.chunks_exact_mut(inner * panel_width).enumerate() {
        let first = index * panel_width;
        let width = panel_width.min(columns - first);
        if matrix.column_step == 1 {
            for (row, target) in panel.chunks_exact_mut(panel_width).enumerate() {
                let start = row * matrix.row_step + first;
                target[..width].copy_from_slice(&matrix.values[start..start + width]);
                target[width..].fill(0.0);
            }
        } else {
            for column in 0..panel_width {
                let targets = panel[column..].iter_mut().step_by(panel_width);
                if column < width {
                    let source = &matrix.values[(first + column) * matrix.column_step..];
                    targets.zip(source.iter().step_by(matrix.row_step)).for_each(|(to, from)| *to = *from);
                } else {
                    targets.for_each(|to| *to = 0.0);
                }
            }
        }
    }
}

/// A matrix in panels, see [`pack`], that begin `step` values apart.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) step: usize,
}

impl<'a> Panels<'a> {
    /// Panels of `inner` rows one after the other.
    pub(crate) fn packed(values: &'a [f32], inner: usize) -> Self {
        Self { values, step: inner * panel_width() }
    }

    fn hold(&self, inner: usize, columns: usize) -> bool {
        let (width, num_panels) = (panel_width(), columns.div_ceil(panel_width()));
        inner * width <= self.step && (num_panels - 1) * self.step + inner * width <= self.values.len()
    }
}

/// `target = left * right`, `rows x columns`, or added to `target` with `add`. `right` has `inner` rows;
/// `target` has rows in steps of `target_step`.
pub(crate) fn multiply(
    [rows, columns, inner]: [usize; 3],
    left: Matrix<'_>,
    right: Panels<'_>,
    target: &mut [f32],
    target_step: usize,
    add: bool,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(left.holds(rows, inner) && right.hold(inner, columns));
    assert!(target_step >= columns || rows == 1);
    assert!((rows - 1) * target_step + columns <= target.len());
    if inner == 0 {
        if !add {
            target.chunks_mut(target_step.max(columns)).take(rows).for_each(|row| row[..columns].fill(0.0));
        }
        return;
    }
    Arch::new().dispatch(Product { rows, columns, inner, left, right, target, target_step, add });
}

struct Product<'a> {
    rows: usize,
    columns: usize,
    inner: usize,
    left: Matrix<'a>,
    right: Panels<'a>,
    target: &'a mut [f32],
    target_step: usize,
    add: bool,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.in_blocks::<S, 4, 2>(simd),
            8 => self.in_blocks::<S, 2, 2>(simd),
            4 => self.in_blocks::<S, 2, 4>(simd),
            _ => self.plain(),
        }
    }
}

impl Product<'_> {
    /// Blocks of `GROUPS * ROW_GROUP` rows and a panel of `VECTORS` vectors stay in registers.
    #[inline(always)]
    fn in_blocks<S: Simd, const GROUPS: usize, const VECTORS: usize>(self, simd: S) {
        let panel_width = VECTORS * S::F32_LANES;
        let target = self.target.as_mut_ptr();
        let num_parts = self.inner.div_ceil(MOST_INNER).max(1);
        let per_part = self.inner.div_ceil(num_parts);
        for part in 0..num_parts {
            let inner = part * per_part..((part + 1) * per_part).min(self.inner);
            for column in (0..self.columns).step_by(panel_width) {
                let width = panel_width.min(self.columns - column);
                let mut row = 0;
                while row < self.rows {
                    let height = (GROUPS * ROW_GROUP).min(self.rows - row);
                    for first in inner.clone().step_by(MOST_IN_A_SUM) {
                        let inner = first..(first + MOST_IN_A_SUM).min(inner.end);
                        let place = Place { row, height, column, width, inner, add: self.add || first > 0 };
                        // SAFETY: `multiply` has checked that the three matrices hold `rows`, `columns` and
                        // `inner`, and the place lies within these.
                        unsafe {
                            match height.div_ceil(ROW_GROUP) {
                                1 => self.block::<S, 1, VECTORS>(simd, &place, target),
                                2 if GROUPS >= 2 => self.block::<S, 2, VECTORS>(simd, &place, target),
                                3 if GROUPS >= 3 => self.block::<S, 3, VECTORS>(simd, &place, target),
                                _ => self.block::<S, GROUPS, VECTORS>(simd, &place, target),
                            }
                        }
                    }
                    row += height;
                }
            }
        }
    }

    /// # Safety
    /// The place lies within the product, `height <= GROUPS * ROW_GROUP`, the matrices are as `multiply` has
    /// checked, and `target` is the start of the target.
    #[inline(always)]
    unsafe fn block<S: Simd, const GROUPS: usize, const VECTORS: usize>(
        &self,
        simd: S,
        place: &Place,
        target: *mut f32,
    ) {
        let Matrix { values, row_step, column_step } = self.left;
        let panel_width = VECTORS * S::F32_LANES;
        let is_full = place.height == GROUPS * ROW_GROUP && place.width == panel_width;
        // Rows beyond the last are computed from the last again, and not stored.
        let mut starts = [values.as_ptr(); GROUPS];
        let mut steps = [[row_step, 2 * row_step]; GROUPS];
        for group in 0..GROUPS {
            let row = (place.row + group * ROW_GROUP).min(place.row + place.height - 1);
            starts[group] = values[row * row_step + place.inner.start * column_step..].as_ptr();
            let left_over = place.row + place.height - 1 - row;
            if left_over < 2 {
                steps[group] = [row_step * left_over, row_step * left_over];
            }
        }
        let panel = &self.right.values[place.column / panel_width * self.right.step..];
        let mut right = panel[place.inner.start * panel_width..].as_ptr();
        let mut sums = [[[simd.splat_f32s(0.0); VECTORS]; ROW_GROUP]; GROUPS];
        for _ in place.inner.clone() {
            // SAFETY: a row of the panel, and an element of each row of the block.
            unsafe {
                let mut vectors = [simd.splat_f32s(0.0); VECTORS];
                for (index, vector) in vectors.iter_mut().enumerate() {
                    *vector = right.cast::<S::f32s>().add(index).read_unaligned();
                }
                for group in 0..GROUPS {
                    let start = starts[group];
                    let [second, third] = if is_full { [row_step, 2 * row_step] } else { steps[group] };
                    let scalars = [*start, *start.add(second), *start.add(third)];
                    for row in 0..ROW_GROUP {
                        let scalar = simd.splat_f32s(scalars[row]);
                        for index in 0..VECTORS {
                            let sum = &mut sums[group][row][index];
                            *sum = simd.mul_add_e_f32s(scalar, vectors[index], *sum);
                        }
                    }
                    starts[group] = start.wrapping_add(column_step);
                }
            }
            right = right.wrapping_add(panel_width);
        }
        // SAFETY: the block in the target.
        let target = unsafe { target.add(place.row * self.target_step + place.column) };
        if is_full {
            for (row, sums) in sums.iter().flatten().enumerate() {
                for (index, &sum) in sums.iter().enumerate() {
                    // SAFETY: the block is full.
                    unsafe {
                        let target = target.add(row * self.target_step).cast::<S::f32s>().add(index);
                        let before = if place.add { target.read_unaligned() } else { simd.splat_f32s(0.0) };
                        target.write_unaligned(simd.add_f32s(before, sum));
                    }
                }
            }
            return;
        }
        for row in 0..place.height {
            let mut values = [0.0_f32; MOST_PANEL_WIDTH];
            let vectors = S::as_mut_simd_f32s(&mut values).0;
            for (vector, &sum) in vectors.iter_mut().zip(&sums[row / ROW_GROUP][row % ROW_GROUP]) {
                *vector = sum;
            }
            for (column, value) in values.into_iter().take(place.width).enumerate() {
                // SAFETY: the row and column lie within the block.
                unsafe {
                    let target = target.add(row * self.target_step + column);
                    *target = if place.add { *target + value } else { value };
                }
            }
        }
    }

    fn plain(self) {
        for row in 0..self.rows {
            for column in 0..self.columns {
                let width = panel_width();
                let panel = &self.right.values[column / width * self.right.step + column % width..];
                let product = |k: usize| {
                    self.left.values[row * self.left.row_step + k * self.left.column_step] * panel[k * width]
                };
                let sum: f32 = (0..self.inner).map(product).sum();
                let target = &mut self.target[row * self.target_step + column];
                *target = if self.add { *target + sum } else { sum };
            }
        }
    }
}

/// A block of the product.
struct Place {
    row: usize,
    height: usize,
    column: usize,
    width: usize,
    inner: Range<usize>,
    add: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 200,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn products_are_those_of_sums_in_order(
            rows in 0_usize..40, columns in 0_usize..80, inner in 0_usize..50,
            gap in 0_usize..3, transposed in 0_usize..4, add in 0_usize..2, seed in 0_u64..1000,
        ) {
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            let mut random = |len: usize| -> Vec<f32> {
                (0..len).map(|_| generator.random_range(-1.0..1.0)).collect()
            };
            let left_values = random((rows + gap) * (inner + gap));
            let right_values = random((inner + gap) * (columns + gap));
            let before = random(rows * (columns + gap));
            let left = if transposed % 2 == 0 {
                Matrix::rows(&left_values, inner + gap)
            } else {
                Matrix::rows(&left_values, rows + gap).transposed()
            };
            let right = if transposed / 2 == 0 {
                Matrix::rows(&right_values, columns + gap)
            } else {
                Matrix::rows(&right_values, inner + gap).transposed()
            };
            let mut panels = vec![f32::NAN; panels_len(inner, columns)];
            pack(right, inner, columns, &mut panels);
            let mut target = before.clone();
            let panels = Panels::packed(&panels, inner);
            multiply([rows, columns, inner], left, panels, &mut target, columns + gap, add == 1);
            for row in 0..rows {
                for column in 0..columns + gap {
                    let place = row * (columns + gap) + column;
                    let element = |k: usize| {
                        f64::from(left.values[row * left.row_step + k * left.column_step])
                            * f64::from(right.values[k * right.row_step + column * right.column_step])
                    };
                    let expected = if column >= columns {
                        f64::from(before[place])
                    } else {
                        let sum: f64 = (0..inner).map(element).sum();
                        if add == 1 { sum + f64::from(before[place]) } else { sum }
                    };
                    prop_assert!((f64::from(target[place]) - expected).abs() < 1e-5, "{row} {column}");
                }
            }
        }
    }
}
