//! Draws two charts into a folder: `cargo run -p deepcluster-plots --example curves -- FOLDER`

use std::path::PathBuf;

use deepcluster_plots::{LineChart, Scale, Series};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_string()));
    let rising = |start: f64, end: f64| -> Vec<(f64, f64)> {
        (0..20)
            .map(|epoch| (f64::from(epoch), end - (end - start) * (-0.2 * f64::from(epoch)).exp()))
            .collect()
    };
    let curves = LineChart {
        title: "Agreement of the clusters over training".to_string(),
        x_label: "epoch".to_string(),
        y_label: "normalised mutual information".to_string(),
        x_scale: Scale::Linear,
        series: vec![
            Series { name: "with the labels".to_string(), points: rising(0.08, 0.13) },
            Series { name: "with the epoch before".to_string(), points: rising(0.25, 0.6) },
        ],
    };
    let sweep = LineChart {
        title: "Nearest-neighbour accuracy by number of clusters".to_string(),
        x_label: "clusters".to_string(),
        y_label: "top-1 accuracy in %".to_string(),
        x_scale: Scale::Log10,
        series: vec![Series {
            name: "conv5".to_string(),
            points: vec![(10.0, 31.0), (30.0, 34.0), (100.0, 38.5), (300.0, 38.0), (1000.0, 36.0)],
        }],
    };
    for (chart, name) in [(curves, "curves"), (sweep, "sweep")] {
        for extension in ["svg", "png"] {
            chart.save(&folder.join(format!("{name}.{extension}")))?;
        }
    }
    Ok(())
}
