//! The layer as a backend extension.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

/// Fully connected layer and its gradients; the default is Burn's.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff,
)]
pub(super) trait LinearOps: Backend {
    #[fusion(default)]
    fn fully_connected(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::linear(input, weight, Some(bias))
    }

    #[fusion(default)]
    fn fully_connected_input_gradient(
        weight: FloatTensor<Self>,
        of_output: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::linear_x_backward(weight, of_output)
    }

    #[fusion(default)]
    fn fully_connected_weight_gradient(
        input: FloatTensor<Self>,
        of_output: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::linear_weight_backward(input, of_output)
    }

    #[fusion(default)]
    fn fully_connected_bias_gradient(of_output: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::linear_bias_backward(of_output)
    }
}

#[cfg(feature = "gpu")]
impl LinearOps for burn_cubecl::CubeBackend {}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::Flex;
    use burn::backend::flex::FlexTensor;
    use burn::backend::ops::ModuleOps;
    use burn::tensor::DType;

    use super::super::host::{self, LayerShape};
    use super::LinearOps;
    use crate::host::flex_values::{packed, sizes, tensor, values};

    impl LinearOps for Flex {
        fn fully_connected(input: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
            if input.dtype() != DType::F32 {
                return Self::linear(input, weight, Some(bias));
            }
            let [input, weight, bias] = [input, weight, bias].map(packed);
            let (of_input, of_weight) = (sizes(&input), sizes(&weight));
            let shape = LayerShape { batch: of_input[0], inputs: of_weight[0], outputs: of_weight[1] };
            let output = host::forward(values(&input), values(&weight), values(&bias), shape);
            tensor(output, [shape.batch, shape.outputs])
        }

        fn fully_connected_input_gradient(weight: FlexTensor, of_output: FlexTensor) -> FlexTensor {
            if of_output.dtype() != DType::F32 {
                return Self::linear_x_backward(weight, of_output);
            }
            let [weight, of_output] = [weight, of_output].map(packed);
            let (of_weight, batch) = (sizes(&weight), sizes(&of_output)[0]);
            let shape = LayerShape { batch, inputs: of_weight[0], outputs: of_weight[1] };
            let gradient = host::input_gradient(values(&weight), values(&of_output), shape);
            tensor(gradient, [shape.batch, shape.inputs])
        }

        fn fully_connected_weight_gradient(input: FlexTensor, of_output: FlexTensor) -> FlexTensor {
            if of_output.dtype() != DType::F32 {
                return Self::linear_weight_backward(input, of_output);
            }
            let [input, of_output] = [input, of_output].map(packed);
            let (of_input, outputs) = (sizes(&input), sizes(&of_output)[1]);
            let shape = LayerShape { batch: of_input[0], inputs: of_input[1], outputs };
            let gradient = host::weight_gradient(values(&input), values(&of_output), shape);
            tensor(gradient, [shape.inputs, shape.outputs])
        }

        fn fully_connected_bias_gradient(of_output: FlexTensor) -> FlexTensor {
            if of_output.dtype() != DType::F32 {
                return Self::linear_bias_backward(of_output);
            }
            let of_output = packed(of_output);
            let sizes = sizes(&of_output);
            let shape = LayerShape { batch: sizes[0], inputs: 0, outputs: sizes[1] };
            tensor(host::bias_gradient(values(&of_output), shape), [shape.outputs])
        }
    }
}

#[derive(Debug)]
struct FullyConnected;

impl<B: LinearOps> Backward<B, 3> for FullyConnected {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [of_input, of_weight, of_bias] = ops.parents;
        let of_output = grads.consume::<B>(&ops.node);
        let (input, weight) = ops.state;
        if let Some(node) = of_input {
            grads.register::<B>(node.id, B::fully_connected_input_gradient(weight, of_output.clone()));
        }
        if let Some(node) = of_weight {
            grads.register::<B>(node.id, B::fully_connected_weight_gradient(input, of_output.clone()));
        }
        if let Some(node) = of_bias {
            grads.register::<B>(node.id, B::fully_connected_bias_gradient(of_output));
        }
    }
}

impl<B: LinearOps, C: CheckpointStrategy> LinearOps for Autodiff<B, C> {
    fn fully_connected(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), weight.node(), bias.node()];
        let (input, weight, bias) = (input.into_primitive(), weight.into_primitive(), bias.into_primitive());
        let output = B::fully_connected(input.clone(), weight.clone(), bias);
        match FullyConnected.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => preparation.finish((input, weight), output),
            OpsKind::UnTracked(preparation) => preparation.finish(output),
        }
    }
}
