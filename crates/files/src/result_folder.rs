//! Results in a folder that may hold what is not ours.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::folders::{TemporaryFolder, create_folder, sync_folder};
use crate::leftovers::PREFIX;
use crate::output_file::write_whole;
use crate::output_marker::{MARK, mark_output_folder};

/// The record of a folder, in the form of `sha256sum`.
const RECORD: &str = ".deepcluster-results";
const RECORD_HEADER: &str =
    "# Files that deepcluster wrote; it replaces and removes no others. To check them: sha256sum -c";

/// The files that results may take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaceable {
    /// Those that were written as results and have not changed since.
    Own,
    /// Any that has the name of a result.
    Any,
}

/// A folder of results, which knows its own files by a record of their SHA-256 sums, `.deepcluster-results`.
/// Everything else in the folder stays as it is.
///
/// Files are staged, and get their names together in [`publish`](Self::publish). The record comes first, so
/// that after a kill at any moment each file is either one of the record or untouched. A folder that holds
/// nothing but results is marked as [`mark_output_folder`] does.
///
/// ```
/// use deepcluster_files::{Replaceable, ResultFolder};
///
/// # fn main() -> std::io::Result<()> {
/// # let root = tempfile::tempdir()?;
/// # let path = root.path();
/// for text in ["one", "two"] {
///     let mut folder = ResultFolder::new(path, Replaceable::Own);
///     folder.stage("a.txt", text.as_bytes())?;
///     folder.publish(|_| false)?;
///     assert_eq!(std::fs::read_to_string(path.join("a.txt"))?, text);
/// }
/// std::fs::write(path.join("a.txt"), "mine")?;
/// assert!(ResultFolder::new(path, Replaceable::Own).check(["a.txt"]).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ResultFolder {
    path: PathBuf,
    replaceable: Replaceable,
    staging: Option<TemporaryFolder>,
    /// In the order in which they get their names.
    staged: Vec<Entry>,
}

/// A line of the record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// Relative to the folder, with `/` between components.
    name: String,
    /// SHA-256 in lower-case digits.
    sum: String,
}

/// While files are replaced there are two sums for a name.
type Record = BTreeSet<Entry>;

impl ResultFolder {
    /// The folder `path`, which is made with its first file.
    pub fn new(path: &Path, replaceable: Replaceable) -> Self {
        Self { path: path.to_path_buf(), replaceable, staging: None, staged: Vec::new() }
    }

