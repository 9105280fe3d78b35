//! Charts of numbers over epochs or numbers of clusters, as papers print them, as SVG and PNG.
//!
//! - [`LineChart`]: any series;
//! - [`write_curves`]: agreement and loss over the epochs of runs;
//! - [`write_sweep`]: scores by the number of clusters.
//!
//! ```
//! use deepcluster_report::charts::{LineChart, Scale, Series};
//!
//! # fn main() -> Result<(), deepcluster_report::charts::PlotError> {
//! let chart = LineChart {
//!     title: "Agreement with the labels".to_string(),
//!     x_label: "epoch".to_string(),
//!     y_label: "NMI".to_string(),
//!     x_scale: Scale::Linear,
//!     series: vec![Series { name: "run".to_string(), points: vec![(0.0, 0.1), (1.0, 0.3), (2.0, 0.35)] }],
//! };
//! assert!(chart.to_svg()?.starts_with("<svg"));
//! # Ok(())
//! # }
//! ```

mod axis;
pub(crate) mod draw;
mod error;
mod line_chart;
mod sweep;
mod training;
mod write;

pub use error::PlotError;
pub use line_chart::{LineChart, Scale, Series};
pub use sweep::{SWEEP_TABLE, sweep_charts, write_sweep};
pub use training::{training_charts, write_curves};
