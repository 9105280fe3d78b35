//! Networks as files for other programs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::{ConvNetConfig, NamedWeights};
use deepcluster_clustering::ClusterModel;

use crate::convnet::keys::pytorch_head;
use crate::convnet::shapes::weight_shapes;
use crate::weights::array::Array;
use crate::weights::error::WeightsError;
use crate::weights::{burnpack, safetensors, state_dict};

/// Number of the layout of the exported files, in their metadata.
const FORMAT: &str = "1";

/// A format to export networks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportFormat {
    /// [safetensors](https://github.com/huggingface/safetensors) with the names and layouts of this library:
    /// matrices of linear layers are `[inputs, outputs]`; the head under `head.`, the clusters under
    /// `clusters.`.
    Safetensors,
    /// safetensors with the names and layouts of the `state_dict` of the original PyTorch networks, fixed
    /// Sobel filters and counters of batch norm included. The head is `top_layer`; without one the two
    /// tensors are missing.
    PytorchSafetensors,
    /// An [ONNX](https://onnx.ai) graph (opset 17) from `images`, normalised RGB `[batch, 3, size, size]`, to
    /// `features` `[batch, feature_dim]`, and where there are clusters to `whitened`
    /// `[batch, num_components]` and `cluster`, int64 `[batch]`, the nearest centroid.
    Onnx,
    /// A record of Burn, for [`ModuleRecord::load`](burn::store::ModuleRecord::load) and
    /// [`ConvNet`](crate::ConvNet), without head and clusters.
    Burnpack,
}

impl ExportFormat {
    /// Every format, for help texts.
    pub const ALL: [ExportFormat; 4] =
        [Self::Safetensors, Self::PytorchSafetensors, Self::Onnx, Self::Burnpack];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::PytorchSafetensors => "pytorch-safetensors",
            Self::Onnx => "onnx",
            Self::Burnpack => "burnpack",
        }
    }

    /// How the names of files of this format end, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::PytorchSafetensors => "pytorch.safetensors",
            Self::Onnx => "onnx",
            Self::Burnpack => burn_pack::EXTENSION,
        }
    }
}

impl fmt::Display for ExportFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for ExportFormat {
    type Err = WeightsError;

    fn from_str(name: &str) -> Result<Self, WeightsError> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            let allowed = Self::ALL.map(Self::name).join(", ");
            WeightsError::UnknownFormat { name: name.to_string(), allowed }
        })
    }
}

/// A network with what belongs to it, as it is exported.
#[derive(Debug, Clone)]
pub struct ExportedNetwork<'a> {
    /// The layers.
    pub config: &'a ConvNetConfig,
    /// Their weights, as [`export_weights`](crate::export_weights) names them.
    pub network: &'a NamedWeights,
    /// The weights of the [`Head`](crate::Head), if there is one.
    pub head: Option<&'a NamedWeights>,
    /// The clusters of the features, if there are any.
    pub clusters: Option<&'a ClusterModel>,
    /// Mean of red, green and blue in 0..=1, subtracted from the input.
    pub input_mean: [f32; 3],
    /// Divisors of the differences.
    pub input_std: [f32; 3],
    /// Text entries for the metadata of the file, beside those that describe the network:
    /// `deepcluster_format`, `architecture`, `image_size`, `sobel`, `input_mean` and `input_std`.
    pub metadata: BTreeMap<String, String>,
}

/// Writes `network` to `path` in `format`, through a temporary file in the same folder. A file at `path` is
/// replaced.
///
/// Equal networks give equal bytes. The weights are written from where they are; the most that is copied at a
/// time is one matrix ([`ExportFormat::PytorchSafetensors`]) or all weights once
/// ([`ExportFormat::Burnpack`]).
///
/// # Errors
/// - [`WeightsError::Mismatch`]: weights, head or clusters do not belong to the layers of
///   `network.config`.
/// - [`WeightsError::TooLarge`]: an ONNX model of more than 2 GiB.
/// - [`WeightsError::NotCompiled`]: an ONNX model, in a build without the cargo feature `onnx`.
/// - [`WeightsError::Io`]: the file cannot be written.
pub fn export(network: &ExportedNetwork<'_>, format: ExportFormat, path: &Path) -> Result<(), WeightsError> {
    network.check()?;
    match format {
        ExportFormat::Safetensors => {
            safetensors::write(native_arrays(network)?, &network.all_metadata(), path)
        }
        ExportFormat::PytorchSafetensors => {
            let mut metadata = network.all_metadata();
            // Loaders of PyTorch look for this entry.
            metadata.insert("format".to_string(), "pt".to_string());
            safetensors::write(state_dict::state_dict(network)?, &metadata, path)
        }
        #[cfg(feature = "onnx")]
        ExportFormat::Onnx => crate::onnx::write(network, path),
        #[cfg(not(feature = "onnx"))]
        ExportFormat::Onnx => Err(WeightsError::NotCompiled { format: "ONNX", feature: "onnx" }),
        ExportFormat::Burnpack => burnpack::write(network, path),
    }
}

