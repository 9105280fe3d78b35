//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use deepcluster::interchange::ExportFormat;

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
    /// Device: cpu, cuda:N, metal, vulkan, wgpu, or auto for the best of this build.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
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
    /// Device, as for train.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Settings of a run; later ones win over earlier ones: file, options, --set.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Number of clusters; about 10 times the kinds you expect [default: a 50th of the images]
    #[arg(long, short = 'k')]
    pub(crate) clusters: Option<usize>,
    #[command(flatten)]
    pub(crate) common: CommonSettings,
}

/// All settings but the number of clusters.
#[derive(Debug, Args)]
pub(crate) struct CommonSettings {
    /// TOML file with settings; what it leaves out keeps its default.
    #[arg(long, short)]
    pub(crate) config: Option<PathBuf>,
    /// Network: alexnet, alexnet-small or vgg16 [default: by image size]
    #[arg(long)]
    pub(crate) arch: Option<String>,
    /// Side of the network's input in pixels [default: 224]
    #[arg(long)]
    pub(crate) image_size: Option<usize>,
    /// Clustering algorithm: kmeans, pic or lin-cohen-pic [default: kmeans]
    #[arg(long)]
    pub(crate) clustering: Option<String>,
    /// Rounds of clustering and training [default: 200]
    #[arg(long, short)]
    pub(crate) epochs: Option<usize>,
    /// Images per training step [default: 256]
    #[arg(long)]
    pub(crate) batch_size: Option<usize>,
    /// Step size of SGD [default: 0.05]
    #[arg(long)]
    pub(crate) learning_rate: Option<f64>,
    /// The one seed of everything random [default: 31]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Labels, for reports only: auto, none, folders, or a CSV file with columns path and label [default: auto]
    #[arg(long)]
    pub(crate) labels: Option<String>,
    /// Any setting by its key in the configuration file, as in --set clustering.pca_dim=128
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
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
    /// Device, as for train.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
}

/// How images get into the folders of their clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Placement {
    /// Symbolic links.
    Link,
    /// Copies.
    Copy,
}

/// Protocols; results go to standard output and, as JSON and Markdown, to a folder.
#[derive(Debug, Subcommand)]
pub(crate) enum Eval {
    /// Linear classifiers on every frozen convolution, beside those of an untrained network.
    Linear(EvalLinear),
    /// Nearest-neighbour classification on any layer, beside that of an untrained network.
    Knn(EvalKnn),
    /// The clusters of a finished run against the labels of its images, or of another folder.
    Clusters(EvalClusters),
    /// Which classes an image of PASCAL VOC shows, by the fine-tuned network or by linear machines on frozen layers.
    VocClassify(EvalVocClassify),
    /// Where the objects of PASCAL VOC are, by Fast R-CNN on the network.
    VocDetect(EvalVocDetect),
    /// The class of every pixel of PASCAL VOC, by a fully convolutional network.
    VocSegment(EvalVocSegment),
    /// Which images an image finds: landmarks of Oxford5k and Paris6k, or the classes of any folder.
    Retrieve(EvalRetrieve),
}

/// A run and a data set in the layout of PASCAL VOC.
#[derive(Debug, Args)]
pub(crate) struct VocData {
    /// Folder of a run, finished or not.
    pub(crate) run: PathBuf,
    /// Data set, such as VOCdevkit/VOC2007.
    #[arg(long)]
    pub(crate) voc: PathBuf,
    /// List of the training images.
    #[arg(long, default_value = "trainval")]
    pub(crate) train_set: String,
    /// List of the test images.
    #[arg(long, default_value = "test")]
    pub(crate) test_set: String,
    /// Measure the untrained network too.
    #[arg(long)]
    pub(crate) baseline: bool,
    /// Folder for results.json and results.md, and for what a stopped task needs to go on [default: RUN/eval/PROTOCOL]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Device, as for train.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
}

