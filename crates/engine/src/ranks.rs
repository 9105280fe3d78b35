//! Sums of gradients over ranks, on the host or between devices.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_collectives::{Communicator, Single, Threads};

use crate::error::EngineError;
use crate::tensors::host_values;

/// The ranks that train together, as one of them sees them.
#[derive(Debug, Clone)]
pub struct Ranks {
    communicator: Arc<dyn Communicator>,
    /// Devices of all ranks, between which Burn has collective operations; empty where it has none.
    collective: Vec<Device>,
}

impl Ranks {
    /// A rank alone.
    pub fn single() -> Self {
        Self::over(Arc::new(Single))
    }

    /// The ranks of any communicator: threads, or processes on many machines.
    pub fn over(communicator: Arc<dyn Communicator>) -> Self {
        Self { communicator, collective: Vec::new() }
    }

    /// The ranks of one process, a thread for each of these devices, in their order. Gradients are summed
    /// between the devices if they support it, and on the host otherwise.
    pub fn of_devices(devices: &[Device]) -> Vec<Self> {
        let collective = collective_devices(devices);
        let ranks = Threads::group(devices.len()).into_iter();
        ranks.map(|rank| Self { communicator: Arc::new(rank), collective: collective.clone() }).collect()
    }

    /// The number of ranks.
    pub fn size(&self) -> usize {
        self.communicator.size()
    }

    /// The sum over all ranks of `values`, `[n]`, on the device of this rank; on the host in a fixed order.
    ///
    /// # Errors
    /// [`EngineError::Device`] when the device fails, [`EngineError::Collective`] when another rank does.
    pub fn sum(&self, values: Tensor<1>) -> Result<Tensor<1>, EngineError> {
        if !self.collective.is_empty() {
            // A device that has begun a collective operation waits for the others forever: ranks meet
            // before, so that none begins what another will not join.
            self.communicator.gather(&[])?;
            return Ok(sum_on_devices(values, &self.collective));
        }
        let device = values.device();
        let mut sum = host_values(values, "while gradients were added up")?;
        self.communicator.sum_in_tree(&mut sum)?;
        let shape = [sum.len()];
        Ok(Tensor::from_data(TensorData::new(sum, shape), &device))
    }
}

#[cfg(feature = "cuda")]
fn collective_devices(devices: &[Device]) -> Vec<Device> {
    if !crate::device::are_cuda(devices) {
        return Vec::new();
    }
    devices.iter().map(|device| device.clone().without_autodiff()).collect()
}

#[cfg(not(feature = "cuda"))]
fn collective_devices(_devices: &[Device]) -> Vec<Device> {
    Vec::new()
}

/// Sums by the collective operations of Burn, which NCCL carries out.
#[cfg(feature = "cuda")]
fn sum_on_devices(values: Tensor<1>, devices: &[Device]) -> Tensor<1> {
    use burn::tensor::distributed::{ReduceOperation, all_reduce};
    all_reduce(values, ReduceOperation::Sum, devices.to_vec()).resolve()
}

#[cfg(not(feature = "cuda"))]
fn sum_on_devices(values: Tensor<1>, _devices: &[Device]) -> Tensor<1> {
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_gets_the_sum_round_after_round() {
        let devices = vec![Device::flex(); 3];
        std::thread::scope(|scope| {
            for (rank, ranks) in Ranks::of_devices(&devices).into_iter().enumerate() {
                scope.spawn(move || {
                    for round in 0..20 {
                        let value = (rank * 100 + round) as f32;
                        let values = Tensor::<1>::from_floats([value, 1.0], &Device::flex());
                        let sum = ranks.sum(values).unwrap();
                        let expected = (300 + 3 * round) as f32;
                        assert_eq!(host_values(sum, "in a test").unwrap(), [expected, 3.0]);
                    }
                });
            }
        });
    }

    #[test]
    fn nobody_waits_for_a_rank_that_has_left() {
        let mut ranks = Ranks::of_devices(&[Device::flex(), Device::flex()]).into_iter();
        let (first, second) = (ranks.next().unwrap(), ranks.next().unwrap());
        let waiting = std::thread::spawn(move || {
            first.sum(Tensor::<1>::from_floats([1.0], &Device::flex())).map(|_| ())
        });
        drop(second);
        assert!(waiting.join().unwrap().unwrap_err().to_string().contains("gradients"));
    }
}
