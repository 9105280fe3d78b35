//! The cards of clusters.

use deepcluster_clustering::nearest_neighbors;
use ndarray::{Array1, Array2, ArrayView2};

use crate::error::ReportError;
use crate::run_contents::RunContents;

/// A cluster with at least one image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClusterCard {
    /// Number of the cluster in the run.
    pub(crate) cluster: u32,
    /// Its images, the most typical first: by the distance to its centre.
    pub(crate) images: Vec<usize>,
    /// Mean cosine between the features of two of its images, -1 to 1; `None` for a single image and without
    /// features.
    pub(crate) cohesion: Option<f64>,
    /// Its images by doubt, greatest first, with the doubt: the distance to the own centre divided by that to
    /// the nearest other; more than 1 is nearer to another. Without features by the distance to the centre,
    /// without doubt.
    pub(crate) doubtful: Vec<(usize, Option<f32>)>,
    /// Labels of its images with their numbers, most frequent first.
    pub(crate) labels: Vec<(u32, usize)>,
}

/// The clusters that have images, in the order of their numbers, each with at most `num_doubtful` doubtful
/// images.
pub(crate) fn cluster_cards(
    contents: &RunContents,
    num_doubtful: usize,
) -> Result<Vec<ClusterCard>, ReportError> {
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (image, &cluster) in contents.clusters.iter().enumerate() {
        let cluster = cluster as usize;
        if members.len() <= cluster {
            members.resize(cluster + 1, Vec::new());
        }
        members[cluster].push(image);
    }
    let occupied: Vec<(u32, Vec<usize>)> = members
        .into_iter()
        .enumerate()
        .filter(|(_, images)| !images.is_empty())
        .map(|(cluster, images)| (cluster as u32, images))
        .collect();
    let closeness = match &contents.features {
        Some(features) => Some(Closeness::measure(features.view(), &occupied)?),
        None => None,
    };
    let card = |(rank, (cluster, mut images)): (usize, (u32, Vec<usize>))| {
        let distance = |image: usize| match &closeness {
            Some(closeness) => closeness.own_distances[image],
            None => contents.distances[image],
        };
        images.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)).then(a.cmp(&b)));
        let doubt = |image: usize| closeness.as_ref().map(|closeness| closeness.doubts[image]);
        let mut doubtful: Vec<(usize, Option<f32>)> =
            images.iter().map(|&image| (image, doubt(image))).collect();
        // The farthest image comes first where nothing else is known, and among equal doubts.
        doubtful.reverse();
        doubtful.sort_by(|(_, a), (_, b)| b.unwrap_or(0.0).total_cmp(&a.unwrap_or(0.0)));
        doubtful.truncate(num_doubtful);
        let cohesion = closeness.as_ref().and_then(|closeness| closeness.cohesion[rank]);
        ClusterCard { cluster, cohesion, doubtful, labels: label_counts(contents, &images), images }
    };
    Ok(occupied.into_iter().enumerate().map(card).collect())
}

/// Distances of images within and between clusters.
struct Closeness {
    /// Squared distance of each image to the mean of its cluster.
    own_distances: Vec<f32>,
    /// Doubt of each image; 0 without another cluster.
    doubts: Vec<f32>,
    /// Cohesion of each cluster.
    cohesion: Vec<Option<f64>>,
}

impl Closeness {
    fn measure(features: ArrayView2<'_, f32>, clusters: &[(u32, Vec<usize>)]) -> Result<Self, ReportError> {
        let (num_images, dim) = features.dim();
        let mut centroids = Array2::<f32>::zeros((clusters.len(), dim));
        let mut cohesion = Vec::with_capacity(clusters.len());
        let mut rank_of = vec![0; num_images];
        for (rank, (_, images)) in clusters.iter().enumerate() {
            let mut sum = Array1::<f64>::zeros(dim);
            let mut squares = 0.0;
            for &image in images {
                rank_of[image] = rank as u32;
                let row = features.row(image).mapv(f64::from);
                squares += row.dot(&row);
                sum += &row;
            }
            let size = images.len() as f64;
            // Rows of length 1: the sum of all products but those of an image with itself.
            let pairs = size * (size - 1.0);
            cohesion.push((pairs > 0.0).then(|| (sum.dot(&sum) - squares) / pairs));
            centroids.row_mut(rank).assign(&(sum / size).mapv(|value| value as f32));
        }
        let num_nearest = centroids.nrows().min(2);
        let nearest = nearest_neighbors(features, centroids.view(), num_nearest, false)?;
        let mut own_distances = vec![0.0; num_images];
        let mut doubts = vec![0.0; num_images];
        for image in 0..num_images {
            let own = rank_of[image];
            let difference = &features.row(image) - &centroids.row(own as usize);
            own_distances[image] = difference.dot(&difference);
            let other = (0..num_nearest).find(|&place| nearest.indices[[image, place]] != own);
            if let Some(place) = other {
                let other = nearest.squared_distances[[image, place]].max(f32::MIN_POSITIVE);
                doubts[image] = (own_distances[image] / other).sqrt();
            }
        }
        Ok(Self { own_distances, doubts, cohesion })
    }
}

