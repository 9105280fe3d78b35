//! Images that are like no other, and images that are there more than once.

use crate::run_contents::{NeighborTable, RunContents};
use crate::thumbnails::{GLANCE_SIDE, Glance};

/// Neighbours that outliers are measured by, and among which near-duplicates are sought.
pub(crate) const NUM_NEIGHBORS: usize = 10;
/// The most that two images may differ to be near-duplicates, as a part of their contrast, and in levels of
/// 255 where there is little contrast.
const MAX_DIFFERENCE: (f32, f32) = (0.12, 2.0);

/// An image that is like no other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outlier {
    pub(crate) image: usize,
    /// Mean distance to its nearest neighbours.
    pub(crate) distance: f32,
}

/// The images with the greatest mean distance to their nearest neighbours, greatest first.
pub(crate) fn outliers(neighbors: &NeighborTable, count: usize) -> Vec<Outlier> {
    let num_neighbors = neighbors.distances.ncols().min(NUM_NEIGHBORS);
    let mut all: Vec<Outlier> = neighbors
        .distances
        .rows()
        .into_iter()
        .enumerate()
        .map(|(image, distances)| {
            let sum: f32 = distances.iter().take(num_neighbors).sum();
            Outlier { image, distance: sum / num_neighbors as f32 }
        })
        .collect();
    all.sort_by(|a, b| b.distance.total_cmp(&a.distance).then(a.image.cmp(&b.image)));
    all.truncate(count);
    all
}

/// Images that show the same.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DuplicateGroup {
    /// Two or more images, ascending.
    pub(crate) images: Vec<usize>,
    /// Whether all files have the same bytes.
    pub(crate) is_identical: bool,
}

/// Groups of near-duplicates: images that are among each other's nearest by their features, and whose pixels
/// at a glance hardly differ. The largest groups come first.
pub(crate) fn near_duplicates(
    contents: &RunContents,
    neighbors: &NeighborTable,
    glances: &[Option<Glance>],
) -> Vec<DuplicateGroup> {
    let mut groups = Groups::new(contents.images.len());
    let num_neighbors = neighbors.indices.ncols().min(NUM_NEIGHBORS);
    for (image, found) in neighbors.indices.rows().into_iter().enumerate() {
        let Some(glance) = &glances[image] else { continue };
        for &other in found.iter().take(num_neighbors) {
            let other = other as usize;
            if glances[other].as_ref().is_some_and(|other| is_alike(glance, other)) {
                groups.join(image, other);
            }
        }
    }
    let mut groups = groups.with_several();
    groups.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    let describe = |images: Vec<usize>| {
        let is_identical = are_identical(contents, &images);
        DuplicateGroup { images, is_identical }
    };
    groups.into_iter().map(describe).collect()
}

/// Whether two images hardly differ, relative to their contrast.
fn is_alike(a: &Glance, b: &Glance) -> bool {
    let mut squares = 0_u64;
    for (a, b) in a.pixels.iter().zip(&b.pixels) {
        squares += u64::from(a.abs_diff(*b)).pow(2);
    }
    let difference = (squares as f32 / (3 * GLANCE_SIDE * GLANCE_SIDE) as f32).sqrt();
    difference <= MAX_DIFFERENCE.1.max(MAX_DIFFERENCE.0 * a.contrast.min(b.contrast))
}

fn are_identical(contents: &RunContents, images: &[usize]) -> bool {
    let bytes = |image: usize| contents.images.read(image).ok()?.into_vec().ok();
    let first = bytes(images[0]);
    first.is_some() && images[1..].iter().all(|&image| bytes(image) == first)
}

/// Disjoint sets of numbers.
struct Groups {
    parents: Vec<usize>,
}

impl Groups {
    fn new(count: usize) -> Self {
        Self { parents: (0..count).collect() }
    }

    fn root(&mut self, mut number: usize) -> usize {
        while self.parents[number] != number {
            self.parents[number] = self.parents[self.parents[number]];
            number = self.parents[number];
        }
        number
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller number stays, so that the order of joining does not matter.
        self.parents[a.max(b)] = a.min(b);
    }

    fn with_several(mut self) -> Vec<Vec<usize>> {
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.parents.len()];
        for number in 0..self.parents.len() {
            let root = self.root(number);
            members[root].push(number);
        }
        members.retain(|members| members.len() > 1);
        members
    }
}

#[cfg(test)]
mod tests {
    use crate::sheets::{Rgb, RgbImage};
    use ndarray::{Array2, array};

    use super::*;
    use crate::cluster_cards::tests::contents;

    fn glance(value: impl Fn(u32, u32) -> u8) -> Option<Glance> {
        let side = GLANCE_SIDE as u32;
        let mut image = RgbImage::new(side, side);
        image.enumerate_pixels_mut().for_each(|(x, y, pixel)| *pixel = Rgb([value(x, y); 3]));
        Some(Glance::new(&image))
    }

    #[test]
    fn what_is_far_from_all_fits_nowhere() {
        let contents = contents();
        let neighbors = contents.neighbors(2).ok().flatten().expect("there are features");
        let found = outliers(&neighbors, 2);
        // The images at 1.5 and 2.5 have each other and the one at 2.0; which comes first is a matter of
        // rounding.
        let mut images: Vec<usize> = found.iter().map(|outlier| outlier.image).collect();
        images.sort_unstable();
        assert_eq!(images, [3, 5]);
        let expected = (2.0 * (0.25_f32).sin() + 2.0 * (0.5_f32).sin()) / 2.0;
        assert!((found[0].distance - expected).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn images_that_hardly_differ_are_grouped() {
        let neighbors = NeighborTable {
            indices: array![[1_u32, 3], [0, 2], [1, 0], [2, 1], [5, 0], [4, 0], [5, 4]],
            distances: Array2::ones((7, 2)),
        };
        let wave = |shift: u32| glance(move |x, y| ((x + shift) * 12 + y) as u8);
        let flat = |value: u8| glance(move |_, _| value);
        // 0, 1 and 2 differ little from one to the next; 3 much; 4 and 5 are flat and alike; 6 cannot be
        // read.
        let glances = [
            wave(0),
            glance(|x, y| (x * 12 + y) as u8 + 3),
            glance(|x, y| (x * 12 + y) as u8 + 6),
            wave(4),
            flat(9),
            flat(10),
            None,
        ];
        let groups = near_duplicates(&contents(), &neighbors, &glances);
        let found: Vec<_> = groups.iter().map(|group| group.images.clone()).collect();
        assert_eq!(found, [vec![0, 1, 2], vec![4, 5]]);
        assert!(groups.iter().all(|group| !group.is_identical));
    }

    #[test]
    fn groups_do_not_depend_on_the_order() {
        let pairs = [(0, 5), (3, 5), (1, 2), (2, 6)];
        let grouped = |pairs: &mut dyn Iterator<Item = &(usize, usize)>| {
            let mut groups = Groups::new(8);
            pairs.for_each(|&(a, b)| groups.join(a, b));
            groups.with_several()
        };
        assert_eq!(grouped(&mut pairs.iter()), [vec![0, 3, 5], vec![1, 2, 6]]);
        assert_eq!(grouped(&mut pairs.iter().rev()), [vec![0, 3, 5], vec![1, 2, 6]]);
    }
}
