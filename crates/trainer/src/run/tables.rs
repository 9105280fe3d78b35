//! The tables and logs of a run: images, skipped files, clusters, and the numbers of every epoch.

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use csv::ByteRecord;
use deepcluster_data::{Images, Labels, SkippedFile};
use serde::{Deserialize, Serialize};

use crate::error::TrainerError;
use crate::metrics::{EpochMetrics, EpochTimings};
use crate::run::directory::RunDirectory;
use crate::run::files::{path_bytes, path_from_bytes, write_atomic};

/// A longer row of a table, or one whose quotes never end, is damage.
const MAX_ROW_BYTES: u64 = 1 << 20;
/// A longer line of a log is damage; it has a number for each cluster.
const MAX_LINE_BYTES: u64 = 1 << 26;

const IMAGES: &str = "images.csv";
const SKIPPED: &str = "skipped.csv";
const ASSIGNMENTS: &str = "assignments.csv";
const METRICS: &str = "metrics.jsonl";
const TIMINGS: &str = "timings.jsonl";

const IMAGES_HEADER: [&str; 2] = ["path", "label"];
const SKIPPED_HEADER: [&str; 2] = ["path", "reason"];
const ASSIGNMENTS_HEADER: [&str; 3] = ["path", "cluster", "distance"];

impl RunDirectory {
    /// The images of the run in their order, with the labels they had. Where their place is one that only
    /// another program can open, they have their names, and reading one is an error.
    ///
    /// # Errors
    /// [`TrainerError::Unfinished`] before the first pass over the images, [`TrainerError::Damaged`] where
    /// the list cannot be read.
    pub fn images(&self) -> Result<Images, TrainerError> {
        let (names, labels) = self.listed_images()?;
        Ok(self.location()?.images(names, labels))
    }

    /// Names and labels of the images.
    fn listed_images(&self) -> Result<(Vec<PathBuf>, Option<Labels>), TrainerError> {
        let row = |record: &ByteRecord| {
            let label = (!record[1].is_empty()).then(|| String::from_utf8_lossy(&record[1]).into_owned());
            Ok((image_path(record)?, label))
        };
        let (paths, label_names): (Vec<PathBuf>, Vec<Option<String>>) =
            self.read_table(IMAGES, &IMAGES_HEADER, row)?.into_iter().unzip();
        if paths.is_empty() {
            return Err(self.damaged(IMAGES, "it names no image".to_string()));
        }
        let mut names: Vec<String> = label_names.iter().flatten().cloned().collect();
        names.sort_unstable();
        names.dedup();
        let number = |name: &String| names.binary_search(name).ok().map(|index| index as u32);
        let of_image = label_names.iter().map(|name| name.as_ref().and_then(number)).collect();
        let labels = (!names.is_empty()).then_some(Labels { names, of_image });
        Ok((paths, labels))
    }

    /// The images of the run among `images`, in the order of the run and with the labels they had.
    pub(crate) fn choose_images(&self, images: &Images) -> Result<Images, TrainerError> {
        let (names, labels) = self.listed_images()?;
        images.select(&names, labels).map_err(|missing| {
            let known: HashSet<&OsStr> = (0..images.len()).map(|index| images.os_name(index)).collect();
            TrainerError::OtherImages {
                path: self.path().to_path_buf(),
                images: self.location().unwrap_or_else(|_| images.location()),
                asked: images.location(),
                num_missing: names.iter().filter(|name| !known.contains(name.as_os_str())).count(),
                num_images: names.len(),
                missing,
            }
        })
    }

    /// Names of the images.
    ///
    /// # Errors
    /// [`TrainerError::Damaged`] where the list cannot be read.
    pub(crate) fn image_paths(&self) -> Result<Vec<PathBuf>, TrainerError> {
        self.read_table(IMAGES, &IMAGES_HEADER, image_path)
    }

    /// Skipped files, with reasons.
    ///
    /// # Errors
    /// [`TrainerError::Damaged`] where the list cannot be read.
    pub fn skipped(&self) -> Result<Vec<SkippedFile>, TrainerError> {
        let skipped = |record: &ByteRecord| {
            let reason = String::from_utf8_lossy(&record[1]).into_owned();
            Ok(SkippedFile { path: path_from_bytes(&record[0]), reason })
        };
        self.read_table(SKIPPED, &SKIPPED_HEADER, skipped)
    }

