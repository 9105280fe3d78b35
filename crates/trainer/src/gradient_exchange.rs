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
    num_ranks: usize,
    round: Mutex<Round>,
    changed: Condvar,
}

#[derive(Default)]
struct Round {
    /// What has arrived, by rank.
    arrived: Vec<Option<Vec<f32>>>,
    /// The sum, while ranks take it.
    sum: Option<Vec<f32>>,
    num_taken: usize,
    has_left: bool,
}

impl HostExchange {
    /// For so many ranks.
    pub fn new(num_ranks: usize) -> Self {
        let round = Round { arrived: vec![None; num_ranks], ..Round::default() };
        Self { num_ranks, round: Mutex::new(round), changed: Condvar::new() }
    }

    /// Waits as long as `is_waiting` says.
    fn wait<'a>(
        &self,
        round: MutexGuard<'a, Round>,
        is_waiting: fn(&mut Round) -> bool,
    ) -> Result<MutexGuard<'a, Round>, TrainerError> {
        let round = self.changed.wait_while(round, |round| !round.has_left && is_waiting(round));
        let round = round.unwrap_or_else(PoisonError::into_inner);
        if round.has_left {
            Err(TrainerError::device(DURING, "another device has failed"))
        } else {
            Ok(round)
        }
    }
}

impl GradientExchange for HostExchange {
    fn sum(&self, rank: usize, values: Tensor<1>) -> Result<Tensor<1>, TrainerError> {
        let device = values.device();
        let values = host_values(values, DURING)?;
        // The ranks of the round before have all taken their sum.
        let mut round = self
            .wait(self.round.lock().unwrap_or_else(PoisonError::into_inner), |round| round.sum.is_some())?;
        round.arrived[rank] = Some(values);
        if round.arrived.iter().all(Option::is_some) {
            let mut parts = round.arrived.iter_mut().filter_map(Option::take);
            let mut sum = parts.next().unwrap_or_default();
            for part in parts {
                sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
            }
            round.sum = Some(sum);
            self.changed.notify_all();
        }
        let mut round = self.wait(round, |round| round.sum.is_none())?;
        let sum = round.sum.clone().unwrap_or_default();
        round.num_taken += 1;
        if round.num_taken == self.num_ranks {
            (round.sum, round.num_taken) = (None, 0);
            self.changed.notify_all();
        }
        drop(round);
        let shape = [sum.len()];
        Ok(Tensor::from_data(TensorData::new(sum, shape), &device))
    }

    fn leave(&self) {
        self.round.lock().unwrap_or_else(PoisonError::into_inner).has_left = true;
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

    use super::GradientExchange;
    use crate::error::TrainerError;

    /// Sums on the devices, by the collective operations of Burn, which NCCL carries out.
    pub(super) struct CollectiveExchange {
        devices: Vec<Device>,
    }

    impl CollectiveExchange {
        pub(super) fn new(devices: &[Device]) -> Self {
            Self { devices: devices.iter().map(|device| device.clone().without_autodiff()).collect() }
        }
    }

    impl GradientExchange for CollectiveExchange {
        fn sum(&self, _rank: usize, values: Tensor<1>) -> Result<Tensor<1>, TrainerError> {
            Ok(all_reduce(values, ReduceOperation::Sum, self.devices.clone()).resolve())
        }

        /// Operations that wait on the devices cannot be called back from here.
        fn leave(&self) {}
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
