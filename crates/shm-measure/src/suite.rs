//! What is measured together, and told in tables: round trips, throughput, waking, scaling. All in turn, several times
//! over, so that whatever else the machine does meets all of them alike.

use crate::crowd;
use crate::pair::{Extent, Measured, histogram};
use crate::spread::{RUNS, Spread, median};
use crate::transport::{Setup, Transport, Wait};
use crate::{Placement, Result};
use serde::Serialize;
use std::time::Duration;

/// One run of one case, at least and at most.
const RUN_MIN: Duration = Duration::from_millis(60);
const RUN_MAX: Duration = Duration::from_secs(1);
/// Of the time for all, this part goes into starting and warming up.
const STARTING: f64 = 0.2;

/// A case: a way, how it is made, and where the two processes run.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The way.
    pub setup: Setup,
    /// Bytes of each message.
    pub size: usize,
    /// Where the two run.
    pub placement: Placement,
}

impl Case {
    /// On two processors.
    pub fn apart(transport: Transport, size: usize, wait: Wait) -> Self {
        Self::new(transport, size, wait, Placement::Apart)
    }

    /// Anywhere.
    pub fn new(transport: Transport, size: usize, wait: Wait, placement: Placement) -> Self {
        Self { setup: Setup { transport, length: size, wait }, size, placement }
    }

    /// The ring's own share of a message of `length` bytes, of which 8 are written.
    pub fn handover(length: usize) -> Self {
        let setup = Setup { transport: Transport::SpscHandover, length, wait: Wait::Spin };
        Self { setup, size: 8, placement: Placement::Apart }
    }
}

/// Round trips of a case.
#[derive(Clone, Debug, Serialize)]
pub struct LatencyRow {
    /// The way.
    pub kind: &'static str,
    /// Bytes of each message.
    pub size: usize,
    /// How its calls wait.
    pub wait: &'static str,
    /// Round trips in all runs.
    pub messages: u64,
    /// Of them, verified on both sides.
    pub verified: u64,
    /// The medians of the runs.
    pub runs_p50_ns: Vec<u64>,
    /// The 999th of 1,000 of each run.
    #[serde(skip)]
    pub runs_p999_ns: Vec<u64>,
    /// The median of the runs' medians, 99th of 100 and 999th of 1,000.
    pub p50_ns: u64,
    /// As above.
    pub p99_ns: u64,
    /// As above.
    pub p999_ns: u64,
}

/// Throughput of a case.
#[derive(Clone, Debug, Serialize)]
pub struct ThroughputRow {
    /// The way.
    pub kind: &'static str,
    /// Bytes of each message.
    pub size: usize,
    /// How its calls wait.
    pub wait: &'static str,
    /// Messages in all runs.
    pub messages: u64,
    /// Of them, verified.
    pub verified: u64,
    /// Million messages a second, each run.
    pub runs_m_per_s: Vec<f64>,
    /// Million messages a second, the median of the runs.
    pub m_per_s: f64,
    /// Gigabytes a second, the median of the runs.
    pub gb_per_s: f64,
}

/// Many senders and receivers.
#[derive(Clone, Debug, Serialize)]
pub struct ScaleRow {
    /// Messages that the ring holds.
    pub capacity: u64,
    /// Senders, and as many receivers.
    pub pairs: u64,
    /// Messages in all runs.
    pub messages: u64,
    /// Of them, verified.
    pub verified: u64,
    /// Million messages a second, each run.
    pub runs_m_per_s: Vec<f64>,
    /// Million messages a second, the median of the runs.
    pub m_per_s: f64,
}

/// How long each run of so many cases may take, so that all end in time.
pub fn run_time(cases: usize, total: Duration) -> Duration {
    let runs = (cases * RUNS).max(1);
    total.mul_f64(1.0 - STARTING).div_f64(runs as f64).clamp(RUN_MIN, RUN_MAX)
}

fn start(cases: &[Case]) -> Result<Vec<Box<dyn Measured>>> {
    cases.iter().map(|case| case.setup.start(case.placement)).collect()
}

/// Where this process runs while it measures a case.
fn stand_by(case: &Case) -> Result<()> {
    case.placement.processors().0.map_or(Ok(()), crate::cores::pin_to)
}

/// What runs of one case found.
#[derive(Clone, Debug, Default)]
struct Found {
    messages: u64,
    p50: Vec<u64>,
    p99: Vec<u64>,
    p999: Vec<u64>,
}

