//! The command line of `eval`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use deepcluster::transfer::FineTunedLayers;

use super::named::named;
use super::{DeviceChoice, Replacing};

/// Evaluation protocols. Results are printed and written to a folder as JSON and Markdown.
#[derive(Debug, Subcommand)]
pub(crate) enum Eval {
    /// Train linear classifiers on every frozen convolution, compared with an untrained network.
    Linear(EvalLinear),
    /// Classify by nearest neighbours on any layer, compared with an untrained network.
    Knn(EvalKnn),
    /// Compare the clusters of a finished run with labels.
    Clusters(EvalClusters),
    /// PASCAL VOC classification: fine-tuning, or linear SVMs on frozen layers.
    VocClassify(EvalVocClassify),
    /// PASCAL VOC detection with Fast R-CNN.
    VocDetect(EvalVocDetect),
    /// PASCAL VOC segmentation with a fully convolutional network.
    VocSegment(EvalVocSegment),
    /// Image retrieval on Oxford5k, Paris6k or any labelled folder.
    Retrieve(EvalRetrieve),
}

/// Output of results.
#[derive(Debug, Args)]
pub(crate) struct ResultsOutput {
    /// Output folder for results and the state of interrupted tasks [default: RUN/eval/PROTOCOL]
    #[arg(long, short)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
}

