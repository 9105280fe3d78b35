//! A place in the plane for every image.

use bhtsne::{Neighbor, tSNE};
use deepcluster_engine::{Event, Observer, Phase};
use ndarray::Array2;

use crate::error::ReportError;
use crate::run_contents::NeighborTable;

/// Greatest perplexity, about the number of neighbours that an image holds on to.
const PERPLEXITY: usize = 30;
/// Neighbours for each unit of perplexity.
pub(crate) const NEIGHBORS_PER_PERPLEXITY: usize = 3;
/// Neighbours that the map needs.
pub(crate) const NUM_NEIGHBORS: usize = NEIGHBORS_PER_PERPLEXITY * PERPLEXITY;
const NUM_ITERATIONS: usize = 750;
/// Deviation of the places that the map begins with.
const FIRST_DEVIATION: f32 = 1e-4;
/// Fewer images make no map.
const LEAST_IMAGES: usize = 20;
/// Up to so many images a tree sums the repulsion, in a time that does not grow with the map. Beyond, a grid
/// of as many cells as the map is wide takes less.
const MOST_IN_TREE: usize = 700;
/// Greatest width of a cell of the tree as a part of its distance, where it stands for its images.
const TREE_ACCURACY: f32 = 0.5;

/// Places by t-SNE (van der Maaten & Hinton, 2008), with trees (2014) for few images and interpolation
/// (Linderman et al., 2019) for many, `[num_images, 2]`; it begins with the principal components, and so has
/// nothing random. `None` for fewer than 20 images.
///
/// The same bits for any number of threads: the library's sums depend on it, so one thread does it all.
pub(crate) fn tsne(
    neighbors: &NeighborTable,
    principal_components: &Array2<f32>,
    observer: &mut dyn Observer,
) -> Result<Option<Array2<f32>>, ReportError> {
    let (num_images, num_neighbors) = neighbors.indices.dim();
    let perplexity = PERPLEXITY.min(num_neighbors / NEIGHBORS_PER_PERPLEXITY);
    if num_images < LEAST_IMAGES || perplexity < 2 {
        return Ok(None);
    }
    let used = NEIGHBORS_PER_PERPLEXITY * perplexity;
    let rows = neighbors.indices.rows().into_iter().zip(neighbors.distances.rows());
    let table: Vec<Vec<Neighbor<f32>>> = rows
        .map(|(indices, distances)| {
            let nearest = distances.first().copied().unwrap_or_default();
            let pairs = indices.into_iter().zip(distances).take(used);
            let neighbor = |(&index, &distance): (&u32, &f32)| Neighbor {
                index: index as usize,
                distance: distance_beyond(nearest, distance),
            };
            pairs.map(neighbor).collect()
        })
        .collect();
    let phase = Phase::iterations("map");
    observer.event(&Event::Started { phase, epoch: None, total: NUM_ITERATIONS });
    let first = first_places(principal_components);
    let samples = vec![(); num_images];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|error| ReportError::Page { reason: error.to_string() })?;
    let places = pool.install(|| {
        let mut map: tSNE<'_, f32, (), 2> = tSNE::new(&samples);
        map.perplexity(perplexity as f32)
            .epochs(NUM_ITERATIONS)
            .learning_rate(learning_rate(num_images))
            .initial_embedding(first);
        let fitted = if num_images <= MOST_IN_TREE {
            map.barnes_hut_with_neighbors(TREE_ACCURACY, &table)
        } else {
            map.fit_sne_with_neighbors(&table)
        };
        fitted.embedding()
    });
    observer.event(&Event::Progress { done: NUM_ITERATIONS, loss: None });
    let is_whole = places.len() == 2 * num_images && places.iter().all(|place| place.is_finite());
    Ok(is_whole.then(|| Array2::from_shape_vec((num_images, 2), places).expect("two numbers for each image")))
}

