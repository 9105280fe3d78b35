//! A checkpoint, opened and described; its tensors are read on request.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::{Architecture, ConvNetConfig, NamedWeights, SOBEL_KERNELS};
use burn::tensor::TensorData;
use pytorch_reader::{PickleValue, PytorchReader, Tensor};

use crate::convnet::keys::{PytorchParameter, pytorch_head, pytorch_parameters};
use crate::weights::array::transpose;
use crate::weights::error::WeightsError;
use crate::weights::pytorch::network_shape::NetworkShape;
use crate::weights::pytorch::{guard, tensors};

/// Largest difference of a stored Sobel filter from ours.
const SOBEL_TOLERANCE: f32 = 1e-6;

/// A training checkpoint of the original code, or a bare `state_dict` of its networks.
///
/// Every serialisation of `torch.save` is read. Keys may carry the `module.` of data parallelism anywhere.
#[derive(Debug)]
pub struct PytorchCheckpoint {
    path: PathBuf,
    file_bytes: u64,
    /// Weights by their plain names, such as `features.0.weight`.
    weights: BTreeMap<String, Tensor>,
    /// Momentum by the names of the weights here.
    velocities: BTreeMap<String, Tensor>,
    shape: NetworkShape,
    epoch: usize,
    optimizer: Option<PytorchOptimizer>,
}

/// Settings of the SGD of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PytorchOptimizer {
    /// Step size.
    pub learning_rate: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