    /// Whether files of these names, relative to the folder, may be written.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] naming the first file that may not be replaced; the system's answer.
    pub fn check<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let record = self.record()?;
        names.into_iter().try_for_each(|name| self.check_name(&record, name))
    }

    /// Writes a file under a temporary name.
    ///
    /// # Errors
    /// The system's answer.
    pub fn stage(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let staging = match &mut self.staging {
            Some(staging) => staging,
            None => self.staging.insert(TemporaryFolder::beside(&self.path.join(RECORD))?),
        };
        let path = staging.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        write_whole(&path, |writer| writer.write_all(bytes))?;
        self.staged.retain(|entry| entry.name != name);
        self.staged.push(Entry { name: name.to_string(), sum: sum(bytes)? });
        Ok(())
    }

    /// Gives the staged files their names, in the order of staging, and removes files of earlier results for
    /// whose names `is_outdated` holds and that are not among them.
    ///
    /// # Errors
    /// As [`check`](Self::check); then nothing has changed. The system's answer.
    pub fn publish(&mut self, is_outdated: impl Fn(&str) -> bool) -> Result<()> {
        let staged = std::mem::take(&mut self.staged);
        let Some(staging) = self.staging.take() else { return Ok(()) };
        // Commands that write here at once wait for each other; not every system opens or locks folders.
        let handle = File::open(&self.path).ok();
        let _ = handle.as_ref().map(File::lock);
        let mut record = self.record()?;
        staged.iter().try_for_each(|entry| self.check_name(&record, &entry.name))?;
        let staged_names: BTreeSet<&str> = staged.iter().map(|entry| entry.name.as_str()).collect();
        let mut outdated = BTreeSet::new();
        let mut old = Record::new();
        for entry in std::mem::take(&mut record) {
            if self.sum_of(&entry.name)?.as_ref() != Some(&entry.sum) {
                continue;
            }
            if is_outdated(&entry.name) && !staged_names.contains(entry.name.as_str()) {
                outdated.insert(entry.name.clone());
            }
            old.insert(entry);
        }
        record.extend(old.into_iter().chain(staged.iter().cloned()));
        self.write_record(&record)?;
        for entry in &staged {
            self.give_name(&staging.path().join(&entry.name), &self.path.join(&entry.name))?;
        }
        for name in &outdated {
            let path = self.path.join(name);
            fs::remove_file(&path)?;
            if let Some(folder) = path.parent().filter(|folder| *folder != self.path) {
                // A folder with other files stays.
                let _ = fs::remove_dir(folder.join(MARK));
                let _ = fs::remove_dir(folder);
            }
        }
        let is_over =
            |entry: &Entry| outdated.contains(&entry.name) || staged_names.contains(entry.name.as_str());
        let mut current: Record = record.iter().filter(|entry| !is_over(entry)).cloned().collect();
        current.extend(staged.iter().cloned());
        if current != record {
            self.write_record(&current)?;
        }
        self.mark(&current)
    }

    fn give_name(&self, staged: &Path, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(&self.path);
        create_folder(folder)?;
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.is_file() => {
                // Links are followed, devices written to.
                let mut file = File::open(staged)?;
                write_whole(path, |writer| std::io::copy(&mut file, writer).map(|_| ()))
            }
            _ => {
                fs::rename(staged, path)?;
                sync_folder(folder)
            }
        }
    }

    fn check_name(&self, record: &Record, name: &str) -> Result<()> {
        if self.replaceable == Replaceable::Any {
            return Ok(());
        }
        let mut path = self.path.clone();
        for component in Path::new(name).components() {
            path.push(component);
            let metadata = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            };
            let is_file = path == self.path.join(name);
            let is_own = match is_file {
                true => self
                    .sum_of(name)?
                    .is_some_and(|sum| record.contains(&Entry { name: name.to_string(), sum })),
                false => metadata.is_dir(),
            };
            if !is_own {
                return Err(foreign(&path));
            }
        }
        Ok(())
    }

    /// Sum of a regular file in the folder; `None` where there is none, or links lead elsewhere.
    fn sum_of(&self, name: &str) -> Result<Option<String>> {
        let mut path = self.path.clone();
        for component in Path::new(name).components() {
            path.push(component);
            if !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir() || metadata.is_file()) {
                return Ok(None);
            }
        }
        if path.is_file() { sum(File::open(path)?).map(Some) } else { Ok(None) }
    }

    /// The record of the folder; lines that no result can have are passed over.
    fn record(&self) -> Result<Record> {
        let path = self.path.join(RECORD);
        let bytes = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => fs::read(&path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Record::new()),
            Ok(_) => Vec::new(),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&bytes);
        if !text.starts_with(RECORD_HEADER) {
            return Err(foreign(&path));
        }
        Ok(text.lines().filter_map(Entry::parse).collect())
    }

    fn write_record(&self, record: &Record) -> Result<()> {
        write_whole(&self.path.join(RECORD), |writer| {
            writeln!(writer, "{RECORD_HEADER} {RECORD}")?;
            record.iter().try_for_each(|entry| writeln!(writer, "{}  {}", entry.sum, entry.name))
        })
    }

    /// Marks the folder, or those of its folders, that hold nothing but files of the record.
    fn mark(&self, record: &Record) -> Result<()> {
        let names: BTreeSet<&str> = record.iter().map(|entry| entry.name.as_str()).collect();
        if holds_only(&self.path, "", &names)? {
            return mark_output_folder(&self.path);
        }
        let folders: BTreeSet<&str> =
            names.iter().filter_map(|name| Some(name.rsplit_once('/')?.0)).collect();
        for folder in folders {
            if holds_only(&self.path.join(folder), &format!("{folder}/"), &names)? {
                mark_output_folder(&self.path.join(folder))?;
            }
        }
        Ok(())
    }
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let (sum, name) = line.split_once("  ")?;
        let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        // A record never reaches files outside of the folder.
        let is_below = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        (is_sum && is_below && !name.is_empty())
            .then(|| Self { name: name.to_string(), sum: sum.to_string() })
    }
}

/// Whether all below `folder` are files of these names; `prefix` stands before those of the folder.
fn holds_only(folder: &Path, prefix: &str, names: &BTreeSet<&str>) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == MARK || name.starts_with(PREFIX) || (prefix.is_empty() && name == RECORD) {
            continue;
        }
        let name = format!("{prefix}{name}");
        let is_own = match entry.file_type()?.is_dir() {
            true => holds_only(&entry.path(), &format!("{name}/"), names)?,
            false => names.contains(name.as_str()),
        };
        if !is_own {
            return Ok(false);
        }
    }
    Ok(true)
}

fn foreign(path: &Path) -> Error {
    let reason = "was not written by deepcluster, or has changed since: name another folder, or move it away";
    Error::new(ErrorKind::AlreadyExists, format!("{} {reason}", path.display()))
}

