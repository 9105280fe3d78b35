//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use deepcluster::burn::tensor::Device;
use deepcluster::clustering::FeatureType;
use deepcluster::models::weights::ExportFormat;
use deepcluster::trainer::{TrainerError, parse_device, parse_devices};
use deepcluster_files::Replaceable;

use named::named;

mod eval;
mod named;
mod pictures;
mod settings;

pub(crate) use eval::*;
pub(crate) use pictures::*;
pub(crate) use settings::{Settings, SettingsButClusters};

/// Learn visual features and clusters from a folder of unlabelled images (DeepCluster, ECCV 2018).
#[derive(Debug, Parser)]
#[command(
    name = "deepcluster",
    version,
    after_help = "Exit codes: 0 success; 1 failure; 2 invalid usage or configuration; \
                  130 interrupted, continue with --resume."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Output on the terminal.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Print only errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print events and results as JSON lines on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The device to compute on.
#[derive(Debug, Args)]
pub(crate) struct DeviceChoice {
    /// Device listed by `deepcluster devices`, or auto for the fastest; training accepts several:
    /// cuda:0,cuda:1.
    #[arg(long = "device", value_name = "DEVICE", default_value = "auto")]
    name: String,
}

impl DeviceChoice {
    /// All devices named, separated by commas; they train together.
    pub(crate) fn devices(&self) -> Result<Vec<Device>, TrainerError> {
        Ok(parse_devices(&self.name)?)
    }

