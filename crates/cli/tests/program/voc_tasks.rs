//! The protocols on data in the layout of PASCAL VOC, retrieval, curves and sweeps, on small runs.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use deepcluster_testing::predicates::prelude::*;
use image::{GrayImage, Rgb, RgbImage};
use serde_json::Value;

use crate::common::{deepcluster, finished_run, tiny_config};

/// Bright squares with bars across or upright on grey, with boxes and masks; 12 for each of two lists.
fn draw_voc(root: &Path) {
    for folder in
        ["JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation"]
    {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("classes.txt"), "background\nacross\nupright\n").unwrap();
    for set in ["trainval", "test"] {
        let mut list = String::new();
        for number in 0..12_u32 {
            let name = format!("{set}_{number}");
            list.push_str(&format!("{name}\n"));
            let (left, top, size) = (number * 2, 26 - number * 2, 30);
            let is_across = number % 2 == 0;
            let inside = |x: u32, y: u32| (left..left + size).contains(&x) && (top..top + size).contains(&y);
            let picture = RgbImage::from_fn(64, 64, |x, y| {
                let place = if is_across { y } else { x };
                Rgb([if !inside(x, y) {
                    90
                } else if place / 3 % 2 == 0 {
                    240
                } else {
                    170
                }; 3])
            });
            picture.save(root.join(format!("JPEGImages/{name}.jpg"))).unwrap();
            let value = if is_across { 1 } else { 2 };
            let mask = GrayImage::from_fn(64, 64, |x, y| image::Luma([if inside(x, y) { value } else { 0 }]));
            mask.save(root.join(format!("SegmentationClass/{name}.png"))).unwrap();
            let class = if is_across { "across" } else { "upright" };
            let [x1, y1, x2, y2] = [left + 1, top + 1, left + size, top + size];
            let xml = format!(
                "<annotation><object><name>{class}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax>\
                 <ymax>{y2}</ymax></bndbox></object></annotation>"
            );
            fs::write(root.join(format!("Annotations/{name}.xml")), xml).unwrap();
        }
        for task in ["Main", "Segmentation"] {
            fs::write(root.join(format!("ImageSets/{task}/{set}.txt")), &list).unwrap();
        }
    }
}

fn results(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("results.json")).unwrap()).unwrap()
}

#[test]
fn objects_are_classified_detected_and_segmented() {
    let (folder, _, run) = finished_run();
    let voc = folder.path().join("voc");
    draw_voc(&voc);
    let eval = |protocol: &str, options: &[&str]| {
        let mut command = deepcluster();
        command.args(["eval", protocol]).arg(&run).arg("--voc").arg(&voc).args(options);
        command
    };
    let classify = ["--steps", "4", "--batch-size", "4", "--baseline"];
    let printed = eval("voc-classify", &classify).assert().success();
    let out = run.join("eval/voc-classify");
    let table = fs::read_to_string(out.join("results.md")).unwrap();
    assert_eq!(String::from_utf8(printed.get_output().stdout.clone()).unwrap(), table);
    assert!(table.contains("| mean | 12 |"), "{table}");
    let found = results(&out);
    assert_eq!(found["networks"].as_array().unwrap().len(), 2);
    assert_eq!(found["networks"][1]["result"]["num_images"], 12);
    // Results and their record exist; the state of finished tasks does not.
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3);

    eval("voc-classify", &["--svm", "--svm-layers", "conv1"]).assert().success();
    let found = results(&run.join("eval/voc-svm"));
    assert!(found["networks"][0]["result"][0]["average_precision"]["area"].as_f64().unwrap() > 0.8);

    let detect = ["--steps", "4", "--short-side", "64", "--regions", "8"];
    eval("voc-detect", &detect)
        .assert()
        .success()
        .stdout(predicate::str::contains("proposals per image cover"));
    let out = run.join("eval/voc-detect");
    let found = results(&out);
    assert_eq!(found["networks"][0]["result"]["proposals"]["recall"], 1.0);
    // The same by boxes from a file, which the search has left.
    let boxes = out.join("proposals.csv");
    let elsewhere = folder.path().join("elsewhere");
    let mut again = eval("voc-detect", &detect);
    again.arg("--proposals").arg(&boxes).arg("--out").arg(&elsewhere).assert().success();
    assert_eq!(results(&elsewhere)["networks"], found["networks"]);

    let segment = ["--steps", "4", "--batch-size", "2", "--layers", "fc6-8"];
    eval("voc-segment", &segment).assert().success().stdout(predicate::str::contains("| across |"));
    let found = results(&run.join("eval/voc-segment"));
    assert_eq!(found["networks"][0]["result"]["classes"].as_array().unwrap().len(), 3);
    assert_eq!(found["config"]["layers"], "fc6-8");
}

