//! The weights of any module as named arrays, and back.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};

use crate::error::ModelError;

/// The floating-point tensors of a module by name, batch-norm statistics included. The names are the field
/// names from the outside in, such as `blocks.0.convolution.weight`; arms of enums are left out, so that a
/// [`Network`](crate::Network) has the names of the network in it.
pub type NamedWeights = BTreeMap<String, TensorData>;

/// Copies every weight of `module` to the host as f32.
///
/// # Errors
/// [`ModelError::Device`] when the device cannot be read.
pub fn export_weights<M: Module>(module: &M) -> Result<NamedWeights, ModelError> {
    let mut exporter = Exporter { path: Vec::new(), weights: Ok(NamedWeights::new()) };
    module.visit(&mut exporter);
    exporter.weights
}

/// Replaces every weight of `module` by the one of the same name. Devices and gradient tracking stay as they
/// are.
///
/// # Errors
/// [`ModelError::WeightsMismatch`] naming the first weight that is missing, has another shape, or belongs to
/// no layer of `module`.
pub fn import_weights<M: Module>(module: M, weights: NamedWeights) -> Result<M, ModelError> {
    let mut importer = Importer { weights, problem: None };
    let module = map_weights(module, &mut importer);
    if let Some(reason) = importer.problem {
        return Err(ModelError::WeightsMismatch { reason });
    }
    if let Some(name) = importer.weights.keys().next() {
        return Err(ModelError::WeightsMismatch { reason: format!("no layer takes the weight '{name}'") });
    }
    Ok(module)
}

/// Changes weights by name; see [`map_weights`].
pub trait WeightMap {
    /// The new value of a weight.
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>>;
}

/// Passes every floating-point weight of `module` to `change`, with its name in [`NamedWeights`].
pub fn map_weights<M: Module>(module: M, change: &mut impl WeightMap) -> M {
    module.map(&mut NamingMapper { change, path: Vec::new() })
}

/// Whether a module is entered as an arm of an enum, which has no part in names.
fn is_enum(container_type: &str) -> bool {
    container_type.starts_with("Enum:")
}

struct NamingMapper<'a, C> {
    change: &'a mut C,
    path: Vec<String>,
}

impl<C: WeightMap> ModuleMapper for NamingMapper<'_, C> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        if !is_enum(container_type) {
            self.path.push(name.to_string());
        }
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        if !is_enum(container_type) {
            self.path.pop();
        }
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.change.map(&self.path.join("."), param)
    }
}

/// Selects by name the weights to compute gradients for.
pub(crate) fn track_gradients<M: Module>(module: M, learns: impl Fn(&str) -> bool) -> M {
    map_weights(module, &mut Tracker(learns))
}

struct Tracker<F>(F);

impl<F: Fn(&str) -> bool> WeightMap for Tracker<F> {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let tensor = tensor.detach().set_require_grad((self.0)(name));
        Param::from_mapped_value(id, tensor, mapper)
    }
}

struct Exporter {
    path: Vec<String>,
    weights: Result<NamedWeights, ModelError>,
}

impl ModuleVisitor for Exporter {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        if !is_enum(container_type) {
            self.path.push(name.to_string());
        }
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        if !is_enum(container_type) {
            self.path.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Ok(weights) = &mut self.weights else { return };
        match param.val().try_into_data() {
            Ok(data) => match on_the_host(data) {
                Ok(data) => drop(weights.insert(self.path.join("."), data)),
                Err(error) => self.weights = Err(error),
            },
            Err(error) => self.weights = Err(ModelError::Device { source: Box::new(error) }),
        }
    }
}

/// Copies the values immediately: GPU buffers are read lazily, and by then their memory may have been
/// reused.
///
/// # Errors
/// [`ModelError::Device`] when the device cannot be read.
pub fn on_the_host(data: TensorData) -> Result<TensorData, ModelError> {
    let shape = data.shape().clone();
    let values = data.convert_dtype(DType::F32).try_into_vec::<f32>();
    let values = values.map_err(|error| ModelError::Device { source: Box::new(error) })?;
    Ok(TensorData::new(values, shape))
}

struct Importer {
    weights: NamedWeights,
    problem: Option<String>,
}

impl WeightMap for Importer {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let expected = tensor.shape();
        let replacement = match self.weights.remove(name) {
            None => Err(format!("the weight '{name}' is missing")),
            Some(data) if *data.shape() != expected => Err(format!(
                "the weight '{name}' has shape {:?}, the network needs {expected:?}",
                data.shape()
            )),
            Some(data) => Ok(data),
        };
        let tensor = match replacement {
            Ok(data) => {
                let requires_grad = tensor.is_require_grad();
                Tensor::from_data(data, &tensor.device()).set_require_grad(requires_grad)
            }
            Err(reason) => {
                self.problem.get_or_insert(reason);
                tensor
            }
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Backbone, ConvNet, ConvNetConfig, Pass};
    use burn::tensor::Device;

    fn network(seed: u64, device: &Device) -> ConvNet {
        ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25).unwrap().init(seed, device).unwrap()
    }

    #[test]
    fn imported_weights_give_the_same_features() {
        let device = Device::flex();
        let (first, second) = (network(1, &device), network(2, &device));
        let images = Tensor::<4>::ones([1, 3, 32, 32], &device);
        let features = |network: &ConvNet| network.features(images.clone(), &Pass::inference()).into_data();
        assert_ne!(features(&first), features(&second));
        let weights = export_weights(&first).unwrap();
        assert!(weights.contains_key("blocks.0.convolution.weight"), "{:?}", weights.keys());
        assert!(weights.contains_key("blocks.4.norm.running_var"), "{:?}", weights.keys());
        let second = import_weights(second, weights).unwrap();
        assert_eq!(features(&first), features(&second));
    }

    #[test]
    fn missing_extra_and_misshapen_weights_are_named() {
        let device = Device::flex();
        let weights = export_weights(&network(1, &device)).unwrap();
        let mut missing = weights.clone();
        missing.remove("fc7.bias");
        let mut extra = weights.clone();
        extra.insert("fc8.bias".to_string(), TensorData::new(vec![0.0_f32], [1]));
        let mut misshapen = weights;
        misshapen.insert("fc7.bias".to_string(), TensorData::new(vec![0.0_f32], [1]));
        for (weights, name) in [(missing, "fc7.bias"), (extra, "fc8.bias"), (misshapen, "fc7.bias")] {
            let error = import_weights(network(1, &device), weights).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn imported_weights_stay_trainable() {
        let device = Device::flex().autodiff();
        let network =
            import_weights(network(1, &device), export_weights(&network(2, &device)).unwrap()).unwrap();
        let images = Tensor::<4>::ones([2, 3, 32, 32], &device);
        let loss = network.features(images, &Pass::training(1)).sum();
        let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &network);
        // 5 blocks with weight, bias, gamma, beta; 2 linear layers with weight and bias.
        assert_eq!(gradients.len(), 5 * 4 + 2 * 2);
    }
}
