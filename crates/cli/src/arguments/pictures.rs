//! The command lines of pictures and of the report.

use std::path::PathBuf;

use clap::Args;
use deepcluster::report::pictures::{AscentMethod, FilterChoice, TopScore};

use super::named::named;
use super::{DeviceChoice, Replacing};

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Folder of a run whose images have been clustered.
    pub(crate) run: PathBuf,
    /// Folder for the page and its tables [default: RUN/report]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
    /// Title of the page [default: the name of the folder of images]
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Longest side of a thumbnail in pixels.
    #[arg(long, default_value_t = 96)]
    pub(crate) thumbnail_size: u32,
    /// The most MiB of thumbnails inside the page; more are written beside it.
    #[arg(long, default_value_t = 24)]
    pub(crate) embed_mib: u64,
    /// Leave out the map by t-SNE, which takes a minute or more for 100,000 images.
    #[arg(long)]
    pub(crate) no_tsne: bool,
}

/// Filters of layers.
#[derive(Debug, Args)]
pub(crate) struct Filters {
    /// Folder of a run, finished or not.
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) choice: LayerFilters,
    #[command(flatten)]
    pub(crate) ascent: Ascent,
    /// Folder for the sheets [default: RUN/pictures]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

/// Which filters.
#[derive(Debug, Args)]
pub(crate) struct LayerFilters {
    /// Layers, separated by commas [default: all convolutions]
    #[arg(long, value_delimiter = ',')]
    pub(crate) layer: Vec<String>,
    /// Filters: 3, or 0..16, or 0.. for all, or several separated by commas [default: the first 16]
    #[arg(long)]
    pub(crate) filter: Option<FilterChoice>,
}

/// How pictures of filters are found.
#[derive(Debug, Args)]
pub(crate) struct Ascent {
    /// How pictures are found: modern, cosine waves under random moves, or original, pixels and blur.
    #[arg(long, value_parser = named(&[AscentMethod::Modern, AscentMethod::Original]), default_value = "modern")]
    pub(crate) method: AscentMethod,
    /// Side of a picture in pixels [default: 128, or 224 by the original method; at most twice the network's input]
    #[arg(long)]
    pub(crate) size: Option<usize>,
    /// Steps of gradient ascent [default: 256, or 1000 by the original method]
    #[arg(long)]
    pub(crate) steps: Option<usize>,
    /// Length of a step [default: 0.05, or 3 by the original method]
    #[arg(long)]
    pub(crate) step_size: Option<f64>,
    /// Seed of the noise that pictures begin with.
    #[arg(long, default_value_t = 31)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TopImages {
    /// Folder of a run, finished or not.
    pub(crate) run: PathBuf,
    /// Folder of images, at any depth.
    pub(crate) images: PathBuf,
    #[command(flatten)]
    pub(crate) choice: LayerFilters,
    /// Images for each filter.
    #[arg(long, short = 'n', default_value_t = 9)]
    pub(crate) count: usize,
    /// Ranking of images: mean of a filter's map, as in the original code, or its max.
    #[arg(long, value_parser = named(&[TopScore::Mean, TopScore::Max]), default_value = "mean")]
    pub(crate) score: TopScore,
    /// Leave out the pictures of the filters, which take most of the time.
    #[arg(long)]
    pub(crate) no_filter_pictures: bool,
    #[command(flatten)]
    pub(crate) ascent: Ascent,
    /// Folder for the sheets [default: RUN/pictures]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

#[derive(Debug, Args)]
pub(crate) struct Kernels {
    /// Folder of a run, finished or not.
    pub(crate) run: PathBuf,
    /// PNG file to write [default: RUN/pictures/kernels.png]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

#[derive(Debug, Args)]
pub(crate) struct Neighbors {
    /// Folder of a finished run.
    pub(crate) run: PathBuf,
    /// Images to look up.
    #[arg(required = true)]
    pub(crate) queries: Vec<PathBuf>,
    /// Neighbours per image.
    #[arg(long, short = 'n', default_value_t = 10)]
    pub(crate) count: usize,
    /// Find those by the untrained network too, for which all training images pass through it.
    #[arg(long)]
    pub(crate) compare_untrained: bool,
    /// PNG file to draw queries and neighbours in [default with --compare-untrained: RUN/pictures/neighbors.png]
    #[arg(long, short)]
    pub(crate) picture: Option<PathBuf>,
    /// Replace the picture if it exists.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}