#[test]
fn wrong_data_is_named() {
    let (folder, images, run) = finished_run();
    let voc = folder.path().join("voc");
    draw_voc(&voc);
    let eval = |protocol: &str, voc: &Path| {
        let mut command = deepcluster();
        command.args(["eval", protocol]).arg(&run).arg("--voc").arg(voc);
        command
    };
    eval("voc-detect", &images).assert().code(2).stderr(predicate::str::contains("JPEGImages"));
    let mut command = eval("voc-classify", &voc);
    command.args(["--train-set", "val"]).assert().code(2).stderr(predicate::str::contains("test, trainval"));
    let mut command = eval("voc-classify", &voc);
    command.args(["--steps", "0"]).assert().code(2).stderr(predicate::str::contains("num_steps = 0"));
    let boxes = folder.path().join("boxes.csv");
    fs::write(&boxes, "image,x_min,y_min,x_max,y_max\nx,0,0,1,1\n").unwrap();
    let mut command = eval("voc-detect", &voc);
    command.arg("--proposals").arg(&boxes);
    command.assert().code(2).stderr(predicate::str::contains("no proposals for the image 'trainval_0'"));
    fs::write(voc.join("Annotations/trainval_3.xml"), "<annotation><object>").unwrap();
    eval("voc-detect", &voc)
        .assert()
        .failure()
        .stderr(predicate::str::contains("trainval_3.xml is malformed"));
    fs::write(voc.join("classes.txt"), "background\n").unwrap();
    eval("voc-segment", &voc).assert().code(2).stderr(predicate::str::contains("list them in classes.txt"));
}

fn spawn(arguments: &[&std::ffi::OsStr]) -> Child {
    let program = env!("CARGO_BIN_EXE_deepcluster");
    let mut command = Command::new(program);
    command.arg("--quiet").args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[cfg(unix)]
#[test]
fn a_task_stopped_by_ctrl_c_goes_on() {
    let (folder, _, run) = finished_run();
    let voc = folder.path().join("voc");
    draw_voc(&voc);
    let arguments = |out: &Path| -> Vec<std::ffi::OsString> {
        let mut arguments: Vec<std::ffi::OsString> = ["eval", "voc-classify"].map(Into::into).to_vec();
        arguments.push(run.clone().into());
        arguments.extend(["--voc".into(), voc.clone().into(), "--steps".into(), "400".into()]);
        arguments.extend(["--batch-size".into(), "8".into(), "--out".into(), out.into()]);
        arguments
    };
    let borrowed = |arguments: &[std::ffi::OsString]| {
        let arguments: Vec<&std::ffi::OsStr> = arguments.iter().map(|word| word.as_os_str()).collect();
        spawn(&arguments)
    };
    let (whole, stopped) = (folder.path().join("whole"), folder.path().join("stopped"));
    let start = Instant::now();
    assert!(borrowed(&arguments(&whole)).wait().unwrap().success());
    let duration = start.elapsed();
    let mut num_stops = 0;
    loop {
        let mut child = borrowed(&arguments(&stopped));
        // A third of the whole, and more each time, lest the start take all of it.
        sleep(duration / 3 + duration / 10 * num_stops);
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let status = child.wait().unwrap();
        if status.success() {
            break;
        }
        assert_eq!(status.code(), Some(130));
        num_stops += 1;
        assert!(num_stops < 200, "it does not get on");
    }
    assert!(num_stops > 0, "it was too fast to be stopped");
    assert_eq!(results(&stopped)["networks"], results(&whole)["networks"]);
}

#[test]
fn images_find_their_like() {
    let (folder, images, run) = finished_run();
    let mut command = deepcluster();
    command.args(["eval", "retrieve"]).arg(&run).arg("--images").arg(&images);
    command.args(["--long-side", "32", "-k", "1,100", "--dimensions", "8"]);
    command.assert().success().stdout(predicate::str::contains("| recall@100 | 100.0 % | 100.0 % |"));
    let out = run.join("eval/retrieve");
    let found = results(&out);
    assert_eq!(found["networks"][1]["result"]["num_queries"], 120);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3);

    let class = fs::read_dir(&images).unwrap().next().unwrap().unwrap().path();
    let list = folder.path().join("exclude.txt");
    let one = fs::read_dir(&class).unwrap().next().unwrap().unwrap().path();
    fs::write(&list, one.file_stem().unwrap().to_str().unwrap()).unwrap();
    command.args(["--no-baseline", "--exclude"]).arg(&list).assert().success();
    assert_eq!(results(&out)["networks"][0]["result"]["num_queries"], 119);

    let mut names: Vec<String> = fs::read_dir(class)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let truth = folder.path().join("gt");
    fs::create_dir(&truth).unwrap();
    fs::write(truth.join("a_query.txt"), format!("oxc1_{} 0 0 32 32", names[0])).unwrap();
    fs::write(truth.join("a_good.txt"), names[..2].join("\n")).unwrap();
    fs::write(truth.join("a_ok.txt"), &names[2]).unwrap();
    fs::write(truth.join("a_junk.txt"), "").unwrap();
    let landmarks = |whitening: bool| {
        let mut command = deepcluster();
        command.args(["eval", "retrieve"]).arg(&run).arg("--images").arg(&images);
        command.arg("--ground-truth").arg(&truth).args(["--long-side", "32", "--no-baseline"]);
        if whitening {
            command.arg("--whiten-on").arg(&images);
        }
        command.assert()
    };
    landmarks(false).code(2).stderr(predicate::str::contains("--whiten-on"));
    landmarks(true).success().stdout(predicate::str::contains("| mean average precision |"));
    let precision = results(&out)["networks"][0]["result"]["mean_average_precision"].as_f64().unwrap();
    // The query itself comes first: a third of the recall at a precision of 1.
    assert!((1.0 / 3.0..=1.0).contains(&precision), "{precision}");
}

