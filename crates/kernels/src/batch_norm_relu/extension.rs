//! Batch normalisation with ReLU as a backend extension.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend, backend_extension};

/// Batch normalisation with ReLU and its gradients; the defaults are Burn's operations.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda")),
    Fusion: cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda")),
    Autodiff,
)]
pub(super) trait BatchNormReluOps: Backend {
    /// Output, mean and variance.
    #[fusion(default)]
    fn batch_norm_relu(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        of_burn::<Self>(input, gamma, beta, epsilon)
    }

    /// Gradients of input, gamma and beta.
    #[fusion(default)]
    #[allow(
        clippy::too_many_arguments,
        reason = "what the forward pass has seen and given, and the gradient"
    )]
    fn batch_norm_relu_backward(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        output: FloatTensor<Self>,
        of_output: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        backward_of_burn::<Self>([input, gamma, mean, variance, output], of_output, epsilon)
    }
}

/// Three tensors.
type Three<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

fn of_burn<B: Backend>(
    input: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f64,
) -> Three<B> {
    let normalized = B::batch_norm_train(input, gamma, beta, epsilon);
    (B::relu(normalized.output), normalized.mean, normalized.variance)
}

fn backward_of_burn<B: Backend>(
    [input, gamma, mean, variance, output]: [FloatTensor<B>; 5],
    of_output: FloatTensor<B>,
    epsilon: f64,
) -> Three<B> {
    let passed = B::relu_backward(output, of_output);
    let gradients = B::batch_norm_train_backward(input, gamma, mean, variance, epsilon, passed);
    (gradients.x_grad, gradients.gamma_grad, gradients.beta_grad)
}

#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal", feature = "cuda"))]
impl BatchNormReluOps for burn_cubecl::CubeBackend {}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::Flex;
    use burn::backend::flex::FlexTensor;
    use burn::tensor::DType;

    use super::super::host::{self, MapShape};
    use super::{BatchNormReluOps, backward_of_burn, of_burn};
    use crate::flex_values::{packed, sizes, tensor, values};

    fn shape_of(sizes: &[usize]) -> MapShape {
        MapShape { batch: sizes[0], channels: sizes[1], plane: sizes[2..].iter().product() }
    }

    impl BatchNormReluOps for Flex {
        fn batch_norm_relu(
            input: FlexTensor,
            gamma: FlexTensor,
            beta: FlexTensor,
            epsilon: f64,
        ) -> (FlexTensor, FlexTensor, FlexTensor) {
            if input.dtype() != DType::F32 {
                return of_burn::<Self>(input, gamma, beta, epsilon);
            }
            let (input, gamma, beta) = (packed(input), packed(gamma), packed(beta));
            let sizes = sizes(&input);
            let shape = shape_of(&sizes);
            let (mean, variance) = host::statistics(values(&input), &shape);
            let parameters = [values(&gamma), values(&beta), &mean, &variance];
            let output = host::normalize_relu(values(&input), parameters, epsilon, &shape);
            (tensor(output, sizes), tensor(mean, [shape.channels]), tensor(variance, [shape.channels]))
        }

        fn batch_norm_relu_backward(
            input: FlexTensor,
            gamma: FlexTensor,
            mean: FlexTensor,
            variance: FlexTensor,
            output: FlexTensor,
            of_output: FlexTensor,
            epsilon: f64,
        ) -> (FlexTensor, FlexTensor, FlexTensor) {
            if of_output.dtype() != DType::F32 {
                return backward_of_burn::<Self>([input, gamma, mean, variance, output], of_output, epsilon);
            }
            let [input, gamma, mean, variance, output, of_output] =
                [input, gamma, mean, variance, output, of_output].map(packed);
            let sizes = sizes(&input);
            let shape = shape_of(&sizes);
            let maps = [values(&input), values(&output), values(&of_output)];
            let parameters = [values(&gamma), values(&mean), values(&variance)];
            let [of_input, of_gamma, of_beta] = host::gradients(maps, parameters, epsilon, &shape);
            (tensor(of_input, sizes), tensor(of_gamma, [shape.channels]), tensor(of_beta, [shape.channels]))
        }
    }
}

#[derive(Debug)]
struct BatchNormRelu;

/// Input, gamma, mean, variance and output of the forward pass, and epsilon.
type Seen<B> = ([FloatTensor<B>; 5], f64);

impl<B: BatchNormReluOps> Backward<B, 3> for BatchNormRelu {
    type State = Seen<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let of_output = grads.consume::<B>(&ops.node);
        let ([input, gamma, mean, variance, output], epsilon) = ops.state;
        let (of_input, of_gamma, of_beta) =
            B::batch_norm_relu_backward(input, gamma, mean, variance, output, of_output, epsilon);
        for (node, gradient) in ops.parents.into_iter().zip([of_input, of_gamma, of_beta]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: BatchNormReluOps, C: CheckpointStrategy> BatchNormReluOps for Autodiff<B, C> {
    fn batch_norm_relu(
        input: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [input.node(), gamma.node(), beta.node()];
        let (input, gamma, beta) = (input.into_primitive(), gamma.into_primitive(), beta.into_primitive());
        let (output, mean, variance) = B::batch_norm_relu(input.clone(), gamma.clone(), beta, epsilon);
        let (of_mean, of_variance) = (Self::from_inner(mean.clone()), Self::from_inner(variance.clone()));
        let output = match BatchNormRelu.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => {
                let seen = ([input, gamma, mean, variance, output.clone()], epsilon);
                preparation.finish(seen, output)
            }
            OpsKind::UnTracked(preparation) => preparation.finish(output),
        };
        (output, of_mean, of_variance)
    }
}