impl PytorchCheckpoint {
    /// Opens a checkpoint and finds out what it holds, without reading a tensor.
    ///
    /// # Errors
    /// [`WeightsError::Io`] where the file cannot be opened, [`WeightsError::Checkpoint`] where it is no
    /// checkpoint of AlexNet or VGG-16, is damaged, or asks for more memory than a checkpoint needs.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let io = |source| WeightsError::Io { action: "open", path: path.to_path_buf(), source };
        let metadata = std::fs::metadata(path).map_err(io)?;
        if !metadata.is_file() {
            return Err(io(std::io::Error::other("it is not a file")));
        }
        std::fs::File::open(path).map_err(io)?;
        Self::parse(path, metadata.len())
            .map_err(|reason| WeightsError::Checkpoint { path: path.to_path_buf(), reason })
    }

    fn parse(path: &Path, file_bytes: u64) -> Result<Self, String> {
        guard::check(path)?;
        let tensors = PytorchReader::new(path).map_err(|error| error.to_string())?.into_tensors();
        let values = PytorchReader::read_pickle_data(path, None).map_err(|error| error.to_string())?;
        let PickleValue::Dict(values) = values else {
            return Err("it holds no dictionary".to_string());
        };
        let weights = plain_weights(&tensors);
        let shapes = weights.iter().map(|(name, tensor)| (name.clone(), tensor.shape().to_vec())).collect();
        let architecture = match values.get("arch") {
            Some(PickleValue::String(name)) => Some(name.as_str()),
            _ => None,
        };
        let shape = NetworkShape::find(&shapes, architecture)?;
        let mut checkpoint = Self {
            path: path.to_path_buf(),
            file_bytes,
            weights,
            velocities: BTreeMap::new(),
            shape,
            epoch: epoch_of(&values)?,
            optimizer: None,
        };
        checkpoint.check_head()?;
        checkpoint.check_sobel()?;
        if let Some(PickleValue::Dict(optimizer)) = values.get("optimizer") {
            checkpoint.read_optimizer(optimizer, &tensors)?;
        }
        checkpoint.check_total()?;
        Ok(checkpoint)
    }

    /// Which network it is.
    pub fn architecture(&self) -> Architecture {
        self.shape.architecture
    }

    /// Whether the network sees Sobel-filtered images, or RGB.
    pub fn sobel(&self) -> bool {
        self.shape.sobel
    }

    /// Factor on the channel counts and widths of the architecture; 1 for the original's networks.
    pub fn width(&self) -> f64 {
        self.shape.width
    }

    /// Side of the images in pixels: 224 if the first fully connected layer allows it, otherwise the smallest
    /// it allows.
    pub fn image_size(&self) -> usize {
        self.shape.image_size
    }

    /// Epochs the network has been trained for; 0 where the file does not say.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    /// Outputs of the head, or `None` without one.
    pub fn num_clusters(&self) -> Option<usize> {
        self.weights.get("top_layer.bias").and_then(|bias| bias.shape().first().copied())
    }

    /// Settings of the optimiser, or `None` without one.
    pub fn optimizer(&self) -> Option<&PytorchOptimizer> {
        self.optimizer.as_ref()
    }

    /// The network's layers for images of `image_size` pixels, by default [`image_size`](Self::image_size).
    ///
    /// # Errors
    /// [`WeightsError::Checkpoint`] where the first fully connected layer does not fit that size.
    pub fn network_config(&self, image_size: Option<usize>) -> Result<ConvNetConfig, WeightsError> {
        self.shape.config(image_size.unwrap_or(self.shape.image_size)).map_err(|reason| self.error(reason))
    }

    /// Reads the weights of the network, by the names and in the layout of this crate.
    ///
    /// # Errors
    /// [`WeightsError::Checkpoint`] where a tensor cannot be read or is not finite.
    pub fn read_network(&self) -> Result<NamedWeights, WeightsError> {
        let parameters = pytorch_parameters(&self.network_config(None)?);
        self.read_weights(&parameters)
    }

    /// Reads the head, by the names and in the layout of [`crate::Head`], or `None` without one.
    ///
    /// # Errors
    /// As [`read_network`](Self::read_network).
    pub fn read_head(&self) -> Result<Option<NamedWeights>, WeightsError> {
        self.num_clusters().map(|_| self.read_weights(&pytorch_head())).transpose()
    }

    /// Reads the momentum of the SGD by the names of the weights here, each as a flat array in their layout,
    /// or `None` without any.
    ///
    /// # Errors
    /// As [`read_network`](Self::read_network).
    pub fn read_velocities(&self) -> Result<Option<BTreeMap<String, TensorData>>, WeightsError> {
        if self.velocities.is_empty() {
            return Ok(None);
        }
        let mut velocities = BTreeMap::new();
        for parameter in pytorch_parameters(&self.network_config(None)?) {
            if let Some(tensor) = self.velocities.get(&parameter.name) {
                let data = self.read(tensor, parameter.is_transposed)?;
                let (bytes, shape, dtype) = data.into_parts();
                let flat = TensorData::from_bytes(bytes, [shape.num_elements()], dtype);
                velocities.insert(parameter.name, flat);
            }
        }
        Ok(Some(velocities))
    }

    fn read_weights(&self, parameters: &[PytorchParameter]) -> Result<NamedWeights, WeightsError> {
        let read = |parameter: &PytorchParameter| {
            let tensor = self.weights.get(&parameter.pytorch_name);
            let tensor =
                tensor.ok_or_else(|| self.error(format!("it has no weight {}", parameter.pytorch_name)))?;
            Ok((parameter.name.clone(), self.read(tensor, parameter.is_transposed)?))
        };
        parameters.iter().map(read).collect()
    }

    fn read(&self, tensor: &Tensor, is_transposed: bool) -> Result<TensorData, WeightsError> {
        let data = tensors::read(tensor, self.file_bytes).map_err(|reason| self.error(reason))?;
        Ok(if is_transposed { transpose(&data) } else { data })
    }

    fn error(&self, reason: String) -> WeightsError {
        WeightsError::Checkpoint { path: self.path.clone(), reason }
    }

    fn check_head(&self) -> Result<(), String> {
        let width = self.shape.config(self.shape.image_size)?.fully_connected;
        match (self.weights.get("top_layer.weight"), self.weights.get("top_layer.bias")) {
            (None, None) => Ok(()),
            (Some(weight), Some(bias)) => match (weight.shape(), bias.shape()) {
                (&[outputs, inputs], &[biases]) if inputs == width && biases == outputs && outputs > 0 => {
                    Ok(())
                }
                (weight, bias) => Err(format!(
                    "its head top_layer has the shapes {weight:?} and {bias:?}, and needs [k, {width}] and [k]"
                )),
            },
            _ => Err("its head top_layer has a weight or a bias, and needs both".to_string()),
        }
    }

    /// The fixed filter must be the one that is built in here.
    fn check_sobel(&self) -> Result<(), String> {
        if !self.shape.sobel {
            return Ok(());
        }
        let third = 1.0 / 3.0;
        let filters = [
            ("sobel.0.weight", vec![third; 3]),
            ("sobel.0.bias", vec![0.0]),
            ("sobel.1.weight", SOBEL_KERNELS.concat()),
            ("sobel.1.bias", vec![0.0; 2]),
        ];
        for (name, expected) in filters {
            let tensor = self.weights.get(name).ok_or_else(|| format!("it has no weight {name}"))?;
            if tensor.num_elements() != expected.len() {
                return Err(format!("its weight {name} has the shape {:?}", tensor.shape()));
            }
            let data = tensors::read(tensor, self.file_bytes)?;
            let values = data.as_slice::<f32>().map_err(|error| format!("{error:?}"))?;
            let differs =
                values.iter().zip(&expected).position(|(a, b): (&f32, &f32)| (a - b).abs() > SOBEL_TOLERANCE);
            if let Some(position) = differs {
                return Err(format!(
                    "its Sobel filter {name} has {} at position {position}, and the filter of the original has {}",
                    values[position], expected[position]
                ));
            }
        }
        Ok(())
    }

    /// Many tensors may claim the same bytes of the file.
    fn check_total(&self) -> Result<(), String> {
        let tensors = self.weights.values().chain(self.velocities.values());
        let total = tensors.fold(0_u64, |sum, tensor| sum.saturating_add(tensor.byte_len() as u64));
        if total > self.file_bytes {
            return Err(format!("its tensors claim {total} bytes, and the file has {}", self.file_bytes));
        }
        Ok(())
    }

    /// Takes the settings and the momentum, whose tensors are numbered in the order of the trained weights.
    fn read_optimizer(
        &mut self,
        optimizer: &HashMap<String, PickleValue>,
        tensors: &HashMap<String, Tensor>,
    ) -> Result<(), String> {
        let group = match optimizer.get("param_groups") {
            Some(PickleValue::List(groups)) => match groups.as_slice() {
                [PickleValue::Dict(group)] => group,
                _ => return Err(format!("its optimizer has {} param_groups, and needs one", groups.len())),
            },
            _ => return Err("its optimizer has no param_groups".to_string()),
        };
        self.optimizer = Some(PytorchOptimizer {
            learning_rate: number(group, "lr")?,
            momentum: number(group, "momentum")?,
            weight_decay: number(group, "weight_decay")?,
        });
        let Some(PickleValue::List(numbers)) = group.get("params") else {
            return Err("its optimizer has no list of params".to_string());
        };
        let config = self.shape.config(self.shape.image_size)?;
        let parameters = pytorch_parameters(&config).into_iter().chain(pytorch_head());
        let trained = parameters.filter(|parameter| parameter.is_trained);
        for (parameter, number) in trained.zip(numbers) {
            let key = match number {
                PickleValue::Int(number) => number.to_string(),
                PickleValue::String(number) => number.clone(),
                _ => {
                    return Err("its optimizer numbers its params by something that is no number".to_string());
                }
            };
            let Some(tensor) = tensors.get(&format!("optimizer.state.{key}.momentum_buffer")) else {
                continue;
            };
            let weight = self.weights.get(&parameter.pytorch_name);
            if weight.is_none_or(|weight| weight.shape() != tensor.shape()) {
                return Err(format!(
                    "its momentum of {} has the shape {:?}, which is not that of the weight",
                    parameter.pytorch_name,
                    tensor.shape()
                ));
            }
            // The head here is new in every epoch and has no momentum.
            if !parameter.pytorch_name.starts_with("top_layer") {
                self.velocities.insert(parameter.name, tensor.clone());
            }
        }
        Ok(())
    }
}

