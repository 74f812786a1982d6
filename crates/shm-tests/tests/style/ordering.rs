//! Every atomic access says why its ordering is enough, and every ordering that orders names its partner.

use crate::rules::{Finding, finding};
use crate::source::Source;
use std::collections::BTreeMap;

const ORDERINGS: [&str; 5] = ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"];

/// One place that orders, and those it names.
struct Site<'a> {
    path: &'a str,
    line: usize,
    partners: Vec<&'a str>,
}

/// Checks all files at once: partners may stand in different ones.
///
/// The comment stands on the line of the ordering. Where a call takes several lines, take the orderings
/// out: `let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed); // X1 pairs with X2`.
pub(crate) fn orderings_name_their_partners(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut sites: BTreeMap<&str, Site<'_>> = BTreeMap::new();
    for source in sources {
        for (number, line) in source.numbered() {
            let used = orderings_in(&line.code);
            if used.is_empty() {
                continue;
            }
            let mut tell = |what: String| findings.push(finding(source, number, what));
            if line.comment.is_empty() {
                tell(format!("Ordering::{} without a // comment on its line that says why", used.join(", ")));
            } else if used != ["Relaxed"] {
                let Some((label, partners)) = parse(&line.comment) else {
                    tell(format!(
                        "the comment of Ordering::{} must begin like `A1 pairs with R1` (A acquires, R \
                         releases, F is a fence, X reads and writes)",
                        used.join(", ")
                    ));
                    continue;
                };
                let site = Site { path: &source.path, line: number, partners };
                if let Some(other) = sites.get(label) {
                    tell(format!(
                        "label {label} stands at {}:{} already; take a new one",
                        other.path, other.line
                    ));
                } else {
                    sites.insert(label, site);
                }
            }
        }
    }
    findings.extend(unpaired(&sites));
    findings
}

fn unpaired(sites: &BTreeMap<&str, Site<'_>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (label, site) in sites {
        for partner in &site.partners {
            let what = match sites.get(partner) {
                // The same line in two processes pairs with itself, if it both reads and writes.
                Some(_) if partner == label && !label.starts_with('X') => {
                    format!("{label} can not pair with itself")
                }
                Some(other) if !other.partners.contains(label) => {
                    format!(
                        "{label} names {partner} ({}:{}), which does not name it back",
                        other.path, other.line
                    )
                }
                Some(_) => continue,
                None => format!("{label} names {partner}, which stands nowhere"),
            };
            findings.push(Finding { path: site.path.to_owned(), line: site.line, what });
        }
    }
    findings
}

/// The memory orderings that a line of code names (and not those of comparisons).
fn orderings_in(code: &str) -> Vec<&'static str> {
    let named = code.split("Ordering::").skip(1).filter_map(|rest| {
        let word = rest.split(|character: char| !character.is_alphanumeric()).next()?;
        ORDERINGS.into_iter().find(|&ordering| ordering == word)
    });
    let mut named: Vec<&str> = named.collect();
    named.dedup();
    named
}

/// `A1 pairs with R1, R2 and X3: why` gives A1 and its partners.
fn parse(comment: &str) -> Option<(&str, Vec<&str>)> {
    let (label, rest) = comment.split_once(' ')?;
    let words = rest.strip_prefix("pairs with ")?.split_whitespace().filter(|&word| word != "and");
    let mut partners = Vec::new();
    for word in words {
        let bare = word.trim_end_matches([',', ';', ':', '.']);
        if !is_label(bare) {
            break;
        }
        partners.push(bare);
        if word.ends_with([';', ':', '.']) {
            break;
        }
    }
    (is_label(label) && !partners.is_empty()).then_some((label, partners))
}

fn is_label(word: &str) -> bool {
    let mut characters = word.chars();
    characters.next().is_some_and(|letter| "ARFX".contains(letter))
        && !characters.as_str().is_empty()
        && characters.all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
fn found(text: &str) -> Vec<String> {
    let sources = [Source::new("x.rs", text)];
    orderings_name_their_partners(&sources).iter().map(ToString::to_string).collect()
}

#[test]
fn an_ordering_without_a_reason_is_reported() {
    assert_eq!(found("a.load(Ordering::Relaxed); // shown to people"), [""; 0]);
    assert_eq!(found("a.cmp(b) == Ordering::Less"), [""; 0]);
    assert_eq!(found("let text = \"Ordering::Relaxed\";"), [""; 0]);
    assert!(found("x();\na.load(Ordering::Relaxed);")[0].starts_with("x.rs:2: Ordering::Relaxed without"));
    assert!(found("a.load(Ordering::Acquire); // because")[0].contains("must begin like"));
    assert!(found("a.load(Ordering::Acquire); // A1 pairs with all")[0].contains("must begin like"));
    assert!(found("a.load(Ordering::Acquire); // Q1 pairs with R1")[0].contains("must begin like"));
    // The stronger of two decides.
    assert!(found("cas(Ordering::AcqRel, Ordering::Relaxed); // why")[0].contains("must begin like"));
}

#[test]
fn partners_exist_and_agree() {
    let good = "load(Ordering::Acquire); // A1 pairs with R1 and X1: why\n\
                store(1, Ordering::Release); // R1 pairs with A1\n\
                cas(Ordering::AcqRel, Ordering::Relaxed); // X1 pairs with X1, A1; why";
    assert_eq!(found(good), [""; 0]);
    assert!(
        found("load(Ordering::Acquire); // A1 pairs with R1")[0].contains("names R1, which stands nowhere")
    );
    assert!(
        found(&good.replace("R1 pairs with A1", "R1 pairs with X1")).join("\n").contains("not name it back")
    );
    assert!(found(&good.replace("// R1", "// A1"))[0].contains("label A1 stands at x.rs:1 already"));
    assert!(found("store(1, Ordering::Release); // R1 pairs with R1")[0].contains("pair with itself"));
}
