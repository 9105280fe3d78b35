//! Merging regions, the most alike neighbours first, until one is left (algorithm 1).

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap};

use super::region::Region;

/// The measures by which regions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Similarity {
    /// Colour, texture, size and fill.
    All,
    /// Texture, size and fill.
    WithoutColor,
}

impl Similarity {
    /// A sum of parts from 0 to 1 each (equations 2 to 5).
    fn measure(self, a: &Region, b: &Region, num_pixels: f32) -> f32 {
        let common = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a.min(*b)).sum::<f32>();
        let [left, top, right, bottom] = a.joint_bounds(b);
        let around = ((right - left + 1) * (bottom - top + 1)) as f32;
        let texture = common(&a.textures, &b.textures);
        let size = 1.0 - (a.size + b.size) / num_pixels;
        let fill = 1.0 - (around - a.size - b.size) / num_pixels;
        let color = if self == Self::All { common(&a.colors, &b.colors) } else { 0.0 };
        color + texture + size + fill
    }
}

/// Two neighbours; ordered by similarity, then by number, so that the order is one.
#[derive(Debug, PartialEq)]
struct Pair {
    similarity: f32,
    first: usize,
    second: usize,
}

impl Eq for Pair {}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_number = || (other.first, other.second).cmp(&(self.first, self.second));
        self.similarity.total_cmp(&other.similarity).then_with(by_number)
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The boxes of the first regions and of every merged one, in the order in which they come about: first
/// column, first row, last column, last row.
pub(super) fn merge_all(
    mut regions: Vec<Region>,
    labels: &[u32],
    width: usize,
    height: usize,
    similarity: Similarity,
) -> Vec<[usize; 4]> {
    let num_pixels = labels.len() as f32;
    let mut neighbors = neighbors_of(labels, width, height, regions.len());
    let mut heap = BinaryHeap::new();
    for (first, others) in neighbors.iter().enumerate() {
        for &second in others.range(first + 1..) {
            let similarity = similarity.measure(&regions[first], &regions[second], num_pixels);
            heap.push(Pair { similarity, first, second });
        }
    }
    let mut is_alive = vec![true; regions.len()];
    // Pairs of regions that have been merged since stay in the heap and are passed over.
    while let Some(Pair { first, second, .. }) = heap.pop() {
        if !is_alive[first] || !is_alive[second] {
            continue;
        }
        let number = regions.len();
        regions.push(regions[first].merged(&regions[second]));
        (is_alive[first], is_alive[second]) = (false, false);
        is_alive.push(true);
        // Histograms of merged regions are no longer needed.
        for old in [first, second] {
            (regions[old].colors, regions[old].textures) = (Vec::new(), Vec::new());
        }
        let mut joined = std::mem::take(&mut neighbors[first]);
        joined.append(&mut std::mem::take(&mut neighbors[second]));
        joined.remove(&first);
        joined.remove(&second);
        for &other in &joined {
            neighbors[other].remove(&first);
            neighbors[other].remove(&second);
            neighbors[other].insert(number);
            let similarity = similarity.measure(&regions[other], &regions[number], num_pixels);
            heap.push(Pair { similarity, first: other, second: number });
        }
        neighbors.push(joined);
    }
    regions.into_iter().map(|region| region.bounds).collect()
}

/// Pairs of regions that touch.
fn neighbors_of(labels: &[u32], width: usize, height: usize, num_regions: usize) -> Vec<BTreeSet<usize>> {
    let mut neighbors = vec![BTreeSet::new(); num_regions];
    let mut touch = |a: u32, b: u32| {
        if a != b {
            neighbors[a as usize].insert(b as usize);
            neighbors[b as usize].insert(a as usize);
        }
    };
    for y in 0..height {
        for x in 0..width {
            let pixel = y * width + x;
            if x + 1 < width {
                touch(labels[pixel], labels[pixel + 1]);
            }
            if y + 1 < height {
                touch(labels[pixel], labels[pixel + width]);
            }
        }
    }
    neighbors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(size: f32, bounds: [usize; 4], color: usize) -> Region {
        let mut colors = vec![0.0; 3];
        colors[color] = 1.0;
        Region { size, bounds, colors, textures: vec![1.0] }
    }

    #[test]
    fn alike_neighbors_are_merged_first() {
        // Four columns of one row: colours a b b a; the first and the last do not touch.
        let labels = [0, 1, 2, 3];
        let colors = [0, 1, 1, 0];
        let regions: Vec<Region> =
            (0..4).map(|index| region(1.0, [index, 0, index, 0], colors[index])).collect();
        let boxes = merge_all(regions, &labels, 4, 1, Similarity::All);
        assert_eq!(boxes.len(), 7);
        assert_eq!(boxes[4], [1, 0, 2, 0]);
        assert_eq!(boxes[6], [0, 0, 3, 0]);
    }

    #[test]
    fn similarity_by_hand() {
        let (a, b) = (region(2.0, [0, 0, 1, 0], 0), region(1.0, [0, 1, 0, 1], 1));
        // Texture 1, size 1 - 3/8, fill 1 - (4 - 3)/8; no colour in common.
        let expected = 1.0 + (1.0 - 3.0 / 8.0) + (1.0 - 1.0 / 8.0);
        assert_eq!(Similarity::All.measure(&a, &b, 8.0), expected);
        let c = region(1.0, [0, 1, 0, 1], 0);
        assert_eq!(Similarity::All.measure(&a, &c, 8.0), expected + 1.0);
        assert_eq!(Similarity::WithoutColor.measure(&a, &c, 8.0), expected);
    }
}
