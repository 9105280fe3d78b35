//! Ranges and labels of axes.

/// The range of an axis: a little more than the values span, and something to see where they are all the
/// same.
pub(crate) fn padded(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)));
    let span = most - least;
    let margin = if span > 0.0 { 0.06 * span } else { (0.1 * most.abs()).max(0.5) };
    (least - margin, most + margin)
}

/// Whether all values are whole numbers, so that nothing between them needs a label.
pub(crate) fn are_whole(values: impl IntoIterator<Item = f64>) -> bool {
    values.into_iter().all(|value| value.fract() == 0.0)
}

/// A number as short as it is exact enough on an axis.
pub(crate) fn label(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 || (size > 0.0 && size < 1e-4) {
        return format!("{value:.1e}");
    }
    // Marks such as 0.30000000000000004 and -0 are those of the library's steps.
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_margins() {
        assert_eq!(padded([0.0, 100.0].into_iter()), (-6.0, 106.0));
        assert_eq!(padded([5.0].into_iter()), (4.5, 5.5));
        assert_eq!(padded([100.0, 100.0].into_iter()), (90.0, 110.0));
    }

    #[test]
    fn labels_are_short() {
        let labels = [0.1 + 0.2, -0.0, 12.0, 10_000.0, 2.5e7, 0.25].map(label);
        assert_eq!(labels, ["0.3", "0", "12", "10000", "2.5e7", "0.25"]);
        assert!(are_whole([1.0, 3.0]) && !are_whole([1.0, 2.5]));
    }
}
