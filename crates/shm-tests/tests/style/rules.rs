//! Rules about one file, as pure functions: what is there to find in this text under that path?

use crate::source::Source;
use std::fmt;

const FILE_LINES_MAX: usize = 500;
const LIBRARY_FILE_LINES_MAX: usize = 450;
const FUNCTION_LINES_MAX: usize = 80;
const LINE_CHARACTERS_MAX: usize = 120;

/// Where a rule is broken.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

pub(crate) fn finding(source: &Source, line: usize, what: String) -> Finding {
    Finding { path: source.path.clone(), line, what }
}

fn is_library(path: &str) -> bool {
    path.starts_with("crates/") && path.contains("/src/")
}

/// Files, functions and lines that a reader can take in.
pub(crate) fn sizes(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let allowed = if is_library(&source.path) { LIBRARY_FILE_LINES_MAX } else { FILE_LINES_MAX };
    if source.lines.len() > allowed {
        let what = format!("{} lines in a file; at most {allowed}: split it", source.lines.len());
        findings.push(finding(source, allowed + 1, what));
    }
    for (number, line) in source.numbered().filter(|(_, line)| line.width > LINE_CHARACTERS_MAX) {
        let what = format!("{} characters in a line; at most {LINE_CHARACTERS_MAX}", line.width);
        findings.push(finding(source, number, what));
    }
    for (first, last) in functions(source) {
        let lines = last - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let what = format!("{lines} lines in a function; at most {FUNCTION_LINES_MAX}");
            findings.push(finding(source, first, what));
        }
    }
    findings
}

/// First and last line of every function that has a body.
fn functions(source: &Source) -> Vec<(usize, usize)> {
    // The `fn` whose body is yet to come, with the depth of brackets there; and the bodies that are open.
    let mut awaited: Option<(usize, usize)> = None;
    let mut open: Vec<(usize, usize)> = Vec::new();
    let (mut depth, mut found) = (0_usize, Vec::new());
    for (number, line) in source.numbered() {
        for token in tokens(&line.code) {
            match token {
                "fn" => awaited = Some((number, depth)),
                // A type: `fn(u8)`. A name would stand between.
                "(" if awaited == Some((number, depth)) && line.code.contains("fn(") => {
                    awaited = None;
                    depth += 1;
                }
                "{" => {
                    if let Some((first, _)) = awaited.take_if(|(_, at)| *at == depth) {
                        open.push((first, depth));
                    }
                    depth += 1;
                }
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                "}" => {
                    depth = depth.saturating_sub(1);
                    if let Some((first, _)) = open.pop_if(|(_, at)| *at == depth) {
                        found.push((first, number));
                    }
                }
                ";" => _ = awaited.take_if(|(_, at)| *at == depth),
                _ => {}
            }
        }
    }
    found
}

/// Words, and every other character alone.
fn tokens(code: &str) -> impl Iterator<Item = &str> {
    let mut rest = code;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let is_word = |character: char| character.is_alphanumeric() || character == '_';
        let word = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        let length = if word > 0 { word } else { rest.chars().next()?.len_utf8() };
        let (token, after) = rest.split_at(length);
        rest = after;
        (!token.is_empty()).then_some(token)
    })
}

/// `unsafe` stands only in files that are listed, and that say so and why at their head.
pub(crate) fn unsafe_only_where_listed(source: &Source, listed: &[&str]) -> Vec<Finding> {
    let uses = |word: &str| {
        source
            .numbered()
            .find(|(_, line)| tokens(&line.code).any(|token| token == word))
            .map(|(number, _)| number)
    };
    let is_listed = listed.contains(&source.path.as_str());
    let (keyword, lint) = (uses("unsafe"), uses("unsafe_code"));
    let what = match (is_listed, keyword.or(lint)) {
        (false, Some(_)) => "unsafe in a file that is not listed in the style test",
        (true, _) if keyword.is_none() => "listed in the style test for unsafe, and has none: strike it off",
        (true, _) if !allows_unsafe_at_head(source) => {
            "a file with unsafe says so at its head: #![allow(unsafe_code)] // and why"
        }
        _ => return Vec::new(),
    };
    vec![finding(source, keyword.or(lint).unwrap_or(1), what.to_owned())]
}

fn allows_unsafe_at_head(source: &Source) -> bool {
    let mut head = source.lines.iter().take_while(|line| {
        let code = line.code.trim();
        code.is_empty() || code.starts_with("#![")
    });
    head.any(|line| line.code.trim() == "#![allow(unsafe_code)]" && !line.comment.is_empty())
}

/// No reference into a mapping: where pointers become references, and where that is something else.
pub(crate) fn references(source: &Source, makers: &[&str], others: &[(&str, &str)]) -> Vec<Finding> {
    const SIGNS: [&str; 6] = [".as_ref()", ".as_mut()", "&*", "&mut *", "&(*", "&mut (*"];
    if !source.path.starts_with("crates/shm-core/src/") || makers.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in source.numbered() {
        let mut code = line.code.clone();
        for (_, harmless) in others.iter().filter(|(path, _)| *path == source.path) {
            code = code.replace(harmless, "");
        }
        if let Some(sign) = SIGNS.into_iter().find(|sign| code.contains(sign)) {
            let what = format!(
                "{sign} may make a reference into a mapping; go through `access` or `copy`, or list it as \
                 harmless in the style test"
            );
            findings.push(finding(source, number, what));
        }
    }
    findings
}

