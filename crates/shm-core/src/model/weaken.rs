//! Weakening one ordering of the source without building it anew: what `.ci/weaken` asks for.
//!
//! `SHMRING_WEAKEN=file:first:last:ordering` weakens what is asked for from these lines; `file` is how its path ends,
//! and the ordering of a fence that is to be left out is `nothing`.

use crate::sync::Ordering::{self, Acquire, Relaxed, Release};
use std::panic::Location;
use std::sync::OnceLock;

struct Wish {
    file: String,
    lines: std::ops::RangeInclusive<u32>,
    /// `None`: nothing.
    ordering: Option<Ordering>,
}

fn parse(text: &str) -> Option<Wish> {
    let mut parts = text.split(':');
    let file = parts.next()?.to_owned();
    let lines = parts.next()?.parse().ok()?..=parts.next()?.parse().ok()?;
    let ordering = match parts.next()? {
        "Relaxed" => Some(Relaxed),
        "Acquire" => Some(Acquire),
        "Release" => Some(Release),
        "nothing" => None,
        _ => return None,
    };
    Some(Wish { file, lines, ordering })
}

#[track_caller]
fn wish() -> Option<&'static Wish> {
    static WISH: OnceLock<Option<Wish>> = OnceLock::new();
    let wish = WISH.get_or_init(|| std::env::var("SHMRING_WEAKEN").ok().and_then(|text| parse(&text)));
    let here = Location::caller();
    wish.as_ref().filter(|wish| here.file().ends_with(&wish.file) && wish.lines.contains(&here.line()))
}

/// The ordering that the caller's caller asks for, or what it is to be weakened to.
#[track_caller]
pub(crate) fn asked(ordering: Ordering) -> Ordering {
    let weaker = wish().and_then(|wish| wish.ordering);
    if ordering == Relaxed { ordering } else { weaker.unwrap_or(ordering) }
}

/// Whether a fence is to be left out.
#[track_caller]
pub(crate) fn leaves_out() -> bool {
    wish().is_some_and(|wish| wish.ordering.is_none())
}
