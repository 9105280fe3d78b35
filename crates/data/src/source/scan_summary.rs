//! Summary of a scan in a line: images found and files skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// Most kinds of files that are counted apart.
const MAX_KINDS: usize = 200;
/// Most kinds, and most folders, that the line names.
const MAX_NAMED: usize = 8;

/// Images found by a scan, and everything else: files by extension, and excluded folders.
///
/// As text it is one line, such as `found 1,204 images; passed over: 312 .heic (not read; convert to JPEG),
/// 14 .mp4, 3 without extension; left out: system folder @eaDir, results of deepcluster in run1`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanSummary {
    num_images: usize,
    /// By extension.
    unreadable: BTreeMap<String, usize>,
    /// By extension, those without under none.
    other: BTreeMap<Option<String>, usize>,
    /// Files beyond [`MAX_KINDS`].
    num_uncounted: usize,
    /// Relative to the root.
    outputs: BTreeSet<PathBuf>,
    /// Names.
    system_folders: BTreeSet<String>,
}

impl ScanSummary {
    /// Images alone.
    pub(crate) fn of(num_images: usize) -> Self {
        Self { num_images, ..Self::default() }
    }

    /// Whether there was nothing but images.
    pub fn is_complete(&self) -> bool {
        *self == Self::of(self.num_images)
    }

    /// Number of images found.
    pub fn num_images(&self) -> usize {
        self.num_images
    }

    /// Number of files that are not images by their names, without those in excluded folders.
    pub fn num_passed_over(&self) -> usize {
        self.unreadable.values().chain(self.other.values()).sum::<usize>() + self.num_uncounted
    }

    pub(crate) fn set_images(&mut self, num_images: usize) {
        self.num_images = num_images;
    }

    /// Counts an image of a format that is not read.
    pub(crate) fn count_unreadable(&mut self, extension: String) {
        *self.unreadable.entry(extension).or_default() += 1;
    }

    /// Counts a file that is not an image.
    pub(crate) fn count_other(&mut self, extension: Option<String>) {
        if self.other.len() < MAX_KINDS || self.other.contains_key(&extension) {
            *self.other.entry(extension).or_default() += 1;
        } else {
            self.num_uncounted += 1;
        }
    }

    /// Notes a folder of results, by its path relative to the root.
    pub(crate) fn leave_out_output(&mut self, path: &Path) {
        self.outputs.insert(path.into());
    }

    /// Notes a folder of the system.
    pub(crate) fn leave_out_system_folder(&mut self, name: &str) {
        self.system_folders.insert(name.into());
    }

    /// The parts of the line that follow the number of images, each after `; `.
    pub(crate) fn rest(&self) -> String {
        let mut rest = String::new();
        let mut kinds = Vec::new();
        if !self.unreadable.is_empty() {
            let counts =
                self.unreadable.iter().map(|(extension, &number)| (number, format!(" .{extension}")));
            kinds.push(format!("{} (not read; convert to JPEG)", largest_first(counts.collect(), 0)));
        }
        if !self.other.is_empty() {
            let counts = self.other.iter().map(|(extension, &number)| match extension {
                Some(extension) => (number, format!(" .{extension}")),
                None => (number, " without extension".into()),
            });
            kinds.push(largest_first(counts.collect(), self.num_uncounted));
        }
        if !kinds.is_empty() {
            rest.push_str(&format!("; passed over: {}", kinds.join(", ")));
        }
        let mut folders = Vec::new();
        if !self.system_folders.is_empty() {
            let names = self.system_folders.iter().cloned().collect();
            folders.push(format!("system folder {}", first_ones(names)));
        }
        if !self.outputs.is_empty() {
            let names = self.outputs.iter().map(|path| path.display().to_string()).collect();
            folders.push(format!("results of deepcluster in {}", first_ones(names)));
        }
        if !folders.is_empty() {
            rest.push_str(&format!("; left out: {}", folders.join(", ")));
        }
        rest
    }
}

impl fmt::Display for ScanSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.num_images == 1 { "image" } else { "images" };
        write!(formatter, "found {} {unit}{}", grouped(self.num_images), self.rest())
    }
}

/// The kinds with the most files, and how many files are of others.
fn largest_first(mut counts: Vec<(usize, String)>, num_uncounted: usize) -> String {
    counts.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let unnamed = counts.split_off(MAX_NAMED.min(counts.len()));
    let num_others = unnamed.iter().map(|(number, _)| number).sum::<usize>() + num_uncounted;
    let mut parts: Vec<String> = counts.iter().map(|(number, kind)| grouped(*number) + kind).collect();
    if num_others > 0 {
        parts.push(format!("{} of other kinds", grouped(num_others)));
    }
    parts.join(", ")
}

fn first_ones(mut names: Vec<String>) -> String {
    let num_others = names.len().saturating_sub(MAX_NAMED);
    names.truncate(MAX_NAMED);
    let named = names.join(", ");
    if num_others == 0 { named } else { format!("{named} and {num_others} more") }
}

/// Digits in groups of three.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_alone_need_no_more_words() {
        assert_eq!(ScanSummary::of(1).to_string(), "found 1 image");
        assert_eq!(ScanSummary::of(1_234_567).to_string(), "found 1,234,567 images");
        assert!(ScanSummary::of(3).is_complete());
    }

    #[test]
    fn kinds_come_by_number_and_folders_by_name() {
        let mut summary = ScanSummary::of(1204);
        (0..1312).for_each(|_| summary.count_unreadable("heic".into()));
        summary.count_unreadable("cr2".into());
        (0..3).for_each(|_| summary.count_other(None));
        (0..14).for_each(|_| summary.count_other(Some("mp4".into())));
        summary.leave_out_system_folder("@eaDir");
        summary.leave_out_system_folder("@eaDir");
        summary.leave_out_output(Path::new("run2"));
        summary.leave_out_output(Path::new("a/run1"));
        let expected = "found 1,204 images; passed over: 1,312 .heic, 1 .cr2 (not read; convert to JPEG), 14 \
                        .mp4, 3 without extension; left out: system folder @eaDir, results of deepcluster in \
                        a/run1, run2";
        assert_eq!(summary.to_string(), expected);
        assert_eq!(summary.num_passed_over(), 1330);
        assert!(!summary.is_complete());
    }

    #[test]
    fn kinds_without_number_fit_into_a_line() {
        let mut summary = ScanSummary::of(1);
        for kind in 0..1000 {
            summary.count_other(Some(format!("x{kind}")));
            summary.leave_out_output(Path::new(&format!("run{kind}")));
        }
        assert_eq!(summary.num_passed_over(), 1000);
        let line = summary.to_string();
        assert!(
            line.len() < 300 && line.contains("992 of other kinds") && line.contains("and 992 more"),
            "{line}"
        );
    }
}
