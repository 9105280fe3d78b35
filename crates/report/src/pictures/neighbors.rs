//! Nearest images, by the untrained and by the trained network.

use std::path::Path;
use std::sync::Arc;

use crate::sheets::{ContactSheet, SheetCell, SheetColumns};
use deepcluster_clustering::nearest_neighbors;
use deepcluster_data::Images;
use deepcluster_engine::Observer;
use deepcluster_models::{Input, Network};
use deepcluster_trainer::{RunDirectory, TrainedModel, TrainedNetwork};
use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use crate::error::ReportError;
use crate::pictures::shown_image::{placeholder, shown_image};

/// Side of a picture on a sheet, in pixels.
const CELL_SIZE: u32 = 120;

/// A training image that is near to a query.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FoundImage {
    /// Index of the image in the list of the run.
    pub image_index: usize,
    /// Euclidean distance of the whitened features, which have length 1: 0 to 2.
    pub distance: f32,
}

/// The training images nearest to a query, nearest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedNeighbors {
    /// Index of the query.
    pub query_index: usize,
    /// Neighbours by the network that the run began with, if requested.
    pub untrained: Option<Vec<FoundImage>>,
    /// Neighbours by the trained network.
    pub trained: Vec<FoundImage>,
}

/// Result of [`neighbors_in_runs`].
#[derive(Debug, Clone, PartialEq)]
pub struct FoundNeighbors {
    /// For each query that can be read, in their order.
    pub queries: Vec<ComparedNeighbors>,
    /// Queries that cannot be read, and why.
    pub failures: Vec<(usize, String)>,
}

/// Finds for each image of `queries` the `count` nearest training images of a finished run, the query itself
/// left out where it is one of them. With `compare_untrained` also by the network that the run began with,
/// whose features of all training images are computed and whitened for that.
///
/// # Errors
/// [`ReportError::InvalidConfig`] for a count of 0, [`ReportError::Trainer`] where the run is not finished
/// or cannot be read, no query can be read, or `observer` asks to stop.
pub fn neighbors_in_runs(
    run: &RunDirectory,
    model: &TrainedModel<Network>,
    queries: &Arc<Images>,
    count: usize,
    compare_untrained: bool,
    observer: &mut dyn Observer,
) -> Result<FoundNeighbors, ReportError> {
    if count == 0 {
        let (field, value, allowed) = ("count", "0".to_string(), "at least 1".to_string());
        return Err(ReportError::InvalidConfig { field, value, allowed });
    }
    let images = Arc::new(run.images()?);
    let database = run.features()?;
    let asked = model.whitened_features(queries, observer)?;
    let names = Names { queries, images: &images, query_indices: &asked.image_indices };
    let all: Vec<usize> = (0..images.len()).collect();
    let trained = names.nearest(asked.features.view(), database.view(), &all, count)?;
    let untrained = if compare_untrained {
        let network = TrainedNetwork::untrained(model.config().clone(), model.trained_network().device())?;
        let in_run = network.features(&images, observer)?;
        let whitening = model.config().objective.whitening().fit(&in_run.features)?;
        let whiten = |features: &Array2<f32>| whitening.transform(&features);
        let query_rows = whiten(&network.features(queries, observer)?.features)?;
        let run_rows = whiten(&in_run.features)?;
        Some(names.nearest(query_rows.view(), run_rows.view(), &in_run.image_indices, count)?)
    } else {
        None
    };
    let mut untrained = untrained.map(Vec::into_iter);
    let compared = asked.image_indices.iter().zip(trained).map(|(&query_index, trained)| {
        let untrained = untrained.as_mut().and_then(Iterator::next);
        ComparedNeighbors { query_index, untrained, trained }
    });
    Ok(FoundNeighbors { queries: compared.collect(), failures: asked.failures })
}

/// Image of each row of the features.
struct Names<'a> {
    queries: &'a Images,
    images: &'a Images,
    query_indices: &'a [usize],
}