/// The distance whose square is that of `distance` without that of `nearest`.
///
/// The affinities exp(-beta d^2) of an image are in proportion to each other, so what all its squared
/// distances have in common can be left out. With it they are all 0 in 32 bits where images are far apart and
/// beta is large: nothing attracts, and the map flies apart. Whitening sets all images equally far apart
/// where they are no more than its components.
fn distance_beyond(nearest: f32, distance: f32) -> f32 {
    (distance * distance - nearest * nearest).max(0.0).sqrt()
}

/// A 12th of the images and at least 200, as usual (Belkina et al., 2019), but smaller steps for few, which
/// would jump.
fn learning_rate(num_images: usize) -> f32 {
    let num_images = num_images as f32;
    (num_images / 12.0).max(200.0).min(num_images / 2.0)
}

/// The principal components, so small that the map can still unfold.
fn first_places(components: &Array2<f32>) -> Vec<f32> {
    let column = components.column(0);
    let deviation = column.std(0.0);
    let scale = if deviation > 0.0 { FIRST_DEVIATION / deviation } else { 0.0 };
    let tiny = |(index, value): (usize, &f32)| {
        // Equal images would never part.
        let apart = ((index * 7919) % 1000) as f32 * 1e-3 - 0.5;
        value * scale + apart * 0.1 * FIRST_DEVIATION
    };
    components.iter().enumerate().map(tiny).collect()
}

/// Places as numbers from 0 to 65,535, x and y of each in turn; both directions have one scale, and the
/// longer fills it.
pub(crate) fn quantized(places: &Array2<f32>) -> Vec<u16> {
    let range = |column: usize| {
        let values = places.column(column);
        let bounds = (f32::INFINITY, f32::NEG_INFINITY);
        values.iter().fold(bounds, |(least, most), &value| (least.min(value), most.max(value)))
    };
    let ranges = [range(0), range(1)];
    let span = ranges.iter().map(|(least, most)| most - least).fold(0.0, f32::max);
    let scale = if span > 0.0 { f32::from(u16::MAX) / span } else { 0.0 };
    let place = |(index, &value): (usize, &f32)| {
        let (least, most) = ranges[index % 2];
        let margin = (span - (most - least)) / 2.0;
        ((value - least + margin) * scale) as u16
    };
    places.iter().enumerate().map(place).collect()
}

#[cfg(test)]
mod tests {
    use deepcluster_clustering::nearest_neighbors;
    use ndarray::array;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn neighbors(features: &Array2<f32>) -> NeighborTable {
        let count = NUM_NEIGHBORS.min(features.nrows() - 1);
        let found = nearest_neighbors(features.view(), features.view(), count, true).unwrap();
        NeighborTable { indices: found.indices, distances: found.squared_distances.mapv(f32::sqrt) }
    }

    /// Three clouds in ten dimensions.
    fn clouds(per_cloud: usize) -> (NeighborTable, Array2<f32>) {
        let mut generator = ChaCha8Rng::seed_from_u64(5);
        let features = Array2::from_shape_fn((3 * per_cloud, 10), |(row, column)| {
            let centre = if column == row / per_cloud { 10.0 } else { 0.0 };
            centre + generator.random_range(-1.0..1.0)
        });
        (neighbors(&features), features.slice(ndarray::s![.., ..2]).to_owned())
    }

    #[test]
    fn clouds_stay_apart_on_the_map() {
        let (neighbors, components) = clouds(100);
        let map = tsne(&neighbors, &components, &mut ()).unwrap().unwrap();
        let centre = |cloud: usize| {
            map.slice(ndarray::s![cloud * 100..(cloud + 1) * 100, ..]).mean_axis(ndarray::Axis(0)).unwrap()
        };
        let centres = [0, 1, 2].map(centre);
        for (row, place) in map.rows().into_iter().enumerate() {
            let distance = |cloud: usize| {
                let difference = &place - &centres[cloud];
                difference.dot(&difference)
            };
            let nearest = (0..3).min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            assert_eq!(nearest, Some(row / 100), "image {row}");
        }
    }

