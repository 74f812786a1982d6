//! Everything that the report tells, measured in one go.

use crate::{files, machine};
use serde::Deserialize;
use shm_measure::startup::{self, Startup};
use shm_measure::suite::{self, Case, LatencyRow, ScaleRow, ThroughputRow};
use shm_measure::usage::{self, Usage};
use shm_measure::{Placement, Result, Setup, Transport, Wait};
use std::path::Path;
use std::time::Duration;

const RUN: Duration = Duration::from_millis(400);
const SHORT_RUN: Duration = Duration::from_millis(200);
/// What is compared runs in turn, so long and so often.
const NEIGHBOUR_RUN: Duration = Duration::from_millis(100);
const NEIGHBOUR_RUNS: usize = 9;
const IDLE: Duration = Duration::from_secs(4);
/// Who sleeps looks around as often as this.
const SLICE: Duration = Duration::from_millis(100);

/// Bytes of the messages that every way carries, if it can.
pub(crate) const SIZES: [usize; 5] = [8, 64, 1 << 10, 64 << 10, 1 << 20];
/// The kernel's ways, and what else rings are held against.
pub(crate) const WAYS: [Transport; 10] = [
    Transport::Pipe,
    Transport::Fifo,
    Transport::UnixStream,
    Transport::UnixDatagram,
    Transport::UnixSeqpacket,
    Transport::Tcp,
    Transport::PosixQueue,
    Transport::SysvQueue,
    Transport::EventFd,
    Transport::Memory,
];

