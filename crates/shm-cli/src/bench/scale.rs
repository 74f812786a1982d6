//! `shmring bench scale`: many senders, many receivers.

use super::throughput::number;
use super::{Common, failed};
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::table;
use serde::Serialize;
use shm_measure::suite::{self, ScaleRow};

const CAPACITIES: [u64; 2] = [1024, 16_384];
const PAIRS: [u64; 3] = [1, 2, 4];

/// MPMC rings with 1, 2 and 4 senders and as many receivers, each a process; messages of 56 bytes
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Scale {
    /// Bytes in a message.
    size: usize,
    rows: Vec<ScaleRow>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let run = arguments.common.run(CAPACITIES.len() * PAIRS.len());
    let rows = suite::scale(&CAPACITIES, &PAIRS, run).map_err(failed)?;
    let scale = Scale { size: shm_measure::crowd::BYTES, rows };
    if arguments.common.json { print_json(&scale) } else { print(&text(&scale)) }
}

fn text(scale: &Scale) -> String {
    let row = |row: &ScaleRow| {
        let runs: Vec<String> = row.runs_m_per_s.iter().map(|rate| number(*rate)).collect();
        let pairs = format!("{0}+{0}", row.pairs);
        let verified = format!("{} of {}", row.verified, row.messages);
        [row.capacity.to_string(), pairs, number(row.m_per_s), runs.join(" "), verified]
    };
    table::with_header(["CAPACITY", "WHO", "M/S", "RUNS M/S", "VERIFIED"], scale.rows.iter().map(row), 0..5)
}
