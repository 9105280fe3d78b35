//! Ranges of settings: the check, and its words in messages and on the page of settings.

use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::ops::RangeBounds;

use crate::settings::value::Number;

/// The end of numbers that nothing else bounds: far beyond any use, and far from any overflow.
pub(crate) const LARGEST: u64 = 1_000_000_000_000;

/// The range of a setting, and what else its entry states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    range: Range,
    /// The default in words, where it depends on something else.
    pub(crate) default: Option<&'static str>,
    /// Whether a resumed run may change it.
    pub(crate) changeable: bool,
}

#[derive(Debug, Clone, Copy)]
enum Range {
    Any,
    Integers(u64, u64),
    Floats(Bound<f64>, Bound<f64>),
    /// Checked beside other settings, in `validate.rs`.
    Described(&'static str),
}

/// Any value of the type.
pub(crate) fn any() -> Limits {
    Limits { range: Range::Any, default: None, changeable: false }
}

/// Whole numbers from `low` to `high`. Every one has an upper end: TOML holds none above 2^63, and what is
/// laid out in memory before it is used must fit there.
pub(crate) fn integers(low: u64, high: u64) -> Limits {
    Limits { range: Range::Integers(low, high), ..any() }
}

/// Finite numbers of a range.
pub(crate) fn floats(range: impl RangeBounds<f64>) -> Limits {
    Limits { range: Range::Floats(range.start_bound().cloned(), range.end_bound().cloned()), ..any() }
}

/// Finite numbers above 0.
pub(crate) fn positive() -> Limits {
    floats((Excluded(0.0), Unbounded))
}

/// A range that depends on other settings.
pub(crate) fn described(range: &'static str) -> Limits {
    Limits { range: Range::Described(range), ..any() }
}

impl Limits {
    /// Names the default where it depends on something else.
    pub(crate) fn default_is(mut self, words: &'static str) -> Self {
        self.default = Some(words);
        self
    }

    /// Lets a resumed run change the setting, because no result depends on it.
    pub(crate) fn changeable(mut self) -> Self {
        self.changeable = true;
        self
    }

    pub(crate) fn contain(&self, number: Number) -> bool {
        match (self.range, number) {
            (Range::Integers(low, high), Number::Integer(number)) => (low..=high).contains(&number),
            (Range::Floats(low, high), Number::Float(number)) => {
                number.is_finite() && (low, high).contains(&number)
            }
            _ => true,
        }
    }

    /// The range in words; empty for any value.
    pub(crate) fn text(&self) -> String {
        match self.range {
            Range::Any => String::new(),
            Range::Described(range) => range.to_string(),
            Range::Integers(low, high) => format!("{low} to {high}"),
            Range::Floats(Included(low), Included(high)) => format!("{low} to {high}"),
            Range::Floats(low, high) => {
                let low = match low {
                    Included(low) => Some(format!("at least {low}")),
                    Excluded(low) => Some(format!("more than {low}")),
                    Unbounded => None,
                };
                let high = match high {
                    Included(high) => Some(format!("at most {high}")),
                    Excluded(high) => Some(format!("less than {high}")),
                    Unbounded => None,
                };
                low.into_iter().chain(high).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_checked_as_its_words_say() {
        let cases: [(Limits, &str, &[f64], &[f64]); 5] = [
            (floats(0.0..=1.0), "0 to 1", &[0.0, 1.0], &[-0.1, 1.1, f64::NAN]),
            (floats(0.0..1.0), "at least 0, less than 1", &[0.0], &[1.0]),
            (floats(0.0..), "at least 0", &[0.0, 1e300], &[-1e-9, f64::INFINITY, f64::NAN]),
            (positive(), "more than 0", &[5e-324], &[0.0, -0.0, f64::INFINITY]),
            (floats((Excluded(0.0), Included(1e4))), "more than 0, at most 10000", &[1e4], &[0.0, 1e5]),
        ];
        for (limits, words, inside, outside) in cases {
            assert_eq!(limits.text(), words);
            assert!(inside.iter().all(|&number| limits.contain(Number::Float(number))), "{words}");
            assert!(!outside.iter().any(|&number| limits.contain(Number::Float(number))), "{words}");
        }
        let seeds = integers(0, i64::MAX as u64);
        assert!(seeds.contain(Number::Integer(i64::MAX as u64)));
        assert!(!seeds.contain(Number::Integer(i64::MAX as u64 + 1)));
    }
}
