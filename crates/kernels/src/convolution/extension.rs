//! The convolution as a backend extension.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn::tensor::ops::ConvOptions;

use crate::pooling::Pooling;

/// Convolution and its gradients; the default is Burn's.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff,
)]
pub(super) trait ConvolutionOps: Backend {
    #[fusion(default)]
    fn convolve(
        images: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self> {
        Self::conv2d(images, weight, Some(bias), options(stride, padding))
    }

    #[fusion(default)]
    fn convolve_relu_pool(
        images: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
        pooling: Pooling,
    ) -> FloatTensor<Self> {
        relu_pool::<Self>(Self::convolve(images, weight, bias, stride, padding), pooling)
    }

    #[fusion(default)]
    fn convolve_image_gradient(
        images: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        of_maps: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self> {
        Self::conv2d_x_backward(images, weight, of_maps, options(stride, padding))
    }

    #[fusion(default)]
    fn convolve_weight_gradient(
        images: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        of_maps: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self> {
        Self::conv2d_weight_backward(images, weight, of_maps, options(stride, padding))
    }

    #[fusion(default)]
    fn convolve_bias_gradient(
        images: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        of_maps: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::conv2d_bias_backward(images, bias, of_maps)
    }
}

fn relu_pool<B: Backend>(maps: FloatTensor<B>, pooling: Pooling) -> FloatTensor<B> {
    let maps = B::relu(maps);
    if pooling == Pooling::NONE {
        return maps;
    }
    B::max_pool2d(maps, [pooling.size; 2], [pooling.stride; 2], [0, 0], [1, 1], false)
}

fn options(stride: [usize; 2], padding: [usize; 2]) -> ConvOptions<2> {
    ConvOptions::new(stride, padding, [1, 1], 1)
}

#[cfg(feature = "gpu")]
impl ConvolutionOps for burn_cubecl::CubeBackend {}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::Flex;
    use burn::backend::flex::FlexTensor;
    use burn::backend::ops::ModuleOps;
    use burn::tensor::DType;

    use super::super::shape::{ConvShape, Epilogue};
    use super::super::{direct, host};
    use super::{ConvolutionOps, options, relu_pool};
    use crate::host::flex_values::{packed, sizes, tensor, values};
    use crate::pooling::Pooling;

    fn shape_of(images: &[usize], weight: &FlexTensor, stride: [usize; 2], padding: [usize; 2]) -> ConvShape {
        let weight = weight.layout().shape();
        ConvShape {
            batch: images[0],
            channels_in: images[1],
            height: images[2],
            width: images[3],
            channels_out: weight[0],
            kernel: [weight[2], weight[3]],
            stride,
            padding,
        }
    }

    fn maps(
        tensors: [FlexTensor; 3],
        stride: [usize; 2],
        padding: [usize; 2],
        epilogue: Epilogue,
    ) -> FlexTensor {
        let [images, weight, bias] = tensors.map(packed);
        let shape = shape_of(&sizes(&images), &weight, stride, padding);
        let maps = host::convolve(values(&images), values(&weight), values(&bias), &shape, epilogue);
        let size = shape.output_size(epilogue);
        tensor(maps, [shape.batch, shape.channels_out, size.height, size.width])
    }

    impl ConvolutionOps for Flex {
        fn convolve(
            images: FlexTensor,
            weight: FlexTensor,
            bias: FlexTensor,
            stride: [usize; 2],
            padding: [usize; 2],
        ) -> FlexTensor {
            if images.dtype() != DType::F32 {
                return Self::conv2d(images, weight, Some(bias), options(stride, padding));
            }
            maps([images, weight, bias], stride, padding, Epilogue::None)
        }

        fn convolve_relu_pool(
            images: FlexTensor,
            weight: FlexTensor,
            bias: FlexTensor,
            stride: [usize; 2],
            padding: [usize; 2],
            pooling: Pooling,
        ) -> FlexTensor {
            if images.dtype() != DType::F32 {
                let maps = Self::convolve(images, weight, bias, stride, padding);
                return relu_pool::<Self>(maps, pooling);
            }
            maps([images, weight, bias], stride, padding, Epilogue::ReluPool(pooling))
        }

        fn convolve_image_gradient(
            images: FlexTensor,
            weight: FlexTensor,
            of_maps: FlexTensor,
            stride: [usize; 2],
            padding: [usize; 2],
        ) -> FlexTensor {
            if of_maps.dtype() != DType::F32 {
                return Self::conv2d_x_backward(images, weight, of_maps, options(stride, padding));
            }
            let (weight, of_maps) = (packed(weight), packed(of_maps));
            let shape = shape_of(&sizes(&images), &weight, stride, padding);
            let gradient = host::image_gradient(values(&weight), values(&of_maps), &shape);
            tensor(gradient, [shape.batch, shape.channels_in, shape.height, shape.width])
        }

        fn convolve_weight_gradient(
            images: FlexTensor,
            weight: FlexTensor,
            of_maps: FlexTensor,
            stride: [usize; 2],
            padding: [usize; 2],
        ) -> FlexTensor {
            if of_maps.dtype() != DType::F32 {
                return Self::conv2d_weight_backward(images, weight, of_maps, options(stride, padding));
            }
            let (images, of_maps) = (packed(images), packed(of_maps));
            let shape = shape_of(&sizes(&images), &weight, stride, padding);
            let gradient = host::weight_gradient(values(&images), values(&of_maps), &shape);
            tensor(gradient, [shape.channels_out, shape.channels_in, shape.kernel[0], shape.kernel[1]])
        }

        fn convolve_bias_gradient(images: FlexTensor, bias: FlexTensor, of_maps: FlexTensor) -> FlexTensor {
            if of_maps.dtype() != DType::F32 {
                return Self::conv2d_bias_backward(images, bias, of_maps);
            }
            let of_maps = packed(of_maps);
            let sizes = sizes(&of_maps);
            let gradient = direct::bias_gradient(values(&of_maps), sizes[1], sizes[2] * sizes[3]);
            tensor(gradient, [sizes[1]])
        }
    }
}

#[derive(Debug)]
struct Convolution;

impl<B: ConvolutionOps> Backward<B, 3> for Convolution {
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, [usize; 2], [usize; 2]);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [of_images, of_weight, of_bias] = ops.parents;
        let of_maps = grads.consume::<B>(&ops.node);
        let (images, weight, bias, stride, padding) = ops.state;
        if let Some(node) = of_images {
            let gradient =
                B::convolve_image_gradient(images.clone(), weight.clone(), of_maps.clone(), stride, padding);
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = of_weight {
            let gradient =
                B::convolve_weight_gradient(images.clone(), weight, of_maps.clone(), stride, padding);
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = of_bias {
            grads.register::<B>(node.id, B::convolve_bias_gradient(images, bias, of_maps));
        }
    }
}

impl<B: ConvolutionOps, C: CheckpointStrategy> ConvolutionOps for Autodiff<B, C> {
    fn convolve(
        images: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self> {
        let nodes = [images.node(), weight.node(), bias.node()];
        let (images, weight, bias) =
            (images.into_primitive(), weight.into_primitive(), bias.into_primitive());
        let maps = B::convolve(images.clone(), weight.clone(), bias.clone(), stride, padding);
        match Convolution.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => {
                preparation.finish((images, weight, bias, stride, padding), maps)
            }
            OpsKind::UnTracked(preparation) => preparation.finish(maps),
        }
    }
}