fn label_counts(contents: &RunContents, images: &[usize]) -> Vec<(u32, usize)> {
    let mut labels: Vec<u32> = images.iter().filter_map(|&image| contents.label(image)).collect();
    labels.sort_unstable();
    let mut counts: Vec<(u32, usize)> =
        labels.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    counts
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use deepcluster_data::{Images, Labels};
    use deepcluster_trainer::TrainConfig;

    use super::*;

    /// Seven images on a circle: three close together, three less so, one nearer to the others than to its
    /// own.
    pub(crate) fn contents() -> RunContents {
        let angles = [0.0_f32, 0.1, 0.2, 1.5, 2.0, 2.5, 0.4];
        let rows = angles.iter().flat_map(|angle| [angle.cos(), angle.sin()]).collect();
        let labels = Labels {
            names: vec!["cat".to_string(), "dog".to_string()],
            of_image: vec![Some(0), Some(0), Some(1), Some(1), None, Some(1), Some(0)],
        };
        let paths = (0..7).map(|index| PathBuf::from(format!("{index}.png"))).collect();
        RunContents {
            config: TrainConfig::default(),
            images: Images::from_paths("images".into(), paths, Some(labels)),
            clusters: vec![0, 0, 0, 3, 3, 3, 3],
            distances: vec![0.1, 0.0, 0.2, 0.4, 0.3, 0.5, 0.9],
            features: Some(Array2::from_shape_vec((7, 2), rows).unwrap()),
            metrics: Vec::new(),
            skipped: Vec::new(),
        }
    }

    #[test]
    fn clusters_are_described() {
        let cards = cluster_cards(&contents(), 2).unwrap();
        assert_eq!(cards.iter().map(|card| card.cluster).collect::<Vec<_>>(), [0, 3]);
        // The middle of three lies nearest to the mean.
        assert_eq!(cards[0].images[0], 1);
        let expected = (0.1_f64.cos() * 2.0 + 0.2_f64.cos()) / 3.0;
        assert!((cards[0].cohesion.unwrap() - expected).abs() < 1e-6);
        assert!(cards[0].cohesion > cards[1].cohesion);
        let (image, doubt) = cards[1].doubtful[0];
        assert!(image == 6 && doubt.unwrap() > 1.0, "{:?}", cards[1].doubtful);
        assert!(cards[0].doubtful.iter().all(|(_, doubt)| doubt.unwrap() < 1.0));
        assert_eq!((cards[0].doubtful.len(), cards[1].doubtful.len()), (2, 2));
        assert_eq!(cards[0].labels, [(0, 2), (1, 1)]);
        assert_eq!(cards[1].labels, [(1, 2), (0, 1)]);
    }

    #[test]
    fn unfinished_runs_go_by_the_distances_they_have() {
        let contents = RunContents { features: None, ..contents() };
        let cards = cluster_cards(&contents, 1).unwrap();
        assert_eq!(cards[0].images, [1, 0, 2]);
        assert_eq!(cards[1].doubtful, [(6, None)]);
        assert_eq!(cards[1].cohesion, None);
    }

    #[test]
    fn one_image_and_one_cluster_are_no_trouble() {
        let mut contents = contents();
        contents.clusters = vec![0; 7];
        let cards = cluster_cards(&contents, 3).unwrap();
        assert_eq!((cards.len(), cards[0].doubtful[0].1), (1, Some(0.0)));
        contents.clusters = vec![0, 1, 2, 3, 4, 5, 6];
        contents.features = Some(Array2::ones((7, 2)));
        let cards = cluster_cards(&contents, 3).unwrap();
        assert!(cards.iter().all(|card| card.cohesion.is_none() && card.images.len() == 1));
    }
}
