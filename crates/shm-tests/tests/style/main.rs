//! The project's style, kept by a test: sizes, `unsafe` only where listed, orderings that name their
//! partners, no references into mappings. Every rule has a test that sees it broken.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a panic is the verdict

mod ordering;
mod rules;
mod source;

use rules::Finding;
use source::Source;
use std::path::{Path, PathBuf};

/// The only files in which `unsafe` may stand.
const UNSAFE: [&str; 32] = [
    "benches/rivals/src/rivals/shaq.rs",
    "crates/shm-core/src/access.rs",
    "crates/shm-core/src/anonymous.rs",
    "crates/shm-core/src/copy.rs",
    "crates/shm-core/src/fork/descriptor.rs",
    "crates/shm-core/src/fork/guard.rs",
    "crates/shm-core/src/fork/reservation.rs",
    "crates/shm-core/src/fork/section.rs",
    "crates/shm-core/src/life/helper.rs",
    "crates/shm-core/src/life/list.rs",
    "crates/shm-core/src/life/steps.rs",
    "crates/shm-core/src/life/window.rs",
    "crates/shm-core/src/lock.rs",
    "crates/shm-core/src/model/memory.rs",
    "crates/shm-core/src/pass/control.rs",
    "crates/shm-core/src/prefetch.rs",
    "crates/shm-core/src/region.rs",
    "crates/shm-core/src/region/mapping.rs",
    "crates/shm-core/src/region/protect.rs",
    "crates/shm-core/src/region/transfer.rs",
    "crates/shm-core/src/region/upkeep.rs",
    "crates/shm-core/src/sysv/call.rs",
    "crates/shm-core/src/values.rs",
    "crates/shm-core/src/word.rs",
    "crates/shm-measure/src/transport/in_place.rs",
    "crates/shm-measure/src/transport/queues.rs",
    "crates/shm-ring/src/channel/message.rs",
    "crates/shm-ring/src/channel/producer.rs",
    "crates/shm-ring/src/channel/sender.rs",
    "crates/shm-tests/src/process.rs",
    "crates/shm-tests/tests/stepping/tracer.rs",
    "examples/src/child.rs",
];

/// The only files that make references from pointers: to atomics, for the length of an expression.
const REFERENCES: [&str; 3] =
    ["crates/shm-core/src/access.rs", "crates/shm-core/src/copy.rs", "crates/shm-core/src/model/memory.rs"];

/// What looks like a reference from a pointer, and is none.
const NO_REFERENCES: [(&str, &str); 16] = [
    ("crates/shm-core/src/event.rs", ".timespec().as_ref()"),
    ("crates/shm-core/src/life.rs", "&mut *lock()"),
    ("crates/shm-core/src/life.rs", "unlocked.as_ref()"),
    ("crates/shm-core/src/life/helper.rs", "&mut *order"),
    ("crates/shm-core/src/model/weaken.rs", "wish.as_ref()"),
    ("crates/shm-core/src/object/handle.rs", "&mut *bytes"),
    ("crates/shm-core/src/object/mapping.rs", "unlocked.as_ref()"),
    ("crates/shm-core/src/pass.rs", "remaining.as_ref()"),
    ("crates/shm-core/src/region.rs", "&*self.backing"),
    ("crates/shm-core/src/region/mapping.rs", "self.kept.as_mut()"),
    ("crates/shm-core/src/region/mapping.rs", "self.kept.as_ref()"),
    ("crates/shm-core/src/region/mapping.rs", "self.origin.as_ref()"),
    ("crates/shm-core/src/region/remap.rs", "&*self.backing"),
    ("crates/shm-core/src/region/upkeep.rs", "&*self.backing"),
    ("crates/shm-core/src/sysv/key.rs", "path.as_ref()"),
    ("crates/shm-core/src/word.rs", ".timespec().as_ref()"),
];

/// The only files that make slices from pointers.
const SLICES: [&str; 3] = [
    "crates/shm-ring/src/channel/message.rs",
    "crates/shm-ring/src/channel/producer.rs",
    "crates/shm-ring/src/channel/sender.rs",
];

/// In pieces, so that this file does not break the rule.
const WORKSHOP: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("this ses", "sion"),
    concat!("iss", "ue #"),
    concat!("the iss", "ue"),
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Every file of the repository with its path in it, but what is built and what git keeps.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut directories = vec![workspace()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if path.is_dir() {
                if ["target", ".git", "artifacts", "corpus", "coverage"]
                    .iter()
                    .all(|skipped| *name != **skipped)
                {
                    directories.push(path);
                }
            } else if let Ok(bytes) = std::fs::read(&path) {
                let relative = path.strip_prefix(workspace()).unwrap().display().to_string();
                files.push((relative, String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<Source> {
    let files = files();
    let sources = files.iter().filter(|(path, _)| path.ends_with(".rs"));
    sources.map(|(path, text)| Source::new(path, text)).collect()
}

#[track_caller]
fn none(findings: Vec<Finding>) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn the_workspace_is_found() {
    let sources = sources();
    for path in
        UNSAFE.iter().chain(&REFERENCES).chain(&SLICES).chain(NO_REFERENCES.iter().map(|(path, _)| path))
    {
        assert!(sources.iter().any(|source| source.path == *path), "{path} is listed, and does not exist");
    }
    assert!(sources.iter().any(|source| source.path == "crates/shm-tests/tests/style/main.rs"));
}

#[test]
fn files_functions_and_lines_are_short() {
    none(sources().iter().flat_map(rules::sizes).collect());
}

#[test]
fn unsafe_stands_only_where_listed() {
    none(sources().iter().flat_map(|source| rules::unsafe_only_where_listed(source, &UNSAFE)).collect());
}

#[test]
fn orderings_name_their_partners() {
    none(ordering::orderings_name_their_partners(&sources()));
}

#[test]
fn no_reference_leads_into_a_mapping() {
    none(
        sources().iter().flat_map(|source| rules::references(source, &REFERENCES, &NO_REFERENCES)).collect(),
    );
}

#[test]
fn no_slice_lies_over_a_mapping() {
    none(sources().iter().flat_map(|source| rules::slices(source, &SLICES)).collect());
}

#[test]
fn nothing_tells_of_the_workshop() {
    let found =
        files().into_iter().flat_map(|(path, text)| rules::words_of_the_workshop(&path, &text, &WORKSHOP));
    none(found.collect());
}
