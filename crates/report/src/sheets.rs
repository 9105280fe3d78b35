//! Sheets of small pictures with captions, as PNG.
//!
//! ```
//! use deepcluster_report::sheets::{ContactSheet, RgbImage, SheetCell};
//!
//! # fn main() -> Result<(), deepcluster_report::charts::PlotError> {
//! let cell = |caption: &str| SheetCell {
//!     picture: RgbImage::new(8, 8),
//!     caption: caption.to_string(),
//!     frame: None,
//! };
//! let sheet = ContactSheet::grid("Filters".to_string(), 64, 2, [cell("0"), cell("1"), cell("2")]);
//! assert_eq!(sheet.rows.len(), 2);
//! assert!(sheet.to_png()?.starts_with(b"\x89PNG"));
//! # Ok(())
//! # }
//! ```

use std::io::{Cursor, Write};
use std::path::Path;

use deepcluster_files::write_whole;
use image::ImageFormat;
use image::imageops::{FilterType, resize};
use plotters::prelude::{BitMapBackend, DrawingArea, IntoDrawingArea, IntoFont, TextStyle};
use plotters::style::{Color, IntoTextStyle, RGBColor};

/// Pixels of sheets.
pub use image::{Rgb, RgbImage};

use crate::charts::PlotError;
use crate::charts::draw::{FONT, INK, with_font};

/// Pixels around everything, and between groups of columns.
const MARGIN: u32 = 16;
/// Pixels between pictures.
const GAP: u32 = 6;
/// Height of a line of text and size of its letters, in pixels.
const CAPTION: (u32, u32) = (22, 15);
const TITLE: (u32, u32) = (38, 24);
const HEADING: (u32, u32) = (26, 17);
/// The most pixels of a side, more than any viewer shows and fewer than any format allows.
const MAX_SIDE: u32 = 30_000;

/// A picture on a sheet.
#[derive(Debug, Clone, PartialEq)]
pub struct SheetCell {
    /// The picture; it is resized to fill its cell, one of less than half of the cell in whole steps so that
    /// its pixels stay visible.
    pub picture: RgbImage,
    /// A few letters below it, cut off where they are too long; may be empty.
    pub caption: String,
    /// Colour of a frame around it, if any.
    pub frame: Option<[u8; 3]>,
}

/// Columns that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SheetColumns {
    /// Heading above the columns; may be empty.
    pub heading: String,
    /// Number of columns.
    pub count: usize,
}

/// Rows of pictures, in groups of columns.
#[derive(Debug, Clone, PartialEq)]
pub struct ContactSheet {
    /// Title of the sheet.
    pub title: String,
    /// The groups of columns, from left to right.
    pub columns: Vec<SheetColumns>,
    /// Side of a cell in pixels.
    pub cell_size: u32,
    /// From top to bottom; a row has at most as many cells as there are columns, `None` where nothing is
    /// shown.
    pub rows: Vec<Vec<Option<SheetCell>>>,
}

impl ContactSheet {
    /// A sheet of pictures in their order, `num_columns` in a row.
    pub fn grid(
        title: String,
        cell_size: u32,
        num_columns: usize,
        cells: impl IntoIterator<Item = SheetCell>,
    ) -> Self {
        let mut rows: Vec<Vec<Option<SheetCell>>> = Vec::new();
        for (index, cell) in cells.into_iter().enumerate() {
            if index % num_columns.max(1) == 0 {
                rows.push(Vec::new());
            }
            rows.last_mut().expect("the first cell begins a row").push(Some(cell));
        }
        let columns = vec![SheetColumns { heading: String::new(), count: num_columns.max(1) }];
        Self { title, columns, cell_size, rows }
    }

