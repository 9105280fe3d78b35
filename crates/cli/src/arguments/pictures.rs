//! The command lines of pictures and of the report.

use std::path::PathBuf;

use clap::Args;
use deepcluster::report::pictures::{AscentMethod, FilterChoice, TopScore};

use super::named::named;
use super::{DeviceChoice, Replacing};

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Directory of a run whose images have been clustered.
    pub(crate) run: PathBuf,
    /// Output folder for the page and its tables [default: RUN/report]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
    /// Title of the page [default: name of the image folder]
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Longest side of a thumbnail in pixels.
    #[arg(long, default_value_t = 96)]
    pub(crate) thumbnail_size: u32,
    /// Maximum MiB of thumbnails embedded in the page; beyond it they go to separate files.
    #[arg(long, default_value_t = 24)]
    pub(crate) embed_mib: u64,
    /// Skip the t-SNE map, which takes a minute or more for 100,000 images.
    #[arg(long)]
    pub(crate) no_tsne: bool,
}

/// Visualise filters.
#[derive(Debug, Args)]
pub(crate) struct Filters {
    /// Run directory, finished or not.
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) choice: LayerFilters,
    #[command(flatten)]
    pub(crate) ascent: Ascent,
    /// Output folder for the sheets [default: RUN/pictures]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

/// The filters to draw.
#[derive(Debug, Args)]
pub(crate) struct LayerFilters {
    /// Comma-separated layers [default: all convolutions]
    #[arg(long, value_delimiter = ',')]
    pub(crate) layer: Vec<String>,
    /// Filters: 3, 0..16, 0.. for all, or a comma-separated list [default: the first 16]
    #[arg(long)]
    pub(crate) filter: Option<FilterChoice>,
}

/// Gradient ascent.
#[derive(Debug, Args)]
pub(crate) struct Ascent {
    /// Method: modern (cosine waves with random transformations) or original (pixels with blur).
    #[arg(long, value_parser = named(&[AscentMethod::Modern, AscentMethod::Original]), default_value = "modern")]
    pub(crate) method: AscentMethod,
    /// Side of a picture in pixels [default: 128, or 224 with --method original, but at most twice the
    /// network's input]
    #[arg(long)]
    pub(crate) size: Option<usize>,
    /// Steps of gradient ascent [default: 256, or 1000 with --method original]
    #[arg(long)]
    pub(crate) steps: Option<usize>,
    /// Step size [default: 0.05, or 3 with --method original]
    #[arg(long)]
    pub(crate) step_size: Option<f64>,
    /// Seed of the initial noise.
    #[arg(long, default_value_t = 31)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TopImages {
    /// Run directory, finished or not.
    pub(crate) run: PathBuf,
    /// Folder of images, searched recursively.
    pub(crate) images: PathBuf,
    #[command(flatten)]
    pub(crate) choice: LayerFilters,
    /// Images per filter.
    #[arg(long, short = 'n', default_value_t = 9)]
    pub(crate) count: usize,
    /// Ranking of images: mean of a filter's map, as in the original code, or its max.
    #[arg(long, value_parser = named(&[TopScore::Mean, TopScore::Max]), default_value = "mean")]
    pub(crate) score: TopScore,
    /// Skip the filter visualisations, which take most of the time.
    #[arg(long)]
    pub(crate) no_filter_pictures: bool,
    #[command(flatten)]
    pub(crate) ascent: Ascent,
    /// Output folder for the sheets [default: RUN/pictures]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

#[derive(Debug, Args)]
pub(crate) struct Kernels {
    /// Run directory, finished or not.
    pub(crate) run: PathBuf,
    /// Output PNG file [default: RUN/pictures/kernels.png]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Overwrite an existing file.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

#[derive(Debug, Args)]
pub(crate) struct Neighbors {
    /// Directory of a finished run.
    pub(crate) run: PathBuf,
    /// Images to look up.
    #[arg(required = true)]
    pub(crate) queries: Vec<PathBuf>,
    /// Neighbours per image.
    #[arg(long, short = 'n', default_value_t = 10)]
    pub(crate) count: usize,
    /// Also search with the untrained network, which recomputes all training features.
    #[arg(long)]
    pub(crate) compare_untrained: bool,
    /// PNG file for queries and neighbours [default with --compare-untrained: RUN/pictures/neighbors.png]
    #[arg(long, short)]
    pub(crate) picture: Option<PathBuf>,
    /// Overwrite an existing picture.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}
