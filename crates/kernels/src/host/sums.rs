//! Sums of many values in an order of their own.

/// Values that are added up in `f32` before they go to `f64`, in as many sums side by side as the longest
/// vector has.
const RUN: usize = 256;
const LANES: usize = 16;

/// The sum of `N` terms of each pair of values.
#[inline(always)]
pub(crate) fn sums_of<const N: usize>(
    values: &[f32],
    others: &[f32],
    terms: impl Fn(f32, f32) -> [f32; N],
) -> [f64; N] {
    let mut sums = [0.0; N];
    for (values, others) in values.chunks(RUN).zip(others.chunks(RUN)) {
        let ((values, values_rest), (others, others_rest)) =
            (values.as_chunks::<LANES>(), others.as_chunks::<LANES>());
        let mut lanes = [[0.0_f32; LANES]; N];
        for (values, others) in values.iter().zip(others) {
            for lane in 0..LANES {
                for (lanes, term) in lanes.iter_mut().zip(terms(values[lane], others[lane])) {
                    lanes[lane] += term;
                }
            }
        }
        let mut run = lanes.map(|lanes| lanes.iter().sum::<f32>());
        for (&value, &other) in values_rest.iter().zip(others_rest) {
            run.iter_mut().zip(terms(value, other)).for_each(|(sum, term)| *sum += term);
        }
        sums.iter_mut().zip(run).for_each(|(sum, run)| *sum += f64::from(run));
    }
    sums
}

/// The sum of a term of each value.
#[inline(always)]
pub(crate) fn sum_of(values: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    let [sum] = sums_of(values, values, |value, _| [term(value)]);
    sum
}
