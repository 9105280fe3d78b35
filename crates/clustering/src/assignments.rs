//! Which cluster each sample belongs to.

use crate::error::ClusteringError;

/// Clusters that any number of samples may have: enough to leave the small ones free, and no burden for
/// memory.
const ALWAYS_ALLOWED: usize = 1 << 16;

/// One cluster label per sample, each below the number of clusters. Clusters may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignments {
    labels: Vec<u32>,
    num_clusters: usize,
}

impl Assignments {
    /// Takes the label of every sample.
    ///
    /// # Errors
    /// - [`ClusteringError::TooManyClusters`]: there are more clusters than samples, and more than 65,536.
    ///   Memory for each cluster must not grow with the claim of a file.
    /// - [`ClusteringError::LabelOutOfRange`]: a label is not below `num_clusters`.
    pub fn new(labels: Vec<u32>, num_clusters: usize) -> Result<Self, ClusteringError> {
        let allowed = labels.len().max(ALWAYS_ALLOWED);
        if num_clusters > allowed {
            return Err(ClusteringError::TooManyClusters {
                num_samples: labels.len(),
                num_clusters,
                allowed,
            });
        }
        match labels.iter().position(|&label| label as usize >= num_clusters) {
            Some(row) => Err(ClusteringError::LabelOutOfRange { row, label: labels[row], num_clusters }),
            None => Ok(Self { labels, num_clusters }),
        }
    }

    /// The cluster of each sample, in the order of the samples.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Number of clusters, empty ones included.
    pub fn num_clusters(&self) -> usize {
        self.num_clusters
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of samples in each cluster, `[num_clusters]`.
    pub fn cluster_sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.num_clusters];
        for &label in &self.labels {
            sizes[label as usize] += 1;
        }
        sizes
    }

    /// Number of clusters without a sample.
    pub fn num_empty(&self) -> usize {
        self.cluster_sizes().iter().filter(|&&size| size == 0).count()
    }

    /// The samples of each cluster in ascending order, `[num_clusters]` lists.
    pub fn members_by_cluster(&self) -> Vec<Vec<u32>> {
        let mut members: Vec<Vec<u32>> = self.cluster_sizes().into_iter().map(Vec::with_capacity).collect();
        for (sample, &label) in (0..).zip(&self.labels) {
            members[label as usize].push(sample);
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_lists_the_members_of_each_cluster() {
        let assignments = Assignments::new(vec![2, 0, 2, 2], 4).unwrap();
        assert_eq!(assignments.cluster_sizes(), [1, 0, 3, 0]);
        assert_eq!(assignments.num_empty(), 2);
        assert_eq!(assignments.members_by_cluster(), [vec![1], vec![], vec![0, 2, 3], vec![]]);
        assert_eq!(assignments.len(), 4);
        assert!(!assignments.is_empty());
    }

    #[test]
    fn refuses_a_label_that_names_no_cluster() {
        let error = Assignments::new(vec![0, 3], 3).unwrap_err();
        assert!(matches!(error, ClusteringError::LabelOutOfRange { row: 1, label: 3, num_clusters: 3 }));
    }

    #[test]
    fn more_clusters_than_memory_would_like_are_refused_before_anything_is_counted() {
        for num_clusters in [(1 << 16) + 1, u32::MAX as usize, 1 << 32, usize::MAX] {
            let error = Assignments::new(vec![0, 1], num_clusters).unwrap_err();
            assert!(matches!(error, ClusteringError::TooManyClusters { num_samples: 2, .. }), "{error}");
        }
        assert_eq!(Assignments::new(vec![0, 1], 1 << 16).unwrap().num_empty(), (1 << 16) - 2);
        let many = (0..(1 << 16) + 5).collect();
        assert_eq!(Assignments::new(many, (1 << 16) + 5).unwrap().num_empty(), 0);
    }

    #[test]
    fn no_samples_leave_every_cluster_empty() {
        let assignments = Assignments::new(vec![], 3).unwrap();
        assert!(assignments.is_empty());
        assert_eq!(assignments.num_empty(), 3);
    }
}
