//! The report as files, and in a real browser.

use std::fs;
use std::path::{Path, PathBuf};

use deepcluster_testing::Page;
use tempfile::TempDir;

use crate::common::{deepcluster, draw_images, finished_run, tiny_config, train};

/// A run of 120 images with its report.
fn reported_run(arguments: &[&str]) -> (TempDir, PathBuf, PathBuf) {
    let (folder, images, run) = finished_run();
    deepcluster().arg("report").arg(&run).args(arguments).assert().success();
    let report = run.join("report");
    (folder, images, report)
}

#[test]
fn reports_are_one_page_with_its_tables() {
    let (_folder, _, report) = reported_run(&[]);
    let names: Vec<_> = fs::read_dir(&report).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    // With the record and the mark of results.
    assert_eq!(names.len(), 6, "{names:?}");
    let page = fs::read_to_string(report.join("index.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    // Nothing is fetched: no address of a host, but those that SVG has for its own names.
    let addresses = page.matches("http").count() - page.matches("http://www.w3.org/").count();
    assert_eq!(addresses, 0);
    assert!(page.contains("120 images in"));
    let table = |name: &str| {
        let text = fs::read_to_string(report.join(name)).unwrap();
        text.lines().map(str::to_string).collect::<Vec<_>>()
    };
    let clusters = table("clusters.csv");
    assert_eq!(clusters[0], "cluster,size,cohesion,label,label_share");
    let sizes = clusters[1..].iter().map(|line| line.split(',').nth(1).unwrap().parse::<usize>().unwrap());
    assert_eq!(sizes.sum::<usize>(), 120);
    assert_eq!(table("outliers.csv").len(), 1 + 60);
    assert_eq!(table("near-duplicates.csv")[0], "group,path,identical");
}

#[test]
fn copies_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let images = draw_images(folder.path(), 120);
    let kind = fs::read_dir(&images).unwrap().next().unwrap().unwrap().path();
    let mut files: Vec<PathBuf> = fs::read_dir(&kind).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    fs::copy(&files[0], kind.join("same.png")).unwrap();
    image::open(&files[1]).unwrap().brighten(1).save(kind.join("nearly.png")).unwrap();
    let run = folder.path().join("run");
    train(&images, &run, &tiny_config(folder.path(), 1));
    deepcluster().arg("report").arg(&run).assert().success();
    let table = fs::read_to_string(run.join("report/near-duplicates.csv")).unwrap();
    let group_of = |path: &Path| {
        let name = path.strip_prefix(&images).unwrap().to_str().unwrap();
        let row = table.lines().map(|line| line.split(',').collect::<Vec<_>>()).find(|row| row[1] == name);
        row.map(|row| (row[0].to_string(), row[2] == "true"))
    };
    assert_eq!(group_of(&files[0]), group_of(&kind.join("same.png")));
    assert!(group_of(&files[0]).is_some_and(|(_, is_identical)| is_identical), "{table}");
    assert_eq!(group_of(&files[1]), group_of(&kind.join("nearly.png")));
    assert!(group_of(&files[1]).is_some_and(|(_, is_identical)| !is_identical), "{table}");
    assert_eq!(group_of(&files[2]), None);
}

#[test]
fn many_thumbnails_lie_beside_the_page() {
    let (_folder, _, report) = reported_run(&["--embed-mib", "0"]);
    let page = fs::read_to_string(report.join("index.html")).unwrap();
    assert!(page.contains("thumbnails/00000.jpg"));
    let sheet = image::open(report.join("thumbnails/00000.jpg")).unwrap();
    assert_eq!(sheet.width(), sheet.height());
    // A report that holds them itself leaves none behind.
    let run = report.parent().unwrap();
    deepcluster().arg("report").arg(run).assert().success();
    assert!(!report.join("thumbnails").exists());
}

/// Names and bytes of all files below a folder.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true => found.extend(contents(&entry)),
            false => found.push((entry.clone(), fs::read(&entry).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn reports_take_nothing_away_from_others() {
    let (folder, _, run) = finished_run();
    let out = folder.path().join("mine");
    fs::create_dir_all(out.join("thumbnails")).unwrap();
    let thumbnails = ["thumbnails/00000.jpg", "thumbnails/00017.jpg", "thumbnails/holiday.jpg"];
    let names = ["index.html", "clusters.csv", "outliers.csv", "near-duplicates.csv"];
    thumbnails.iter().chain(&names).for_each(|name| fs::write(out.join(name), "mine").unwrap());
    let report = |arguments: &[&str]| {
        let mut command = deepcluster();
        command.arg("report").arg(&run).arg("--out").arg(&out).arg("--no-tsne").args(arguments);
        command.assert()
    };
    // Whichever is in the way is named, and nothing has changed.
    for name in names {
        let before = contents(&out);
        let refused = report(&[]).failure().code(2);
        let said = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
        assert!(said.contains(name) && said.contains("name another folder"), "{said}");
        assert_eq!(contents(&out), before);
        fs::remove_file(out.join(name)).unwrap();
    }
    let before = contents(&out);
    report(&["--embed-mib", "0"]).failure().code(2);
    assert_eq!(contents(&out), before);
    // Thumbnails in the page need none of these names; then none of them is touched.
    report(&[]).success();
    report(&[]).success();
    assert!(thumbnails.iter().all(|name| fs::read(out.join(name)).unwrap() == b"mine"));
    // By force they are replaced, but what the report does not write stays.
    report(&["--embed-mib", "0", "--force"]).success();
    report(&[]).success();
    assert!(!out.join("thumbnails/00000.jpg").exists());
    assert_eq!(fs::read(out.join("thumbnails/00017.jpg")).unwrap(), b"mine");
    // A page with notes of somebody is theirs.
    fs::write(out.join("index.html"), "notes").unwrap();
    report(&[]).failure().code(2);
    assert_eq!(fs::read(out.join("index.html")).unwrap(), b"notes");
}

#[test]
fn reports_are_the_same_bytes_again_and_are_no_images() {
    let (folder, _, run) = finished_run();
    let reported = |out: &Path| {
        let mut command = deepcluster();
        command.arg("report").arg(&run).arg("--out").arg(out).args(["--embed-mib", "0"]).assert().success();
        let files = contents(out).into_iter();
        files.map(|(path, bytes)| (path.strip_prefix(out).unwrap().to_path_buf(), bytes)).collect::<Vec<_>>()
    };
    let (once, other) = (folder.path().join("once"), folder.path().join("other"));
    let first = reported(&once);
    assert_eq!(reported(&other), first);
    assert_eq!(reported(&once), first);
    assert!(once.join(".deepcluster-output").is_dir());
}

#[test]
fn runs_that_are_not_finished_have_a_report_too() {
    let (_folder, _, run) = finished_run();
    for name in ["features.safetensors", "model.safetensors"] {
        fs::remove_file(run.join(name)).unwrap();
    }
    deepcluster().arg("report").arg(&run).assert().success();
    let page = fs::read_to_string(run.join("report/index.html")).unwrap();
    assert!(page.contains("The run is not finished") && !page.contains("id=\"map\""));
}

#[test]
fn the_page_works_in_a_browser() {
    let (_folder, images, report) = reported_run(&[]);
    let Some(page) = Page::open(&report.join("index.html"), (1280, 900)) else { return };
    let cards = "document.querySelectorAll('.card').length";
    let num_clusters = fs::read_to_string(report.join("clusters.csv")).unwrap().lines().count() - 1;
    assert_eq!(page.number(cards), num_clusters.min(24));

    // Clusters in the requested order.
    let sizes = || -> Vec<usize> {
        let text = page.text(
            "[...document.querySelectorAll('.card h3 button')].map(b => parseInt(b.textContent)).join()",
        );
        text.split(',').map(|size| size.parse().unwrap()).collect()
    };
    assert!(sizes().is_sorted_by(|a, b| a >= b));
    page.change("[name=order]", "small");
    assert!(sizes().is_sorted());
    page.change("[name=order]", "number");

    // Filters.
    let largest = sizes().into_iter().max().unwrap();
    page.change("[name=least]", &largest.to_string());
    assert!(sizes().iter().all(|&size| size >= largest) && !sizes().is_empty());
    page.change("[name=least]", "1");
    page.change("[name=label]", "0");
    let with_label = page.number(cards);
    let label = page.text("document.querySelector('[name=label]').selectedOptions[0].textContent");
    let table = fs::read_to_string(report.join("clusters.csv")).unwrap();
    let expected =
        table.lines().skip(1).filter(|line| line.split(',').nth(3) == Some(label.as_str())).count();
    assert_eq!(with_label, expected.min(24));
    page.change("[name=label]", "");
    let kind = fs::read_dir(&images).unwrap().next().unwrap().unwrap().path();
    let file = fs::read_dir(&kind).unwrap().next().unwrap().unwrap().path();
    let name = file.strip_prefix(&images).unwrap().to_str().unwrap().to_string();
    page.change("[name=text]", &name);
    assert_eq!(page.number(cards), 1);
    page.change("[name=text]", "no such file");
    assert_eq!(page.number(cards), 0);
    page.change("[name=text]", "");
    assert_eq!(page.number(cards), num_clusters.min(24));

    // A cluster, one of its images, and what is similar to it.
    page.act("document.querySelector('.card h3 button').click()");
    let is_open = |dialog: &str| page.text(&format!("document.querySelector('{dialog}').open")) == "true";
    assert!(is_open("#cluster-dialog"));
    let in_dialog = page.number("document.querySelectorAll('#cluster-dialog .thumb').length");
    assert_eq!(in_dialog, page.number("parseInt(document.querySelector('.card h3 button').textContent)"));
    page.act("document.querySelector('#cluster-dialog .thumb').click()");
    assert!(is_open("#image-dialog"));
    assert_eq!(page.number("document.querySelectorAll('#image-dialog .thumbs .thumb').length"), 6);
    let link = page.text("document.querySelector('#image-dialog a').href");
    let linked = link.strip_prefix("file://").unwrap();
    assert!(Path::new(linked).exists(), "{link}");
    page.act("document.querySelector('#image-dialog .close').click()");
    page.act("document.querySelector('#cluster-dialog .close').click()");
    assert!(!is_open("#image-dialog") && !is_open("#cluster-dialog"));

    // Thumbnails are pictures: the sheet behind one can be drawn.
    let width = page.awaited(
        "new Promise(done => { const sheet = getComputedStyle(document.querySelector('.thumb')).backgroundImage.slice(5, -2); \
         const image = new Image(); image.onload = () => done(String(image.naturalWidth)); image.onerror = () => done('0'); \
         image.src = sheet; })",
    );
    let width: u32 = width.parse().unwrap();
    assert!(width >= 16 * 16, "{width}");

    // The map shows points, and the image that is pointed at.
    page.act("document.querySelector('#map').scrollIntoView({behavior: 'instant'})");
    let drawn = "(() => { const c = document.querySelector('#canvas'); const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; \
                 let n = 0; for (let i = 3; i < p.length; i += 4) n += p[i] > 0; return n; })()";
    assert!(page.number(drawn) > 400, "{}", page.number(drawn));
    let hover = "const canvas = document.querySelector('#canvas'), box = canvas.getBoundingClientRect(); \
                 for (let y = 0; y < box.height; y += 6) for (let x = 0; x < box.width; x += 6) { \
                   if (!document.querySelector('#tip').hidden) break; \
                   canvas.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + x, clientY: box.top + y, pointerType: 'mouse'})); }";
    page.act(hover);
    assert_eq!(page.text("document.querySelector('#tip').hidden"), "false");
    assert!(page.text("document.querySelector('#tip').textContent").contains("cluster"));
    page.change("#places", "1");
    page.change("#colours", "cluster");
    assert!(page.number(drawn) > 400);
    assert!(page.number("document.querySelectorAll('#legend span').length") > 1);

    // Light and dark.
    let paper = || page.text("getComputedStyle(document.body).backgroundColor");
    let before = paper();
    page.act("document.querySelector('#theme').click()");
    assert_ne!(paper(), before);
    assert!(page.number("document.querySelectorAll('.chart svg').length") >= 3);
    page.assert_no_problems();
}

#[test]
fn the_page_fits_a_phone() {
    let (_folder, _, report) = reported_run(&["--embed-mib", "0"]);
    let Some(page) = Page::open(&report.join("index.html"), (390, 844)) else { return };
    let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(page.number(overflow), 0);
    page.act("document.querySelector('.card h3 button').click()");
    assert_eq!(page.number(overflow), 0);
    assert!(page.number("document.querySelector('#cluster-dialog').clientWidth") <= 500);
    page.assert_no_problems();
}
