//! Ranks that are threads of one process.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::communicator::Communicator;
use crate::error::CollectiveError;
use crate::single::{no_such_rank, wrong_number_of_parts};
use crate::tree::sum_in_tree;

/// A rank of a group whose ranks are threads of one process.
///
/// A handle that is dropped, for instance because its thread has failed, has left: operations that wait for
/// it fail with [`CollectiveError::Left`].
pub struct Threads {
    rank: usize,
    meeting: Arc<Meeting>,
}

impl Threads {
    /// The handles of a group of `size` ranks, in the order of ranks, one for each thread.
    pub fn group(size: usize) -> Vec<Self> {
        let state = State { parts: vec![None; size], ..State::default() };
        let meeting = Arc::new(Meeting { size, state: Mutex::new(state), changed: Condvar::new() });
        (0..size).map(|rank| Self { rank, meeting: meeting.clone() }).collect()
    }

    /// Contributes `own` and waits for all ranks; the last to arrive combines the parts. Returns the result
    /// of this rank.
    fn meet(
        &self,
        own: Part,
        combine: impl FnOnce(Vec<Part>) -> Result<Vec<Part>, CollectiveError>,
    ) -> Result<Part, CollectiveError> {
        self.meeting.meet(self.rank, own, combine)
    }

    /// As [`meet`](Self::meet), where all ranks get the same.
    fn meet_for_one(
        &self,
        own: Part,
        combine: impl FnOnce(Vec<Part>) -> Result<Part, CollectiveError>,
    ) -> Result<Part, CollectiveError> {
        let size = self.meeting.size;
        self.meet(own, |parts| Ok(vec![combine(parts)?; size]))
    }
}

impl Communicator for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.meeting.size
    }

    fn sum_i64(&self, values: &mut [i64]) -> Result<(), CollectiveError> {
        let sum = self.meet_for_one(Part::Integers(values.to_vec()), |parts| {
            let mut parts = equal_lengths(parts, integers)?.into_iter();
            let mut sum = parts.next().unwrap_or_default();
            for part in parts {
                sum.iter_mut().zip(part).for_each(|(sum, value)| *sum = sum.wrapping_add(value));
            }
            Ok(Part::Integers(sum))
        })?;
        values.copy_from_slice(&integers(sum)?);
        Ok(())
    }

    fn max_f32(&self, values: &mut [f32]) -> Result<(), CollectiveError> {
        let maxima = self.meet_for_one(Part::Floats(values.to_vec()), |parts| {
            let mut parts = equal_lengths(parts, floats)?.into_iter();
            let mut maxima = parts.next().unwrap_or_default();
            for part in parts {
                for (maximum, value) in maxima.iter_mut().zip(part) {
                    let is_larger = value > *maximum || value.is_nan();
                    *maximum = if is_larger { value } else { *maximum };
                }
            }
            Ok(Part::Floats(maxima))
        })?;
        values.copy_from_slice(&floats(maxima)?);
        Ok(())
    }

    fn sum_in_tree(&self, values: &mut [f32]) -> Result<(), CollectiveError> {
        let sum = self.meet_for_one(Part::Floats(values.to_vec()), |parts| {
            Ok(Part::Floats(sum_in_tree(equal_lengths(parts, floats)?)))
        })?;
        values.copy_from_slice(&floats(sum)?);
        Ok(())
    }

    fn broadcast(&self, root: usize, bytes: &mut [u8]) -> Result<(), CollectiveError> {
        if root >= self.size() {
            return Err(no_such_rank(root, self.size()));
        }
        let sent = self.meet_for_one(Part::Bytes(vec![bytes.to_vec()]), |parts| {
            let mut parts = equal_lengths(parts, |part| Ok(byte_lists(part)?.concat()))?;
            Ok(Part::Bytes(vec![parts.swap_remove(root)]))
        })?;
        bytes.copy_from_slice(&byte_lists(sent)?.concat());
        Ok(())
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        byte_lists(self.meet_for_one(Part::Bytes(vec![own.to_vec()]), |parts| {
            let parts: Result<Vec<_>, _> = parts.into_iter().map(byte_lists).collect();
            Ok(Part::Bytes(parts?.into_iter().map(|lists| lists.concat()).collect()))
        })?)
    }

    fn exchange(&self, parts: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let size = self.size();
        if parts.len() != size {
            return Err(wrong_number_of_parts(parts.len(), size));
        }
        byte_lists(self.meet(Part::Bytes(parts), |parts| {
            let mut received = vec![Vec::with_capacity(size); size];
            for sent in parts {
                for (receiver, part) in received.iter_mut().zip(byte_lists(sent)?) {
                    receiver.push(part);
                }
            }
            Ok(received.into_iter().map(Part::Bytes).collect())
        })?)
    }

    fn abort(&self, exit_code: u8) -> ! {
        std::process::exit(exit_code.into())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.meeting.leave();
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "thread {} of {}", self.rank, self.meeting.size)
    }
}