    /// The sheet as a PNG; the same for equal sheets.
    ///
    /// # Errors
    /// [`PlotError::Empty`] for a sheet without a picture, [`PlotError::Drawing`] for one of more than 30,000
    /// pixels in a direction.
    pub fn to_png(&self) -> Result<Vec<u8>, PlotError> {
        if self.rows.iter().flatten().flatten().next().is_none() || self.cell_size == 0 {
            return Err(PlotError::Empty { title: self.title.clone() });
        }
        let lefts = self.column_lefts();
        let has_captions = self.rows.iter().flatten().flatten().any(|cell| !cell.caption.is_empty());
        let row_height = self.cell_size + GAP + if has_captions { CAPTION.0 } else { 0 };
        let has_headings = self.columns.iter().any(|group| !group.heading.is_empty());
        let top = MARGIN + TITLE.0 + if has_headings { HEADING.0 } else { 0 };
        let width = lefts.last().map_or(0, |left| left + self.cell_size) + MARGIN;
        let num_rows = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let height = num_rows.saturating_mul(row_height).saturating_add(top + MARGIN);
        if width > MAX_SIDE || height > MAX_SIDE {
            let reason = format!("{width} x {height} pixels are too many: at most {MAX_SIDE} in a direction");
            return Err(PlotError::Drawing { reason });
        }
        let mut canvas = RgbImage::from_pixel(width, height, Rgb([255; 3]));
        for (row, cells) in self.rows.iter().enumerate() {
            for (cell, &left) in cells.iter().zip(&lefts) {
                let Some(cell) = cell else { continue };
                self.place(&mut canvas, cell, left, top + row as u32 * row_height);
            }
        }
        self.write_text(&mut canvas, &lefts, top, row_height)?;
        let mut bytes = Cursor::new(Vec::new());
        let failed = |error: image::ImageError| PlotError::Drawing { reason: error.to_string() };
        canvas.write_to(&mut bytes, ImageFormat::Png).map_err(failed)?;
        Ok(bytes.into_inner())
    }

    /// Writes the sheet to a PNG file, through a temporary one beside it.
    ///
    /// # Errors
    /// As [`to_png`](Self::to_png), and [`PlotError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), PlotError> {
        let bytes = self.to_png()?;
        write_whole(path, |writer| writer.write_all(&bytes))
            .map_err(|source| PlotError::Io { path: path.to_path_buf(), source })
    }

    fn column_lefts(&self) -> Vec<u32> {
        let mut lefts = Vec::new();
        let mut left = MARGIN;
        for group in &self.columns {
            for _ in 0..group.count {
                lefts.push(left);
                left = left.saturating_add(self.cell_size + GAP);
            }
            left = left.saturating_add(MARGIN);
        }
        lefts
    }

    /// Draws a picture in the middle of its cell.
    fn place(&self, canvas: &mut RgbImage, cell: &SheetCell, left: u32, top: u32) {
        let (width, height) = cell.picture.dimensions();
        let longest = width.max(height);
        if longest == 0 {
            return;
        }
        let times = self.cell_size / longest;
        let picture = if times >= 2 {
            resize(&cell.picture, width * times, height * times, FilterType::Nearest)
        } else {
            let scaled = |side: u32| {
                let side = u64::from(side) * u64::from(self.cell_size) / u64::from(longest);
                (side as u32).max(1)
            };
            resize(&cell.picture, scaled(width), scaled(height), FilterType::Triangle)
        };
        let left = left + (self.cell_size - picture.width()) / 2;
        let top = top + (self.cell_size - picture.height()) / 2;
        if let Some(frame) = cell.frame {
            let (width, height) = (picture.width() + 6, picture.height() + 6);
            let outer = RgbImage::from_pixel(width, height, Rgb(frame));
            image::imageops::replace(canvas, &outer, i64::from(left) - 3, i64::from(top) - 3);
        }
        image::imageops::replace(canvas, &picture, i64::from(left), i64::from(top));
    }

    fn write_text(
        &self,
        canvas: &mut RgbImage,
        lefts: &[u32],
        top: u32,
        row_height: u32,
    ) -> Result<(), PlotError> {
        let (width, height) = canvas.dimensions();
        let area = BitMapBackend::with_buffer(canvas, (width, height)).into_drawing_area();
        with_font(|| {
            let (_, letters) = TITLE;
            write_line(&area, &self.title, letters, (MARGIN, MARGIN), width - 2 * MARGIN)?;
            let mut first = 0;
            for group in &self.columns {
                if let Some(&left) = lefts.get(first) {
                    let room = group.count as u32 * (self.cell_size + GAP);
                    write_line(&area, &group.heading, HEADING.1, (left, top - HEADING.0), room)?;
                }
                first += group.count;
            }
            for (row, cells) in self.rows.iter().enumerate() {
                for (cell, &left) in cells.iter().zip(lefts) {
                    let Some(cell) = cell else { continue };
                    let below = top + row as u32 * row_height + self.cell_size + 6;
                    write_line(&area, &cell.caption, CAPTION.1, (left, below), self.cell_size)?;
                }
            }
            Ok(())
        })
    }
}