fn sum(mut bytes: impl Read) -> Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut bytes, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output_marker::is_output_folder;

    fn write(path: &Path, files: &[(&str, &str)]) -> Result<()> {
        let mut folder = ResultFolder::new(path, Replaceable::Own);
        files.iter().try_for_each(|(name, text)| folder.stage(name, text.as_bytes()))?;
        folder.publish(|name| name.starts_with("parts/"))
    }

    /// Names and texts of all files below a folder.
    fn contents(path: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(path).unwrap().map(|entry| entry.unwrap()) {
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                let below = contents(&entry.path()).into_iter();
                found.extend(below.map(|(below, text)| (format!("{name}/{below}"), text)));
            } else {
                found.push((name, fs::read_to_string(entry.path()).unwrap()));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn files_of_others_are_neither_replaced_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("parts")).unwrap();
        for name in ["parts/0", "parts/7", "parts/holiday", "index"] {
            fs::write(path.join(name), "mine").unwrap();
        }
        let before = contents(path);
        for name in ["index", "parts/0"] {
            let error = write(path, &[("new", "ours"), (name, "ours")]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(contents(path), before);
        }
        write(path, &[("parts/1", "ours"), ("new", "ours")]).unwrap();
        write(path, &[("new", "ours, again")]).unwrap();
        let after: Vec<_> = contents(path).into_iter().filter(|(name, _)| name != RECORD).collect();
        assert_eq!(after.len(), before.len() + 1);
        assert!(before.iter().all(|file| after.contains(file)));
        assert!(!is_output_folder(path) && !is_output_folder(&path.join("parts")));
    }

    #[test]
    fn results_replace_and_remove_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("new/results");
        write(path, &[("parts/0", "a"), ("parts/1", "b"), ("index", "c"), ("table", "d")]).unwrap();
        assert!(is_output_folder(path));
        write(path, &[("parts/0", "e"), ("index", "f")]).unwrap();
        let names = |path: &Path| contents(path).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(path), [RECORD, "index", "parts/0", "table"]);
        write(path, &[("index", "f")]).unwrap();
        assert_eq!(names(path), [RECORD, "index", "table"]);
        assert!(!path.join("parts").exists());
        // The record is what sha256sum makes of the files.
        let line = format!("{}  index", sum(&b"f"[..]).unwrap());
        assert!(contents(path)[0].1.lines().any(|other| other == line));
        // A file that somebody has changed is theirs.
        fs::write(path.join("index"), "notes").unwrap();
        assert!(write(path, &[("index", "g")]).is_err());
        let mut any = ResultFolder::new(path, Replaceable::Any);
        any.stage("index", b"g").unwrap();
        any.publish(|_| false).unwrap();
        assert_eq!(fs::read_to_string(path.join("index")).unwrap(), "g");
    }

    #[test]
    fn killed_at_any_moment_the_same_results_are_written_again() {
        let (old, new) = ([("a", "1"), ("b", "2"), ("parts/0", "3")], [("a", "4"), ("b", "5"), ("c", "6")]);
        let whole = tempfile::tempdir().unwrap();
        write(whole.path(), &new).unwrap();
        for num_renamed in 0..=new.len() {
            let killed = tempfile::tempdir().unwrap();
            let path = killed.path();
            write(path, &old).unwrap();
            // As a kill after so many names leaves it.
            let folder = ResultFolder::new(path, Replaceable::Own);
            let mut record = folder.record().unwrap();
            record.extend(
                new.iter()
                    .map(|(name, text)| Entry { name: name.to_string(), sum: sum(text.as_bytes()).unwrap() }),
            );
            folder.write_record(&record).unwrap();
            new[..num_renamed].iter().for_each(|(name, text)| fs::write(path.join(name), text).unwrap());
            write(path, &new).unwrap();
            assert_eq!(contents(path), contents(whole.path()), "{num_renamed} renamed");
        }
    }

    #[test]
    fn records_reach_nothing_outside() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("results");
        fs::create_dir(&path).unwrap();
        fs::write(root.path().join("mine"), "x").unwrap();
        let sum = sum(&b"x"[..]).unwrap();
        let absolute = root.path().join("mine");
        let lines = format!(
            "{RECORD_HEADER}\n{sum}  ../mine\n{sum}  {}\n{sum}  parts/../../mine\n{sum}  parts/mine\n",
            absolute.display()
        );
        fs::write(path.join(RECORD), lines).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.path(), path.join("parts")).unwrap();
        let mut folder = ResultFolder::new(&path, Replaceable::Own);
        folder.stage("index", b"ours").unwrap();
        folder.publish(|_| true).unwrap();
        assert_eq!(fs::read_to_string(absolute).unwrap(), "x");
        #[cfg(unix)]
        assert!(write(&path, &[("parts/0", "ours")]).is_err());
        fs::write(path.join(RECORD), "notes").unwrap();
        assert!(write(&path, &[("index", "ours")]).is_err());
        assert_eq!(fs::read_to_string(path.join(RECORD)).unwrap(), "notes");
    }
}