/// How a network is fine-tuned to a task.
#[derive(Debug, Args)]
pub(crate) struct FineTuning {
    /// What learns [default: fc6-8 to classify, all else]
    #[arg(long, value_enum)]
    pub(crate) layers: Option<TunedLayers>,
    /// Steps [default: 80000 to classify, 40000 to detect, 13000 to segment]
    #[arg(long)]
    pub(crate) steps: Option<usize>,
    /// Images per step [default: 16 to classify, 2 to detect, 20 to segment]
    #[arg(long)]
    pub(crate) batch_size: Option<usize>,
    /// First step size of SGD [default: 0.003 to classify, 0.001 else]
    #[arg(long)]
    pub(crate) learning_rate: Option<f64>,
    /// Steps after which the step size falls [default: 5000 to classify (to a half), 30000 to detect, 10000 to segment (to a tenth)]
    #[arg(long)]
    pub(crate) decay_steps: Option<usize>,
    /// The one seed of new layers, order and crops.
    #[arg(long, default_value_t = 31)]
    pub(crate) seed: u64,
}

/// Which layers learn a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TunedLayers {
    /// The fully connected ones, drawn anew, on frozen convolutions.
    #[value(name = "fc6-8")]
    FullyConnected,
    /// All.
    All,
}

#[derive(Debug, Args)]
pub(crate) struct EvalVocClassify {
    #[command(flatten)]
    pub(crate) data: VocData,
    #[command(flatten)]
    pub(crate) tuning: FineTuning,
    /// Let scales and shifts of batch norm learn too.
    #[arg(long)]
    pub(crate) train_batch_norm: bool,
    /// Least area of a random square, as a part of the image.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) min_scale: f64,
    /// Greatest area of a random square, as a part of the image.
    #[arg(long, default_value_t = 0.5)]
    pub(crate) max_scale: f64,
    /// Judge a test image by corners, centre and mirrors, not by ten random squares.
    #[arg(long)]
    pub(crate) ten_crops: bool,
    /// Train linear support vector machines on frozen layers instead.
    #[arg(long)]
    pub(crate) svm: bool,
    /// Layers for --svm, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', requires = "svm")]
    pub(crate) svm_layers: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EvalVocDetect {
    #[command(flatten)]
    pub(crate) data: VocData,
    #[command(flatten)]
    pub(crate) tuning: FineTuning,
    /// File of proposals, .mat or .csv [default: selective search, kept in the folder of the results]
    #[arg(long)]
    pub(crate) proposals: Option<PathBuf>,
    /// Proposals of an image that are looked at.
    #[arg(long, default_value_t = 2000)]
    pub(crate) max_proposals: usize,
    /// What the shorter side of an image is resized to, in pixels.
    #[arg(long, default_value_t = 600)]
    pub(crate) short_side: u32,
    /// The most pixels of the longer side after that.
    #[arg(long, default_value_t = 1000)]
    pub(crate) long_side: u32,
    /// Regions of an image in a step.
    #[arg(long, default_value_t = 64)]
    pub(crate) regions: usize,
}

#[derive(Debug, Args)]
pub(crate) struct EvalVocSegment {
    #[command(flatten)]
    pub(crate) data: VocData,
    #[command(flatten)]
    pub(crate) tuning: FineTuning,
    /// Value of pixels in masks that do not count.
    #[arg(long, default_value_t = 255)]
    pub(crate) void: u8,
    /// What the longer side of an image is resized to where it is longer, in pixels.
    #[arg(long, default_value_t = 500)]
    pub(crate) long_side: u32,
}

/// A run and the images to measure it on.
#[derive(Debug, Args)]
pub(crate) struct EvalData {
    /// Folder of a run, finished or not.
    pub(crate) run: PathBuf,
    /// Training images, in a folder per class as ImageNet and Places have it.
    #[arg(long)]
    pub(crate) train: PathBuf,
    /// Test images of the same classes.
    #[arg(long)]
    pub(crate) test: PathBuf,
    /// Labels: auto, folders, or a CSV file with columns path and label.
    #[arg(long, default_value = "auto")]
    pub(crate) labels: String,
    /// Layers, separated by commas [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) layers: Vec<String>,
    /// Leave out the untrained network.
    #[arg(long)]
    pub(crate) no_baseline: bool,
    /// Folder for results.json and results.md [default: RUN/eval/PROTOCOL]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Device, as for train.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
}

#[derive(Debug, Args)]
pub(crate) struct EvalLinear {
    #[command(flatten)]
    pub(crate) data: EvalData,
    /// Passes over the training images.
    #[arg(long, default_value_t = 90)]
    pub(crate) epochs: usize,
    /// Images per step.
    #[arg(long, default_value_t = 256)]
    pub(crate) batch_size: usize,
    /// First step size of SGD.
    #[arg(long, default_value_t = 0.01)]
    pub(crate) learning_rate: f64,
    /// Weight decay.
    #[arg(long, default_value_t = 1e-4)]
    pub(crate) weight_decay: f64,
    /// Judge a test image by ten crops.
    #[arg(long)]
    pub(crate) ten_crops: bool,
    /// The one seed of classifiers, order and crops.
    #[arg(long, default_value_t = 31)]
    pub(crate) seed: u64,
    /// Also measure the same network after as many passes over the training images with their labels; 0 leaves it out.
    #[arg(long, default_value_t = 0)]
    pub(crate) label_epochs: usize,
}

#[derive(Debug, Args)]
pub(crate) struct EvalKnn {
    #[command(flatten)]
    pub(crate) data: EvalData,
    /// Numbers of neighbours, separated by commas.
    #[arg(long, short = 'k', value_delimiter = ',', default_value = "20,200")]
    pub(crate) neighbors: Vec<usize>,
    /// Temperature of the votes.
    #[arg(long, default_value_t = 0.07)]
    pub(crate) temperature: f64,
}

#[derive(Debug, Args)]
pub(crate) struct EvalRetrieve {
    /// Folder of a run, finished or not.
    pub(crate) run: PathBuf,
    /// Images to retrieve, at any depth.
    #[arg(long)]
    pub(crate) images: PathBuf,
    /// Folder of the ground truth of Oxford5k or Paris6k; without it every image with a class looks for its like.
    #[arg(long, requires = "whiten_on")]
    pub(crate) ground_truth: Option<PathBuf>,
    /// Images that the whitening is learned from, another set [default without a ground truth: the same]
    #[arg(long)]
    pub(crate) whiten_on: Option<PathBuf>,
    /// Text file of images to leave out, a name without extension in each line, such as the damaged ones of Paris6k.
    #[arg(long)]
    pub(crate) exclude: Option<PathBuf>,
    /// Numbers of images that recall is given at, separated by commas.
    #[arg(long, short = 'k', value_delimiter = ',', default_value = "1,2,4,8")]
    pub(crate) counts: Vec<usize>,
    /// Labels: auto, folders, or a CSV file with columns path and label.
    #[arg(long, default_value = "auto")]
    pub(crate) labels: String,
    /// What the longer side of an image is resized to, in pixels.
    #[arg(long, default_value_t = 1024)]
    pub(crate) long_side: u32,
    /// Sizes of the regions.
    #[arg(long, default_value_t = 3)]
    pub(crate) scales: usize,
    /// Dimensions of a description.
    #[arg(long, default_value_t = 512)]
    pub(crate) dimensions: usize,
    /// Leave out the untrained network.
    #[arg(long)]
    pub(crate) no_baseline: bool,
    /// Folder for results.json and results.md, and for what a stopped task needs to go on [default: RUN/eval/retrieve]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Device, as for train.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
}

#[derive(Debug, Args)]
pub(crate) struct EvalClusters {
    /// Folder of a finished run.
    pub(crate) run: PathBuf,
    /// Images with labels [default: those of the run]
    pub(crate) images: Option<PathBuf>,
    /// Labels: auto, folders, or a CSV file with columns path and label.
    #[arg(long, default_value = "auto")]
    pub(crate) labels: String,
    /// Folder for results.json and results.md [default: RUN/eval/clusters]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    /// Device, as for train.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
}

#[derive(Debug, Args)]
pub(crate) struct Curves {
    /// Folders of runs, finished or not.
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Folder for curves.csv and the charts, SVG and PNG [default: RUN/curves of the first]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Folder of images to train on, at any depth.
    pub(crate) images: PathBuf,
    /// Folder for the runs, sweep.csv and the charts; the same command goes on with what is there.
    #[arg(long, short)]
    pub(crate) out: PathBuf,
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
    /// Device, as for train.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) settings: CommonSettings,
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
    /// Numbers of a .npy file.
    #[arg(long, value_enum, default_value_t = NumberType::F32)]
    pub(crate) dtype: NumberType,
    /// Device, as for train.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
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

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NumberType {
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
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
    /// Device, as for train.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
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
    /// Device, as for train.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
}
