//! The command line of `eval`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use deepcluster::transfer::FineTunedLayers;

use super::named::named;
use super::{DeviceChoice, Replacing};

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

/// Where results go.
#[derive(Debug, Args)]
pub(crate) struct ResultsOutput {
    /// Folder for results.json and results.md, and for what a stopped task needs to go on [default: RUN/eval/PROTOCOL]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
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
    #[command(flatten)]
    pub(crate) results: ResultsOutput,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

/// How a network is fine-tuned to a task.
#[derive(Debug, Args)]
pub(crate) struct FineTuning {
    /// Layers that learn: fc6-8, the fully connected ones drawn anew on frozen convolutions, or all [default: fc6-8 to classify, otherwise all]
    #[arg(long, value_parser = named(&[FineTunedLayers::FullyConnected, FineTunedLayers::All]))]
    pub(crate) layers: Option<FineTunedLayers>,
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
    /// File of proposals, .csv [default: selective search, kept in the folder of the results]
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
    #[command(flatten)]
    pub(crate) results: ResultsOutput,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
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
    #[command(flatten)]
    pub(crate) results: ResultsOutput,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
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
    #[command(flatten)]
    pub(crate) results: ResultsOutput,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}
