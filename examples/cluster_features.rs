//! PCA-whitening and k-means on a matrix, without images or networks.
//!
//! `cargo run --release --example cluster_features`, a second. Expect an NMI above 0.99: the groups lie
//! apart.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use deepcluster::evaluation::{NmiNorm, nmi};
use deepcluster::prelude::*;
use ndarray::Array2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 2,000 rows in 20 groups: a bump at its own place, and a ripple that differs from row to row.
    let group = |row: usize| row % 20;
    let features = Array2::from_shape_fn((2_000, 64), |(row, column)| {
        let bump = if column / 3 == group(row) { 4.0 } else { 0.0 };
        bump + ((row * 31 + column * 17) % 101) as f32 / 101.0
    });

    let whitening = WhiteningConfig { num_components: 32, ..Default::default() }.fit(&features)?;
    let whitened = whitening.transform(&features)?;
    let kmeans = KMeansConfig { num_clusters: 20, num_redos: 5, ..Default::default() }.init()?;
    let clustering = kmeans.cluster(&whitened, 7, &mut ())?;

    let truth: Vec<u32> = (0..2_000).map(|row| group(row) as u32).collect();
    let agreement = nmi(clustering.assignments.labels(), &truth, NmiNorm::Arithmetic)?;
    println!("inertia {:.3}, NMI to the groups {agreement:.3}", clustering.inertia);
    Ok(())
}
