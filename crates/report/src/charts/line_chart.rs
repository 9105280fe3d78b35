//! A chart of lines.

use std::io::{Cursor, Write};
use std::path::Path;

use deepcluster_files::write_whole;
use image::{ImageFormat, RgbImage};
use plotters::prelude::{BitMapBackend, IntoDrawingArea, SVGBackend};

use crate::charts::draw::{draw, with_font};
use crate::charts::error::PlotError;

/// Width and height of an SVG in its units.
const SIZE: (u32, u32) = (720, 440);
/// Pixels of a PNG for each unit.
const DENSITY: u32 = 2;

/// Scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Linear.
    Linear,
    /// Logarithmic, for numbers above 0 alone.
    Log10,
}

/// Points that a line joins, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// x and y; points with a value that is not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// Series over a common axis.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// Title of the chart.
    pub title: String,
    /// Label of the x axis.
    pub x_label: String,
    /// Label of the y axis.
    pub y_label: String,
    /// Scale of the x axis.
    pub x_scale: Scale,
    /// One or more; a legend names them where there are several.
    pub series: Vec<Series>,
}

impl LineChart {
    /// The chart as an SVG document; the same for equal charts.
    ///
    /// # Errors
    /// [`PlotError::Empty`], [`PlotError::NotPositive`], [`PlotError::Drawing`].
    pub fn to_svg(&self) -> Result<String, PlotError> {
        let mut text = String::new();
        with_font(|| draw(self, &SVGBackend::with_string(&mut text, SIZE).into_drawing_area(), 1))?;
        Ok(text)
    }

    /// The chart as a PNG of 1440 x 880 pixels; the same for equal charts.
    ///
    /// # Errors
    /// As [`to_svg`](Self::to_svg).
    pub fn to_png(&self) -> Result<Vec<u8>, PlotError> {
        let (width, height) = (SIZE.0 * DENSITY, SIZE.1 * DENSITY);
        let mut pixels = vec![255; (width * height * 3) as usize];
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        with_font(|| draw(self, &area, DENSITY))?;
        drop(area);
        let failed = |reason: String| PlotError::Drawing { reason };
        let image =
            RgbImage::from_raw(width, height, pixels).ok_or_else(|| failed("its size".to_string()))?;
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).map_err(|error| failed(error.to_string()))?;
        Ok(bytes.into_inner())
    }

    /// Writes the chart to a file whose name ends in `.svg` or `.png`, through a temporary one beside it.
    ///
    /// # Errors
    /// As [`to_svg`](Self::to_svg), and [`PlotError::UnknownFormat`], [`PlotError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), PlotError> {
        let bytes = match path.extension().map(|extension| extension.to_ascii_lowercase()) {
            Some(extension) if extension == "svg" => self.to_svg()?.into_bytes(),
            Some(extension) if extension == "png" => self.to_png()?,
            _ => return Err(PlotError::UnknownFormat { path: path.to_path_buf() }),
        };
        write_whole(path, |writer| writer.write_all(&bytes))
            .map_err(|source| PlotError::Io { path: path.to_path_buf(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(x_scale: Scale, series: &[&[(f64, f64)]]) -> LineChart {
        let named = |(index, points): (usize, &&[(f64, f64)])| Series {
            name: format!("series <{index}> & more"),
            points: points.to_vec(),
        };
        LineChart {
            title: "A & B < C, ü".to_string(),
            x_label: "epoch".to_string(),
            y_label: "NMI".to_string(),
            x_scale,
            series: series.iter().enumerate().map(named).collect(),
        }
    }

    /// All text of a document.
    fn texts(svg: &str) -> Vec<String> {
        let document = roxmltree::Document::parse(svg).unwrap();
        let texts = document.descendants().filter(|node| node.has_tag_name("text"));
        texts.map(|node| node.text().unwrap_or_default().trim().to_string()).collect()
    }

    #[test]
    fn documents_hold_title_axes_and_legend() {
        let chart = chart(Scale::Linear, &[&[(0.0, 0.1), (1.0, 0.2), (2.0, 0.4)], &[(0.0, 0.3), (2.0, 0.2)]]);
        let svg = chart.to_svg().unwrap();
        let found = texts(&svg);
        for wanted in ["A & B < C, ü", "epoch", "NMI", "series <0> & more", "series <1> & more", "1", "0.3"]
        {
            assert!(found.iter().any(|text| text == wanted), "{wanted} is not in {found:?}");
        }
        // Three points of one series and two of the other, and one of each in the legend.
        let document = roxmltree::Document::parse(&svg).unwrap();
        let count = |tag: &str| document.descendants().filter(|node| node.has_tag_name(tag)).count();
        assert_eq!(count("circle"), 3 + 1);
        assert_eq!(chart.to_svg().unwrap(), svg);
        let alone = LineChart { series: chart.series[..1].to_vec(), ..chart };
        assert!(!texts(&alone.to_svg().unwrap()).iter().any(|text| text.contains("series")));
    }

    #[test]
    fn pictures_have_the_colours_of_their_lines() {
        let chart = chart(Scale::Log10, &[&[(10.0, 0.1), (100.0, 0.2)], &[(10.0, 0.3), (1000.0, 0.2)]]);
        let png = chart.to_png().unwrap();
        let image = image::load_from_memory(&png).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (1440, 880));
        for color in [[0, 114, 178], [213, 94, 0]] {
            let count = image.pixels().filter(|pixel| pixel.0 == color).count();
            assert!(count > 300, "{count} pixels of {color:?}");
        }
        assert_eq!(chart.to_png().unwrap(), png);
    }

    #[test]
    fn odd_charts_are_drawn_or_refused() {
        let gap = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0)];
        chart(Scale::Linear, &[&gap]).to_svg().unwrap();
        chart(Scale::Linear, &[&[(5.0, 5.0)]]).to_png().unwrap();
        chart(Scale::Linear, &[&[(0.0, -1e9), (1.0, 1e9)]]).to_svg().unwrap();
        let empty = chart(Scale::Linear, &[&[(0.0, f64::INFINITY)]]).to_svg().unwrap_err();
        assert!(matches!(empty, PlotError::Empty { .. }));
        let zero = chart(Scale::Log10, &[&[(0.0, 1.0)]]).to_svg().unwrap_err().to_string();
        assert!(zero.contains("the value 0 on a logarithmic axis"), "{zero}");
    }

    #[test]
    fn files_are_written_by_their_extension() {
        let folder = tempfile::tempdir().unwrap();
        let chart = chart(Scale::Linear, &[&[(0.0, 0.1), (1.0, 0.2)]]);
        for name in ["a.svg", "a.PNG"] {
            chart.save(&folder.path().join(name)).unwrap();
        }
        assert_eq!(std::fs::read(folder.path().join("a.svg")).unwrap(), chart.to_svg().unwrap().into_bytes());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        let error = chart.save(&folder.path().join("a.jpg")).unwrap_err().to_string();
        assert!(error.contains(".svg or .png"), "{error}");
        assert!(matches!(chart.save(&folder.path().join("no/a.svg")), Err(PlotError::Io { .. })));
    }
}