/// The contribution of a rank, or its result.
#[derive(Clone)]
enum Part {
    Integers(Vec<i64>),
    Floats(Vec<f32>),
    Bytes(Vec<Vec<u8>>),
}

fn integers(part: Part) -> Result<Vec<i64>, CollectiveError> {
    if let Part::Integers(values) = part { Ok(values) } else { Err(other_operation()) }
}

fn floats(part: Part) -> Result<Vec<f32>, CollectiveError> {
    if let Part::Floats(values) = part { Ok(values) } else { Err(other_operation()) }
}

fn byte_lists(part: Part) -> Result<Vec<Vec<u8>>, CollectiveError> {
    if let Part::Bytes(lists) = part { Ok(lists) } else { Err(other_operation()) }
}

fn other_operation() -> CollectiveError {
    CollectiveError::Mismatch { reason: "they called different operations".to_string() }
}

/// The values of all parts, whose lengths must be equal.
fn equal_lengths<T>(
    parts: Vec<Part>,
    values: impl Fn(Part) -> Result<Vec<T>, CollectiveError>,
) -> Result<Vec<Vec<T>>, CollectiveError> {
    let parts: Vec<Vec<T>> = parts.into_iter().map(values).collect::<Result<_, _>>()?;
    let length = parts.first().map_or(0, Vec::len);
    match parts.iter().find(|part| part.len() != length) {
        None => Ok(parts),
        Some(other) => {
            let reason = format!("one brought {length} values, another {}", other.len());
            Err(CollectiveError::Mismatch { reason })
        }
    }
}

/// The rendezvous of the ranks.
struct Meeting {
    size: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The contributions of the ranks that have come; once all are there, their results.
    parts: Vec<Option<Part>>,
    num_arrived: usize,
    /// Number of meetings that have taken place.
    num_held: usize,
    /// Why a meeting had no result; there is none after it.
    failure: Option<CollectiveError>,
}

impl Meeting {
    fn meet(
        &self,
        rank: usize,
        own: Part,
        combine: impl FnOnce(Vec<Part>) -> Result<Vec<Part>, CollectiveError>,
    ) -> Result<Part, CollectiveError> {
        let mut state = self.state();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let number = state.num_held;
        state.parts[rank] = Some(own);
        state.num_arrived += 1;
        if state.num_arrived == self.size {
            // No rank brings another part before it has taken the result of this meeting.
            let parts: Vec<Part> = state.parts.iter_mut().filter_map(Option::take).collect();
            match combine(parts) {
                Ok(results) => state.parts = results.into_iter().map(Some).collect(),
                Err(failure) => state.failure = Some(failure),
            }
            state.num_arrived = 0;
            state.num_held += 1;
            self.changed.notify_all();
        } else {
            let is_open = |state: &mut State| state.failure.is_none() && state.num_held == number;
            state = self.changed.wait_while(state, is_open).unwrap_or_else(PoisonError::into_inner);
        }
        if state.num_held == number {
            return Err(state.failure.clone().unwrap_or(CollectiveError::Left));
        }
        let taken = state.parts[rank].take();
        taken.ok_or_else(|| state.failure.clone().unwrap_or(CollectiveError::Left))
    }

