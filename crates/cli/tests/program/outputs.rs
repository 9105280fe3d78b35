//! Where results go: standard output that ends early or is full, links, pipes, devices, and folders of
//! clusters.

#![cfg(unix)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{assert_same_results, deepcluster, draw_images, finished_run, tiny_config, train};

/// The program itself, whose outputs a test connects.
fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_deepcluster"))
}

fn train_command(images: &Path, run: &Path, config: &Path) -> Command {
    let mut command = program();
    command.arg("train").arg(images).arg("--out").arg(run).arg("--config").arg(config).arg("--json");
    command
}

#[test]
fn training_goes_on_without_its_reader() {
    let (folder, images, run) = finished_run();
    let config = tiny_config(folder.path(), 2);
    let alone = folder.path().join("alone");
    let mut process =
        train_command(&images, &alone, &config).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with('{'), "{line}");
    // The reader has gone with the first line, as `head -1` does.
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert_same_results(&run, &alone);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_told_at_the_end() {
    let (folder, images, run) = finished_run();
    let config = tiny_config(folder.path(), 2);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let unheard = folder.path().join("unheard");
    let output = train_command(&images, &unheard, &config).stdout(full()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write standard output"), "{said}");
    // Nothing of the training is lost.
    assert_same_results(&run, &unheard);

    let query = placed(&images).remove(0);
    let (run, images, query) = (run.as_os_str(), images.as_os_str(), query.as_os_str());
    let commands: [&[&std::ffi::OsStr]; 8] = [
        &["assign".as_ref(), run, images],
        &["assign".as_ref(), run, images, "--json".as_ref()],
        &["inspect".as_ref(), run],
        &["neighbors".as_ref(), run, query],
        &["report".as_ref(), run, "--no-tsne".as_ref()],
        &["completions".as_ref(), "bash".as_ref()],
        &["--help".as_ref()],
        &["--version".as_ref()],
    ];
    for arguments in commands {
        let status = program().args(arguments).stdout(full()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn links_pipes_and_devices_stay_what_they_are() {
    let (folder, images, run) = finished_run();
    let expected = fs::read(run.join("assignments.csv")).unwrap();
    let path = |name: &str| folder.path().join(name);
    let assign = |out: &Path| {
        deepcluster().arg("assign").arg(&run).arg(&images).arg("--out").arg(out).assert().success();
    };
    fs::write(path("target.csv"), "old").unwrap();
    symlink("target.csv", path("link.csv")).unwrap();
    symlink("new.csv", path("dangling.csv")).unwrap();
    for (link, target) in [("link.csv", "target.csv"), ("dangling.csv", "new.csv")] {
        assign(&path(link));
        assert!(fs::symlink_metadata(path(link)).unwrap().is_symlink());
        assert_eq!(fs::read(path(target)).unwrap(), expected);
    }

    assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = path("pipe");
        move || fs::read(pipe).unwrap()
    });
    assign(&path("pipe"));
    assert_eq!(reader.join().unwrap(), expected);
    assert!(fs::symlink_metadata(path("pipe")).unwrap().file_type().is_fifo());

    let standard = deepcluster().arg("assign").arg(&run).arg(&images).args(["--out", "/dev/stdout"]).assert();
    assert_eq!(standard.success().get_output().stdout, expected);

    let made = Command::new("mknod").args(["-m", "666"]).arg(path("null")).args(["c", "1", "3"]).output();
    if made.is_ok_and(|made| made.status.success()) {
        assign(&path("null"));
        assert!(fs::symlink_metadata(path("null")).unwrap().file_type().is_char_device());
    } else {
        eprintln!("skipped: making a device needs root");
    }
}

/// All regular files and links below a folder.
fn placed(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(placed(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn images_of_equal_names_all_find_a_place() {
    let (folder, images, run) = finished_run();
    let one = placed(&images).remove(0);
    let clash = folder.path().join("clash");
    let long = "n".repeat(240);
    let names = [
        "x.png",
        "a/x.png",
        "b/x.png",
        "b__x.png",
        "c/b__x.png",
        "a/b/x.png",
        "a__b__x.png",
        "a/b__x.png",
        "a__x.png",
    ];
    let names =
        names.into_iter().map(String::from).chain((0..3).map(|n| format!("{long}/{n}{long}/{long}.png")));
    let names: Vec<String> = names.collect();
    for name in &names {
        let path = clash.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(&one, path).unwrap();
    }
    for place in ["link", "copy"] {
        let target = folder.path().join(place);
        let mut command = deepcluster();
        command.arg("assign").arg(&run).arg(&clash).args(["--place", place]).arg("--folders").arg(&target);
        command.assert().success();
        let found = placed(&target);
        assert_eq!(found.len(), names.len(), "{place}: {found:?}");
        assert!(found.iter().all(|path| fs::read(path).unwrap() == fs::read(&one).unwrap()));
    }
}

#[test]
fn the_table_comes_before_the_folders() {
    let (folder, images, run) = finished_run();
    let table = folder.path().join("clusters.csv");
    fs::write(folder.path().join("file"), "").unwrap();
    let mut command = deepcluster();
    command.arg("assign").arg(&run).arg(&images).arg("--out").arg(&table).arg("--folders");
    command.arg(folder.path().join("file/below")).assert().failure();
    assert_eq!(fs::read(&table).unwrap(), fs::read(run.join("assignments.csv")).unwrap());
}

#[test]
fn permissions_are_those_of_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 60);
    let config = tiny_config(folder.path(), 1);
    for (mask, forbidden, wanted) in [("077", 0o077, 0o600), ("022", 0o022, 0o644), ("002", 0o002, 0o664)] {
        let results = folder.path().join(mask);
        fs::create_dir(&results).unwrap();
        let script = format!("umask {mask}; exec \"$@\"");
        let run = |arguments: &[&std::ffi::OsStr]| {
            let mut command = Command::new("sh");
            command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_deepcluster"), "-q"]).args(arguments);
            assert!(command.status().unwrap().success(), "{arguments:?}");
        };
        let (out, by_cluster, table) = (results.join("run"), results.join("by"), results.join("a.csv"));
        let (images, config) = (images.as_os_str(), config.as_os_str());
        run(&["train".as_ref(), images, "--out".as_ref(), out.as_ref(), "--config".as_ref(), config]);
        let folders = ["--folders".as_ref(), by_cluster.as_os_str(), "--out".as_ref(), table.as_os_str()];
        run(&[&["assign".as_ref(), out.as_os_str(), images][..], &folders[..]].concat());
        for entry in fs::read_dir(&out).unwrap().chain(fs::read_dir(out.join("checkpoints")).unwrap()) {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode & forbidden, 0, "umask {mask}: {:?} has {mode:o}", entry.path());
            if entry.file_type().unwrap().is_file() {
                assert_eq!(mode & wanted, wanted, "umask {mask}: {:?} has {mode:o}", entry.path());
            }
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&by_cluster), wanted | ((wanted & 0o444) >> 2), "umask {mask}");
        assert_eq!(mode(&table), wanted, "umask {mask}");
    }
}

#[test]
fn names_of_files_cannot_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 60);
    let config = tiny_config(folder.path(), 1);
    fs::write(images.join("\x1b[2J\x1b]0;title\x07broken\nerror: all is lost.png"), "no image").unwrap();
    let run = folder.path().join("run");
    let mut command = program();
    command.arg("train").arg(&images).arg("--out").arg(&run).arg("--config").arg(&config);
    let output = command.output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("\\u{1b}[2J"), "{said}");
    assert!(!said.contains('\x1b') && !said.contains('\x07') && !said.contains("\nerror: all"), "{said:?}");

    let output = program().arg("inspect").arg(folder.path().join("no\x1b[31m")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no\\u{1b}[31m") && !said.contains('\x1b'), "{said:?}");
}

#[test]
fn temporary_files_of_killed_commands_go_with_the_next() {
    let (folder, images, run) = finished_run();
    // As a killed process leaves it: named by us, and no longer locked.
    let left = folder.path().join(".writing-deepcluster-abcdef.tmp");
    fs::write(&left, "half").unwrap();
    let mine = folder.path().join(".writing-notes.tmp");
    fs::write(&mine, "mine").unwrap();
    let table = folder.path().join("a.csv");
    deepcluster().arg("assign").arg(&run).arg(&images).arg("--out").arg(&table).assert().success();
    assert!(!left.exists() && mine.exists());
    // A training does the same in its run.
    let left = [run.join(left.file_name().unwrap()), run.join("checkpoints").join(left.file_name().unwrap())];
    left.iter().for_each(|path| fs::write(path, "half").unwrap());
    deepcluster().args(["train", "--resume", "--epochs", "3", "--out"]).arg(&run).assert().success();
    assert!(left.iter().all(|path| !path.exists()));
}

#[test]
fn clusters_in_folders_are_not_taken_for_images() {
    let (folder, images, run) = finished_run();
    let config = tiny_config(folder.path(), 1);
    let by_cluster = images.join("by-cluster");
    let mut command = deepcluster();
    command.arg("assign").arg(&run).arg(&images).args(["--place", "copy"]).arg("--folders").arg(&by_cluster);
    command.assert().success();
    let inside = images.join("run");
    train(&images, &inside, &config);
    let list = fs::read_to_string(inside.join("images.csv")).unwrap();
    assert_eq!(list.lines().count(), 121, "{list}");
}