impl ExportedNetwork<'_> {
    /// Number of features per image.
    pub(crate) fn feature_dim(&self) -> usize {
        self.config.fully_connected
    }

    fn check(&self) -> Result<(), WeightsError> {
        self.config.validate().map_err(|error| mismatch(error.to_string()))?;
        let shapes = weight_shapes(self.config).expect("validate() has checked the image size");
        check_weights("network", self.network, &shapes)?;
        if let Some(head) = self.head {
            let num_clusters = head.get("linear.bias").map_or(0, |bias| bias.num_elements());
            let shapes = [vec![self.feature_dim(), num_clusters], vec![num_clusters]];
            let names = pytorch_head().map(|parameter| parameter.name);
            check_weights("head", head, &names.into_iter().zip(shapes).collect())?;
        }
        let Some(ClusterModel { whitening, centroids }) = self.clusters else { return Ok(()) };
        let num_columns =
            whitening.as_ref().map_or(self.feature_dim(), |whitening| whitening.num_components());
        let takes = whitening.as_ref().map_or(self.feature_dim(), |whitening| whitening.feature_dim());
        if takes != self.feature_dim() || centroids.ncols() != num_columns || centroids.nrows() == 0 {
            return Err(mismatch(format!(
                "{} centroids of {} dimensions behind a whitening of {takes} dimensions do not fit features of {}",
                centroids.nrows(),
                centroids.ncols(),
                self.feature_dim()
            )));
        }
        Ok(())
    }

    pub(crate) fn all_metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = self.metadata.clone();
        let entries = [
            ("deepcluster_format", FORMAT.to_string()),
            ("architecture", self.config.architecture.to_string()),
            ("image_size", self.config.image_size.to_string()),
            ("sobel", self.config.sobel.to_string()),
            ("input_mean", format!("{:?}", self.input_mean)),
            ("input_std", format!("{:?}", self.input_std)),
        ];
        metadata.extend(entries.map(|(key, value)| (key.to_string(), value)));
        metadata
    }
}

/// Checks that `weights` are those of `shapes` and numbers of 32 bits.
fn check_weights(
    part: &str,
    weights: &NamedWeights,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<(), WeightsError> {
    for (name, shape) in shapes {
        let data =
            weights.get(name).ok_or_else(|| mismatch(format!("the {part} lacks the weight '{name}'")))?;
        if data.shape().as_slice() != shape.as_slice() {
            let found = data.shape();
            return Err(mismatch(format!("the weight '{name}' of the {part} is {found:?}, not {shape:?}")));
        }
        data.as_slice::<f32>()
            .map_err(|_| mismatch(format!("the weight '{name}' of the {part} is no array of f32")))?;
    }
    match weights.keys().find(|name| !shapes.contains_key(*name)) {
        Some(name) => Err(mismatch(format!("no layer of the {part} takes the weight '{name}'"))),
        None => Ok(()),
    }
}

/// The arrays of [`ExportFormat::Safetensors`].
fn native_arrays<'a>(network: &ExportedNetwork<'a>) -> Result<Vec<Array<'a>>, WeightsError> {
    let mut arrays = Vec::new();
    for (name, data) in network.network {
        arrays.push(Array::from_data(name.clone(), data)?);
    }
    for (name, data) in network.head.into_iter().flatten() {
        arrays.push(Array::from_data(format!("head.{name}"), data)?);
    }
    if let Some(ClusterModel { whitening, centroids }) = network.clusters {
        let (num_clusters, dim) = centroids.dim();
        let values: Vec<f32> = centroids.iter().copied().collect();
        arrays.push(Array::from_f32("clusters.centroids", vec![num_clusters, dim], values));
        if let Some(whitening) = whitening {
            let shape = vec![whitening.num_components(), whitening.feature_dim()];
            arrays.push(Array::from_f64("clusters.whitening.mean", vec![shape[1]], whitening.mean()));
            arrays.push(Array::from_f64("clusters.whitening.components", shape, whitening.components()));
            let normalize = i64::from(whitening.normalizes());
            arrays.push(Array::from_i64("clusters.whitening.normalize".to_string(), normalize));
        }
    }
    Ok(arrays)
}

pub(crate) fn mismatch(reason: String) -> WeightsError {
    WeightsError::Mismatch { reason }
}
