//! `deepcluster eval`

mod clusters;
mod knn;
mod linear;
mod results;
mod retrieve;
mod voc_classify;
mod voc_detect;
mod voc_segment;
mod voc_subject;

use crate::arguments::{Eval, Output};

pub(crate) fn run(command: Eval, output: Output) -> anyhow::Result<()> {
    match command {
        Eval::Linear(command) => linear::run(command, output),
        Eval::Knn(command) => knn::run(command, output),
        Eval::Clusters(command) => clusters::run(command, output),
        Eval::VocClassify(command) => voc_classify::run(command, output),
        Eval::VocDetect(command) => voc_detect::run(command, output),
        Eval::Retrieve(command) => retrieve::run(command, output),
        Eval::VocSegment(command) => voc_segment::run(command, output),
    }
}