    /// Cluster of each image by the latest clustering, in the order of [`images`](Self::images), and its
    /// distance to the centre of the cluster. There are no more clusters than images.
    ///
    /// # Errors
    /// [`TrainerError::Unfinished`] where nothing has been clustered yet, [`TrainerError::Damaged`] where the
    /// list cannot be read, [`TrainerError::Mixed`] where it is one of other images.
    pub fn assignments(&self) -> Result<Vec<(u32, f32)>, TrainerError> {
        if !self.file(ASSIGNMENTS).exists() {
            return Err(TrainerError::Unfinished { path: self.path().to_path_buf() });
        }
        let images = self.image_paths()?;
        let assignment = |record: &ByteRecord| {
            let field = |column: usize| String::from_utf8_lossy(&record[column]);
            let (cluster, distance) = (field(1).parse(), field(2).parse());
            let is_possible = |&(cluster, distance): &(u32, f32)| {
                (cluster as usize) < images.len() && distance.is_finite() && distance >= 0.0
            };
            let read = cluster.ok().zip(distance.ok()).filter(is_possible);
            let (cluster, distance) = read.ok_or_else(|| {
                format!("cluster '{}' with distance '{}' is impossible", field(1), field(2))
            })?;
            Ok((image_path(record)?, cluster, distance))
        };
        let rows = self.read_table(ASSIGNMENTS, &ASSIGNMENTS_HEADER, assignment)?;
        self.expect_rows(ASSIGNMENTS, rows.len(), images.len())?;
        if let Some(row) = rows.iter().zip(&images).position(|((path, ..), image)| path != image) {
            let (path, image) = (rows[row].0.display(), images[row].display());
            let reason = format!("row {} is of {path} in one and of {image} in the other", row + 1);
            return Err(self.mixed(ASSIGNMENTS, IMAGES, reason));
        }
        Ok(rows.into_iter().map(|(_, cluster, distance)| (cluster, distance)).collect())
    }

    /// The lines of `metrics.jsonl`.
    ///
    /// # Errors
    /// [`TrainerError::Damaged`] with the line.
    pub fn metrics(&self) -> Result<Vec<EpochMetrics>, TrainerError> {
        self.read_lines(METRICS)
    }

    /// The lines of `timings.jsonl`.
    ///
    /// # Errors
    /// [`TrainerError::Damaged`] with the line.
    pub fn timings(&self) -> Result<Vec<EpochTimings>, TrainerError> {
        self.read_lines(TIMINGS)
    }

    /// Whether the list of images has been written, which happens after every image has been read once.
    pub(crate) fn has_images(&self) -> bool {
        self.file(IMAGES).exists()
    }

    /// Writes the list of images and of skipped files.
    pub(crate) fn write_images(&self, images: &Images) -> Result<(), TrainerError> {
        let labels = images.labels();
        write_atomic(&self.file(SKIPPED), |writer| {
            let mut csv = csv::Writer::from_writer(writer);
            csv.write_record(SKIPPED_HEADER)?;
            for skipped in images.skipped() {
                csv.write_record([&*path_bytes(&skipped.path), skipped.reason.as_bytes()])?;
            }
            csv.flush()
        })?;
        write_atomic(&self.file(IMAGES), |writer| {
            let mut csv = csv::Writer::from_writer(writer);
            csv.write_record(IMAGES_HEADER)?;
            for index in 0..images.len() {
                let label = labels.and_then(|labels| {
                    labels.of_image[index].map(|label| labels.names[label as usize].as_bytes())
                });
                csv.write_record([&*path_bytes(images.os_name(index).as_ref()), label.unwrap_or_default()])?;
            }
            csv.flush()
        })
    }

    /// Writes `path,cluster,distance`, the distance being that of the whitened features to their centroid.
    pub(crate) fn write_assignments(
        &self,
        images: &Images,
        labels: &[u32],
        squared_distances: &[f32],
    ) -> Result<(), TrainerError> {
        let rows = (0..images.len())
            .map(|index| (images.os_name(index).as_ref(), labels[index], squared_distances[index]));
        write_assignments(&self.file(ASSIGNMENTS), rows)
    }

    /// Adds an epoch to both logs, in which no later one stays.
    pub(crate) fn append_epoch(
        &self,
        metrics: &EpochMetrics,
        timings: &EpochTimings,
    ) -> Result<(), TrainerError> {
        let mut all_timings = self.timings()?;
        all_timings.retain(|line| line.epoch < metrics.epoch);
        all_timings.push(*timings);
        let mut all_metrics = self.metrics()?;
        all_metrics.retain(|line| line.epoch < metrics.epoch);
        all_metrics.push(metrics.clone());
        self.write_epochs(&all_metrics, &all_timings)
    }

