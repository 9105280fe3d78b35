//! Agreement of two labellings of the same samples: clusters with labels, or with other clusters.
//!
//! The names of the labels do not matter, only which samples share one. Conventions at the edges are those of
//! scikit-learn. References: Vinh, Epps, Bailey, *Information Theoretic Measures for Clusterings Comparison*,
//! JMLR 2010; Hubert, Arabie, *Comparing partitions*, 1985.

mod contingency;
mod labelling;
mod matching;
mod measures;
mod pair_counts;
mod with_labels;

pub use measures::{NmiNorm, adjusted_rand_index, clustering_accuracy, nmi, purity};
pub use with_labels::{ClusterAgreement, cluster_agreement};