/// A run and a data set in the PASCAL VOC layout.
#[derive(Debug, Args)]
pub(crate) struct VocData {
    /// Run directory, finished or not.
    pub(crate) run: PathBuf,
    /// Data set folder, such as VOCdevkit/VOC2007.
    #[arg(long)]
    pub(crate) voc: PathBuf,
    /// Name of the training image set.
    #[arg(long, default_value = "trainval")]
    pub(crate) train_set: String,
    /// Name of the test image set.
    #[arg(long, default_value = "test")]
    pub(crate) test_set: String,
    /// Also evaluate the untrained network.
    #[arg(long)]
    pub(crate) baseline: bool,
    #[command(flatten)]
    pub(crate) results: ResultsOutput,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

/// Fine-tuning settings.
#[derive(Debug, Args)]
pub(crate) struct FineTuning {
    /// Layers to train: fc6-8 (fully connected layers, reinitialised, on frozen convolutions) or all
    /// [default: fc6-8 to classify, otherwise all]
    #[arg(long, value_parser = named(&[FineTunedLayers::FullyConnected, FineTunedLayers::All]))]
    pub(crate) layers: Option<FineTunedLayers>,
    /// Training steps [default: 80000 to classify, 40000 to detect, 13000 to segment]
    #[arg(long)]
    pub(crate) steps: Option<usize>,
    /// Images per training step [default: 16 to classify, 2 to detect, 20 to segment]
    #[arg(long)]
    pub(crate) batch_size: Option<usize>,
    /// Initial learning rate [default: 0.003 to classify, otherwise 0.001]
    #[arg(long)]
    pub(crate) learning_rate: Option<f64>,
    /// Steps between learning rate drops [default: 5000 to classify (to 1/2), 30000 to detect, 10000 to
    /// segment (to 1/10)]
    #[arg(long)]
    pub(crate) decay_steps: Option<usize>,
    /// Seed of new layers, image order and crops.
    #[arg(long, default_value_t = 31)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct EvalVocClassify {
    #[command(flatten)]
    pub(crate) data: VocData,
    #[command(flatten)]
    pub(crate) tuning: FineTuning,
    /// Also train the scales and shifts of batch normalisation.
    #[arg(long)]
    pub(crate) train_batch_norm: bool,
    /// Minimum area of a random crop, as a fraction of the image.
    #[arg(long, default_value_t = 0.1)]
    pub(crate) min_scale: f64,
    /// Maximum area of a random crop, as a fraction of the image.
    #[arg(long, default_value_t = 0.5)]
    pub(crate) max_scale: f64,
    /// Test on corners, centre and their mirror images instead of ten random crops.
    #[arg(long)]
    pub(crate) ten_crops: bool,
    /// Train linear SVMs on frozen layers instead of fine-tuning.
    #[arg(long)]
    pub(crate) svm: bool,
    /// Comma-separated layers for --svm [default: all]
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
    /// Maximum number of proposals per image.
    #[arg(long, default_value_t = 2000)]
    pub(crate) max_proposals: usize,
    /// Shorter side of resized images, in pixels.
    #[arg(long, default_value_t = 600)]
    pub(crate) short_side: u32,
    /// Maximum longer side of resized images, in pixels.
    #[arg(long, default_value_t = 1000)]
    pub(crate) long_side: u32,
    /// Regions per image and training step.
    #[arg(long, default_value_t = 64)]
    pub(crate) regions: usize,
}

#[derive(Debug, Args)]
pub(crate) struct EvalVocSegment {
    #[command(flatten)]
    pub(crate) data: VocData,
    #[command(flatten)]
    pub(crate) tuning: FineTuning,
    /// Mask value of pixels to ignore.
    #[arg(long, default_value_t = 255)]
    pub(crate) void: u8,
    /// Maximum longer side of images, in pixels; larger ones are resized.
    #[arg(long, default_value_t = 500)]
    pub(crate) long_side: u32,
}

/// A run and the images to evaluate it on.
#[derive(Debug, Args)]
pub(crate) struct EvalData {
    /// Run directory, finished or not.
    pub(crate) run: PathBuf,
    /// Training images, one folder per class as in ImageNet and Places.
    #[arg(long)]
    pub(crate) train: PathBuf,
    /// Test images with the same classes.
    #[arg(long)]
    pub(crate) test: PathBuf,
    /// Labels: auto, folders, or a CSV file with columns path and label.
    #[arg(long, default_value = "auto")]
    pub(crate) labels: String,
    /// Comma-separated layers [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) layers: Vec<String>,
    /// Skip the untrained network.
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
    /// Epochs over the training images.
    #[arg(long, default_value_t = 90)]
    pub(crate) epochs: usize,
    /// Images per training step.
    #[arg(long, default_value_t = 256)]
    pub(crate) batch_size: usize,
    /// Initial learning rate.
    #[arg(long, default_value_t = 0.01)]
    pub(crate) learning_rate: f64,
    /// Weight decay.
    #[arg(long, default_value_t = 1e-4)]
    pub(crate) weight_decay: f64,
    /// Average predictions over ten crops of each test image.
    #[arg(long)]
    pub(crate) ten_crops: bool,
    /// Seed of classifiers, image order and crops.
    #[arg(long, default_value_t = 31)]
    pub(crate) seed: u64,
    /// Also evaluate the same network trained with labels for this many epochs; 0 to skip.
    #[arg(long, default_value_t = 0)]
    pub(crate) label_epochs: usize,
}

#[derive(Debug, Args)]
pub(crate) struct EvalKnn {
    #[command(flatten)]
    pub(crate) data: EvalData,
    /// Comma-separated numbers of neighbours.
    #[arg(long, short = 'k', value_delimiter = ',', default_value = "20,200")]
    pub(crate) neighbors: Vec<usize>,
    /// Temperature of the weighted vote.
    #[arg(long, default_value_t = 0.07)]
    pub(crate) temperature: f64,
}

#[derive(Debug, Args)]
pub(crate) struct EvalRetrieve {
    /// Run directory, finished or not.
    pub(crate) run: PathBuf,
    /// Folder of images to retrieve, searched recursively.
    #[arg(long)]
    pub(crate) images: PathBuf,
    /// Ground truth folder of Oxford5k or Paris6k; without it, every labelled image is a query.
    #[arg(long, requires = "whiten_on")]
    pub(crate) ground_truth: Option<PathBuf>,
    /// Images to fit the whitening on, distinct from IMAGES [default without --ground-truth: IMAGES]
    #[arg(long)]
    pub(crate) whiten_on: Option<PathBuf>,
    /// Text file of images to exclude, one name without extension per line.
    #[arg(long)]
    pub(crate) exclude: Option<PathBuf>,
    /// Comma-separated k at which to report recall.
    #[arg(long, short = 'k', value_delimiter = ',', default_value = "1,2,4,8")]
    pub(crate) counts: Vec<usize>,
    /// Labels: auto, folders, or a CSV file with columns path and label.
    #[arg(long, default_value = "auto")]
    pub(crate) labels: String,
    /// Longer side of resized images, in pixels.
    #[arg(long, default_value_t = 1024)]
    pub(crate) long_side: u32,
    /// Number of region scales.
    #[arg(long, default_value_t = 3)]
    pub(crate) scales: usize,
    /// Dimensions of a descriptor.
    #[arg(long, default_value_t = 512)]
    pub(crate) dimensions: usize,
    /// Skip the untrained network.
    #[arg(long)]
    pub(crate) no_baseline: bool,
    #[command(flatten)]
    pub(crate) results: ResultsOutput,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}

#[derive(Debug, Args)]
pub(crate) struct EvalClusters {
    /// Directory of a finished run.
    pub(crate) run: PathBuf,
    /// Labelled images [default: those of the run]
    pub(crate) images: Option<PathBuf>,
    /// Labels: auto, folders, or a CSV file with columns path and label.
    #[arg(long, default_value = "auto")]
    pub(crate) labels: String,
    #[command(flatten)]
    pub(crate) results: ResultsOutput,
    #[command(flatten)]
    pub(crate) device: DeviceChoice,
}
