//! Instruction sets, and the inner loops of the scan: a few rows against a few columns at a time, in the
//! widest registers of the processor.
//!
//! The columns, which are centroids or database rows, lie in *panels* of [`PANEL`]: value by value (in single
//! precision) or four values by four values (in integers), those of all columns of the panel side by side.

#[cfg(target_arch = "x86_64")]
mod f32_avx2;
#[cfg(target_arch = "x86_64")]
mod f32_avx512;
#[cfg(target_arch = "aarch64")]
mod f32_neon;
#[cfg(target_arch = "x86_64")]
mod int8_vnni;
mod scalar;

use std::sync::LazyLock;

/// Rows of a tile.
pub(crate) const TILE_ROWS: usize = 12;

/// Columns of a panel.
pub(crate) const PANEL: usize = 32;

/// Inner products of the rows of a tile with the columns of a panel.
pub(crate) type TileProducts = [[f32; PANEL]; TILE_ROWS];

/// A tile in single precision: `out[i][j] = sum_l rows[i][l] * panel[l][j]`, summed in any order.
#[derive(Debug)]
pub(crate) struct F32Tile<'a> {
    /// `[TILE_ROWS, dim]`.
    pub(crate) rows: &'a [f32],
    /// `[dim, PANEL]`.
    pub(crate) panel: &'a [f32],
}

/// A tile in 8-bit integers. With `p = starts[i] + sum_l rows[i][l] * panel[l][j]`, which is exact, the score
/// is
///
/// ```text
/// score[i][j] = squared_norms[j] - double_scales[i] * (p * scales[j])
/// ```
///
/// A bit of the mask is set where it is at most `limits[i]`; other scores need not be written.
#[derive(Debug)]
pub(crate) struct Int8Tile<'a> {
    /// `[TILE_ROWS, row_len]` with a `row_len` that is a multiple of 4.
    pub(crate) rows: &'a [i8],
    /// `[row_len / 4, PANEL, 4]`.
    pub(crate) panel: &'a [u8],
    pub(crate) starts: &'a [i32; TILE_ROWS],
    pub(crate) double_scales: &'a [f32; TILE_ROWS],
    pub(crate) limits: &'a [f32; TILE_ROWS],
    pub(crate) scales: &'a [f32; PANEL],
    pub(crate) squared_norms: &'a [f32; PANEL],
}

/// The result of an [`Int8Tile`].
#[derive(Debug, Clone, Default)]
pub(crate) struct TileScores {
    pub(crate) scores: [[f32; PANEL]; TILE_ROWS],
    /// One bit for each column of the first and of the second half of the panel.
    pub(crate) masks: [[u16; 2]; TILE_ROWS],
    /// One bit for each row with any.
    pub(crate) rows: u32,
}

impl F32Tile<'_> {
    /// The length of a row, checked against the length of both sides.
    fn dim(&self) -> usize {
        let dim = self.panel.len() / PANEL;
        assert!(self.rows.len() == TILE_ROWS * dim && self.panel.len() == PANEL * dim);
        dim
    }
}

/// Instruction sets that inner loops are compiled for; all give the same results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// AVX-512 with VNNI: has a kernel for integers.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Scalar,
}

impl Instructions {
    /// The best that this processor has.
    pub(crate) fn best() -> Self {
        static BEST: LazyLock<Instructions> = LazyLock::new(|| Instructions::available()[0]);
        *BEST
    }

    /// All that this processor has, the best first.
    pub(crate) fn available() -> Vec<Self> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw");
            if avx512 && is_x86_feature_detected!("avx512vnni") {
                available.push(Self::Avx512Vnni);
            }
            if avx512 {
                available.push(Self::Avx512);
            }
            if avx2 {
                available.push(Self::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            available.push(Self::Neon);
        }
        available.push(Self::Scalar);
        available
    }

    /// Whether integers are scanned faster than single precision.
    pub(crate) fn has_int8(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => true,
            _ => false,
        }
    }

    /// Inner products of a tile.
    pub(crate) fn f32_tile(self, tile: &F32Tile<'_>, out: &mut TileProducts) {
        match self {
            // SAFETY: a value of this enum other than `Scalar` comes from `available`, which asks the
            // processor.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni | Self::Avx512 => unsafe { f32_avx512::f32_tile(tile, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { f32_avx2::f32_tile(tile, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => unsafe { f32_neon::f32_tile(tile, out) },
            Self::Scalar => scalar::f32_tile(tile, out),
        }
    }

    /// Scores of a tile of integers.
    pub(crate) fn int8_tile(self, tile: &Int8Tile<'_>, out: &mut TileScores) {
        match self {
            // SAFETY: a value of this enum other than `Scalar` comes from `available`, which asks the
            // processor.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => unsafe { int8_vnni::int8_tile(tile, out) },
            _ => scalar::int8_tile(tile, out),
        }
    }

    /// Runs `work`, compiled for these instructions as far as it is inlined here.
    #[inline(always)]
    pub(crate) fn compile_for<R>(self, work: impl FnOnce() -> R) -> R {
        match self {
            // SAFETY: a value of this enum other than `Scalar` comes from `available`, which asks the
            // processor.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni | Self::Avx512 => unsafe { with_avx512(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { with_avx2(work) },
            _ => work(),
        }
    }
}