/// All that was measured.
pub(crate) struct Measured {
    pub(crate) machine: String,
    pub(crate) load: [String; 2],
    pub(crate) latency: Vec<LatencyRow>,
    pub(crate) handover: Vec<LatencyRow>,
    /// What goals compare.
    pub(crate) neighbours: Neighbours,
    pub(crate) throughput: Vec<ThroughputRow>,
    pub(crate) apart: Vec<LatencyRow>,
    pub(crate) same: Vec<LatencyRow>,
    pub(crate) scale: Vec<ScaleRow>,
    pub(crate) ways_latency: Vec<LatencyRow>,
    pub(crate) ways_throughput: Vec<ThroughputRow>,
    pub(crate) startup: Startup,
    pub(crate) idle: [(&'static str, Usage); 2],
    /// Of one that only sleeps, as often as they look around.
    pub(crate) sleeper: Usage,
    pub(crate) files: Option<files::Speeds>,
    pub(crate) rivals: Option<Rivals>,
}

/// Cases that are compared, each with its neighbours.
pub(crate) struct Neighbours {
    pub(crate) latency: Vec<LatencyRow>,
    pub(crate) handover: Vec<LatencyRow>,
    pub(crate) throughput: Vec<ThroughputRow>,
}

impl Neighbours {
    fn measure() -> Result<Self> {
        let latency = |cases: &[Case]| suite::latency_in_turn(cases, NEIGHBOUR_RUN, NEIGHBOUR_RUNS);
        let throughput = |cases: &[Case]| suite::throughput_in_turn(cases, NEIGHBOUR_RUN, NEIGHBOUR_RUNS);
        let spin = |transport, size| Case::apart(transport, size, Wait::Spin);
        let adaptive = |transport, size| Case::apart(transport, size, Wait::Adaptive);
        let mut rates = throughput(&[
            spin(Transport::Lines, 56),
            spin(Transport::Spsc, 64),
            adaptive(Transport::Spsc, 64),
            spin(Transport::Typed, 8),
            adaptive(Transport::Typed, 8),
        ])?;
        for size in [1 << 10, 64 << 10] {
            rates.extend(throughput(&[spin(Transport::Spsc, size), spin(Transport::Memory, size)])?);
        }
        Ok(Self {
            latency: latency(&[
                spin(Transport::Bounce, 8),
                spin(Transport::Spsc, 8),
                spin(Transport::Spsc, 64),
                adaptive(Transport::Spsc, 64),
                spin(Transport::Mpmc, 64),
            ])?,
            handover: latency(&[Case::handover(64), Case::handover(1 << 20)])?,
            throughput: rates,
        })
    }
}

/// What the rivals' program wrote.
#[derive(Debug, Deserialize)]
pub(crate) struct Rivals {
    pub(crate) latency: Vec<RivalLatency>,
    pub(crate) throughput: Vec<RivalRate>,
    pub(crate) scale: Vec<RivalScale>,
}

/// A rival's round trips of 64 bytes.
#[derive(Debug, Deserialize)]
pub(crate) struct RivalLatency {
    pub(crate) name: String,
    pub(crate) p50_ns: u64,
    pub(crate) p999_ns: u64,
}

/// A rival's throughput.
#[derive(Debug, Deserialize)]
pub(crate) struct RivalRate {
    pub(crate) name: String,
    pub(crate) size: usize,
    pub(crate) runs_m_per_s: Vec<f64>,
}

/// A rival with many senders and receivers.
#[derive(Debug, Deserialize)]
pub(crate) struct RivalScale {
    pub(crate) name: String,
    pub(crate) capacity: u64,
    pub(crate) pairs: u64,
    /// Of the runs that came to their end.
    pub(crate) runs_m_per_s: Vec<f64>,
    /// What stood against each of the others.
    #[serde(default)]
    pub(crate) failures: Vec<String>,
}

impl Measured {
    pub(crate) fn all(rivals: Option<&Path>) -> Result<Self> {
        let before = machine::load();
        let step = |what: &str| eprintln!("measuring: {what}");
        let rivals = match rivals {
            Some(path) => Some(serde_json::from_str(&std::fs::read_to_string(path)?)?),
            None => None,
        };
        step("round trips");
        let latency = suite::latency(&latency_cases(), RUN)?;
        step("handing over in place");
        let handover = suite::latency(&[64, 1 << 10, 64 << 10, 1 << 20].map(Case::handover), SHORT_RUN)?;
        step("neighbours");
        let neighbours = Neighbours::measure()?;
        step("throughput");
        let throughput = suite::throughput(&throughput_cases(), RUN)?;
        step("waking");
        let apart = suite::latency(&wake_cases(Placement::Apart), RUN)?;
        let same = suite::latency(&wake_cases(Placement::Same), SHORT_RUN)?;
        step("many senders and receivers");
        let scale = suite::scale(&[1024, 16_384], &[1, 2, 4], RUN)?;
        step("what the kernel has");
        let ways_latency = suite::latency(&ways(Wait::Adaptive), SHORT_RUN)?;
        let ways_throughput = suite::throughput(&ways(Wait::Adaptive), SHORT_RUN)?;
        step("start, rest, files");
        let startup = startup::measure()?;
        let idle = [("spsc", idle(Transport::Spsc)?), ("mpmc", idle(Transport::Mpmc)?)];
        let sleeper = usage::of_a_sleeper(Placement::Apart.processors().1, SLICE, IDLE)?;
        let files = files::measure()?;
        let load = [before, machine::load()];
        Ok(Self {
            machine: machine::describe(),
            load,
            latency,
            handover,
            neighbours,
            throughput,
            apart,
            same,
            scale,
            ways_latency,
            ways_throughput,
            startup,
            idle,
            sleeper,
            files,
            rivals,
        })
    }
}

fn latency_cases() -> Vec<Case> {
    let limits = [(Transport::Bounce, 8), (Transport::Lines, 56)];
    let mut cases = Vec::from(limits.map(|(limit, size)| Case::apart(limit, size, Wait::Spin)));
    for size in [8, 56, 64, 256, 1 << 10, 16 << 10] {
        for wait in [Wait::Spin, Wait::Adaptive] {
            cases.push(Case::apart(Transport::Spsc, size, wait));
            cases.push(Case::apart(Transport::Mpmc, size, wait));
        }
    }
    cases
}

fn throughput_cases() -> Vec<Case> {
    let spin = |transport, size| Case::apart(transport, size, Wait::Spin);
    let mut cases = vec![spin(Transport::Words, 8), spin(Transport::Lines, 56)];
    for wait in [Wait::Spin, Wait::Adaptive] {
        cases.push(Case::apart(Transport::Typed, 8, wait));
        cases.extend([8, 56].iter().chain(&SIZES[1..]).map(|&size| Case::apart(Transport::Spsc, size, wait)));
    }
    cases.push(spin(Transport::TypedBatch, 8));
    cases.extend([8, 64, 1 << 10].map(|size| spin(Transport::SpscBatch, size)));
    cases.extend(SIZES[1..].iter().map(|&size| spin(Transport::SpscInPlace, size)));
    cases.extend([8, 64, 1 << 10].map(|size| spin(Transport::Mpmc, size)));
    cases.extend([1 << 10, 64 << 10, 1 << 20].map(|size| spin(Transport::Memory, size)));
    cases
}

fn wake_cases(placement: Placement) -> Vec<Case> {
    let mut cases = vec![Case::new(Transport::Futex, 8, Wait::Sleep, placement)];
    for size in [8, 64, 1 << 10, 64 << 10] {
        cases.push(Case::new(Transport::Pipe, size, Wait::Sleep, placement));
        for wait in [Wait::Sleep, Wait::Adaptive] {
            cases.push(Case::new(Transport::Spsc, size, wait, placement));
        }
    }
    cases.push(Case::new(Transport::Mpmc, 64, Wait::Sleep, placement));
    cases
}

fn ways(wait: Wait) -> Vec<Case> {
    let all = [Transport::Spsc, Transport::Mpmc].into_iter().chain(WAYS);
    let lengths = |way: Transport| SIZES.into_iter().filter(move |&size| way.takes(size));
    all.flat_map(|way| lengths(way).map(move |size| Case::apart(way, size, wait))).collect()
}

fn idle(transport: Transport) -> Result<Usage> {
    let setup = Setup { transport, length: 64, wait: Wait::Adaptive };
    setup.start(Placement::Apart)?.idle(64, IDLE)
}
