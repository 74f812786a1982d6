//! `shmring bench throughput`: how much goes through.

use super::latency::WaitName;
use super::{Common, Picture, draw, failed, sizes};
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::{table, units};
use serde::Serialize;
use shm_measure::suite::{self, Case, ThroughputRow};
use shm_measure::{Transport, Wait};

const SIZES: [usize; 5] = [8, 64, 1 << 10, 64 << 10, 1 << 20];

/// Messages and bytes a second: one message per call, batches, in place, typed, MPMC; beside stamped words and lines
/// and bare copies through memory
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Bytes in a message; several with commas [default: 8,64,1KiB,64KiB,1MiB]
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, value_delimiter = ',')]
    size: Vec<u64>,
    /// How both sides wait, one message per call; several with commas [default: spin,adaptive]
    #[arg(long, value_name = "HOW", value_delimiter = ',')]
    wait: Vec<WaitName>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    picture: Picture,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Throughput {
    limits: Limits,
    rows: Vec<ThroughputRow>,
}

#[derive(Serialize)]
struct Limits {
    /// Million stamped words of 8 bytes a second.
    words_m_per_s: f64,
    /// Million stamped cache lines a second.
    lines_m_per_s: f64,
    /// Bare copies in and out.
    copies: Vec<ThroughputRow>,
}

fn is_limit(transport: Transport) -> bool {
    matches!(transport, Transport::Words | Transport::Lines | Transport::Memory)
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (sizes, waits) =
        (sizes(&arguments.size, &SIZES)?, WaitName::waits(&arguments.wait, &[Wait::Spin, Wait::Adaptive]));
    let mut cases =
        vec![Case::apart(Transport::Words, 8, Wait::Spin), Case::apart(Transport::Lines, 56, Wait::Spin)];
    let spin = |transport| move |&size: &usize| Case::apart(transport, size, Wait::Spin);
    cases.extend(sizes.iter().filter(|&&size| size >= 1024).map(spin(Transport::Memory)));
    for &size in &sizes {
        for &wait in &waits {
            cases.extend((size == 8).then(|| Case::apart(Transport::Typed, size, wait)));
            cases.push(Case::apart(Transport::Spsc, size, wait));
        }
    }
    cases.extend(sizes.iter().filter(|&&size| size == 8).map(spin(Transport::TypedBatch)));
    cases.extend(sizes.iter().filter(|&&size| size <= 1024).map(spin(Transport::SpscBatch)));
    cases.extend(sizes.iter().map(spin(Transport::SpscInPlace)));
    cases.extend(sizes.iter().filter(|&&size| size <= 64 << 10).map(spin(Transport::Mpmc)));
    let rows = suite::throughput(&cases, arguments.common.run(cases.len())).map_err(failed)?;
    let (limits, rows): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| Transport::of_name(row.kind).is_some_and(is_limit));
    if let Some(path) = &arguments.picture.svg {
        let points = limits.iter().filter(|row| row.kind == "memory").chain(&rows);
        let points = points.map(|row| (format!("{} {}", row.kind, row.wait), row.size, row.m_per_s));
        draw(path, "Throughput between two processes", "million messages a second", points)?;
    }
    let of = |kind: Transport| {
        limits.iter().find(|row| row.kind == kind.name()).map(|row| row.m_per_s).unwrap_or_default()
    };
    let limits = Limits {
        words_m_per_s: of(Transport::Words),
        lines_m_per_s: of(Transport::Lines),
        copies: limits.iter().filter(|row| row.kind == Transport::Memory.name()).cloned().collect(),
    };
    let throughput = Throughput { limits, rows };
    if arguments.common.json { print_json(&throughput) } else { print(&text(&throughput)) }
}

fn text(throughput: &Throughput) -> String {
    let row = |row: &ThroughputRow| {
        let runs: Vec<String> = row.runs_m_per_s.iter().map(|rate| number(*rate)).collect();
        let verified = format!("{} of {}", row.verified, row.messages);
        let (kind, wait) = (row.kind.to_owned(), row.wait.to_owned());
        [
            kind,
            wait,
            row.size.to_string(),
            number(row.m_per_s),
            number(row.gb_per_s),
            runs.join(" "),
            verified,
        ]
    };
    let header = ["KIND", "WAIT", "BYTES", "M/S", "GB/S", "RUNS M/S", "VERIFIED"];
    let rows = throughput.limits.copies.iter().chain(&throughput.rows).map(row);
    let table = table::with_header(header, rows, 2..7);
    let limits = &throughput.limits;
    let (words, lines) = (number(limits.words_m_per_s), number(limits.lines_m_per_s));
    format!(
        "{table}\nlimits: {words} million stamped words of 8 bytes, {lines} million stamped cache lines a second; \
         `memory` is a copy in and a copy out\n"
    )
}

pub(super) fn number(value: f64) -> String {
    let digits = if value < 0.1 { 4 } else { shm_measure::spread::digits(value) };
    format!("{value:.digits$}")
}
