//! The lists of lowest scores that the units of a cube keep, one or two for each row.

use cubecl::prelude::*;

/// No entries yet.
#[cube]
pub(super) fn clear(best_scores: &mut Array<f32>, best_indices: &mut Array<i32>, #[comptime] count: usize) {
    #[unroll]
    for place in 0..count {
        best_scores[place] = f32::MAX;
        best_indices[place] = 0;
    }
}

/// Puts a score into a list in ascending order, which loses its last.
#[cube]
pub(super) fn insert(
    best_scores: &mut Array<f32>,
    best_indices: &mut Array<i32>,
    score: f32,
    index: i32,
    #[comptime] count: usize,
) {
    let mut carried_score = score;
    let mut carried_index = index;
    #[unroll]
    for place in 0..count {
        let (listed_score, listed_index) = (best_scores[place], best_indices[place]);
        if carried_score < listed_score {
            best_scores[place] = carried_score;
            best_indices[place] = carried_index;
            carried_score = listed_score;
            carried_index = listed_index;
        }
    }
}

/// The second list of each of `tile` rows joins the first, by way of shared memory, `[count, tile]`.
#[cube]
#[allow(clippy::too_many_arguments, reason = "kernels take numbers one by one")]
pub(super) fn join_second(
    best_scores: &mut Array<f32>,
    best_indices: &mut Array<i32>,
    shared_scores: &mut Shared<[f32]>,
    shared_indices: &mut Shared<[i32]>,
    list: usize,
    row: usize,
    #[comptime] tile: usize,
    #[comptime] count: usize,
) {
    sync_cube();
    if list == 1 {
        #[unroll]
        for place in 0..count {
            shared_scores[place * tile + row] = best_scores[place];
            shared_indices[place * tile + row] = best_indices[place];
        }
    }
    sync_cube();
    if list == 0 {
        #[unroll]
        for place in 0..count {
            let score = shared_scores[place * tile + row];
            if score < best_scores[count - 1] {
                insert(best_scores, best_indices, score, shared_indices[place * tile + row], count);
            }
        }
    }
}

/// Writes the list of a row.
#[cube]
pub(super) fn write(
    best_scores: &Array<f32>,
    best_indices: &Array<i32>,
    scores: &mut [f32],
    indices: &mut [i32],
    row: usize,
    #[comptime] count: usize,
) {
    #[unroll]
    for place in 0..count {
        scores[row * count + place] = best_scores[place];
        indices[row * count + place] = best_indices[place];
    }
}
