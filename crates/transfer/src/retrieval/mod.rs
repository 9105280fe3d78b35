//! Instance retrieval by regional maxima of convolutions, R-MAC (Tolias, Sicre & Jégou, ICLR 2016; Caron et
//! al., section 4.5, table 5).

mod descriptors;
mod ground_truth;
mod regions;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use deepcluster_clustering::nearest_neighbors;
use deepcluster_data::{CropBox, Images};
use deepcluster_engine::Observer;
use deepcluster_evaluation::{Relevance, found_within, retrieval_average_precision};
use deepcluster_models::DenseBackbone;
use deepcluster_trainer::TrainedNetwork;
use ndarray::Axis;
use serde::{Deserialize, Serialize};

use crate::error::{TransferError, check_settings};
use crate::labelled_folder::LabelledFolder;
use descriptors::{Extraction, RegionWhitening, RetrievalImage};

/// Names of the sets of images with a state of their own.
const WHITENING: &str = "whitening";
const DATABASE: &str = "database";
const QUERIES: &str = "queries";

pub use ground_truth::{LandmarkGroundTruth, LandmarkQuery};
pub use regions::rmac_regions;

/// Settings of image descriptions. The defaults are those of the original's `eval_retrieval.py`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetrievalConfig {
    /// Length of the longer side after resizing, in pixels, at least 32.
    pub long_side: u32,
    /// Sizes of the regions, from the whole down, at least 1.
    pub num_scales: usize,
    /// Dimensions of a description, at least 1; fewer are kept where the network has fewer channels.
    pub num_components: usize,
}

impl Default for RetrievalConfig {
    fn default() -> Self {
        Self { long_side: 1024, num_scales: 3, num_components: 512 }
    }
}

impl RetrievalConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`TransferError::InvalidConfig`] with the first field that is out of range.
    pub fn validate(&self) -> Result<(), TransferError> {
        let (side, scales, components) = (self.long_side, self.num_scales, self.num_components);
        check_settings([
            ("long_side", side.to_string(), (32..=8192).contains(&side), "32 to 8192"),
            ("num_scales", scales.to_string(), (1..=16).contains(&scales), "1 to 16"),
            ("num_components", components.to_string(), components > 0, "at least 1"),
        ])
    }
}

