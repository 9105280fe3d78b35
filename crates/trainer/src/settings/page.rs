//! The parts of docs/configuration.md that are written from the schema.

use std::env;
use std::fs;
use std::path::Path;

use crate::settings::config::TrainConfig;
use crate::settings::format_1::renamed;
use crate::settings::list::{SettingHelp, all_settings};

/// The page between its markers, `<!-- NAME -->` and `<!-- end of NAME -->`.
fn updated(page: &str) -> String {
    let all = all_settings();
    let parts =
        [("settings", table(&all)), ("changeable settings", changeable(&all)), ("old names", old_names())];
    parts.iter().fold(page.to_string(), |page, (name, part)| {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no marker {begin}"));
        let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no marker {end}"));
        format!("{before}{begin}{part}{end}{after}")
    })
}

fn table(all: &[SettingHelp]) -> String {
    let mut text = "| key | default | allowed | meaning |\n| --- | --- | --- | --- |\n".to_string();
    for setting in all {
        let SettingHelp { key, default, allowed, help, owners, .. } = setting;
        let default = if default.is_empty() { "none" } else { default };
        let owners = if owners.is_empty() { String::new() } else { format!("{}: ", owners.join(", ")) };
        text.push_str(&format!("| `{key}` | {default} | {allowed} | {owners}{help} |\n"));
    }
    text
}

fn changeable(all: &[SettingHelp]) -> String {
    all.iter().filter(|setting| setting.changeable).map(|setting| format!("- `{}`\n", setting.key)).collect()
}

fn old_names() -> String {
    let mut text = "| before | now |\n| --- | --- |\n".to_string();
    renamed().for_each(|(old, new)| text.push_str(&format!("| `{old}` | `{new}` |\n")));
    text
}

#[test]
fn the_page_of_settings_is_that_of_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let expected = updated(&page);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, expected).unwrap();
        return;
    }
    assert!(
        page == expected,
        "docs/configuration.md is stale: write it with UPDATE_DOCS=1 cargo test --release --lib \
         the_page_of_settings"
    );
}

#[test]
fn settings_in_the_docs_are_settings() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut num_blocks = 0;
    for entry in fs::read_dir(docs).unwrap() {
        let path = entry.unwrap().path();
        let Ok(page) = fs::read_to_string(&path) else { continue };
        let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for block in blocks.filter(|block| block.contains("seed = ")) {
            let config = TrainConfig::from_toml(block, &path.display().to_string()).unwrap();
            config.validate().unwrap();
            num_blocks += 1;
        }
    }
    assert!(num_blocks >= 2, "{num_blocks}");
}