#[test]
fn curves_and_sweeps_are_drawn() {
    let (folder, images, run) = finished_run();
    let printed = deepcluster().arg("curves").arg(&run).assert().success();
    let printed = String::from_utf8(printed.get_output().stdout.clone()).unwrap();
    assert_eq!(printed.lines().count(), 7);
    assert!(printed.lines().all(|file| Path::new(file).exists()), "{printed}");
    let text = fs::read_to_string(run.join("curves/curves.csv")).unwrap();
    assert_eq!(text.lines().count(), 1 + 3);

    let out = folder.path().join("sweep");
    let config = tiny_config(folder.path(), 1);
    let mut command = deepcluster();
    command
        .arg("sweep")
        .arg(&images)
        .arg("--out")
        .arg(&out)
        .args(["--clusters", "4,8"])
        .arg("--config")
        .arg(&config);
    command.assert().code(2).stderr(predicate::str::contains("--test"));
    command.arg("--test").arg(&images).assert().success();
    let text = fs::read_to_string(out.join("sweep.csv")).unwrap();
    assert!(text.starts_with("clusters,nmi_to_labels,nmi_to_previous,loss,conv1,"), "{text}");
    assert_eq!(text.lines().count(), 3);
    assert!(out.join("sweep-score.svg").exists() && out.join("sweep-nmi.png").exists());
    // Nothing is left to do: the same files, without new runs.
    let written = fs::metadata(out.join("k-4/model.safetensors")).unwrap().modified().unwrap();
    command.assert().success();
    assert_eq!(fs::metadata(out.join("k-4/model.safetensors")).unwrap().modified().unwrap(), written);
}

#[test]
fn linear_probes_compare_with_labels() {
    let (_folder, images, run) = finished_run();
    let mut command = deepcluster();
    command.args(["eval", "linear"]).arg(&run).arg("--train").arg(&images).arg("--test").arg(&images);
    command.args(["--epochs", "1", "--batch-size", "30", "--label-epochs", "2", "--layers", "conv5"]);
    command.assert().success().stdout(predicate::str::contains("| labels | top-1, best epoch |"));
    let out = run.join("eval/linear");
    let networks = results(&out)["networks"].as_array().unwrap().clone();
    let names: Vec<&str> = networks.iter().map(|network| network["network"].as_str().unwrap()).collect();
    assert_eq!(names, ["untrained", "trained", "labels"]);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
}