/// Writes as much of `text` as has room.
fn write_line<'a>(
    area: &DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>,
    text: &str,
    letters: u32,
    (left, top): (u32, u32),
    room: u32,
) -> Result<(), PlotError> {
    let style: TextStyle<'_> =
        (FONT, letters).into_font().color(&RGBColor::to_rgba(&INK)).into_text_style(area);
    let failed = |reason: String| PlotError::Drawing { reason };
    let mut shown = text.to_string();
    while !shown.is_empty() {
        let (width, _) =
            area.estimate_text_size(&shown, &style).map_err(|error| failed(error.to_string()))?;
        if width <= room {
            break;
        }
        let keep = shown.trim_end_matches('…').chars().count().saturating_sub(1);
        shown = shown.chars().take(keep).collect();
        if !shown.is_empty() {
            shown.push('…');
        }
    }
    if shown.is_empty() {
        return Ok(());
    }
    area.draw_text(&shown, &style, (left as i32, top as i32)).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(color: [u8; 3], side: u32, caption: &str) -> SheetCell {
        SheetCell {
            picture: RgbImage::from_pixel(side, side, Rgb(color)),
            caption: caption.into(),
            frame: None,
        }
    }

    fn decoded(sheet: &ContactSheet) -> RgbImage {
        image::load_from_memory(&sheet.to_png().unwrap()).unwrap().to_rgb8()
    }

    #[test]
    fn pictures_lie_in_their_cells() {
        let red = [200, 10, 10];
        let blue = [10, 10, 200];
        let cells = [cell(red, 8, "a"), cell(blue, 100, "b"), cell(red, 20, "c")];
        let sheet = ContactSheet::grid("title".to_string(), 20, 2, cells);
        assert_eq!((sheet.rows.len(), sheet.rows[1].len()), (2, 1));
        let image = decoded(&sheet);
        // 8 pixels become 16, 100 become 20, 20 stay.
        let count = |color: [u8; 3]| image.pixels().filter(|pixel| pixel.0 == color).count();
        assert_eq!((count(red), count(blue)), (16 * 16 + 20 * 20, 20 * 20));
        let middle = |column: u32, row: u32| {
            let (left, top) = (MARGIN + column * (20 + GAP), MARGIN + TITLE.0 + row * (20 + GAP + CAPTION.0));
            image.get_pixel(left + 10, top + 10).0
        };
        assert_eq!((middle(0, 0), middle(1, 0), middle(0, 1)), (red, blue, red));
        assert_eq!(sheet.to_png().unwrap(), sheet.to_png().unwrap());
    }

    #[test]
    fn text_frames_and_gaps_are_drawn() {
        let columns = ["query", "found"].map(|heading| SheetColumns { heading: heading.into(), count: 1 });
        let framed =
            SheetCell { frame: Some([0, 158, 115]), ..cell([9, 9, 9], 30, "a caption that is far too long") };
        let rows = vec![
            vec![Some(cell([9, 9, 9], 30, "")), Some(framed)],
            vec![None, Some(cell([9, 9, 9], 30, ""))],
        ];
        let sheet =
            ContactSheet { title: "neighbours".into(), columns: columns.to_vec(), cell_size: 30, rows };
        let image = decoded(&sheet);
        let count = |wanted: [u8; 3]| image.pixels().filter(|pixel| pixel.0 == wanted).count();
        assert_eq!((count([9; 3]), count([0, 158, 115])), (3 * 900, 36 * 36 - 30 * 30));
        let is_dark = |x: u32, y: u32| image.get_pixel(x, y).0[0] < 120 && image.get_pixel(x, y).0 != [9; 3];
        let dark_in = |xs: std::ops::Range<u32>, ys: std::ops::Range<u32>| {
            xs.flat_map(|x| ys.clone().map(move |y| (x, y))).filter(|&(x, y)| is_dark(x, y)).count()
        };
        let (width, top) = (image.width(), MARGIN + TITLE.0 + HEADING.0);
        assert!(dark_in(0..width, 0..MARGIN + TITLE.0) > 10);
        assert!(dark_in(0..width, top - HEADING.0..top - 4) > 10);
        // The caption stays below its picture.
        let left = MARGIN + 30 + GAP + MARGIN;
        assert!(dark_in(left..left + 31, top + 36..top + 56) > 3);
        assert_eq!(dark_in(left + 36..width, top + 36..top + 56), 0);
    }

    #[test]
    fn sheets_without_or_with_too_much_are_refused() {
        let empty = ContactSheet::grid("none".into(), 20, 3, []);
        assert!(matches!(empty.to_png(), Err(PlotError::Empty { .. })));
        let many = ContactSheet::grid("many".into(), 1000, 40, [cell([0; 3], 4, "")]);
        let error = many.to_png().unwrap_err().to_string();
        assert!(error.contains("at most 30000"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let one = ContactSheet::grid("one".into(), 20, 3, [cell([0; 3], 4, "")]);
        one.save(&folder.path().join("one.png")).unwrap();
        assert!(matches!(one.save(&folder.path().join("no/one.png")), Err(PlotError::Io { .. })));
    }
}