impl Names<'_> {
    /// The nearest rows of `database`, whose images are `image_indices`, that are not the query itself.
    fn nearest(
        &self,
        queries: ArrayView2<'_, f32>,
        database: ArrayView2<'_, f32>,
        image_indices: &[usize],
        count: usize,
    ) -> Result<Vec<Vec<FoundImage>>, ReportError> {
        let with_itself = count.saturating_add(1).min(database.nrows());
        let found = nearest_neighbors(queries, database, with_itself, false)?;
        let found_for = |(row, &query): (usize, &usize)| {
            let found = (0..with_itself).map(|rank| FoundImage {
                image_index: image_indices[found.indices[[row, rank]] as usize],
                distance: found.squared_distances[[row, rank]].max(0.0).sqrt(),
            });
            let is_itself = |found: &FoundImage| self.images.is_same(found.image_index, self.queries, query);
            found.filter(|found| !is_itself(found)).take(count).collect()
        };
        Ok(self.query_indices.iter().enumerate().map(found_for).collect())
    }
}

/// A row for each query: the query, its neighbours by the untrained network where there are any, and those by
/// the trained one. Where the run has labels and the query is one of its images, neighbours of the same label
/// have a frame.
///
/// # Errors
/// [`ReportError::Data`] where an image can no longer be read.
pub fn neighbor_sheet(
    input: &Input,
    images: &Images,
    queries: &Images,
    found: &[ComparedNeighbors],
) -> Result<ContactSheet, ReportError> {
    let label_of = |index: usize| images.labels().and_then(|labels| labels.of_image[index]);
    let count_of = |of: &dyn Fn(&ComparedNeighbors) -> usize| found.iter().map(of).max().unwrap_or(0);
    let num_untrained = count_of(&|one| one.untrained.as_ref().map_or(0, Vec::len));
    let num_trained = count_of(&|one| one.trained.len());
    let mut rows = Vec::with_capacity(found.len());
    for one in found {
        let query = one.query_index;
        let caption = last_part(queries.name(query)).to_string();
        // Names are compared first: whether two files are the same only the file system knows.
        let is_query = |index: &usize| {
            last_part(images.name(*index)) == caption && images.is_same(*index, queries, query)
        };
        let own = (0..images.len()).find(is_query).and_then(label_of);
        let picture = shown_image(queries, query, input, CELL_SIZE)?;
        let mut row = vec![Some(SheetCell { picture, caption: caption.clone(), frame: None })];
        let mut add = |neighbors: &[FoundImage], count: usize| {
            for rank in 0..count {
                let cell = neighbors.get(rank).map(|found| {
                    let is_alike = own.is_some() && own == label_of(found.image_index);
                    // A file that is gone since the training leaves its place grey.
                    let picture = shown_image(images, found.image_index, input, CELL_SIZE);
                    let picture = picture.unwrap_or_else(|_| placeholder(CELL_SIZE));
                    let caption = format!("{:.2}", found.distance);
                    SheetCell { picture, caption, frame: is_alike.then_some(SAME_LABEL) }
                });
                row.push(cell);
            }
        };
        add(one.untrained.as_deref().unwrap_or_default(), num_untrained);
        add(&one.trained, num_trained);
        rows.push(row);
    }
    let mut columns = vec![SheetColumns { heading: "query".to_string(), count: 1 }];
    if num_untrained > 0 {
        columns
            .push(SheetColumns { heading: "nearest, untrained network".to_string(), count: num_untrained });
    }
    columns.push(SheetColumns { heading: "nearest, trained network".to_string(), count: num_trained });
    let title = "Nearest training images".to_string();
    Ok(ContactSheet { title, columns, cell_size: CELL_SIZE, rows })
}

/// Frame of neighbours that have the label of the query: a green that differs from grey for those who see no
/// green.
const SAME_LABEL: [u8; 3] = [0, 158, 115];