/// No slice over shared bytes, but in the views that state what they assume.
pub(crate) fn slices(source: &Source, listed: &[&str]) -> Vec<Finding> {
    if !is_library(&source.path) || listed.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let makes =
        |code: &str| tokens(code).any(|token| matches!(token, "from_raw_parts" | "from_raw_parts_mut"));
    let lines = source.numbered().filter(|(_, line)| makes(&line.code));
    let what = "a slice from a pointer, in a file that is not listed for it in the style test";
    lines.map(|(number, _)| finding(source, number, what.to_owned())).collect()
}

/// Nothing tells of the place and time at which a file was written. `words` in lower case.
pub(crate) fn words_of_the_workshop(path: &str, text: &str, words: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(text.to_lowercase().lines()) {
        for word in words.iter().filter(|word| text.contains(**word)) {
            findings.push(Finding {
                path: path.to_owned(),
                line,
                what: format!("{word:?} means nothing to a reader"),
            });
        }
    }
    findings
}

#[cfg(test)]
fn found(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

#[test]
fn what_is_too_long_is_reported() {
    let sizes = |path: &str, text: &str| found(&sizes(&Source::new(path, text)));
    assert_eq!(sizes("benches/a.rs", &"\n".repeat(500)), "");
    assert!(sizes("benches/a.rs", &"\n".repeat(501)).starts_with("benches/a.rs:501: 501 lines in a file"));
    assert_eq!(sizes("crates/a/src/a.rs", &"\n".repeat(450)), "");
    assert!(sizes("crates/a/src/a.rs", &"\n".repeat(451)).contains("451 lines in a file"));
    assert_eq!(sizes("a.rs", &"ä".repeat(120)), "");
    assert!(sizes("a.rs", &format!("\n{}", "x".repeat(121))).starts_with("a.rs:2: 121 characters"));

    let function = |lines: usize| format!("impl X {{\n    fn f() {{{}}}\n}}", "\n".repeat(lines - 1));
    assert_eq!(sizes("a.rs", &function(80)), "");
    assert!(sizes("a.rs", &function(81)).starts_with("a.rs:2: 81 lines in a function"));
    // What looks like a function and is none, or none with a body.
    let gap = "\n".repeat(100);
    assert_eq!(sizes("a.rs", &format!("trait X {{ fn f(x: [u8; 4]);{gap}}}")), "");
    assert_eq!(sizes("a.rs", &format!("static X: fn(u8) = y; mod z {{{gap}}}")), "");
    assert_eq!(sizes("a.rs", &format!("// fn f()\nmod z {{{gap}}}")), "");
    // Braces in strings and parentheses do not end it, and an inner one does not hide the outer one.
    let tricky = format!("fn f(x: [u8; 2]) -> X\nwhere X: Y {{ a(|| {{}}, \"}}\", '}}'); fn g() {{}}{gap}}}");
    assert!(sizes("a.rs", &tricky).starts_with("a.rs:1: 102 lines in a function"));
}

#[test]
fn unlisted_unsafe_is_reported() {
    let check = |text: &str| found(&unsafe_only_where_listed(&Source::new("a.rs", text), &["a.rs"]));
    let unlisted = |text: &str| found(&unsafe_only_where_listed(&Source::new("b.rs", text), &["a.rs"]));
    assert_eq!(unlisted("// unsafe\nlet unsafe_like = \"unsafe\";"), "");
    assert!(unlisted("fn a() {\n    unsafe { b() }\n}").starts_with("b.rs:2: unsafe in a file"));
    assert!(unlisted("#![allow(unsafe_code)] // why").contains("not listed"));
    assert_eq!(check("//! Doc.\n\n#![allow(unsafe_code)] // why\nunsafe fn a() {}"), "");
    assert!(check("#![allow(unsafe_code)]\nunsafe fn a() {}").contains("says so at its head"));
    assert!(
        check("use a;\n#![allow(unsafe_code)] // late\nunsafe fn a() {}").contains("says so at its head")
    );
    assert!(check("#![allow(unsafe_code)] // why").contains("strike it off"));
}

#[test]
fn references_into_mappings_are_reported() {
    let path = "crates/shm-core/src/a.rs";
    let check = |path: &str, text: &str| {
        let others = [("crates/shm-core/src/a.rs", "name.as_ref()")];
        found(&references(&Source::new(path, text), &["crates/shm-core/src/access.rs"], &others))
    };
    for text in
        ["p.as_ref()", "p.as_mut().x", "&*p", "&mut *p", "&(*p).x", "&mut (*p).x", "name.as_ref(); &*p"]
    {
        assert!(check(path, text).starts_with("crates/shm-core/src/a.rs:1: "), "{text}");
        assert_eq!(check("crates/shm-core/src/access.rs", text), "");
    }
    assert_eq!(check(path, "a.b & *c; name.as_ref(); // &*p"), "");
}

#[test]
fn slices_over_pointers_are_reported() {
    let check = |path: &str, text: &str| found(&slices(&Source::new(path, text), &["crates/b/src/view.rs"]));
    for text in ["slice::from_raw_parts(p, 1)", "use std::slice::from_raw_parts_mut as x;"] {
        assert!(check("crates/a/src/a.rs", text).contains("a slice from a pointer"));
        assert_eq!(check("crates/b/src/view.rs", text), "");
    }
    assert_eq!(check("crates/a/src/a.rs", "// slice::from_raw_parts"), "");
}

#[test]
fn words_of_the_workshop_are_reported() {
    let check = |text: &str| found(&words_of_the_workshop("README.md", text, &["/here/"]));
    assert_eq!(check("neither here\nnor there"), "");
    assert_eq!(check("one\nsee /Here/it"), "README.md:2: \"/here/\" means nothing to a reader\n");
}