    /// The single device named.
    pub(crate) fn device(&self) -> Result<Device, TrainerError> {
        Ok(parse_device(&self.name)?)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train on a folder of images and cluster them.
    Train(Train),
    /// Create a run from a checkpoint of the original code (.pth.tar).
    Import(Import),
    /// Assign new images to the clusters of a finished run and write a CSV file.
    Assign(Assign),
    /// Evaluate a network with the protocols of the paper.
    #[command(subcommand)]
    Eval(Eval),
    /// Chart how clusters agree with labels and with the previous epoch.
    Curves(Curves),
    /// Train with several numbers of clusters and compare the results on a task.
    Sweep(Sweep),
    /// Write the features of a folder of images to a file for other programs.
    Features(Features),
    /// Find the training images most similar to given images.
    Neighbors(Neighbors),
    /// Create an HTML page of a run's clusters, images and curves.
    Report(Report),
    /// Draw what the filters of a network respond to, found by gradient ascent.
    Filters(Filters),
    /// Draw the images that each filter responds to most, and where.
    TopImages(TopImages),
    /// Draw the kernels of the first convolution.
    Kernels(Kernels),
    /// Show the state, settings and metrics of a run.
    Inspect(Inspect),
    /// Export the network of a run to PyTorch, ONNX or Burn.
    Export(Export),
    /// Draw a set of images, train on it for a few minutes, and show the result.
    Demo(Demo),
    /// List the available devices.
    Devices,
    /// Print a shell completion script.
    Completions {
        /// Shell to complete for.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Folder of images, searched recursively; optional with --resume.
    #[arg(required_unless_present = "resume")]
    pub(crate) images: Option<PathBuf>,
    /// Run directory: a new folder, or the existing run with --resume.
    #[arg(long, short)]
    pub(crate) out: PathBuf,
    /// Continue the run in --out from its newest checkpoint.
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Checkpoint of the original code, in the current or the legacy PyTorch format.
    pub(crate) checkpoint: PathBuf,
    /// Run directory to create.
    #[arg(long, short)]
    pub(crate) out: PathBuf,
    /// Folder of images to cluster immediately; required to continue training.
    #[arg(long)]
    pub(crate) images: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[derive(Debug, Args)]
pub(crate) struct Assign {
    /// Directory of a finished run.
    pub(crate) run: PathBuf,
    /// Folder of images, searched recursively.
    pub(crate) images: PathBuf,
    /// CSV file to write (path, cluster, distance) [default: standard output]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Also create this folder, with one sub-folder per cluster.
    #[arg(long)]
    pub(crate) folders: Option<PathBuf>,
    /// Contents of the sub-folders.
    #[arg(long, value_enum, default_value_t = Placement::Link)]
    pub(crate) place: Placement,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

/// Contents of the folders of clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Placement {
    /// Symbolic links.
    Link,
    /// Copies.
    Copy,
}

/// Which existing files results may replace.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Replacing {
    /// Overwrite files in --out even if they are not earlier results or were edited since.
    #[arg(long)]
    force: bool,
}

impl Replacing {
    /// The folders in a run are the program's own.
    pub(crate) fn in_folder(self, out: Option<&PathBuf>) -> Replaceable {
        if self.force || out.is_none() { Replaceable::Any } else { Replaceable::Own }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Curves {
    /// Run directories, finished or not.
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Output folder for curves.csv and the SVG and PNG charts [default: RUN/curves of the first run]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
}

#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Folder of images to train on, searched recursively.
    pub(crate) images: PathBuf,
    /// Output folder for runs, sweep.csv and charts; run the same command again to continue.
    #[arg(long, short)]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
    /// Comma-separated numbers of clusters.
    #[arg(long, short = 'k', value_delimiter = ',', required = true)]
    pub(crate) clusters: Vec<usize>,
    /// Task to compare runs on.
    #[arg(long, value_enum, default_value_t = SweepScore::Knn)]
    pub(crate) score: SweepScore,
    /// Training images of the task, one folder per class [default: IMAGES]
    #[arg(long)]
    pub(crate) train: Option<PathBuf>,
    /// Test images for knn and linear.
    #[arg(long)]
    pub(crate) test: Option<PathBuf>,
    /// Epochs of the linear classifiers.
    #[arg(long, default_value_t = 20)]
    pub(crate) linear_epochs: usize,
    /// Number of neighbours for knn.
    #[arg(long, default_value_t = 20)]
    pub(crate) neighbors: usize,
    /// Data set in the PASCAL VOC layout, for voc.
    #[arg(long)]
    pub(crate) voc: Option<PathBuf>,
    /// Fine-tuning steps for voc.
    #[arg(long, default_value_t = 80_000)]
    pub(crate) voc_steps: usize,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
    #[command(flatten)]
    pub(crate) settings: SettingsButClusters,
}

/// Task to compare runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SweepScore {
    /// Nearest-neighbour classification on every layer.
    Knn,
    /// Linear classifiers on every convolution.
    Linear,
    /// Classification of PASCAL VOC with new fully connected layers, as in the paper.
    Voc,
}

#[derive(Debug, Args)]
pub(crate) struct Features {
    /// Run directory, finished or not.
    pub(crate) run: PathBuf,
    /// Folder of images, searched recursively.
    pub(crate) images: PathBuf,
    /// Output file, .npy or .parquet; image paths go to a .csv file of the same name.
    #[arg(long, short)]
    pub(crate) out: PathBuf,
    /// Overwrite existing files.
    #[arg(long)]
    pub(crate) force: bool,
    /// Layer to take the features from.
    #[arg(long, value_enum, default_value_t = LayerName::Fc7)]
    pub(crate) layer: LayerName,
    /// Number type of a .npy file.
    #[arg(long, value_parser = named(&[FeatureType::F32, FeatureType::F16]), default_value = "f32")]
    pub(crate) dtype: FeatureType,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

/// Layers to take features from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayerName {
    /// The last layer below the head, before its ReLU.
    Fc7,
    /// The maps after the last convolution and its pooling.
    Convolutions,
    /// The clustered features: fc7 after PCA-whitening and L2 normalisation; needs a finished run.
    Whitened,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Run directory.
    pub(crate) run: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Run directory; the newest checkpoint is exported if the run is not finished.
    pub(crate) run: PathBuf,
    /// Format: safetensors, pytorch-safetensors (for the original code), onnx or burnpack.
    #[arg(long, short)]
    pub(crate) format: ExportFormat,
    /// Output file [default: RUN/network.EXTENSION]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Overwrite an existing file.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Folder to create for the images and the run.
    #[arg(long, short, default_value = "deepcluster-demo")]
    pub(crate) out: PathBuf,
    /// Seed of the images and of the run.
    #[arg(long, default_value_t = 31)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}
