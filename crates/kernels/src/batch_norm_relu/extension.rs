//! Batch normalisation with ReLU and max-pooling as a backend extension.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend, backend_extension};
use burn::tensor::IntDType;

use crate::pooling::Pooling;

/// Batch normalisation with ReLU and max-pooling, and its gradients; the defaults are Burn's operations.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
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
        pooling: Pooling,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        of_burn::<Self>(input, gamma, beta, epsilon, pooling)
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
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        of_output: FloatTensor<Self>,
        epsilon: f64,
        pooling: Pooling,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        backward_of_burn::<Self>([input, gamma, beta, mean, variance], of_output, epsilon, pooling)
    }
}

/// Three tensors.
type Three<B> = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

fn of_burn<B: Backend>(
    input: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f64,
    pooling: Pooling,
) -> Three<B> {
    let normalized = B::batch_norm_train(input, gamma, beta, epsilon);
    let activation = B::relu(normalized.output);
    let output = if pooling == Pooling::NONE {
        activation
    } else {
        let Pooling { size, stride } = pooling;
        B::max_pool2d(activation, [size; 2], [stride; 2], [0, 0], [1, 1], false)
    };
    (output, normalized.mean, normalized.variance)
}

fn backward_of_burn<B: Backend>(
    [input, gamma, beta, mean, variance]: [FloatTensor<B>; 5],
    of_output: FloatTensor<B>,
    epsilon: f64,
    pooling: Pooling,
) -> Three<B> {
    let activation = B::relu(B::batch_norm_train(input.clone(), gamma.clone(), beta, epsilon).output);
    let of_activation = if pooling == Pooling::NONE {
        of_output
    } else {
        let (size, stride) = ([pooling.size; 2], [pooling.stride; 2]);
        let (padding, dilation) = ([0, 0], [1, 1]);
        let pooled = B::max_pool2d_with_indices(
            activation.clone(),
            size,
            stride,
            padding,
            dilation,
            false,
            IntDType::I32,
        );
        let places = pooled.indices;
        let gradient = B::max_pool2d_with_indices_backward(
            activation.clone(),
            size,
            stride,
            padding,
            dilation,
            false,
            of_output,
            places,
        );
        gradient.x_grad
    };
    let passed = B::relu_backward(activation, of_activation);
    let gradients = B::batch_norm_train_backward(input, gamma, mean, variance, epsilon, passed);
    (gradients.x_grad, gradients.gamma_grad, gradients.beta_grad)
}

#[cfg(feature = "gpu")]
impl BatchNormReluOps for burn_cubecl::CubeBackend {}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::Flex;
    use burn::backend::flex::FlexTensor;
    use burn::tensor::DType;

    use super::super::host::{self, MapShape};
    use super::{BatchNormReluOps, backward_of_burn, of_burn};
    use crate::host::flex_values::{packed, sizes, tensor, values};
    use crate::pooling::Pooling;

    fn shape_of(input: &FlexTensor) -> MapShape {
        let sizes = sizes(input);
        MapShape { batch: sizes[0], channels: sizes[1], height: sizes[2], width: sizes[3] }
    }

    impl BatchNormReluOps for Flex {
        fn batch_norm_relu(
            input: FlexTensor,
            gamma: FlexTensor,
            beta: FlexTensor,
            epsilon: f64,
            pooling: Pooling,
        ) -> (FlexTensor, FlexTensor, FlexTensor) {
            if input.dtype() != DType::F32 {
                return of_burn::<Self>(input, gamma, beta, epsilon, pooling);
            }
            let [input, gamma, beta] = [input, gamma, beta].map(packed);
            let shape = shape_of(&input);
            let (mean, variance) = host::statistics(values(&input), &shape);
            let parameters = [values(&gamma), values(&beta), &mean, &variance];
            let output = host::forward(values(&input), parameters, epsilon, &shape, pooling);
            let [height, width] = pooling.pooled([shape.height, shape.width]);
            let output = tensor(output, [shape.batch, shape.channels, height, width]);
            (output, tensor(mean, [shape.channels]), tensor(variance, [shape.channels]))
        }

        fn batch_norm_relu_backward(
            input: FlexTensor,
            gamma: FlexTensor,
            beta: FlexTensor,
            mean: FlexTensor,
            variance: FlexTensor,
            of_output: FlexTensor,
            epsilon: f64,
            pooling: Pooling,
        ) -> (FlexTensor, FlexTensor, FlexTensor) {
            if of_output.dtype() != DType::F32 {
                let seen = [input, gamma, beta, mean, variance];
                return backward_of_burn::<Self>(seen, of_output, epsilon, pooling);
            }
            let [input, gamma, beta, mean, variance, of_output] =
                [input, gamma, beta, mean, variance, of_output].map(packed);
            let shape = shape_of(&input);
            let maps = [values(&input), values(&of_output)];
            let parameters = [values(&gamma), values(&beta), values(&mean), values(&variance)];
            let [of_input, of_gamma, of_beta] = host::gradients(maps, parameters, epsilon, &shape, pooling);
            let of_input = tensor(of_input, sizes(&input));
            (of_input, tensor(of_gamma, [shape.channels]), tensor(of_beta, [shape.channels]))
        }
    }
}

#[derive(Debug)]
struct BatchNormRelu;

/// Input, gamma, beta, mean and variance of the forward pass, epsilon and the pooling.
type Seen<B> = ([FloatTensor<B>; 5], f64, Pooling);

impl<B: BatchNormReluOps> Backward<B, 3> for BatchNormRelu {
    type State = Seen<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let of_output = grads.consume::<B>(&ops.node);
        let ([input, gamma, beta, mean, variance], epsilon, pooling) = ops.state;
        let (of_input, of_gamma, of_beta) =
            B::batch_norm_relu_backward(input, gamma, beta, mean, variance, of_output, epsilon, pooling);
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
        pooling: Pooling,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [input.node(), gamma.node(), beta.node()];
        let (input, gamma, beta) = (input.into_primitive(), gamma.into_primitive(), beta.into_primitive());
        let (output, mean, variance) =
            B::batch_norm_relu(input.clone(), gamma.clone(), beta.clone(), epsilon, pooling);
        let (of_mean, of_variance) = (Self::from_inner(mean.clone()), Self::from_inner(variance.clone()));
        let output = match BatchNormRelu.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => {
                preparation.finish(([input, gamma, beta, mean, variance], epsilon, pooling), output)
            }
            OpsKind::UnTracked(preparation) => preparation.finish(output),
        };
        (output, of_mean, of_variance)
    }
}