/// Measures round trips of all cases, [`RUNS`] times, in turn; each run takes so long.
///
/// # Errors
/// When a case can not be measured, or a message was wrong.
pub fn latency(cases: &[Case], run: Duration) -> Result<Vec<LatencyRow>> {
    latency_in_turn(cases, run, RUNS)
}

/// As [`latency`], so often: many short runs of few cases are neighbours, and see the machine in the same state.
///
/// # Errors
/// As [`latency`].
pub fn latency_in_turn(cases: &[Case], run: Duration, runs: usize) -> Result<Vec<LatencyRow>> {
    let mut pairs = start(cases)?;
    let mut found = vec![Found::default(); cases.len()];
    for _ in 0..runs {
        for ((case, pair), found) in cases.iter().zip(&mut pairs).zip(&mut found) {
            stand_by(case)?;
            pair.round_trips(case.size, Extent::Time(run / 10), &mut histogram()?)?;
            let mut times = histogram()?;
            let done = pair.round_trips(case.size, Extent::TimeAndMessages(run, 10), &mut times)?;
            found.messages += done.messages;
            found.p50.push(times.value_at_quantile(0.5));
            found.p99.push(times.value_at_quantile(0.99));
            found.p999.push(times.value_at_quantile(0.999));
        }
    }
    let row = |(case, found): (&Case, Found)| LatencyRow {
        kind: case.setup.transport.name(),
        size: case.setup.length,
        wait: case.setup.wait.name(),
        messages: found.messages,
        verified: found.messages, // a run with any other ends with an error
        p50_ns: median(&found.p50),
        p99_ns: median(&found.p99),
        p999_ns: median(&found.p999),
        runs_p50_ns: found.p50,
        runs_p999_ns: found.p999,
    };
    Ok(cases.iter().zip(found).map(row).collect())
}

/// Measures throughput of all cases, [`RUNS`] times, in turn; each run takes so long.
///
/// # Errors
/// When a case can not be measured, or a message was wrong.
pub fn throughput(cases: &[Case], run: Duration) -> Result<Vec<ThroughputRow>> {
    throughput_in_turn(cases, run, RUNS)
}

/// As [`throughput`], so often. See [`latency_in_turn`].
///
/// # Errors
/// As [`throughput`].
pub fn throughput_in_turn(cases: &[Case], run: Duration, runs: usize) -> Result<Vec<ThroughputRow>> {
    let mut pairs = start(cases)?;
    let mut found = vec![(0, Vec::new()); cases.len()];
    for _ in 0..runs {
        for ((case, pair), found) in cases.iter().zip(&mut pairs).zip(&mut found) {
            stand_by(case)?;
            pair.stream(case.size, Extent::Time(run / 10))?;
            let done = pair.stream(case.size, Extent::TimeAndMessages(run, 10))?;
            found.0 += done.messages;
            found.1.push(done.rate() / 1e6);
        }
    }
    let row = |(case, (messages, rates)): (&Case, (u64, Vec<f64>))| {
        let m_per_s = Spread::of(&rates).median;
        ThroughputRow {
            kind: case.setup.transport.name(),
            size: case.setup.length,
            wait: case.setup.wait.name(),
            messages,
            verified: messages, // a run with any other ends with an error
            m_per_s,
            gb_per_s: m_per_s * case.setup.length as f64 / 1e3,
            runs_m_per_s: rates,
        }
    };
    Ok(cases.iter().zip(found).map(row).collect())
}

/// Measures MPMC rings with 1, 2 and 4 senders and as many receivers, at these capacities, [`RUNS`] times in turn.
///
/// # Errors
/// When a message was lost, repeated or wrong.
pub fn scale(capacities: &[u64], pairs: &[u64], run: Duration) -> Result<Vec<ScaleRow>> {
    let cells: Vec<(u64, u64)> =
        capacities.iter().flat_map(|&capacity| pairs.iter().map(move |&pairs| (capacity, pairs))).collect();
    let mut found = vec![(0, Vec::new()); cells.len()];
    for _ in 0..RUNS {
        for (&(capacity, pairs), found) in cells.iter().zip(&mut found) {
            let done = crowd::measure(capacity, pairs, Wait::Adaptive, run)?;
            found.0 += done.messages;
            found.1.push(done.rate() / 1e6);
        }
    }
    let row = |((capacity, pairs), (messages, rates)): ((u64, u64), (u64, Vec<f64>))| ScaleRow {
        capacity,
        pairs,
        messages,
        verified: messages, // a run with any other ends with an error
        m_per_s: Spread::of(&rates).median,
        runs_m_per_s: rates,
    };
    Ok(cells.into_iter().zip(found).map(row).collect())
}
