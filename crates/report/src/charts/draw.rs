//! Drawing of a chart on any surface.

use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::charts::axis::{are_whole, label, padded};
use crate::charts::error::PlotError;
use crate::charts::line_chart::{LineChart, Scale, Series};

/// Colours that people who do not see all of them can tell apart (Okabe & Ito, 2008), darkest first.
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(60, 60, 60),
];
pub(crate) const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(228, 228, 228);
pub(crate) const FONT: &str = "sans-serif";

/// Runs `draw` once the font of bitmaps is known to the library.
pub(crate) fn with_font<T>(draw: impl FnOnce() -> Result<T, PlotError>) -> Result<T, PlotError> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let is_registered = REGISTERED
        .get_or_init(|| register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_ok());
    if *is_registered {
        draw()
    } else {
        Err(PlotError::Drawing { reason: "its font is damaged".to_string() })
    }
}

/// Draws `chart`, all lengths times `density`.
pub(crate) fn draw<B: DrawingBackend>(
    chart: &LineChart,
    area: &DrawingArea<B, Shift>,
    density: u32,
) -> Result<(), PlotError> {
    let series: Vec<Series> = chart
        .series
        .iter()
        .map(|series| Series {
            points: series.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect(),
            name: series.name.clone(),
        })
        .collect();
    let points = || series.iter().flat_map(|series| series.points.iter().copied());
    if points().next().is_none() {
        return Err(PlotError::Empty { title: chart.title.clone() });
    }
    let (bottom, top) = padded(points().map(|(_, y)| y));
    // The legend lies above the lines: a twentieth of the height for each name, and its margins.
    let legend = if series.len() > 1 { (0.05 * series.len() as f64 + 0.03).min(0.6) } else { 0.0 };
    let y_range = (bottom, top + (top - bottom) * legend / (1.0 - legend));
    match chart.x_scale {
        Scale::Linear => {
            let (first, last) = padded(points().map(|(x, _)| x));
            draw_in(chart, &series, area, first..last, y_range, density)
        }
        Scale::Log10 => {
            if let Some((value, _)) = points().find(|(x, _)| *x <= 0.0) {
                return Err(PlotError::NotPositive { title: chart.title.clone(), value });
            }
            let (first, last) = padded(points().map(|(x, _)| x.log10()));
            let range = (10_f64.powf(first)..10_f64.powf(last)).log_scale();
            draw_in(chart, &series, area, range, y_range, density)
        }
    }
}

fn draw_in<B: DrawingBackend, X>(
    chart: &LineChart,
    series: &[Series],
    area: &DrawingArea<B, Shift>,
    x_range: X,
    y_range: (f64, f64),
    density: u32,
) -> Result<(), PlotError>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
{
    let failed = |error: DrawingAreaErrorKind<B::ErrorType>| PlotError::Drawing { reason: error.to_string() };
    let font = |size: u32| (FONT, size * density).into_font().color(&INK);
    area.fill(&WHITE).map_err(failed)?;
    let mut context = ChartBuilder::on(area)
        .margin(12 * density)
        .margin_right(24 * density)
        .caption(&chart.title, font(18))
        .x_label_area_size(44 * density)
        .y_label_area_size(58 * density)
        .build_cartesian_2d(x_range, y_range.0..y_range.1)
        .map_err(failed)?;
    let x_are_whole = are_whole(series.iter().flat_map(|series| series.points.iter().map(|(x, _)| *x)));
    // No line between whole numbers that lie next to each other.
    let places = || series.iter().flat_map(|series| series.points.iter().map(|(x, _)| *x));
    let span = places().fold(f64::NEG_INFINITY, f64::max) - places().fold(f64::INFINITY, f64::min);
    let num_x_labels = if x_are_whole { (span as usize + 1).clamp(2, 11) } else { 11 };
    let x_label = move |x: &f64| {
        if x_are_whole && x.fract() != 0.0 { String::new() } else { label(*x) }
    };
    context
        .configure_mesh()
        .x_desc(&chart.x_label)
        .y_desc(&chart.y_label)
        .axis_desc_style(font(15))
        .label_style(font(13))
        .axis_style(INK.stroke_width(density))
        .bold_line_style(GRID.stroke_width(density))
        .light_line_style(WHITE)
        .x_label_formatter(&x_label)
        .y_label_formatter(&|y: &f64| label(*y))
        .x_labels(num_x_labels)
        .y_labels(8)
        .draw()
        .map_err(failed)?;
    for (index, series) in series.iter().enumerate() {
        let color = COLORS[index % COLORS.len()];
        let line = LineSeries::new(series.points.iter().copied(), color.stroke_width(2 * density));
        let drawn = context.draw_series(line).map_err(failed)?;
        drawn.label(&series.name).legend(move |(x, y)| {
            let length = 24 * density as i32;
            let line = PathElement::new(vec![(x, y), (x + length, y)], color.stroke_width(2 * density));
            (EmptyElement::at((0, 0)) + line) + marker(index, (x + length / 2, y), color, density)
        });
        let markers = series.points.iter().map(|&point| marker(index, point, color, density));
        context.draw_series(markers).map_err(failed)?;
    }
    if series.len() > 1 {
        context
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .margin(8 * density)
            .legend_area_size(30 * density)
            .background_style(WHITE.mix(0.85))
            .border_style(GRID)
            .label_font(font(13))
            .draw()
            .map_err(failed)?;
    }
    area.present().map_err(failed)
}

/// A mark at a point, of a shape that the next series do not have.
fn marker<C: Clone + 'static, B: DrawingBackend>(
    index: usize,
    at: C,
    color: RGBColor,
    density: u32,
) -> DynElement<'static, B, C>
where
    EmptyElement<C, B>: Sized,
{
    let size = 4 * density as i32;
    match index % 3 {
        0 => Circle::new(at, size, color.filled()).into_dyn(),
        1 => TriangleMarker::new(at, size + density as i32, color.filled()).into_dyn(),
        _ => Cross::new(at, size, color.stroke_width(2 * density)).into_dyn(),
    }
}
