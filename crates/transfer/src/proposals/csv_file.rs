//! Proposals as CSV.

use std::path::Path;

use deepcluster_evaluation::BoundingBox;
use deepcluster_files::{BoundedLines, write_whole};
use serde::{Deserialize, Serialize};

use crate::proposals::error::ProposalError;
use crate::proposals::image_boxes::Proposals;

/// Most bytes of a line: a name and four numbers.
const MAX_LINE_BYTES: u64 = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    image: String,
    x_min: f32,
    y_min: f32,
    x_max: f32,
    y_max: f32,
}

pub(crate) fn read(path: &Path) -> Result<Proposals, ProposalError> {
    let malformed = |reason: String| ProposalError::Malformed { path: path.to_path_buf(), reason };
    let io = |source| ProposalError::Io { action: "read", path: path.to_path_buf(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    let mut reader = csv::Reader::from_reader(BoundedLines::new(file, MAX_LINE_BYTES));
    let mut proposals = Proposals::new();
    for (index, row) in reader.deserialize().enumerate() {
        let line = index + 2;
        let row: Row = row.map_err(|error| malformed(error.to_string()))?;
        let Row { image, x_min, y_min, x_max, y_max } = row;
        let is_sound = [x_min, y_min, x_max, y_max].iter().all(|side| side.is_finite());
        if !is_sound || x_max < x_min || y_max < y_min {
            return Err(malformed(format!("the box in line {line} is turned inside out or not finite")));
        }
        proposals.entry(image).or_default().push(BoundingBox { x_min, y_min, x_max, y_max });
    }
    Ok(proposals)
}

/// Writes a `.csv` file that [`read_proposals`](crate::proposals::read_proposals) reads, through a temporary
/// one beside it.
///
/// # Errors
/// [`ProposalError::Io`].
pub fn write_proposals(path: &Path, proposals: &Proposals) -> Result<(), ProposalError> {
    let write = |file: &mut std::io::BufWriter<&std::fs::File>| -> std::io::Result<()> {
        let mut writer = csv::Writer::from_writer(file);
        for (image, boxes) in proposals {
            for &BoundingBox { x_min, y_min, x_max, y_max } in boxes {
                writer.serialize(Row { image: image.clone(), x_min, y_min, x_max, y_max })?;
            }
        }
        writer.flush()
    };
    write_whole(path, write).map_err(|source| ProposalError::Io {
        action: "write",
        path: path.to_path_buf(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proposals::proposal_file::read_proposals;

    #[test]
    fn files_read_back_and_errors_name_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.csv");
        let bounds = BoundingBox { x_min: 0.5, y_min: 1.0, x_max: 2.0, y_max: 3.25 };
        let proposals =
            Proposals::from([("a".to_string(), vec![bounds; 2]), ("b,c".to_string(), vec![bounds])]);
        write_proposals(&path, &proposals).unwrap();
        assert_eq!(read_proposals(&path).unwrap(), proposals);
        let refused = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_proposals(&path).unwrap_err().to_string()
        };
        assert!(refused("image,x_min,y_min,x_max,y_max\na,1,1,2,2\na,5,1,2,2\n").contains("line 3"));
        assert!(refused("image,x_min,y_min,x_max,y_max\na,1,1,2,x\n").contains("line: 2"));
        assert!(refused("image,x_min\na,1\n").contains("missing field"));
        let unread = |name: &str| read_proposals(&folder.path().join(name)).unwrap_err().to_string();
        assert!(unread("boxes.txt").contains("must end in .csv"));
        assert!(unread("boxes.mat").contains("scipy.io.loadmat"));
        assert!(matches!(read_proposals(&folder.path().join("none.csv")), Err(ProposalError::Io { .. })));
    }
}
