//! Layers and filters by name and number.

use std::str::FromStr;

use deepcluster_models::{Backbone, ConvNet, LayerKind};

use crate::error::ReportError;

/// Names of the convolutions of `network`, first to last.
pub fn convolution_names(network: &ConvNet) -> Vec<String> {
    let layers = network.layers().into_iter();
    layers.filter(|layer| layer.kind == LayerKind::Convolution).map(|layer| layer.name).collect()
}

/// Index, from 0, of the convolution of `network` called `name`.
///
/// # Errors
/// [`ReportError::UnknownLayer`].
pub fn layer_index(network: &ConvNet, name: &str) -> Result<usize, ReportError> {
    let known = convolution_names(network);
    known
        .iter()
        .position(|layer| layer == name)
        .ok_or_else(|| ReportError::UnknownLayer { layer: name.to_string(), known: known.join(", ") })
}

/// Index of the convolution called `layer`, if it has all of `filters`.
pub(crate) fn layer_with_filters(
    network: &ConvNet,
    layer: &str,
    filters: &[usize],
) -> Result<usize, ReportError> {
    let index = layer_index(network, layer)?;
    let last = network.num_filters(index) - 1;
    match filters.iter().find(|&&filter| filter > last) {
        Some(&filter) => Err(ReportError::NoSuchFilter { layer: layer.to_string(), filter, last }),
        None => Ok(index),
    }
}

/// Some filters of a layer. As text: a number (`3`), a range (`0..16`, the end not included), an open range
/// (`0..`), or several of these separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterChoice {
    /// The first filters, or as many as there are.
    First(usize),
    /// First filter, and the one after the last, of each range; `None` is as far as there are filters.
    Ranges(Vec<(usize, Option<usize>)>),
}

impl FilterChoice {
    /// The numbers, in the order they were named and each once.
    ///
    /// # Errors
    /// [`ReportError::NoSuchFilter`] for the first that does not exist.
    pub fn resolve(&self, layer: &str, num_filters: usize) -> Result<Vec<usize>, ReportError> {
        let ranges = match self {
            Self::First(count) => return Ok((0..num_filters.min(*count)).collect()),
            Self::Ranges(ranges) => ranges,
        };
        let mut filters = Vec::new();
        for &(first, end) in ranges {
            let end = end.unwrap_or(num_filters);
            let last_named = end.saturating_sub(1).max(first);
            if last_named >= num_filters {
                let filter = if first >= num_filters { first } else { last_named };
                let last = num_filters.saturating_sub(1);
                return Err(ReportError::NoSuchFilter { layer: layer.to_string(), filter, last });
            }
            filters.extend((first..end).filter(|filter| !filters.contains(filter)).collect::<Vec<_>>());
        }
        Ok(filters)
    }
}

impl FromStr for FilterChoice {
    type Err = ReportError;

    fn from_str(text: &str) -> Result<Self, ReportError> {
        let malformed = || ReportError::MalformedFilters { text: text.to_string() };
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| malformed());
        let range = |part: &str| match part.split_once("..") {
            None => {
                let filter = number(part)?;
                Ok((filter, Some(filter.checked_add(1).ok_or_else(malformed)?)))
            }
            Some((first, end)) => {
                let first = if first.trim().is_empty() { 0 } else { number(first)? };
                let end = if end.trim().is_empty() { None } else { Some(number(end)?) };
                if end.is_some_and(|end| end <= first) { Err(malformed()) } else { Ok((first, end)) }
            }
        };
        Ok(Self::Ranges(text.split(',').map(range).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Vec<usize>, String> {
        let choice: Result<FilterChoice, _> = text.parse();
        choice.and_then(|choice| choice.resolve("conv1", 6)).map_err(|error| error.to_string())
    }

    #[test]
    fn filters_are_named_by_numbers_and_ranges() {
        assert_eq!(resolve("3"), Ok(vec![3]));
        assert_eq!(resolve("1..4"), Ok(vec![1, 2, 3]));
        assert_eq!(resolve("0.."), Ok((0..6).collect()));
        assert_eq!(resolve(" ..2 , 5, 1.."), Ok(vec![0, 1, 5, 2, 3, 4]));
        assert_eq!(FilterChoice::First(9).resolve("conv1", 3).ok(), Some(vec![0, 1, 2]));
    }

    #[test]
    fn what_names_none_is_refused() {
        for text in ["", "a", "-1", "3..3", "4..2", "1,,2", "1...", "18446744073709551615", "1;2"] {
            let error = resolve(text).unwrap_err();
            assert!(error.contains("is not a list of filters"), "{text}: {error}");
        }
        for (text, filter) in [("6", 6), ("2..9", 8), ("7..", 7)] {
            let error = resolve(text).unwrap_err();
            assert!(
                error.contains(&format!("no filter {filter}: its filters are 0 to 5")),
                "{text}: {error}"
            );
        }
    }
}
