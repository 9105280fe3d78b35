//! Charts of numbers over epochs or numbers of clusters, as papers print them, as SVG and PNG
//! ([`LineChart`]), and sheets of small pictures as PNG ([`ContactSheet`]).
//!
//! ```
//! use deepcluster_plots::{LineChart, Scale, Series};
//!
//! # fn main() -> Result<(), deepcluster_plots::PlotError> {
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
mod contact_sheet;
mod draw;
mod error;
mod line_chart;

pub use contact_sheet::{ContactSheet, SheetCell, SheetColumns};
pub use error::PlotError;
/// Pixels of sheets.
pub use image::{Rgb, RgbImage};
pub use line_chart::{LineChart, Scale, Series};
