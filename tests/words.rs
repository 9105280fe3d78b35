//! Widths of lines and words of comments and pages, which no other tool checks.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// Columns of a line of Rust, comments included.
const RUST_WIDTH: usize = 110;

/// Columns of a line of prose in Markdown.
const MARKDOWN_WIDTH: usize = 120;

/// Phrases with a plainer form, in lower case.
const PHRASES: [(&str, &str); 14] = [
    ("answers to", "responds to"),
    ("asks of", "requires"),
    ("at last", "finally"),
    ("can be had", "is available"),
    ("cannot be had", "is not available"),
    ("for ever", "forever"),
    ("goes on from", "continues from"),
    ("gone on from", "resumed"),
    ("has no four", "does not have four"),
    ("is no file", "is not a file"),
    ("needed no more", "no longer needed"),
    ("on the way", "meanwhile"),
    ("or else", "otherwise"),
    ("tells of", "reports"),
];

/// Folders with files of others, and of the build.
const SKIPPED: [&str; 4] = ["target", ".git", "node_modules", ".venv"];

#[test]
fn lines_fit_and_words_are_plain() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(root, &mut files);
    assert!(files.len() > 20, "only {} files below {}", files.len(), root.display());
    let mut faults = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let found = if file.extension().unwrap() == "rs" { rust_faults(&text) } else { prose_faults(&text) };
        let name = file.strip_prefix(root).unwrap().display().to_string();
        faults.extend(found.into_iter().map(|(line, fault)| format!("{name}:{line}: {fault}")));
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn each_kind_of_fault_is_found() {
    let wide = "wide ".repeat(25);
    let rust = [
        "/// What is computed.".to_string(),
        "//! Needed no more.".to_string(),
        format!("// {wide}"),
        format!("let a = {wide};"),
        format!("let b = \"{wide}\";"),
        "//! Exact.".to_string(),
        "let at_last = \"at last\";".to_string(),
    ]
    .join("\n");
    let lines: Vec<usize> = rust_faults(&rust).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [1, 2, 3, 4]);
    let page =
        format!("It can be had.\n\n{wide}\n\n| {wide} |\n\n```sh\n{wide}\n```\n\nGood, combat lasts.\n");
    let lines: Vec<usize> = prose_faults(&page).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [1, 3]);
}

/// The Rust and Markdown files below `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if !SKIPPED.iter().any(|name| path.ends_with(name)) {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "md") {
            files.push(path);
        }
    }
}

/// Faults of a Rust file by line. Lines with a string, which rustfmt does not break either, and tables may be
/// wider.
fn rust_faults(text: &str) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    let mut in_string = false;
    for (index, line) in text.lines().enumerate() {
        let comment = line.trim_start().strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!']));
        let width = line.chars().count();
        let may_be_wider = match comment {
            Some(comment) => comment.trim_start().starts_with('|'),
            None => in_string || line.contains('"'),
        };
        if width > RUST_WIDTH && !may_be_wider {
            faults.push((index + 1, format!("{width} columns, more than {RUST_WIDTH}")));
        }
        if let Some(comment) = comment {
            if comment.trim_start().starts_with("What ") {
                faults.push((index + 1, "begins with 'What': use a noun".to_string()));
            }
            faults.extend(odd_phrase(comment).map(|fault| (index + 1, fault)));
        }
        in_string = comment.is_none() && line.ends_with('\\');
    }
    faults
}

/// Faults of a page by line. Tables, blocks of code and lines that cannot be broken may be wider.
fn prose_faults(text: &str) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let width = line.chars().count();
        let can_break = !line.starts_with('|') && line.trim().contains(' ') && !line.starts_with("![");
        if width > MARKDOWN_WIDTH && can_break {
            faults.push((index + 1, format!("{width} columns, more than {MARKDOWN_WIDTH}")));
        }
        faults.extend(odd_phrase(line).map(|fault| (index + 1, fault)));
    }
    faults
}

/// The first phrase of the list in `text`, as whole words.
fn odd_phrase(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let is_letter = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    PHRASES.iter().find_map(|(phrase, plain)| {
        text.match_indices(phrase).find(|(start, _)| {
            !is_letter(text[..*start].chars().next_back())
                && !is_letter(text[start + phrase.len()..].chars().next())
        })?;
        Some(format!("'{phrase}': write '{plain}'"))
    })
}
