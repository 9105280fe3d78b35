//! The operation as a backend extension.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata, backend_extension};
use burn::tensor::TensorData;

use super::{MapRegion, host};
use crate::host_data::{read_floats, read_ints};

/// Region pooling; the default computes on the host, wherever the tensors lie.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff,
)]
pub(super) trait RoiPoolOps: Backend {
    /// Maxima `[regions, channels, side, side]`, and their places in the planes of `maps`.
    #[fusion(meta = |maps, regions, side| outputs(maps, regions.len(), *side))]
    fn roi_max_pool(
        maps: FloatTensor<Self>,
        regions: Vec<MapRegion>,
        side: usize,
    ) -> (FloatTensor<Self>, IntTensor<Self>) {
        on_the_host::<Self>(maps, &regions, side)
    }

    /// The gradient of maps of `shape` from that of their maxima.
    #[fusion(dtype = of_maxima, shape = burn::tensor::Shape::new(*shape))]
    fn roi_max_pool_backward(
        of_maxima: FloatTensor<Self>,
        places: IntTensor<Self>,
        regions: Vec<MapRegion>,
        side: usize,
        shape: [usize; 4],
    ) -> FloatTensor<Self> {
        gradient_on_the_host::<Self>(of_maxima, places, &regions, side, shape)
    }
}

/// Shapes and types of maxima and places.
#[cfg(feature = "gpu")]
fn outputs(
    maps: &burn::backend::fusion::custom::TensorSpec,
    num_regions: usize,
    side: usize,
) -> (burn::backend::fusion::custom::TensorSpec, burn::backend::fusion::custom::TensorSpec) {
    use burn::backend::fusion::custom::TensorSpec;

    let shape = burn::tensor::Shape::new([num_regions, maps.shape[1], side, side]);
    (TensorSpec::new(shape.clone(), maps.dtype), TensorSpec::new(shape, burn::tensor::DType::I32))
}

pub(super) fn on_the_host<B: Backend>(
    maps: FloatTensor<B>,
    regions: &[MapRegion],
    side: usize,
) -> (FloatTensor<B>, IntTensor<B>) {
    let (device, dtype, shape) = (maps.device(), maps.dtype(), map_shape::<B>(&maps));
    let maps = read_floats::<B>(maps);
    let (maxima, places) = host::max_pool(&maps, shape, regions, side);
    let shape = [regions.len(), shape[1], side, side];
    let maxima = TensorData::new(maxima, shape).convert_dtype(dtype);
    (B::float_from_data(maxima, &device), B::int_from_data(TensorData::new(places, shape), &device))
}

pub(super) fn gradient_on_the_host<B: Backend>(
    of_maxima: FloatTensor<B>,
    places: IntTensor<B>,
    regions: &[MapRegion],
    side: usize,
    shape: [usize; 4],
) -> FloatTensor<B> {
    let (device, dtype) = (of_maxima.device(), of_maxima.dtype());
    let (of_maxima, places) = (read_floats::<B>(of_maxima), read_ints::<B>(places));
    let gradient = host::max_pool_gradient(&of_maxima, &places, shape, regions, side);
    B::float_from_data(TensorData::new(gradient, shape).convert_dtype(dtype), &device)
}

#[cfg(feature = "flex")]
impl RoiPoolOps for burn::backend::Flex {}

#[derive(Debug)]
struct RoiMaxPool;

impl<B: RoiPoolOps> Backward<B, 1> for RoiMaxPool {
    type State = (IntTensor<B>, Vec<MapRegion>, usize, [usize; 4]);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |of_maxima| {
            let (places, regions, side, shape) = ops.state;
            B::roi_max_pool_backward(of_maxima, places, regions, side, shape)
        });
    }
}

impl<B: RoiPoolOps, C: CheckpointStrategy> RoiPoolOps for Autodiff<B, C> {
    fn roi_max_pool(
        maps: FloatTensor<Self>,
        regions: Vec<MapRegion>,
        side: usize,
    ) -> (FloatTensor<Self>, IntTensor<Self>) {
        let shape = map_shape::<Self>(&maps);
        let node = maps.node();
        let (maxima, places) = B::roi_max_pool(maps.into_primitive(), regions.clone(), side);
        let maxima = match RoiMaxPool.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => {
                preparation.finish((places.clone(), regions, side, shape), maxima)
            }
            OpsKind::UnTracked(preparation) => preparation.finish(maxima),
        };
        (maxima, places)
    }
}

fn map_shape<B: Backend>(maps: &FloatTensor<B>) -> [usize; 4] {
    let shape = maps.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}
