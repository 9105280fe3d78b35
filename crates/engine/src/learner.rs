//! Modules that learn together, and their step.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Gradients, Tensor};
use deepcluster_kernels::device_limits;
use deepcluster_models::{WeightMap, map_weights};

use crate::error::EngineError;
use crate::losses::{Losses, Term};
use crate::optimizer::Sgd;
use crate::ranks::Ranks;
use crate::tensors::host_values;

/// Modules that learn together, each parameter group with its optimiser.
///
/// ```
/// use burn::module::Module;
/// use burn::tensor::{Device, Tensor};
/// use deepcluster_engine::{Learner, Losses, ParamGroup, Ranks, Sgd};
/// use deepcluster_models::Head;
///
/// #[derive(Module, Debug)]
/// struct Model {
///     head: Head,
/// }
///
/// let device = Device::flex().autodiff();
/// let model = Model { head: Head::new(4, 2, 0, &device) };
/// let mut learner = Learner::new(model, vec![ParamGroup::new("head", Sgd::new(0.1, 0.9, 0.0))]);
/// let losses = |model: &Model| {
///     let output = model.head.forward(Tensor::ones([1, 4], &device));
///     Losses::joint(output.powf_scalar(2.0).sum())
/// };
/// let before = learner.step(losses(&learner.model), &Ranks::single())?.read()?;
/// let after = learner.step(losses(&learner.model), &Ranks::single())?.read()?;
/// assert!(after < before);
/// # Ok::<(), deepcluster_engine::EngineError>(())
/// ```
#[derive(Debug)]
pub struct Learner<M: Module> {
    /// Everything that learns, on a device with autodiff.
    pub model: M,
    groups: Vec<ParamGroup>,
}

/// The parameters of one field of a model, and their optimiser.
#[derive(Debug)]
pub struct ParamGroup {
    /// The field.
    pub name: &'static str,
    /// The optimiser.
    pub optimizer: Sgd,
}

impl ParamGroup {
    /// The parameters of the field `name`.
    pub fn new(name: &'static str, optimizer: Sgd) -> Self {
        Self { name, optimizer }
    }
}

/// The loss of a step.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "no more of them wait than a device has queued")]
pub enum StepLoss {
    /// Read already. Where it is not finite, nothing has moved.
    Known(f64),
    /// `[1]`, on a device that may still be computing it.
    Queued(Tensor<1>),
}

impl StepLoss {
    /// The value, for which it waits.
    ///
    /// # Errors
    /// [`EngineError::Device`] where the device failed in this step or before.
    pub fn read(self) -> Result<f64, EngineError> {
        match self {
            Self::Known(loss) => Ok(loss),
            Self::Queued(loss) => scalar(loss),
        }
    }
}

impl<M: Module> Learner<M> {
    /// Parameters of `model` that are in none of `groups` stay as they are.
    pub fn new(model: M, groups: Vec<ParamGroup>) -> Self {
        Self { model, groups }
    }

    /// The parameter groups.
    pub fn groups(&self) -> &[ParamGroup] {
        &self.groups
    }

    /// The parameter groups, to change learning rates or to restore velocities.
    pub fn groups_mut(&mut self) -> &mut [ParamGroup] {
        &mut self.groups
    }

    /// The model and its groups.
    pub fn into_parts(self) -> (M, Vec<ParamGroup>) {
        (self.model, self.groups)
    }

    /// Takes the model, to return one with other parts.
    pub fn change_model(&mut self, change: impl FnOnce(M) -> M) {
        let whole = take_weights(&mut self.model);
        self.model = change(whole);
    }

    /// One step down the gradients of `losses`, which are added up over the ranks; returns the loss,
    /// likewise.
    ///
    /// A rank alone on the host reads its loss first and moves nothing where it is not finite. A GPU is not
    /// waited for.
    ///
    /// # Errors
    /// [`EngineError::Device`] when the device fails, [`EngineError::Collective`] when another rank does.
    pub fn step(&mut self, losses: Losses, ranks: &Ranks) -> Result<StepLoss, EngineError> {
        let total = losses.total();
        if ranks.size() > 1 {
            return self.step_together(losses, total, ranks).map(StepLoss::Queued);
        }
        if device_limits(losses.device()).is_some() {
            let gradients = self.gradients(losses);
            self.descend(gradients);
            return Ok(StepLoss::Queued(total));
        }
        let value = scalar(total)?;
        if value.is_finite() {
            let gradients = self.gradients(losses);
            self.descend(gradients);
        }
        Ok(StepLoss::Known(value))
    }

    /// A copy on another device, with the state of the optimisers.
    ///
    /// # Errors
    /// [`EngineError::Device`] where velocities cannot be read.
    pub fn copy_to(&self, device: &Device) -> Result<Self, EngineError> {
        let plain = device.clone().without_autodiff();
        let copy = |group: &ParamGroup| -> Result<ParamGroup, EngineError> {
            let mut optimizer = group.optimizer.without_velocities();
            optimizer.import(group.optimizer.export()?, &plain);
            Ok(ParamGroup { name: group.name, optimizer })
        };
        let groups = self.groups.iter().map(copy).collect::<Result<_, _>>()?;
        Ok(Self { model: self.model.valid().to_device(&plain).train(), groups })
    }

    /// A learner of the same size with weights of 0: after a failure of the device the weights may be those
    /// that were never computed.
    pub(crate) fn blank(&self) -> Self {
        let groups = self
            .groups
            .iter()
            .map(|group| ParamGroup { name: group.name, optimizer: group.optimizer.without_velocities() });
        Self { model: blank_weights(&self.model).train(), groups: groups.collect() }
    }