/// # Safety
/// The processor has these features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
unsafe fn with_avx512<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// # Safety
/// The processor has these features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn every_f32_kernel_agrees_with_the_plain_one() {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        for dim in [1, 2, 7, 16, 33, 256] {
            let mut values =
                |count| -> Vec<f32> { (0..count).map(|_| generator.random_range(-1.0..1.0)).collect() };
            let (rows, panel) = (values(TILE_ROWS * dim), values(PANEL * dim));
            let tile = F32Tile { rows: &rows, panel: &panel };
            let mut expected = [[0.0; PANEL]; TILE_ROWS];
            Instructions::Scalar.f32_tile(&tile, &mut expected);
            for instructions in Instructions::available() {
                let mut products = [[f32::NAN; PANEL]; TILE_ROWS];
                instructions.f32_tile(&tile, &mut products);
                for (product, expected) in products.iter().flatten().zip(expected.iter().flatten()) {
                    // Sums of `dim` products of up to 1 in another order.
                    let tolerance = dim as f32 * f32::EPSILON;
                    assert!((product - expected).abs() <= tolerance, "{instructions:?}, dim {dim}");
                }
            }
        }
    }

    #[test]
    fn every_int8_kernel_agrees_with_the_plain_one_at_the_ends_of_the_range() {
        let mut generator = ChaCha8Rng::seed_from_u64(2);
        for row_len in [4, 8, 36, 256, 1024] {
            for extreme in [false, true] {
                let mut byte = || if extreme { generator.random::<bool>() } else { true };
                let mut rows = vec![0_i8; TILE_ROWS * row_len];
                let mut panel = vec![0_u8; PANEL * row_len];
                if extreme {
                    rows.iter_mut().for_each(|value| *value = if byte() { 127 } else { -127 });
                    panel.iter_mut().for_each(|value| *value = if byte() { 255 } else { 1 });
                } else {
                    rows.iter_mut().for_each(|value| *value = generator.random_range(-127..=127));
                    panel.iter_mut().for_each(|value| *value = generator.random_range(1..=255));
                }
                // Powers of two, so that the scores are exact and equal limits are met.
                let starts: [i32; TILE_ROWS] = std::array::from_fn(|row| row as i32 * 1000 - 5000);
                let limits: [f32; TILE_ROWS] = std::array::from_fn(|row| 64.0 * row as f32 - 300.0);
                let tile = Int8Tile {
                    rows: &rows,
                    panel: &panel,
                    starts: &starts,
                    double_scales: &[0.125; TILE_ROWS],
                    limits: &limits,
                    scales: &std::array::from_fn(|column| if column % 2 == 0 { 0.5 } else { 0.03125 }),
                    squared_norms: &std::array::from_fn(
                        |column| if column == 31 { f32::INFINITY } else { 2.0 },
                    ),
                };
                let mut expected = TileScores::default();
                Instructions::Scalar.int8_tile(&tile, &mut expected);
                for instructions in Instructions::available() {
                    let mut found = TileScores::default();
                    instructions.int8_tile(&tile, &mut found);
                    assert_eq!(found.masks, expected.masks, "{instructions:?}, row_len {row_len}");
                    assert_eq!(found.rows, expected.rows);
                    for row in 0..TILE_ROWS {
                        for column in 0..PANEL {
                            if expected.masks[row][column / 16] >> (column % 16) & 1 == 1 {
                                assert_eq!(found.scores[row][column], expected.scores[row][column]);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_plain_kernels_give_hand_computed_values() {
        let mut rows = [0.0; TILE_ROWS * 2];
        rows[2..4].copy_from_slice(&[3.0, -1.0]);
        let mut panel = [0.0; PANEL * 2];
        (panel[5], panel[PANEL + 5]) = (10.0, 4.0);
        let mut products = [[0.0; PANEL]; TILE_ROWS];
        Instructions::Scalar.f32_tile(&F32Tile { rows: &rows, panel: &panel }, &mut products);
        // 3 * 10 - 1 * 4
        assert_eq!(products[1][5], 26.0);

        let mut rows = [0_i8; TILE_ROWS * 4];
        rows[4..8].copy_from_slice(&[3, -1, 0, 2]);
        let mut panel = [128_u8; PANEL * 4];
        panel[5 * 4..6 * 4].copy_from_slice(&[138, 132, 200, 127]);
        let mut scores = TileScores::default();
        let tile = Int8Tile {
            rows: &rows,
            panel: &panel,
            starts: &std::array::from_fn(|row| if row == 1 { -128 * 4 } else { 0 }),
            double_scales: &[2.0; TILE_ROWS],
            limits: &[0.0; TILE_ROWS],
            scales: &[0.5; PANEL],
            squared_norms: &[7.0; PANEL],
        };
        Instructions::Scalar.int8_tile(&tile, &mut scores);
        // 3 * 10 - 1 * 4 + 2 * -1 = 24; 7 - 2 * (24 * 0.5) = -17
        assert_eq!(scores.scores[1][5], -17.0);
        assert_eq!((scores.masks[1], scores.rows), ([1 << 5, 0], 1 << 1));
    }
}