/// Weights without what stands before and between their names.
fn plain_weights(tensors: &HashMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    const NESTED: &str = "state_dict.";
    let is_nested = tensors.keys().any(|name| name.starts_with(NESTED));
    let mut weights = BTreeMap::new();
    for (name, tensor) in tensors {
        let name = match name.strip_prefix(NESTED) {
            Some(rest) => rest,
            None if is_nested => continue,
            None => name,
        };
        let plain: Vec<&str> = name.split('.').filter(|&part| part != "module").collect();
        if plain.last() != Some(&"num_batches_tracked") {
            weights.insert(plain.join("."), tensor.clone());
        }
    }
    weights
}

fn epoch_of(values: &HashMap<String, PickleValue>) -> Result<usize, String> {
    match values.get("epoch") {
        None => Ok(0),
        Some(PickleValue::Int(epoch)) => {
            let allowed = u32::try_from(*epoch).map_err(|_| format!("its epoch is {epoch}"))?;
            Ok(allowed as usize)
        }
        Some(_) => Err("its epoch is no whole number".to_string()),
    }
}

fn number(group: &HashMap<String, PickleValue>, key: &str) -> Result<f64, String> {
    match group.get(key) {
        Some(PickleValue::Float(value)) if value.is_finite() => Ok(*value),
        Some(PickleValue::Int(value)) => Ok(*value as f64),
        _ => Err(format!("its optimizer has no number {key}")),
    }
}
