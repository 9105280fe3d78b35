//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use deepcluster::burn::tensor::Device;
use deepcluster::clustering::FeatureType;
use deepcluster::interchange::ExportFormat;
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

/// Learns visual features and clusters from a folder of unlabelled images (DeepCluster, ECCV 2018).
#[derive(Debug, Parser)]
#[command(
    name = "deepcluster",
    version,
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 130 stopped, continue with --resume."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is printed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Print only errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print events and results as JSON lines on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Where to compute.
#[derive(Debug, Args)]
pub(crate) struct DeviceChoice {
    /// Device, one that `deepcluster devices` lists, or auto for the best. Training takes several: cuda:0,cuda:1.
    #[arg(long = "device", value_name = "DEVICE", default_value = "auto")]
    name: String,
}

impl DeviceChoice {
    /// The devices of these names, separated by commas, which train together.
    pub(crate) fn devices(&self) -> Result<Vec<Device>, TrainerError> {
        Ok(parse_devices(&self.name)?)
    }

    /// The device of this name.
    pub(crate) fn device(&self) -> Result<Device, TrainerError> {
        Ok(parse_device(&self.name)?)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train on a folder of images and cluster them.
    Train(Train),
    /// Make a run of a checkpoint of the original code (.pth.tar).
    Import(Import),
    /// Give new images the clusters of a finished run, as CSV.
    Assign(Assign),
    /// Measure what a network has learned, by the protocols of the paper.
    #[command(subcommand)]
    Eval(Eval),
    /// Draw how clusters agree with labels and with those of the epoch before.
    Curves(Curves),
    /// Train with several numbers of clusters and compare what each gives on a task.
    Sweep(Sweep),
    /// Write the features of a folder of images to a file for other programs.
    Features(Features),
    /// Find the training images that are most like given images.
    Neighbors(Neighbors),
    /// Make a page of a run's clusters, images and curves, to be opened in any browser.
    Report(Report),
    /// Draw what the filters of a network respond to, found by gradient ascent.
    Filters(Filters),
    /// Draw the images that each filter responds to most, and where.
    TopImages(TopImages),
    /// Draw the kernels of the first convolution.
    Kernels(Kernels),
    /// Show what a run has done.
    Inspect(Inspect),
    /// Write the network of a run for other programs: PyTorch, ONNX Runtime, Burn.
    Export(Export),
    /// Draw a set of images, train on it for a few minutes, and show what was learned.
    Demo(Demo),
    /// List the devices of this build.
    Devices,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Folder of images, at any depth; with --resume the folder of the run by default.
    #[arg(required_unless_present = "resume")]
    pub(crate) images: Option<PathBuf>,
    /// Folder for the run; must be new, or hold the run with --resume.
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
    /// Checkpoint of the original code, in either form that PyTorch writes.
    pub(crate) checkpoint: PathBuf,
    /// Folder for the run; must be new.
    #[arg(long, short)]
    pub(crate) out: PathBuf,
    /// Folder of images to cluster with the network at once; training can go on with it.
    #[arg(long)]
    pub(crate) images: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[derive(Debug, Args)]
pub(crate) struct Assign {
    /// Folder of a finished run.
    pub(crate) run: PathBuf,
    /// Folder of images.
    pub(crate) images: PathBuf,
    /// CSV file to write (path, cluster, distance) [default: standard output]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Also make this folder with a sub-folder per cluster.
    #[arg(long)]
    pub(crate) folders: Option<PathBuf>,
    /// What the sub-folders hold.
    #[arg(long, value_enum, default_value_t = Placement::Link)]
    pub(crate) place: Placement,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

/// How images get into the folders of their clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Placement {
    /// Symbolic links.
    Link,
    /// Copies.
    Copy,
}

/// Files that results in a folder may replace.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Replacing {
    /// Replace files of the same names in --out even if they are no earlier results, or have changed since.
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
    /// Folders of runs, finished or not.
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Folder for curves.csv and the charts, SVG and PNG [default: RUN/curves of the first]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
}

#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Folder of images to train on, at any depth.
    pub(crate) images: PathBuf,
    /// Folder for the runs, sweep.csv and the charts; the same command goes on with what is there.
    #[arg(long, short)]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
    /// Numbers of clusters, separated by commas.
    #[arg(long, short = 'k', value_delimiter = ',', required = true)]
    pub(crate) clusters: Vec<usize>,
    /// The task that runs are compared by.
    #[arg(long, value_enum, default_value_t = SweepScore::Knn)]
    pub(crate) score: SweepScore,
    /// Training images of the task, in a folder per class [default: the images]
    #[arg(long)]
    pub(crate) train: Option<PathBuf>,
    /// Test images of the task, for knn and linear.
    #[arg(long)]
    pub(crate) test: Option<PathBuf>,
    /// Passes over the training images, for linear.
    #[arg(long, default_value_t = 20)]
    pub(crate) linear_epochs: usize,
    /// Neighbours, for knn.
    #[arg(long, default_value_t = 20)]
    pub(crate) neighbors: usize,
    /// Data set in the layout of PASCAL VOC, for voc.
    #[arg(long)]
    pub(crate) voc: Option<PathBuf>,
    /// Steps of fine-tuning, for voc.
    #[arg(long, default_value_t = 80_000)]
    pub(crate) voc_steps: usize,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
    #[command(flatten)]
    pub(crate) settings: SettingsButClusters,
}

/// The task that runs are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SweepScore {
    /// Nearest neighbours on each layer.
    Knn,
    /// Linear classifiers on each convolution.
    Linear,
    /// Classification of PASCAL VOC with new fully connected layers, as in the paper.
    Voc,
}

#[derive(Debug, Args)]
pub(crate) struct Features {
    /// Folder of a run, finished or not.
    pub(crate) run: PathBuf,
    /// Folder of images.
    pub(crate) images: PathBuf,
    /// File to write, .npy or .parquet; the paths of the images go to a .csv file of the same name.
    #[arg(long, short)]
    pub(crate) out: PathBuf,
    /// Replace files that exist.
    #[arg(long)]
    pub(crate) force: bool,
    /// Which features.
    #[arg(long, value_enum, default_value_t = LayerName::Fc7)]
    pub(crate) layer: LayerName,
    /// Numbers of a .npy file, of 32 or 16 bits.
    #[arg(long, value_parser = named(&[FeatureType::F32, FeatureType::F16]), default_value = "f32")]
    pub(crate) dtype: FeatureType,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

/// Which features are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayerName {
    /// The last layer below the head, before its ReLU.
    Fc7,
    /// The maps after the last convolution and its pooling.
    Convolutions,
    /// What is clustered: fc7 after PCA-whitening, at length 1. Needs a finished run.
    Whitened,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Folder of a run.
    pub(crate) run: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Folder of a run; one that is not finished gives its newest checkpoint.
    pub(crate) run: PathBuf,
    /// Format: safetensors, pytorch-safetensors (for the original code), onnx or burnpack.
    #[arg(long, short)]
    pub(crate) format: ExportFormat,
    /// File to write [default: network.EXTENSION in the folder of the run]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Replace the file if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Folder for the images and the run; must be new.
    #[arg(long, short, default_value = "deepcluster-demo")]
    pub(crate) out: PathBuf,
    /// Seed of the drawings and of the run.
    #[arg(long, default_value_t = 31)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}
