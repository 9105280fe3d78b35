//! A reader, tried on damaged files.
#![allow(clippy::print_stderr, clippy::panic, clippy::unwrap_used, reason = "of use in tests alone")]

use std::cell::{Cell, RefCell};
use std::env;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

use crate::allocator::peak_allocation;
use crate::corpus::Corpus;

/// Changes that are taken back one by one to find which of them does the harm.
const MAX_SHRINK_STEPS: u32 = 500;

/// Makes the file of damaged contents.
type Pack<'a> = dyn Fn(&[u8]) -> Vec<u8> + 'a;

/// A test of a reader of files.
pub struct ReaderTest<'a> {
    file_name: &'a str,
    named: &'a str,
    folder: Option<PathBuf>,
    corpus: Corpus,
    num_cases: u32,
    bytes_per_byte: usize,
    base_bytes: usize,
    packed: Box<Pack<'a>>,
}

/// How a reader has taken damaged files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcomes {
    /// Files that were read: not every byte matters.
    pub num_read: u32,
    /// Files that were refused with an error.
    pub num_refused: u32,
    /// Most memory that was held at once for one of them, in bytes.
    pub most_bytes: usize,
}

impl<'a> ReaderTest<'a> {
    /// Damages the files `seeds`, under the name `file_name`: 1,000 times, with at most 64 bytes of memory
    /// for each of the file, and 1 MiB.
    pub fn new(file_name: &'a str, seeds: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self {
            file_name,
            named: file_name,
            folder: None,
            corpus: Corpus::new(seeds),
            num_cases: 1_000,
            bytes_per_byte: 64,
            base_bytes: 1 << 20,
            packed: Box::new(<[u8]>::to_vec),
        }
    }

    /// Errors contain this instead of the file's name.
    pub fn named(self, named: &'a str) -> Self {
        Self { named, ..self }
    }

    /// Files to try, where `PROPTEST_CASES` does not say otherwise.
    pub fn num_cases(self, num_cases: u32) -> Self {
        Self { num_cases, ..self }
    }

    /// Pieces that mean something in the format and are put in anywhere.
    pub fn tokens(self, tokens: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { corpus: self.corpus.with_tokens(tokens), ..self }
    }

    /// The folder of the file, where the reader needs others beside it; otherwise its own folder.
    pub fn folder(self, folder: &Path) -> Self {
        Self { folder: Some(folder.to_path_buf()), ..self }
    }

    /// Memory that a reader may hold: for each byte of the file, and besides.
    pub fn memory(self, bytes_per_byte: usize, base_bytes: usize) -> Self {
        Self { bytes_per_byte, base_bytes, ..self }
    }

    /// Makes files of the damaged bytes: compressed, or with the sums that damage does not get past.
    pub fn packed(self, packed: impl Fn(&[u8]) -> Vec<u8> + 'a) -> Self {
        Self { packed: Box::new(packed), ..self }
    }

    /// Writes and reads the damaged files.
    ///
    /// # Panics
    /// Where the reader panics, holds too much memory, or refuses a file with an error that does not name it.
    /// The file with the fewest changes that does so is kept, and the message says where.
    pub fn run<T, E: Display>(&self, read: impl Fn(&Path) -> Result<T, E>) -> Outcomes {
        let own = tempfile::tempdir().unwrap();
        let path = self.folder.as_deref().unwrap_or(own.path()).join(self.file_name);
        let outcomes = Cell::new(Outcomes { num_read: 0, num_refused: 0, most_bytes: 0 });
        let slowest = Cell::new(Duration::ZERO);
        let failing = RefCell::new(Vec::new());
        let check = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let start = Instant::now();
            let (result, num_bytes) = peak_allocation(|| read(&path));
            slowest.set(slowest.get().max(start.elapsed()));
            let mut counts = outcomes.get();
            counts.most_bytes = counts.most_bytes.max(num_bytes);
            match result {
                Ok(_) => counts.num_read += 1,
                Err(error) => {
                    counts.num_refused += 1;
                    let message = error.to_string();
                    assert!(message.contains(self.named), "the error does not name the file: {message}");
                }
            }
            outcomes.set(counts);
            let most = self.base_bytes + self.bytes_per_byte * bytes.len();
            assert!(num_bytes <= most, "{num_bytes} bytes of memory for a file of {}", bytes.len());
        };
        let config = Config { max_shrink_iters: MAX_SHRINK_STEPS, ..config(self.num_cases) };
        let result = TestRunner::new(config).run(&self.corpus.damaged(), |damaged| {
            let bytes = (self.packed)(&damaged);
            // The last one to fail before the end is that with the fewest changes; one that passes is put
            // back.
            let before = failing.replace(bytes.clone());
            check(&bytes);
            failing.replace(before);
            Ok(())
        });
        if let Err(error) = result {
            let suffix = format!("-{}", self.file_name);
            let kept = tempfile::Builder::new().prefix("damaged-").suffix(&suffix).tempfile().unwrap();
            let (_, kept) = kept.keep().unwrap();
            fs::write(&kept, &*failing.borrow()).unwrap();
            let (reason, changes) = match error {
                TestError::Fail(reason, damaged) => (reason, format!("{damaged:?}")),
                TestError::Abort(reason) => (reason, String::new()),
            };
            panic!("{reason}\nfor {} ({changes})", kept.display());
        }
        let Outcomes { num_read, num_refused, most_bytes } = outcomes.get();
        eprintln!(
            "{}: {} damaged files, {num_read} read, {num_refused} refused; at most {most_bytes} bytes of \
             memory, {:.1} ms",
            self.file_name,
            num_read + num_refused,
            slowest.get().as_secs_f64() * 1e3,
        );
        outcomes.get()
    }
}

/// `num_cases` cases, the same in every run, unless `PROPTEST_CASES` and `PROPTEST_RNG_SEED` say otherwise.
pub fn config(num_cases: u32) -> Config {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = num_cases;
    }
    if env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(0);
    }
    config
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn failure(read: impl Fn(&Path) -> Result<usize, String>) -> String {
        let test = ReaderTest::new("some.txt", [b"1 2 3 4 5 6 7 8 9".to_vec()]).num_cases(300);
        let result = catch_unwind(AssertUnwindSafe(|| test.run(read)));
        result.unwrap_err().downcast_ref::<String>().unwrap().clone()
    }

    #[test]
    fn panics_memory_and_nameless_errors_are_found() {
        let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        let found = failure(|path| {
            assert!(!text(path).contains("NaN"), "a value is no number");
            Ok(0)
        });
        assert!(found.contains("a value is no number") && found.contains("-some.txt"), "{found}");
        // One change is enough, and nothing else is left.
        assert_eq!(found.matches("SetNumber").count(), 1, "{found}");
        assert_eq!(found.matches("at: ").count(), 0, "{found}");
        let found = failure(|path| Ok(vec![0_u8; text(path).len() << 20].len()));
        assert!(found.contains("bytes of memory for a file of"), "{found}");
        let found = failure(|_| Err("it is damaged".to_string()));
        assert!(found.contains("does not name the file"), "{found}");
    }
}