    #[test]
    fn maps_are_the_same_for_any_number_of_threads() {
        let (neighbors, components) = clouds(60);
        let once = tsne(&neighbors, &components, &mut ()).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let again = pool.install(|| tsne(&neighbors, &components, &mut ()).unwrap());
        assert!(once.is_some());
        assert_eq!(once, again);
    }

    /// Images of which each is as far from every other, but for rounding to 16 bits.
    fn equally_far(num_images: usize) -> (NeighborTable, Array2<f32>) {
        let mut generator = ChaCha8Rng::seed_from_u64(6);
        let features = Array2::from_shape_fn((num_images, num_images), |(row, column)| {
            f32::from(u8::from(row == column)) + generator.random_range(-1e-5..1e-5)
        });
        (neighbors(&features), features.slice(ndarray::s![.., ..2]).to_owned())
    }

    fn width(map: &Array2<f32>) -> f32 {
        map.iter().fold(f32::MIN, |most, &place| most.max(place))
            - map.iter().fold(f32::MAX, |least, &place| least.min(place))
    }

    #[test]
    fn images_that_are_equally_far_apart_stay_together() {
        for num_images in [20, 55, 64, 100, 130, 200, 800] {
            let (neighbors, components) = equally_far(num_images);
            let map = tsne(&neighbors, &components, &mut ()).unwrap().unwrap();
            // Neither apart nor on one place.
            assert!((1.0..40.0).contains(&width(&map)), "{num_images} images spread over {}", width(&map));
        }
    }

    #[test]
    fn what_all_distances_have_in_common_does_not_count() {
        // Another dimension, in which all images of a cloud lie as far from each other.
        let (near, components) = clouds(20);
        let far = NeighborTable {
            indices: near.indices.clone(),
            distances: near.distances.mapv(|distance| (distance * distance + 10_000.0).sqrt()),
        };
        for table in [&near, &far] {
            let map = tsne(table, &components, &mut ()).unwrap().unwrap();
            // Half of the nearest 10 stay among them.
            let distance = |a: usize, b: usize| {
                let difference = &map.row(a) - &map.row(b);
                difference.dot(&difference)
            };
            let mut num_kept = 0;
            for row in 0..60 {
                let mut others: Vec<usize> = (0..60).filter(|&other| other != row).collect();
                others.sort_by(|&a, &b| distance(row, a).total_cmp(&distance(row, b)));
                let nearest = table.indices.row(row);
                num_kept += nearest
                    .iter()
                    .take(10)
                    .filter(|&&index| others[..10].contains(&(index as usize)))
                    .count();
            }
            assert!(num_kept > 300, "{num_kept} of 600");
        }
    }

    #[test]
    fn few_or_equal_images_are_no_trouble() {
        let few = NeighborTable { indices: array![[1_u32], [0]], distances: array![[1.0_f32], [1.0]] };
        assert_eq!(tsne(&few, &array![[0.0_f32, 1.0], [1.0, 0.0]], &mut ()).unwrap(), None);
        let features = Array2::<f32>::ones((40, 3));
        let found = nearest_neighbors(features.view(), features.view(), 39, true).unwrap();
        let equal = NeighborTable { indices: found.indices, distances: found.squared_distances };
        let map = tsne(&equal, &Array2::ones((40, 2)), &mut ()).unwrap();
        assert!(map.is_none_or(|map| map.iter().all(|place| place.is_finite())));
    }

    #[test]
    fn places_fill_the_range_with_one_scale() {
        let places = array![[-1.0_f32, 5.0], [3.0, 6.0], [1.0, 7.0]];
        let found = quantized(&places);
        assert_eq!((found[0], found[2], found[4]), (0, u16::MAX, u16::MAX / 2));
        // y spans half as much and lies in the middle.
        assert_eq!((found[1], found[3], found[5]), (u16::MAX / 4, u16::MAX / 2, (0.75 * 65_535.0) as u16));
        assert_eq!(quantized(&Array2::zeros((2, 2))), [0; 4]);
    }
}