    /// Replaces both logs whole, so that a killed process leaves no half line.
    pub(crate) fn write_epochs(
        &self,
        metrics: &[EpochMetrics],
        timings: &[EpochTimings],
    ) -> Result<(), TrainerError> {
        self.write_lines(TIMINGS, timings)?;
        self.write_lines(METRICS, metrics)
    }

    /// The rows of a CSV file below this header.
    fn read_table<T>(
        &self,
        name: &str,
        header: &[&str],
        read: impl Fn(&ByteRecord) -> Result<T, String>,
    ) -> Result<Vec<T>, TrainerError> {
        let path = self.file(name);
        let file = File::open(&path).map_err(|error| {
            // The first pass over the images writes these tables, and only then come clusters.
            if error.kind() == ErrorKind::NotFound && !self.file(ASSIGNMENTS).exists() {
                return TrainerError::Unfinished { path: self.path().to_path_buf() };
            }
            self.damaged(name, error.to_string())
        })?;
        let bytes_left = Rc::new(Cell::new(MAX_ROW_BYTES));
        let bounded = BoundedReader { reader: file, bytes_left: bytes_left.clone() };
        let mut reader = csv::Reader::from_reader(bounded);
        let found = reader.byte_headers().map_err(|error| self.damaged(name, error.to_string()))?;
        if !found.iter().eq(header.iter().map(|column| column.as_bytes())) {
            return Err(self.damaged(name, format!("line 1 is not '{}'", header.join(","))));
        }
        let (mut rows, mut record) = (Vec::new(), ByteRecord::new());
        loop {
            bytes_left.set(MAX_ROW_BYTES);
            let line = reader.position().line();
            let row = match reader.read_byte_record(&mut record) {
                Ok(false) => return Ok(rows),
                Ok(true) => read(&record),
                Err(error) => Err(error.to_string()),
            };
            let place = |reason: String| self.damaged(name, format!("line {line}: {reason}"));
            rows.push(row.map_err(place)?);
        }
    }

    fn read_lines<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Vec<T>, TrainerError> {
        let path = self.file(name);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let file = File::open(&path).map_err(TrainerError::io("read", &path))?;
        let mut reader = BufReader::new(file);
        let (mut lines, mut line) = (Vec::new(), Vec::new());
        loop {
            line.clear();
            let length = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
            if length.map_err(TrainerError::io("read", &path))? == 0 {
                return Ok(lines);
            }
            let place = |reason: String| self.damaged(name, format!("line {}: {reason}", lines.len() + 1));
            if line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") {
                return Err(place(format!("it is longer than {MAX_LINE_BYTES} bytes")));
            }
            let value = serde_json::from_slice(&line).map_err(|error| place(error.to_string()))?;
            lines.push(value);
        }
    }

    fn write_lines<T: Serialize>(&self, name: &str, lines: &[T]) -> Result<(), TrainerError> {
        write_atomic(&self.file(name), |writer| {
            for line in lines {
                serde_json::to_writer(&mut *writer, line)?;
                writer.write_all(b"\n")?;
            }
            Ok(())
        })
    }
}

/// Writes a CSV of `path,cluster,distance` (the distance is the root of the squared one) to the file `path`.
///
/// # Errors
/// [`TrainerError::Io`]; the file is complete or absent.
pub fn write_assignments<'a>(
    path: &Path,
    rows: impl Iterator<Item = (&'a Path, u32, f32)>,
) -> Result<(), TrainerError> {
    write_atomic(path, |writer| write_assignments_to(writer, rows))
}

/// As [`write_assignments`], to any writer.
///
/// # Errors
/// Those of the writer.
pub fn write_assignments_to<'a>(
    writer: impl Write,
    rows: impl Iterator<Item = (&'a Path, u32, f32)>,
) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(writer);
    csv.write_record(ASSIGNMENTS_HEADER)?;
    for (path, cluster, squared_distance) in rows {
        let distance = squared_distance.max(0.0).sqrt().to_string();
        csv.write_record([&*path_bytes(path), cluster.to_string().as_bytes(), distance.as_bytes()])?;
    }
    csv.flush()
}

fn image_path(record: &ByteRecord) -> Result<PathBuf, String> {
    if record[0].is_empty() {
        return Err("the path is empty".to_string());
    }
    Ok(path_from_bytes(&record[0]))
}

/// Ends with an error once more bytes have passed than the row being read may have.
struct BoundedReader<R> {
    reader: R,
    bytes_left: Rc<Cell<u64>>,
}

impl<R: Read> Read for BoundedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        match self.bytes_left.get().checked_sub(length as u64) {
            Some(left) => self.bytes_left.set(left),
            None => return Err(io::Error::other(format!("a row is longer than {MAX_ROW_BYTES} bytes"))),
        }
        Ok(length)
    }
}
