//! The ground truth of Oxford5k and Paris6k.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use deepcluster_files::read_text;

use crate::error::TransferError;

/// Most bytes of a file: names of images.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A landmark to look for.
#[derive(Debug, Clone, PartialEq)]
pub struct LandmarkQuery {
    /// Name of the query, such as `all_souls_1`.
    pub name: String,
    /// Name of its image, without extension.
    pub image: String,
    /// Bounds of the landmark in it: left, upper, right and lower edge in pixels.
    pub bounds: [f32; 4],
    /// Images that show it: those called good and ok.
    pub relevant: BTreeSet<String>,
    /// Images that do not count.
    pub junk: BTreeSet<String>,
}

/// The queries of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct LandmarkGroundTruth {
    /// Sorted by name.
    pub queries: Vec<LandmarkQuery>,
}

impl LandmarkGroundTruth {
    /// Reads a folder of `NAME_query.txt` (image and box), `NAME_good.txt`, `NAME_ok.txt` and `NAME_junk.txt`
    /// (an image in each line), as both data sets are published. The `oxc1_` that Oxford's queries put before
    /// the name of the image is taken away.
    ///
    /// # Errors
    /// [`TransferError::Io`], and [`TransferError::MalformedGroundTruth`] for a folder without queries or a
    /// query that cannot be understood.
    pub fn open(folder: &Path) -> Result<Self, TransferError> {
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| TransferError::Io { action: "read", path, source }
        };
        let malformed = |path: &Path, reason: &str| TransferError::MalformedGroundTruth {
            path: path.to_path_buf(),
            reason: reason.to_string(),
        };
        let mut names: Vec<String> = fs::read_dir(folder)
            .map_err(io(folder))?
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                name.to_string_lossy().strip_suffix("_query.txt").map(str::to_string)
            })
            .collect();
        names.sort();
        if names.is_empty() {
            return Err(malformed(folder, "it has no file that ends in _query.txt"));
        }
        let mut queries = Vec::with_capacity(names.len());
        for name in names {
            let path = folder.join(format!("{name}_query.txt"));
            let text = read_text(&path, MAX_FILE_BYTES).map_err(io(&path))?;
            let mut words = text.split_whitespace();
            let image = words.next().ok_or_else(|| malformed(&path, "it is empty"))?;
            let sides: Vec<f32> = words.filter_map(|word| word.parse().ok()).collect();
            let bounds: [f32; 4] = sides
                .try_into()
                .map_err(|_| malformed(&path, "the name of the image must be followed by four numbers"))?;
            if !bounds.iter().all(|side| side.is_finite()) || bounds[2] <= bounds[0] || bounds[3] <= bounds[1]
            {
                return Err(malformed(&path, "its box is empty"));
            }
            let list = |kind: &str| {
                let path = folder.join(format!("{name}_{kind}.txt"));
                let text = read_text(&path, MAX_FILE_BYTES).map_err(io(&path))?;
                Ok::<_, TransferError>(text.split_whitespace().map(str::to_string).collect::<BTreeSet<_>>())
            };
            let mut relevant = list("good")?;
            relevant.extend(list("ok")?);
            let junk = list("junk")?;
            let image = image.strip_prefix("oxc1_").unwrap_or(image).to_string();
            queries.push(LandmarkQuery { name, image, bounds, relevant, junk });
        }
        Ok(Self { queries })
    }
}

#[cfg(test)]
mod tests {
    use deepcluster_damage::ReaderTest;

    use super::*;

    #[test]
    fn queries_are_read_and_problems_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = || LandmarkGroundTruth::open(folder.path()).unwrap_err().to_string();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert!(error().contains("_query.txt"));
        write("eiffel_2_query.txt", "paris_eiffel_000128 10.5 20 300.25 400");
        assert!(error().contains("eiffel_2_good.txt"));
        write("eiffel_2_good.txt", "a\nb\n");
        write("eiffel_2_ok.txt", "c\n");
        write("eiffel_2_junk.txt", "");
        let truth = LandmarkGroundTruth::open(folder.path()).unwrap();
        let query = &truth.queries[0];
        assert_eq!((query.name.as_str(), query.image.as_str()), ("eiffel_2", "paris_eiffel_000128"));
        assert_eq!(
            (query.bounds, query.relevant.len(), query.junk.len()),
            ([10.5, 20.0, 300.25, 400.0], 3, 0)
        );
        write("eiffel_2_query.txt", "x 1 2 3");
        assert!(error().contains("four numbers"));
        write("eiffel_2_query.txt", "x 9 2 3 4");
        assert!(error().contains("box is empty"));
    }

    #[test]
    fn damaged_ground_truth_is_refused_or_read() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("eiffel_2_query.txt", "oxc1_paris_eiffel_000128 10.5 20 300.25 400\n"),
            ("eiffel_2_good.txt", "paris_eiffel_000001\nparis_eiffel_000002\r\n"),
            ("eiffel_2_ok.txt", "paris_eiffel_000003\n"),
            ("eiffel_2_junk.txt", ""),
        ];
        let restore = || files.map(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        for (name, text) in &files[..3] {
            restore();
            let outcomes = ReaderTest::new(name, [text.as_bytes().to_vec()])
                .folder(folder.path())
                .num_cases(2_000)
                .memory(16, 16 << 10)
                .run(|_| {
                    LandmarkGroundTruth::open(folder.path()).inspect(|truth| {
                        let [left, upper, right, lower] = truth.queries[0].bounds;
                        assert!(left < right && upper < lower, "{:?}", truth.queries[0]);
                    })
                });
            assert!(outcomes.num_read > 0 && outcomes.num_refused > 0, "{name}: {outcomes:?}");
        }
    }
}
