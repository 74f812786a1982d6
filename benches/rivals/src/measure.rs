//! All rivals in turn, three times over.

use crate::rivals::{CROWDS, PAIRS, Start};
use serde::Serialize;
use shm_measure::pair::histogram;
use shm_measure::spread::median;
use shm_measure::{Extent, Measured, Result, cores};
use std::time::Duration;

/// One run of one case, and how many there are: short and many, so that neighbours see the machine in the same state.
const RUN: Duration = Duration::from_millis(100);
const WARM_UP: Duration = Duration::from_millis(20);
const RUNS: usize = 7;
/// Of many to many, where everything is started anew each time.
const CROWD_RUN: Duration = Duration::from_millis(200);
const CROWD_RUNS: usize = 5;
/// Bytes in a message, one to one.
pub const SIZES: [usize; 2] = [8, 64];
const ROUND_TRIP_BYTES: usize = 64;
const CAPACITIES: [u64; 2] = [1024, 16_384];
const CROWD_PAIRS: [u64; 3] = [1, 2, 4];

/// What the report reads.
#[derive(Debug, Serialize)]
pub struct Table {
    pub throughput: Vec<Rate>,
    pub latency: Vec<Latency>,
    pub scale: Vec<Scale>,
}

/// Throughput, one to one.
#[derive(Debug, Serialize)]
pub struct Rate {
    pub name: String,
    pub size: usize,
    pub runs_m_per_s: Vec<f64>,
}

/// Round trips.
#[derive(Debug, Serialize)]
pub struct Latency {
    pub name: String,
    pub runs_p50_ns: Vec<u64>,
    pub p50_ns: u64,
    pub p999_ns: u64,
}

/// Throughput, many to many.
#[derive(Debug, Serialize)]
pub struct Scale {
    pub name: String,
    pub capacity: u64,
    pub pairs: u64,
    /// Of the runs that came to their end.
    pub runs_m_per_s: Vec<f64>,
    /// What stood against each of the others.
    pub failures: Vec<String>,
}

impl Table {
    /// Those whose names are wanted.
    pub fn measure(wanted: Wanted<'_>) -> Result<Self> {
        cores::two(); // asked before anybody is pinned
        let mut throughput = Vec::new();
        for size in SIZES {
            throughput.extend(rates(size, wanted)?);
        }
        Ok(Self { throughput, latency: latencies(wanted)?, scale: scales(wanted)? })
    }
}

/// Whether to measure what has this name.
type Wanted<'a> = &'a dyn Fn(&str) -> bool;

/// Those that start; of the others it is said why they do not.
fn started(size: usize, wanted: Wanted<'_>) -> Vec<(&'static str, Box<dyn Measured>)> {
    let start = |&(name, start): &(&'static str, Start)| match start(size / 8) {
        Ok(pair) => Some((name, pair)),
        Err(error) => {
            eprintln!("{name}, {size} bytes: left out: {error}");
            None
        }
    };
    PAIRS.iter().filter(|pair| wanted(pair.0)).filter_map(start).collect()
}

/// Runs each so often; one that fails is left out from there on, and said to be.
fn in_turn<T>(
    size: usize,
    wanted: Wanted<'_>,
    mut run: impl FnMut(&mut dyn Measured) -> Result<T>,
) -> Vec<(&'static str, Vec<T>)> {
    let mut found: Vec<_> =
        started(size, wanted).into_iter().map(|(name, pair)| (name, pair, Vec::new())).collect();
    for _ in 0..RUNS {
        found.retain_mut(|(name, pair, runs)| match run(pair.as_mut()) {
            Ok(value) => {
                runs.push(value);
                true
            }
            Err(error) => {
                eprintln!("{name}, {size} bytes: left out: {error}");
                false
            }
        });
    }
    found.into_iter().map(|(name, _, runs)| (name, runs)).collect()
}

fn rates(size: usize, wanted: Wanted<'_>) -> Result<Vec<Rate>> {
    let runs = in_turn(size, wanted, |pair| {
        pair.stream(size, Extent::Time(WARM_UP))?;
        Ok(pair.stream(size, Extent::Time(RUN))?.rate() / 1e6)
    });
    Ok(runs
        .into_iter()
        .map(|(name, runs_m_per_s)| Rate { name: name.to_owned(), size, runs_m_per_s })
        .collect())
}

fn latencies(wanted: Wanted<'_>) -> Result<Vec<Latency>> {
    let runs = in_turn(ROUND_TRIP_BYTES, wanted, |pair| {
        pair.round_trips(ROUND_TRIP_BYTES, Extent::Time(WARM_UP), &mut histogram()?)?;
        let mut times = histogram()?;
        pair.round_trips(ROUND_TRIP_BYTES, Extent::Time(RUN), &mut times)?;
        Ok((times.value_at_quantile(0.5), times.value_at_quantile(0.999)))
    });
    let latency = |(name, runs): (&str, Vec<(u64, u64)>)| {
        let (p50, p999): (Vec<u64>, Vec<u64>) = runs.into_iter().unzip();
        Latency { name: name.to_owned(), p50_ns: median(&p50), p999_ns: median(&p999), runs_p50_ns: p50 }
    };
    Ok(runs.into_iter().map(latency).collect())
}

fn scales(wanted: Wanted<'_>) -> Result<Vec<Scale>> {
    let mut found = Vec::new();
    for capacity in CAPACITIES {
        for pairs in CROWD_PAIRS {
            let rows = CROWDS.iter().filter(|crowd| wanted(crowd.0)).map(|&(name, measure)| {
                let (runs_m_per_s, failures) = (Vec::new(), Vec::new());
                (measure, Scale { name: name.to_owned(), capacity, pairs, runs_m_per_s, failures })
            });
            let mut rows: Vec<_> = rows.collect();
            for _ in 0..CROWD_RUNS {
                for (measure, row) in &mut rows {
                    if row.failures.len() > 1 {
                        continue; // it was waited for often enough
                    }
                    match measure(capacity, pairs, CROWD_RUN) {
                        Ok(run) => row.runs_m_per_s.push(run.rate() / 1e6),
                        Err(error) => {
                            eprintln!("{pairs} + {pairs}, capacity {capacity}: {error}");
                            row.failures.push(error.to_string());
                        }
                    }
                }
            }
            found.extend(rows.into_iter().map(|(_, row)| row));
        }
    }
    Ok(found)
}
