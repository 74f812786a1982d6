//! `shmring bench latency`: round trips.

use super::{Common, Picture, draw, failed, sizes};
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::shape::RingKind;
use crate::{table, units};
use serde::Serialize;
use shm_measure::suite::{self, Case, LatencyRow};
use shm_measure::{Transport, Wait};

const SIZES: [usize; 4] = [8, 64, 1 << 10, 16 << 10];

/// Round trips, by size and way of waiting, beside the bare bounce of two cache lines
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Bytes in a message; several with commas [default: 8,64,1KiB,16KiB]
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, value_delimiter = ',')]
    size: Vec<u64>,
    /// How both sides wait; several with commas [default: all]
    #[arg(long, value_name = "HOW", value_delimiter = ',')]
    wait: Vec<WaitName>,
    /// The ring; several with commas [default: both]
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<RingKind>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    picture: Picture,
}

/// How a ring's calls wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub(super) enum WaitName {
    /// Look again and again
    Spin,
    /// Look for a while, then sleep
    Adaptive,
    /// Sleep at once
    Sleep,
}

impl WaitName {
    pub(super) fn waits(given: &[Self], default: &[Wait]) -> Vec<Wait> {
        if given.is_empty() {
            return default.to_vec();
        }
        let wait = |name: &Self| match name {
            Self::Spin => Wait::Spin,
            Self::Adaptive => Wait::Adaptive,
            Self::Sleep => Wait::Sleep,
        };
        given.iter().map(wait).collect()
    }
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Latency {
    limits: Limits,
    rows: Vec<LatencyRow>,
}

#[derive(Serialize)]
struct Limits {
    /// The median round trip of one word between two cache lines.
    bounce_ns: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let kinds: Vec<Transport> = match arguments.kind.as_slice() {
        [] => vec![Transport::Spsc, Transport::Mpmc],
        kinds => kinds.iter().map(|&kind| transport(kind)).collect(),
    };
    let mut cases = vec![Case::apart(Transport::Bounce, 8, Wait::Spin)];
    for &kind in &kinds {
        for size in sizes(&arguments.size, &SIZES)? {
            for wait in WaitName::waits(&arguments.wait, &Wait::ALL) {
                cases.push(Case::apart(kind, size, wait));
            }
        }
    }
    let mut rows = suite::latency(&cases, arguments.common.run(cases.len())).map_err(failed)?;
    let bounce_ns = rows.remove(0).p50_ns;
    if let Some(path) = &arguments.picture.svg {
        let points = rows.iter().flat_map(|row| {
            let name = |what: &str| format!("{} {} {what}", row.kind, row.wait);
            [("p50", row.p50_ns), ("p99.9", row.p999_ns)].map(|(what, ns)| (name(what), row.size, ns as f64))
        });
        draw(path, "Round trips between two processes", "nanoseconds", points)?;
    }
    let latency = Latency { limits: Limits { bounce_ns }, rows };
    if arguments.common.json { print_json(&latency) } else { print(&text(&latency)) }
}

fn transport(kind: RingKind) -> Transport {
    match kind {
        RingKind::Spsc => Transport::Spsc,
        RingKind::Mpmc => Transport::Mpmc,
    }
}

fn text(latency: &Latency) -> String {
    let row = |row: &LatencyRow| {
        let (least, most) = (row.runs_p50_ns.iter().min(), row.runs_p50_ns.iter().max());
        let range = format!("{} to {}", least.unwrap_or(&0), most.unwrap_or(&0));
        let bounces = row.p50_ns as f64 / latency.limits.bounce_ns.max(1) as f64;
        let [size, p50, p99, p999] =
            [row.size as u64, row.p50_ns, row.p99_ns, row.p999_ns].map(|value| value.to_string());
        let verified = format!("{} of {}", row.verified, row.messages);
        let (kind, wait) = (row.kind.to_owned(), row.wait.to_owned());
        [kind, wait, size, p50, range, p99, p999, format!("{bounces:.2}"), verified]
    };
    let header = ["KIND", "WAIT", "BYTES", "P50 NS", "RUNS", "P99 NS", "P99.9 NS", "BOUNCES", "VERIFIED"];
    let table = table::with_header(header, latency.rows.iter().map(row), 2..9);
    format!("{table}\nlimit: {} ns, the bare bounce of two cache lines\n", latency.limits.bounce_ns)
}
