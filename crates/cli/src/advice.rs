//! The options of the program that help after an error of the library, which knows none.

use std::path::Path;

use deepcluster::trainer::EngineError;
use deepcluster::trainer::TrainerError;

/// The command or option to use next, if an error or one of its causes suggests one.
pub(crate) fn advice(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let engine = cause.downcast_ref().and_then(after_engine_error);
        engine.or_else(|| cause.downcast_ref().and_then(after_error))
    })
}

fn after_error(error: &TrainerError) -> Option<String> {
    match error {
        TrainerError::RunExists { .. } => Some("continue it with --resume".to_string()),
        TrainerError::NotBegun { path } => {
            Some(format!("begin with deepcluster train FOLDER --out {}", path.display()))
        }
        TrainerError::NoImages { path } | TrainerError::ImagesGone { path, .. } => {
            Some(format!("as in deepcluster train FOLDER --out {} --resume", path.display()))
        }
        TrainerError::Unfinished { path } | TrainerError::Mixed { path, .. } => Some(resume(path)),
        TrainerError::Damaged { path, .. } if is_result(path) => path.parent().map(resume),
        TrainerError::Engine(error) => after_engine_error(error),
        _ => None,
    }
}

fn after_engine_error(error: &EngineError) -> Option<String> {
    match error {
        EngineError::Stopped { .. } | EngineError::ImageVanished { .. } => {
            Some("continue with --resume".to_string())
        }
        EngineError::OutOfMemory { setting, fits: Some(fits), .. } => {
            Some(format!("as in --set {setting}={fits}"))
        }
        _ => None,
    }
}

fn resume(run: &Path) -> String {
    format!("with deepcluster train --out {} --resume", run.display())
}

/// Whether resuming the run writes this file again.
fn is_result(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| ["model.safetensors", "features.safetensors"].contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_followed_by_the_options_that_help() {
        let path = Path::new("a/run").to_path_buf();
        let stopped = || EngineError::Stopped { epoch: 1, step: 2 };
        for (error, words) in [
            (
                anyhow::Error::new(TrainerError::Unfinished { path: path.clone() }),
                "deepcluster train --out a/run --resume",
            ),
            (
                anyhow::Error::new(TrainerError::NoImages { path: path.clone() }),
                "FOLDER --out a/run --resume",
            ),
            (anyhow::Error::new(stopped()), "--resume"),
            (anyhow::Error::new(TrainerError::from(stopped())).context("cannot train"), "--resume"),
            (
                anyhow::Error::new(TrainerError::Damaged {
                    path: path.join("model.safetensors"),
                    reason: String::new(),
                }),
                "deepcluster train --out a/run --resume",
            ),
        ] {
            let advice = advice(&error).unwrap();
            assert!(advice.contains(words), "{advice}");
        }
        let other = TrainerError::Damaged { path: path.join("images.csv"), reason: String::new() };
        assert_eq!(advice(&other.into()), None);
    }
}