    fn leave(&self) {
        self.state().failure.get_or_insert(CollectiveError::Left);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    /// The results of `work` on a group of ranks, in their order.
    fn on_ranks<T: Send>(size: usize, work: impl Fn(&Threads) -> T + Sync) -> Vec<T> {
        thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> =
                Threads::group(size).into_iter().map(|rank| scope.spawn(move || work(&rank))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn every_rank_gets_the_result_round_after_round() {
        for sums in on_ranks(3, |rank| {
            (0..20)
                .map(|round| {
                    let mut values = [(rank.rank() * 100 + round) as f32, 1.0];
                    rank.sum_in_tree(&mut values).unwrap();
                    values
                })
                .collect::<Vec<_>>()
        }) {
            for (round, sum) in sums.into_iter().enumerate() {
                assert_eq!(sum, [(300 + 3 * round) as f32, 3.0]);
            }
        }
    }

    #[test]
    fn bytes_reach_the_ranks_they_are_meant_for() {
        let gathered = on_ranks(3, |rank| rank.gather(&vec![rank.rank() as u8; rank.rank()]).unwrap());
        assert!(gathered.iter().all(|lists| *lists == [vec![], vec![1], vec![2, 2]]));
        let exchanged = on_ranks(3, |rank| {
            rank.exchange((0..3).map(|to| vec![rank.rank() as u8, to]).collect()).unwrap()
        });
        for (to, received) in exchanged.into_iter().enumerate() {
            assert_eq!(received, (0..3).map(|from| vec![from, to as u8]).collect::<Vec<_>>());
        }
        let sent = on_ranks(3, |rank| {
            let mut bytes = [rank.rank() as u8; 2];
            rank.broadcast(2, &mut bytes).unwrap();
            bytes
        });
        assert_eq!(sent, [[2, 2]; 3]);
    }

    #[test]
    fn nan_is_a_maximum() {
        let maxima = on_ranks(2, |rank| {
            let mut values = if rank.rank() == 0 { [f32::NAN, 1.0, -3.0] } else { [5.0, f32::NAN, -2.0] };
            rank.max_f32(&mut values).unwrap();
            values
        });
        for maxima in maxima {
            assert!(maxima[0].is_nan() && maxima[1].is_nan() && maxima[2] == -2.0, "{maxima:?}");
        }
    }

    #[test]
    fn nobody_waits_for_a_rank_that_has_left() {
        let outcomes = on_ranks(3, |rank| match rank.rank() {
            0 => Ok(()),
            _ => rank.sum_i64(&mut [1]),
        });
        // The handle of rank 0 is dropped once its thread ends.
        assert_eq!(outcomes[1..], [Err(CollectiveError::Left), Err(CollectiveError::Left)]);
    }

    #[test]
    fn ranks_that_do_not_agree_are_told_so() {
        let outcomes = on_ranks(2, |rank| rank.sum_i64(&mut vec![0; 1 + rank.rank()]));
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(CollectiveError::Mismatch { .. }))));
        let outcomes = on_ranks(2, |rank| match rank.rank() {
            0 => rank.sum_i64(&mut [1]),
            _ => rank.max_f32(&mut [1.0]),
        });
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(CollectiveError::Mismatch { .. }))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn sums_of_integers_do_not_depend_on_the_number_of_ranks(
            values in prop::collection::vec(any::<i64>(), 1..40),
            size in 1_usize..6,
        ) {
            let expected = values.iter().fold(0_i64, |sum, value| sum.wrapping_add(*value));
            for sum in on_ranks(size, |rank| {
                let own = values.iter().skip(rank.rank()).step_by(size);
                let mut sum = [own.fold(0_i64, |sum, value| sum.wrapping_add(*value))];
                rank.sum_i64(&mut sum).unwrap();
                sum[0]
            }) {
                prop_assert_eq!(sum, expected);
            }
        }
    }
}
