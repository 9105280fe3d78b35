//! Sums over copies of a network that are trained side by side.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};

use crate::error::TrainerError;
use crate::tensors::host_values;

const DURING: &str = "while gradients were added up";

/// Adds up what each copy of a network, its rank, has computed from its part of a batch. Ranks may be threads, as here, or
/// processes.
pub trait GradientExchange: Send + Sync {
    /// The sum over all ranks of `values`, `[n]`, on the device of the rank. All ranks call this as often and with values of one
    /// length; each waits for the others.
    ///
    /// # Errors
    /// [`TrainerError::Device`] when a device fails, or another rank has left.
    fn sum(&self, rank: usize, values: Tensor<1>) -> Result<Tensor<1>, TrainerError>;

    /// A rank that fails says so, so that the others do not wait for it.
    fn leave(&self);
}

/// Sums of threads by way of the host: for devices of any kind. Values are added in the order of the ranks, so that the sum
/// has the same bits every time.
pub struct HostExchange {
    meeting: Meeting,
    shared: Mutex<Shared>,
}

struct Shared {
    /// What the ranks bring.
    parts: Vec<Vec<f32>>,
    /// What they take. It changes when all are back with new parts, and so have taken it.
    sum: Vec<f32>,
}

impl HostExchange {
    /// For so many ranks.
    pub fn new(num_ranks: usize) -> Self {
        let shared = Shared { parts: vec![Vec::new(); num_ranks], sum: Vec::new() };
        Self { meeting: Meeting::new(num_ranks), shared: Mutex::new(shared) }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GradientExchange for HostExchange {
    fn sum(&self, rank: usize, values: Tensor<1>) -> Result<Tensor<1>, TrainerError> {
        let device = values.device();
        self.shared().parts[rank] = host_values(values, DURING)?;
        self.meeting.meet(|| {
            let mut shared = self.shared();
            let mut parts = shared.parts.iter_mut().map(std::mem::take);
            let mut sum = parts.next().unwrap_or_default();
            for part in parts {
                sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
            }
            shared.sum = sum;
        })?;
        let sum = self.shared().sum.clone();
        let shape = [sum.len()];
        Ok(Tensor::from_data(TensorData::new(sum, shape), &device))
    }

    fn leave(&self) {
        self.meeting.leave();
    }
}

/// Where ranks that are threads wait for each other, unless one has left.
struct Meeting {
    num_ranks: usize,
    state: Mutex<MeetingState>,
    changed: Condvar,
}

#[derive(Default)]
struct MeetingState {
    num_there: usize,
    num_held: usize,
    has_left: bool,
}

impl Meeting {
    fn new(num_ranks: usize) -> Self {
        Self { num_ranks, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits for all ranks; the last to come does `together` before any goes on.
    fn meet(&self, together: impl FnOnce()) -> Result<(), TrainerError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.num_held;
        state.num_there += 1;
        if state.num_there == self.num_ranks && !state.has_left {
            together();
            state.num_there = 0;
            state.num_held += 1;
            self.changed.notify_all();
            return Ok(());
        }
        let state = self.changed.wait_while(state, |state| !state.has_left && state.num_held == number);
        if state.unwrap_or_else(PoisonError::into_inner).num_held == number {
            return Err(TrainerError::device(DURING, "another device has failed"));
        }
        Ok(())
    }

    fn leave(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).has_left = true;
        self.changed.notify_all();
    }
}

/// The exchange for these devices, the ranks in their order: on the devices where they can do it themselves, on the host else.
pub(crate) fn exchange_between(devices: &[Device]) -> Arc<dyn GradientExchange> {
    #[cfg(feature = "cuda")]
    if crate::device::are_cuda(devices) {
        return Arc::new(collective::CollectiveExchange::new(devices));
    }
    Arc::new(HostExchange::new(devices.len()))
}

#[cfg(feature = "cuda")]
mod collective {
    use burn::tensor::distributed::{ReduceOperation, all_reduce};
    use burn::tensor::{Device, Tensor};

    use super::{GradientExchange, Meeting};
    use crate::error::TrainerError;

    /// Sums on the devices, by the collective operations of Burn, which NCCL carries out.
    ///
    /// A device that has begun such an operation waits for the others for ever: threads meet before, so that none begins what
    /// another will not join.
    pub(super) struct CollectiveExchange {
        devices: Vec<Device>,
        meeting: Meeting,
    }

    impl CollectiveExchange {
        pub(super) fn new(devices: &[Device]) -> Self {
            let devices: Vec<_> = devices.iter().map(|device| device.clone().without_autodiff()).collect();
            Self { meeting: Meeting::new(devices.len()), devices }
        }
    }

    impl GradientExchange for CollectiveExchange {
        fn sum(&self, _rank: usize, values: Tensor<1>) -> Result<Tensor<1>, TrainerError> {
            self.meeting.meet(|| ())?;
            Ok(all_reduce(values, ReduceOperation::Sum, self.devices.clone()).resolve())
        }

        fn leave(&self) {
            self.meeting.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_gets_the_sum_round_after_round() {
        let exchange = Arc::new(HostExchange::new(3));
        let ranks: Vec<_> = (0..3)
            .map(|rank| {
                let exchange = exchange.clone();
                std::thread::spawn(move || {
                    for round in 0..20 {
                        let value = (rank * 100 + round) as f32;
                        let values = Tensor::<1>::from_floats([value, 1.0], &Device::flex());
                        let sum = exchange.sum(rank, values).unwrap();
                        let expected = (300 + 3 * round) as f32;
                        assert_eq!(host_values(sum, "in a test").unwrap(), [expected, 3.0]);
                    }
                })
            })
            .collect();
        ranks.into_iter().for_each(|rank| rank.join().unwrap());
    }

    #[test]
    fn nobody_waits_for_a_rank_that_has_left() {
        let exchange = Arc::new(HostExchange::new(2));
        let waiting = exchange.clone();
        let rank = std::thread::spawn(move || {
            waiting.sum(0, Tensor::<1>::from_floats([1.0], &Device::flex())).map(|_| ())
        });
        exchange.leave();
        assert!(rank.join().unwrap().unwrap_err().to_string().contains("gradients"));
    }
}