/// Name of an image without the folders that lead to it.
fn last_part(name: &str) -> &str {
    Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use deepcluster_data::{SyntheticConfig, write_synthetic_folder};
    use deepcluster_trainer::Trainer;

    use deepcluster_trainer::TrainConfig;

    use super::*;

    fn paths(folder: &Images, indices: impl IntoIterator<Item = usize>) -> Arc<Images> {
        let paths = indices.into_iter().map(|index| folder.file(index).unwrap()).collect();
        Arc::new(Images::from_paths("/".into(), paths, None))
    }

    #[test]
    fn neighbors_of_both_networks_are_found_and_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (data, out) = (folder.path().join("data"), folder.path().join("run"));
        let drawings = SyntheticConfig { num_images: 40, image_size: 32, seed: 3 };
        write_synthetic_folder(&data, &drawings, &mut |_| {}).unwrap();
        let mut config = TrainConfig::default();
        config.images.size = 32;
        config.network.width = 0.25;
        config.objective.clustering_mut().num_clusters = Some(4);
        config.objective.whitening_mut().num_components = 8;
        config.training.epochs = 1;
        config.training.batch_size = 20;
        let device = deepcluster_trainer::parse_device("cpu").unwrap();
        let model =
            Trainer::new(config, Images::open(&data).unwrap(), &out, &device).unwrap().run(&mut ()).unwrap();
        let run = RunDirectory::open(&out).unwrap();
        let images = run.images().unwrap();
        // A training image, a copy of another under a new name, and a file that is not an image.
        let copy = folder.path().join("copy.png");
        std::fs::copy(images.file(7).unwrap(), &copy).unwrap();
        let broken = folder.path().join("broken.png");
        std::fs::write(&broken, "no image").unwrap();
        let files = vec![images.file(3).unwrap(), broken, copy];
        let queries = Arc::new(Images::from_paths("/".into(), files, None));
        let FoundNeighbors { queries: found, failures } =
            neighbors_in_runs(&run, &model, &queries, 5, true, &mut ()).unwrap();
        assert_eq!(failures.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
        assert_eq!(found.iter().map(|one| one.query_index).collect::<Vec<_>>(), [0, 2]);
        for one in &found {
            for neighbors in [&one.trained, one.untrained.as_ref().unwrap()] {
                assert_eq!(neighbors.len(), 5);
                assert!(neighbors.is_sorted_by(|a, b| a.distance <= b.distance));
            }
        }
        // An image does not find itself; its copy finds it, at no distance, by any network.
        assert!(found[0].trained.iter().all(|found| found.image_index != 3));
        for neighbors in [&found[1].trained, found[1].untrained.as_ref().unwrap()] {
            assert_eq!(neighbors[0].image_index, 7);
            assert!(neighbors[0].distance < 0.05, "{neighbors:?}");
        }
        let sheet = neighbor_sheet(&model.config().input(), &images, &queries, &found).unwrap();
        assert_eq!(sheet.rows.iter().map(Vec::len).collect::<Vec<_>>(), [11, 11]);
        let frames =
            |row: usize| sheet.rows[row].iter().flatten().filter(|cell| cell.frame.is_some()).count();
        let labels = images.labels().unwrap();
        let alike = |found: &FoundImage| labels.of_image[found.image_index] == labels.of_image[3];
        let expected =
            found[0].trained.iter().chain(found[0].untrained.as_ref().unwrap()).filter(|found| alike(found));
        assert_eq!((frames(0), frames(1)), (expected.count(), 0));
        // More than there are, and none.
        let all = neighbors_in_runs(&run, &model, &paths(&images, [0]), 99, false, &mut ()).unwrap();
        assert_eq!(
            (all.queries[0].trained.len(), all.queries[0].untrained.is_none()),
            (images.len() - 1, true)
        );
        assert!(neighbors_in_runs(&run, &model, &paths(&images, [0]), 0, false, &mut ()).is_err());
    }
}
