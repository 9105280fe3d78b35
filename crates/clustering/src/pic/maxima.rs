//! Clusters from the values of the samples: everything that climbs to the same local maximum.

use rayon::prelude::*;

use super::graph::Graph;
use crate::knn::Neighbors;

/// The cluster of each sample, and the number of clusters.
#[derive(Debug, PartialEq)]
pub(super) struct Labels {
    pub(super) labels: Vec<u32>,
    pub(super) num_clusters: usize,
}

/// Lets each sample climb to the neighbour with the highest `W_ij (v_j - v_i) > 0` until there is none; ends
/// are numbered in ascending order.
pub(super) fn clusters_of_maxima(graph: &Graph, values: &[f64]) -> Labels {
    let pointers: Vec<u32> =
        (0..graph.num_rows()).into_par_iter().map(|row| uphill(graph, values, row)).collect();
    let mut ends: Vec<Option<u32>> = vec![None; pointers.len()];
    let mut num_clusters = 0;
    for (row, &pointer) in pointers.iter().enumerate() {
        if pointer as usize == row {
            ends[row] = Some(num_clusters);
            num_clusters += 1;
        }
    }
    let mut path = Vec::new();
    for row in 0..pointers.len() {
        // Values rise strictly along the pointers, so the way ends.
        let mut current = row;
        let cluster = loop {
            match ends[current] {
                Some(cluster) => break cluster,
                None => path.push(current),
            }
            current = pointers[current] as usize;
        };
        for passed in path.drain(..) {
            ends[passed] = Some(cluster);
        }
    }
    Labels { labels: ends.into_iter().flatten().collect(), num_clusters: num_clusters as usize }
}

fn uphill(graph: &Graph, values: &[f64], row: usize) -> u32 {
    let mut best = (0.0, row as u32);
    for (column, weight) in graph.row(row) {
        let gain = weight * (values[column as usize] - values[row]);
        if gain > best.0 {
            best = (gain, column);
        }
    }
    best.1
}

/// Moves each sample that is alone in its cluster to the cluster of its nearest neighbour that is not, and
/// drops the emptied clusters from the numbering. Samples with none but singletons around them stay alone.
pub(super) fn join_singletons(clusters: &Labels, neighbors: &Neighbors) -> Labels {
    let mut sizes = vec![0_usize; clusters.num_clusters];
    for &label in &clusters.labels {
        sizes[label as usize] += 1;
    }
    let is_single = |label: u32| sizes[label as usize] == 1;
    let joined = clusters.labels.iter().zip(neighbors.indices.rows()).map(|(&label, neighbors)| {
        let mut around = neighbors.into_iter().map(|&neighbor| clusters.labels[neighbor as usize]);
        if is_single(label) { around.find(|&other| !is_single(other)).unwrap_or(label) } else { label }
    });
    let mut labels: Vec<u32> = joined.collect();
    let mut is_used = vec![false; clusters.num_clusters];
    for &label in &labels {
        is_used[label as usize] = true;
    }
    let mut num_clusters = 0;
    let mut numbers = Vec::with_capacity(is_used.len());
    for is_used in is_used {
        numbers.push(num_clusters);
        num_clusters += u32::from(is_used);
    }
    for label in &mut labels {
        *label = numbers[*label as usize];
    }
    Labels { labels, num_clusters: num_clusters as usize }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn neighbors(indices: Array2<u32>) -> Neighbors {
        let squared_distances = Array2::zeros(indices.dim());
        Neighbors { indices, squared_distances }
    }

    #[test]
    fn samples_climb_over_several_steps_to_numbered_maxima() {
        // a chain 0 - 1 - 2 - 3 - 4 with its maxima at 1 and 4
        let graph = Graph::new(&neighbors(array![[1], [2], [3], [4], [3]]), 1.0).unwrap();
        let clusters = clusters_of_maxima(&graph, &[0.1, 0.5, 0.2, 0.4, 0.6]);
        assert_eq!(clusters, Labels { labels: vec![0, 0, 0, 1, 1], num_clusters: 2 });
        let clusters = clusters_of_maxima(&graph, &[0.1, 0.2, 0.3, 0.4, 0.5]);
        assert_eq!(clusters, Labels { labels: vec![0; 5], num_clusters: 1 });
    }

    #[test]
    fn samples_without_a_higher_neighbour_stay_alone() {
        let graph = Graph::new(&neighbors(array![[1], [0], [0]]), 1.0).unwrap();
        let clusters = clusters_of_maxima(&graph, &[0.25; 3]);
        assert_eq!(clusters, Labels { labels: vec![0, 1, 2], num_clusters: 3 });
    }

    #[test]
    fn singletons_join_their_first_neighbour_that_is_none() {
        let clusters = Labels { labels: vec![0, 1, 1, 2, 3], num_clusters: 4 };
        // 0: its first neighbour is single, its second is not; 3 joins at once; 4 knows only singletons.
        let neighbors = neighbors(array![[3, 1], [0, 2], [1, 0], [2, 0], [0, 3]]);
        let joined = join_singletons(&clusters, &neighbors);
        assert_eq!(joined, Labels { labels: vec![0, 0, 0, 0, 1], num_clusters: 2 });
    }
}