    /// Waits until the device has carried out all steps, by reading the state of the optimisers.
    pub(crate) fn wait(&self) -> Result<(), EngineError> {
        struct LastWeights(Option<Tensor<1>>);
        impl ModuleVisitor for LastWeights {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let weights = param.val().without_autodiff();
                let num_values = weights.shape().num_elements();
                self.0 = Some(weights.reshape([num_values]).narrow(0, 0, 1));
            }
        }
        for group in &self.groups {
            group.optimizer.export()?;
        }
        let mut last = LastWeights(None);
        self.model.visit(&mut last);
        last.0.map_or(Ok(()), |weights| host_values(weights, "in a training step").map(|_| ()))
    }

    fn gradients(&self, losses: Losses) -> GradientsParams {
        let mut terms = losses.terms;
        if let [Term { groups: None, .. }] = terms[..]
            && let Some(term) = terms.pop()
        {
            return GradientsParams::from_module(&mut term.loss.backward(), &self.model);
        }
        let mut all = GradientsParams::new();
        for Term { loss, groups } in terms {
            let mut gradients = loss.backward();
            let take = TakeGradients { gradients: &mut gradients, groups, path: Vec::new(), all: &mut all };
            self.model.visit(&mut { take });
        }
        all
    }

    fn descend(&mut self, gradients: GradientsParams) {
        let whole = take_weights(&mut self.model);
        self.model = map_weights(whole, &mut Descend { groups: &mut self.groups, gradients });
    }

    fn step_together(
        &mut self,
        losses: Losses,
        total: Tensor<1>,
        ranks: &Ranks,
    ) -> Result<Tensor<1>, EngineError> {
        let device = losses.device().clone();
        let gradients = self.gradients(losses);
        let mut flat = Flatten { gradients, device: &device, parts: vec![total] };
        self.model.visit(&mut flat);
        let summed = ranks.sum(Tensor::cat(flat.parts, 0))?;
        let loss = summed.clone().narrow(0, 0, 1);
        let mut unflatten = Unflatten { summed, next: 1, gradients: GradientsParams::new() };
        self.model.visit(&mut unflatten);
        self.descend(unflatten.gradients);
        Ok(loss)
    }
}

/// The value of a loss, in numbers of any type.
fn scalar(loss: Tensor<1>) -> Result<f64, EngineError> {
    let value = loss.try_into_scalar::<f32>();
    value.map(f64::from).map_err(|error| EngineError::device("in a training step", error))
}

/// Takes the module out, so that nothing else holds its weights, and leaves a hollow one.
pub fn take_weights<M: Module>(module: &mut M) -> M {
    let hollow = map_weights(module.clone(), &mut Hollow);
    std::mem::replace(module, hollow)
}

/// The module with weights of 0, on a device without autodiff.
pub(crate) fn blank_weights<M: Module>(module: &M) -> M {
    struct Zeros;
    impl WeightMap for Zeros {
        fn map<const D: usize>(&mut self, _name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, tensor, mapper) = param.consume();
            let zeros = Tensor::zeros(tensor.shape(), &tensor.device());
            Param::from_mapped_value(id, zeros, mapper)
        }
    }
    map_weights(module.valid(), &mut Zeros)
}

/// Takes the place of a module while its weights are changed. What has no gradient stays: a batch norm shares
/// its running statistics with its clones.
struct Hollow;

impl WeightMap for Hollow {
    fn map<const D: usize>(&mut self, _name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, Tensor::empty([1; D], &tensor.device()), mapper)
    }
}

/// Moves the parameters of each group by its optimiser.
struct Descend<'a> {
    groups: &'a mut [ParamGroup],
    gradients: GradientsParams,
}

impl WeightMap for Descend<'_> {
    fn map<const D: usize>(&mut self, name: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (field, rest) = name.split_once('.').unwrap_or((name, ""));
        match self.groups.iter_mut().find(|group| group.name == field) {
            Some(group) => group.optimizer.update(rest, param, &mut self.gradients),
            None => param,
        }
    }
}

/// Takes the gradients of the parameters in some groups.
struct TakeGradients<'a> {
    gradients: &'a mut Gradients,
    groups: Option<&'static [&'static str]>,
    path: Vec<String>,
    all: &'a mut GradientsParams,
}

impl ModuleVisitor for TakeGradients<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let field = self.path.first().map_or("", String::as_str);
        if self.groups.is_some_and(|groups| !groups.contains(&field)) {
            return;
        }
        let Some(gradient) = param.val().grad_remove(self.gradients) else { return };
        let sum = match self.all.remove::<D>(param.id) {
            Some(earlier) => earlier + gradient,
            None => gradient,
        };
        self.all.register::<D>(param.id, sum);
    }
}

/// Collects the gradients of all weights that learn, in their order; zeros where there are none.
struct Flatten<'a> {
    gradients: GradientsParams,
    device: &'a Device,
    parts: Vec<Tensor<1>>,
}

impl ModuleVisitor for Flatten<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weights = param.val();
        if !weights.is_require_grad() {
            return;
        }
        let num_values = weights.shape().num_elements();
        self.parts.push(match self.gradients.remove::<D>(param.id) {
            Some(gradient) => gradient.reshape([num_values]),
            None => Tensor::zeros([num_values], self.device),
        });
    }
}

/// Gives each weight that learns its part of the sums.
struct Unflatten {
    summed: Tensor<1>,
    next: usize,
    gradients: GradientsParams,
}

impl ModuleVisitor for Unflatten {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weights = param.val();
        if !weights.is_require_grad() {
            return;
        }
        let shape = weights.shape();
        let num_values = shape.num_elements();
        let part: Tensor<D> = self.summed.clone().narrow(0, self.next, num_values).reshape(shape);
        self.next += num_values;
        self.gradients.register(param.id, part);
    }
}