/// Removes the state files of a finished retrieval from the folder `states`, and the folder if it is then
/// empty.
///
/// # Errors
/// [`TransferError::Io`].
pub fn remove_retrieval_states(states: &Path) -> Result<(), TransferError> {
    for name in [WHITENING, DATABASE, QUERIES] {
        let path = state_file(states, name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(TransferError::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    // A folder with other files stays.
    let _ = std::fs::remove_dir(states);
    Ok(())
}

fn state_file(states: &Path, name: &str) -> PathBuf {
    states.join(format!("{name}.safetensors"))
}

/// Scores of the retrieval of landmarks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LandmarkResult {
    /// Mean over the queries.
    pub mean_average_precision: f64,
    /// Name and average precision of every query.
    pub queries: Vec<(String, f64)>,
    /// Images of the database that can be read.
    pub num_images: usize,
}

/// Shares of queries that find an image of their class among the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecallResult {
    /// Number of images looked at and the share of the queries for which one of them has the class of the
    /// query.
    pub recalls: Vec<(usize, f64)>,
    /// Images that are queries, each among all others.
    pub num_queries: usize,
}

/// Retrieves the landmarks of `ground_truth` from `images`, described by a network. Descriptions are whitened
/// by the principal components of the regions of `whitening_images`, another set of images: for Oxford5k
/// those of Paris6k, and the other way round. With a folder for `states` a stopped extraction is resumed.
///
/// Images that are neither good nor ok for a query are wrong, junk does not count, and neither does an image
/// of the ground truth that cannot be read.
///
/// # Errors
/// [`TransferError::InvalidConfig`], [`TransferError::NoSuchImage`] for a query that is not among `images`,
/// [`TransferError::NoReadableImage`], [`TransferError::Stopped`] on request of `observer`,
/// [`TransferError::OtherTask`] and [`TransferError::Damaged`] for a state that cannot be resumed,
/// [`TransferError::Device`], [`TransferError::Evaluation`] for a query without an image to find.
pub fn retrieve_landmarks<N: DenseBackbone>(
    trained: &TrainedNetwork<N>,
    images: &Images,
    ground_truth: &LandmarkGroundTruth,
    whitening_images: &Images,
    config: &RetrievalConfig,
    states: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<LandmarkResult, TransferError> {
    config.validate()?;
    let database = RetrievalImage::all(images);
    let by_name: HashMap<String, usize> =
        database.iter().enumerate().map(|(index, image)| (stem(image.name()), index)).collect();
    let queries: Vec<RetrievalImage> = ground_truth
        .queries
        .iter()
        .map(|query| {
            let index = by_name.get(&query.image).ok_or_else(|| TransferError::NoSuchImage {
                image: query.image.clone(),
                folder: images.location(),
            })?;
            let [left, top, right, bottom] = query.bounds;
            let crop = Some((left, top, right, bottom));
            Ok(RetrievalImage { crop, ..database[*index].clone() })
        })
        .collect::<Result<_, TransferError>>()?;
    let extraction = Extraction { trained, config, states };
    let whitening = RegionWhitening::fit(&extraction, &RetrievalImage::all(whitening_images), observer)?;
    let database_vectors = whitening.describe(&extraction, DATABASE, &database, observer)?;
    let query_vectors = whitening.describe(&extraction, QUERIES, &queries, observer)?;
    let mut results = Vec::with_capacity(queries.len());
    for (query, vector) in ground_truth.queries.iter().zip(&query_vectors) {
        let Some(vector) = vector else {
            return Err(TransferError::NoReadableImage { image: query.image.clone() });
        };
        let mut ranking: Vec<(f32, usize)> = database_vectors
            .iter()
            .enumerate()
            .filter_map(|(index, other)| Some((vector.dot(other.as_ref()?), index)))
            .collect();
        ranking.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let relevance = |name: &str| {
            if query.junk.contains(name) {
                Relevance::Ignored
            } else if query.relevant.contains(name) {
                Relevance::Relevant
            } else {
                Relevance::Irrelevant
            }
        };
        let names: Vec<String> = ranking.iter().map(|&(_, index)| stem(database[index].name())).collect();
        let num_relevant = names.iter().filter(|name| relevance(name) == Relevance::Relevant).count();
        let precision = retrieval_average_precision(names.iter().map(|name| relevance(name)), num_relevant)?;
        results.push((query.name.clone(), precision));
    }
    Ok(LandmarkResult {
        mean_average_precision: results.iter().map(|(_, precision)| precision).sum::<f64>()
            / results.len().max(1) as f64,
        queries: results,
        num_images: database_vectors.iter().flatten().count(),
    })
}

/// Lets every image of `folder` that has a class find the others: recall@k for each `k` of `counts`.
/// Whitening, states and errors are those of [`retrieve_landmarks`].
pub fn recall_at<N: DenseBackbone>(
    trained: &TrainedNetwork<N>,
    folder: &LabelledFolder,
    whitening_images: &Images,
    counts: &[usize],
    config: &RetrievalConfig,
    states: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<RecallResult, TransferError> {
    config.validate()?;
    let is_sound = !counts.is_empty() && !counts.contains(&0);
    check_settings([("counts", format!("{counts:?}"), is_sound, "one or more, each at least 1")])?;
    let all = RetrievalImage::all(&folder.images);
    let labelled = folder.labelled_images();
    let images: Vec<RetrievalImage> = labelled.iter().map(|&index| all[index].clone()).collect();
    let extraction = Extraction { trained, config, states };
    let whitening = RegionWhitening::fit(&extraction, &RetrievalImage::all(whitening_images), observer)?;
    let vectors = whitening.describe(&extraction, DATABASE, &images, observer)?;
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for (vector, &index) in vectors.into_iter().zip(&labelled) {
        if let (Some(vector), Some(label)) = (vector, folder.labels[index]) {
            rows.push(vector);
            labels.push(label);
        }
    }
    let views: Vec<_> = rows.iter().map(|row| row.view()).collect();
    let matrix = ndarray::stack(Axis(0), &views).expect("every description has the same length");
    let most = counts.iter().copied().max().unwrap_or(1).min(rows.len().saturating_sub(1)).max(1);
    // Of length 1, so that the nearest are the most similar.
    let neighbors = nearest_neighbors(matrix.view(), matrix.view(), most, true)?;
    let found = |k: usize| {
        let hits = neighbors.indices.rows().into_iter().zip(&labels).filter(|(row, label)| {
            let relevance = row.iter().map(|&other| {
                if labels[other as usize] == **label { Relevance::Relevant } else { Relevance::Irrelevant }
            });
            found_within(relevance, k)
        });
        hits.count() as f64 / labels.len() as f64
    };
    Ok(RecallResult { recalls: counts.iter().map(|&k| (k, found(k))).collect(), num_queries: labels.len() })
}

/// Name of an image without folder and extension.
fn stem(name: &str) -> String {
    Path::new(name).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The box of whole pixels around corners that are given in fractions, within an image.
fn crop_box((left, top, right, bottom): (f32, f32, f32, f32), width: u32, height: u32) -> CropBox {
    let bounded = |value: f32, most: u32| (value.max(0.0) as u32).min(most);
    let (left, top) = (bounded(left, width - 1), bounded(top, height - 1));
    CropBox {
        left,
        top,
        width: bounded(right, width).saturating_sub(left).max(1),
        height: bounded(bottom, height).saturating_sub(top).max(1),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use burn::tensor::Device;
    use deepcluster_data::{LabelSource, ScanConfig};
    use deepcluster_models::{Architecture, ConvNet, ConvNetConfig};
    use deepcluster_trainer::TrainConfig;
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::state_file::TaskState;
    use burn::tensor::TensorData;

    /// Images of three textures, six of each, in folders of their own.
    fn textures(root: &Path) {
        for (class, period) in [("fine", 2), ("middle", 5), ("coarse", 11)] {
            fs::create_dir_all(root.join(class)).unwrap();
            for number in 0..6_u32 {
                let picture = RgbImage::from_fn(64, 48, |x, y| {
                    let lit = (x + number * 3) / period % 2 == (y + number) / period % 2;
                    Rgb([if lit { 200 + number as u8 } else { 40 }; 3])
                });
                picture.save(root.join(format!("{class}/{class}_{number}.png"))).unwrap();
            }
        }
    }

    fn network() -> TrainedNetwork<ConvNet> {
        let config = ConvNetConfig::new(Architecture::AlexnetSmall, 32, true, 0.25).unwrap();
        let device = Device::flex();
        TrainedNetwork::from_network(TrainConfig::default(), config.init(1, &device).unwrap(), &device)
    }

    const CONFIG: RetrievalConfig = RetrievalConfig { long_side: 64, num_scales: 3, num_components: 16 };

    #[test]
    fn textures_find_their_like() {
        let root = tempfile::tempdir().unwrap();
        textures(root.path());
        let scan = ScanConfig { labels: LabelSource::Folders };
        let images = std::sync::Arc::new(Images::scan(root.path(), &scan).unwrap());
        let labels = images.labels().unwrap().of_image.clone();
        let folder = LabelledFolder { images: images.clone(), labels };
        let network = network();
        let recall = |counts: &[usize]| recall_at(&network, &folder, &images, counts, &CONFIG, None, &mut ());
        let found = recall(&[1, 4, 100]).unwrap();
        assert_eq!((found.num_queries, found.recalls[2]), (18, (100, 1.0)));
        assert!(found.recalls[0].1 > 0.9 && found.recalls[1].1 >= found.recalls[0].1, "{found:?}");
        assert!(recall(&[0]).unwrap_err().to_string().starts_with("counts = [0]"));
    }

    #[test]
    fn landmarks_are_ranked_by_their_ground_truth() {
        let root = tempfile::tempdir().unwrap();
        textures(root.path());
        let truth = root.path().join("gt");
        fs::create_dir(&truth).unwrap();
        fs::write(truth.join("a_1_query.txt"), "oxc1_fine_0 0.5 0.0 64.0 48.0\n").unwrap();
        fs::write(truth.join("a_1_good.txt"), "fine_0\nfine_1\nfine_2\n").unwrap();
        fs::write(truth.join("a_1_ok.txt"), "fine_3\nfine_4\n").unwrap();
        fs::write(truth.join("a_1_junk.txt"), "fine_5\n").unwrap();
        let images = Images::open(root.path()).unwrap();
        let ground_truth = LandmarkGroundTruth::open(&truth).unwrap();
        let network = network();
        let states = root.path().join("states");
        let run = |images: &Images, truth: &LandmarkGroundTruth| {
            retrieve_landmarks(&network, images, truth, images, &CONFIG, Some(&states), &mut ())
        };
        let result = run(&images, &ground_truth).unwrap();
        assert_eq!((result.num_images, result.queries.len()), (18, 1));
        assert!(result.mean_average_precision > 0.95, "{result:?}");
        // The same again from the states.
        assert_eq!(run(&images, &ground_truth).unwrap(), result);
        // Only the states are removed.
        fs::write(states.join("mine.txt"), "mine").unwrap();
        remove_retrieval_states(&states).unwrap();
        assert_eq!(fs::read_dir(&states).unwrap().count(), 1);
        fs::remove_file(states.join("mine.txt")).unwrap();
        remove_retrieval_states(&states).unwrap();
        assert!(!states.exists());
        let mut other = ground_truth.clone();
        other.queries[0].image = "nowhere".to_string();
        assert!(run(&images, &other).unwrap_err().to_string().contains("'nowhere'"));
    }

    #[test]
    fn states_whose_numbers_cannot_be_are_refused() {
        let root = tempfile::tempdir().unwrap();
        textures(root.path());
        let images = Images::open(root.path()).unwrap();
        let (network, states) = (network(), root.path().join("states"));
        let labels = vec![Some(0); images.len()];
        let images = std::sync::Arc::new(images);
        let folder = LabelledFolder { images: images.clone(), labels };
        let run = || recall_at(&network, &folder, &images, &[1], &CONFIG, Some(&states), &mut ());
        run().unwrap();
        let whole: Vec<(std::path::PathBuf, Vec<u8>)> = fs::read_dir(&states)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .collect();
        type State = TaskState<serde_json::Value>;
        type Change = fn(&mut State);
        let changes: [(&str, Change); 3] = [
            ("images", |state| state.progress["num_images"] = u64::MAX.into()),
            ("images", |state| state.progress["num_images"] = (1_u64 << 40).into()),
            ("of one network", |state| {
                let other = TensorData::new(vec![1.0_f32; 6], [2, 3]);
                state.arrays.insert("0".to_string(), other);
            }),
        ];
        for (reason, change) in changes {
            for (path, bytes) in &whole {
                let mut state = State::load(path).unwrap().unwrap();
                change(&mut state);
                state.save(path).unwrap();
                let error = run().unwrap_err().to_string();
                assert!(error.contains(reason) && error.contains(".safetensors"), "{error}");
                fs::write(path, bytes).unwrap();
            }
        }
        run().unwrap();
    }
}
