//! `deepcluster eval`

mod clusters;
mod knn;
mod linear;
mod results;

use crate::arguments::{Eval, Output};

pub(crate) fn run(command: Eval, output: Output) -> anyhow::Result<()> {
    match command {
        Eval::Linear(command) => linear::run(command, output),
        Eval::Knn(command) => knn::run(command, output),
        Eval::Clusters(command) => clusters::run(command, output),
    }
}
