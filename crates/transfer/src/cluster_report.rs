//! The clusters of a run against labels, class by class.

use deepcluster_evaluation::{ClusterAgreement, EvaluationError, cluster_agreement, clustering_accuracy};
use serde::{Deserialize, Serialize};

use crate::error::TransferError;

/// Agreement of clusters with labels, overall and by class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterReport {
    /// NMI, adjusted Rand index, purity.
    pub agreement: ClusterAgreement,
    /// Share of the images that are right under the best one-to-one naming of clusters by classes (Hungarian
    /// matching); low by its nature where there are many more clusters than classes.
    pub accuracy: f64,
    /// Share of the images that have the most frequent class of their cluster: the accuracy if each cluster
    /// is named by that class, however many clusters share a name.
    pub majority_accuracy: f64,
    /// The confusion table, a row for each class.
    pub classes: Vec<ClassInClusters>,
}

/// The images of a class among the clusters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassInClusters {
    /// Name of the class.
    pub class: String,
    /// Images of the class.
    pub num_images: u64,
    /// A count for each class, in the order of the rows: images of this class in the clusters named by that
    /// class.
    pub in_clusters_of: Vec<u64>,
    /// Clusters in which this class is the most frequent.
    pub num_clusters: usize,
}

/// Compares the cluster of every image with its class, over the images that have one. A cluster is
/// named by its most frequent class; of equally frequent ones the first.
///
/// # Errors
/// [`TransferError::Evaluation`] where the lists differ in length, or no image has a label.
pub fn cluster_report(
    assignments: &[u32],
    labels: &[Option<u32>],
    class_names: &[String],
) -> Result<ClusterReport, TransferError> {
    let agreement = cluster_agreement(assignments, labels)?;
    let labelled = assignments.iter().zip(labels).filter_map(|(&cluster, &label)| Some((cluster, label?)));
    let (clusters, labels): (Vec<u32>, Vec<u32>) = labelled.unzip();
    let num_classes = class_names.len();
    if let Some(&class) = labels.iter().find(|&&label| label as usize >= num_classes) {
        let class = class as usize;
        return Err(EvaluationError::UnknownClass { class, num_classes }.into());
    }
    let accuracy = clustering_accuracy(&clusters, &labels)?;
    let num_clusters = clusters.iter().max().map_or(0, |&cluster| cluster as usize + 1);
    let mut counts = vec![vec![0_u64; num_classes]; num_clusters];
    for (&cluster, &label) in clusters.iter().zip(&labels) {
        counts[cluster as usize][label as usize] += 1;
    }
    let mut classes: Vec<ClassInClusters> = class_names
        .iter()
        .map(|class| ClassInClusters {
            class: class.clone(),
            num_images: 0,
            in_clusters_of: vec![0; num_classes],
            num_clusters: 0,
        })
        .collect();
    let mut num_right = 0;
    for cluster in counts.iter().filter(|cluster| cluster.iter().any(|&count| count > 0)) {
        let (name, most) = cluster
            .iter()
            .enumerate()
            .fold((0, 0), |best, (class, &count)| if count > best.1 { (class, count) } else { best });
        num_right += most;
        classes[name].num_clusters += 1;
        for (class, &count) in cluster.iter().enumerate() {
            classes[class].num_images += count;
            classes[class].in_clusters_of[name] += count;
        }
    }
    let majority_accuracy = num_right as f64 / labels.len() as f64;
    Ok(ClusterReport { agreement, accuracy, majority_accuracy, classes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn a_table_by_hand() {
        // Cluster 0: a a b; cluster 1: b b; cluster 2: a, and an image without a label; cluster 3: empty.
        let assignments = [0, 0, 0, 1, 1, 2, 2];
        let labels = [Some(0), Some(0), Some(1), Some(1), Some(1), Some(0), None];
        let report = cluster_report(&assignments, &labels, &names(&["a", "b", "c"])).unwrap();
        assert_eq!(report.agreement.num_labelled, 6);
        // Named one to one: 0 is a (2 right), 1 is b (2 right). By majority: 2 + 2 + 1.
        assert_eq!((report.accuracy, report.majority_accuracy), (4.0 / 6.0, 5.0 / 6.0));
        let rows: Vec<(u64, Vec<u64>, usize)> = report
            .classes
            .iter()
            .map(|class| (class.num_images, class.in_clusters_of.clone(), class.num_clusters))
            .collect();
        assert_eq!(rows, [(3, vec![3, 0, 0], 2), (3, vec![1, 2, 0], 1), (0, vec![0, 0, 0], 0)]);
    }

    #[test]
    fn impossible_input_is_refused() {
        let refused = |assignments: &[u32], labels: &[Option<u32>]| {
            cluster_report(assignments, labels, &names(&["a"])).unwrap_err().to_string()
        };
        assert!(refused(&[0], &[None]).contains("none of the 1"));
        assert!(refused(&[0], &[Some(0), Some(0)]).contains("2 labels"));
        assert!(refused(&[0], &[Some(7)]).contains("class 7"));
    }
}
