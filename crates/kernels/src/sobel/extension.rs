//! The filter as a backend extension.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata, backend_extension};
use burn::tensor::TensorData;
use burn::tensor::ops::ConvOptions;

use super::SOBEL_KERNELS;

/// The filter and its gradient; the default is a convolution of Burn.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff,
)]
pub(super) trait SobelOps: Backend {
    #[fusion(default)]
    fn sobel(images: FloatTensor<Self>) -> FloatTensor<Self> {
        of_burn::<Self>(images)
    }

    #[fusion(default)]
    fn sobel_backward(images: FloatTensor<Self>, of_edges: FloatTensor<Self>) -> FloatTensor<Self> {
        let kernels = kernels::<Self>(&images);
        Self::conv2d_x_backward(images, kernels, of_edges, options())
    }
}

fn of_burn<B: Backend>(images: FloatTensor<B>) -> FloatTensor<B> {
    let kernels = kernels::<B>(&images);
    B::conv2d(images, kernels, None, options())
}

/// Both steps as one convolution, in the precision and on the device of the images.
fn kernels<B: Backend>(images: &FloatTensor<B>) -> FloatTensor<B> {
    let of_colours = SOBEL_KERNELS.iter().flat_map(|kernel| [kernel; 3]).flatten();
    let weights: Vec<f32> = of_colours.map(|weight| weight / 3.0).collect();
    let weights = TensorData::new(weights, [2, 3, 3, 3]).convert_dtype(images.dtype());
    B::float_from_data(weights, &images.device())
}

fn options() -> ConvOptions<2> {
    ConvOptions::new([1, 1], [1, 1], [1, 1], 1)
}

#[cfg(feature = "flex")]
impl SobelOps for burn::backend::Flex {
    fn sobel(images: burn::backend::flex::FlexTensor) -> burn::backend::flex::FlexTensor {
        use crate::host::flex_values::{packed, sizes, tensor, values};

        if images.dtype() != burn::tensor::DType::F32 {
            return of_burn::<Self>(images);
        }
        let images = packed(images);
        let sizes = sizes(&images);
        let edges = super::host::sobel(values(&images), sizes[2], sizes[3]);
        tensor(edges, [sizes[0], 2, sizes[2], sizes[3]])
    }
}

#[cfg(feature = "gpu")]
impl SobelOps for burn_cubecl::CubeBackend {}

#[derive(Debug)]
struct Sobel;

impl<B: SobelOps> Backward<B, 1> for Sobel {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let images = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |of_edges| B::sobel_backward(images, of_edges));
    }
}

impl<B: SobelOps, C: CheckpointStrategy> SobelOps for Autodiff<B, C> {
    fn sobel(images: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = images.node();
        let images = images.into_primitive();
        let edges = B::sobel(images.clone());
        match Sobel.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => preparation.finish(images, edges),
            OpsKind::UnTracked(preparation) => preparation.finish(edges),
        }
    }
}
