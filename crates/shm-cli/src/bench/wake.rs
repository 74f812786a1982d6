//! `shmring bench wake`: round trips between two that sleep.

use super::{Common, failed};
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::table;
use serde::Serialize;
use shm_measure::suite::{self, Case, LatencyRow};
use shm_measure::{Placement, Transport, Wait};

/// Round trips when both sides sleep at once, on two processors and on one, beside a bare futex ping-pong and a pipe
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Wakes {
    limits: Limits,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Limits {
    /// The median round trip of a bare futex ping-pong, on two processors and on one.
    futex_apart_ns: u64,
    futex_same_ns: u64,
}

#[derive(Serialize)]
struct Row {
    /// Where the two processes run: `apart` on two processors, `same` on one.
    processors: &'static str,
    #[serde(flatten)]
    row: LatencyRow,
}

const PLACES: [(Placement, &str); 2] = [(Placement::Apart, "apart"), (Placement::Same, "same")];
const WAYS: [(Transport, usize, Wait); 7] = [
    (Transport::Futex, 8, Wait::Sleep),
    (Transport::Pipe, 64, Wait::Sleep),
    (Transport::Spsc, 64, Wait::Sleep),
    (Transport::Mpmc, 64, Wait::Sleep),
    (Transport::Spsc, 64, Wait::Adaptive),
    (Transport::Pipe, 64 << 10, Wait::Sleep),
    (Transport::Spsc, 64 << 10, Wait::Sleep),
];

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let places = PLACES.iter().flat_map(|place| WAYS.iter().map(move |way| (place, way)));
    let case = |(&(place, _), &(kind, size, wait)): (&(Placement, _), &_)| Case::new(kind, size, wait, place);
    let cases: Vec<Case> = places.clone().map(case).collect();
    let measured = suite::latency(&cases, arguments.common.run(cases.len())).map_err(failed)?;
    let rows: Vec<Row> =
        places.zip(measured).map(|((&(_, processors), _), row)| Row { processors, row }).collect();
    let futex = |place: &str| {
        let row = rows.iter().find(|row| row.processors == place && row.row.kind == Transport::Futex.name());
        row.map(|row| row.row.p50_ns).unwrap_or_default()
    };
    let limits = Limits { futex_apart_ns: futex("apart"), futex_same_ns: futex("same") };
    let wakes = Wakes { limits, rows };
    if arguments.common.json { print_json(&wakes) } else { print(&text(&wakes)) }
}

fn text(wakes: &Wakes) -> String {
    let row = |Row { processors, row }: &Row| {
        let limit =
            if *processors == "apart" { wakes.limits.futex_apart_ns } else { wakes.limits.futex_same_ns };
        let ratio = row.p50_ns as f64 / limit.max(1) as f64;
        let [size, p50, p99, p999] =
            [row.size as u64, row.p50_ns, row.p99_ns, row.p999_ns].map(|value| value.to_string());
        let runs: Vec<String> = row.runs_p50_ns.iter().map(u64::to_string).collect();
        let [processors, kind, wait] = [processors, row.kind, row.wait].map(str::to_owned);
        [processors, kind, wait, size, p50, runs.join(" "), p99, p999, format!("{ratio:.2}")]
    };
    let header = ["PROCESSORS", "KIND", "WAIT", "BYTES", "P50 NS", "RUNS", "P99 NS", "P99.9 NS", "FUTEXES"];
    table::with_header(header, wakes.rows.iter().map(row), 3..9)
}
