//! A ring against what the kernel has to send messages by, between two processes, every byte verified.
//!
//! `cargo bench -p shm-benches` measures; without `--bench` (as `cargo test` runs it) everything is done once and
//! nothing is measured. A way is left out at lengths that it does not take, which is said.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use hdrhistogram::Histogram;
use libtest_mimic::{Arguments, Failed, Trial};
use shm_measure::pair::histogram;
use shm_measure::{Extent, Failure, Measured, Placement, Result, Setup, Transport, Wait};
use std::cell::RefCell;
use std::process::ExitCode;
use std::time::Duration;

/// Lengths of messages in bytes.
const LENGTHS: [usize; 5] = [8, 64, 1 << 10, 64 << 10, 1 << 20];
const WAYS: [Transport; 12] = [
    Transport::Spsc,
    Transport::Mpmc,
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
/// Bytes of each length when nothing is measured, and messages at least.
const BYTES_UNMEASURED: usize = 1 << 20;
const MESSAGES_UNMEASURED: usize = 3;

/// What is measured of a pair.
#[derive(Clone, Copy)]
enum Measure {
    Throughput,
    RoundTrip,
}

impl Measure {
    const ALL: [Self; 2] = [Self::Throughput, Self::RoundTrip];

    fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::RoundTrip => "round trip",
        }
    }

    fn run(
        self,
        pair: &mut dyn Measured,
        count: u64,
        length: usize,
        times: &mut Histogram<u64>,
    ) -> Result<Duration> {
        let run = match self {
            Self::Throughput => pair.stream(length, Extent::Messages(count))?,
            Self::RoundTrip => pair.round_trips(length, Extent::Messages(count), times)?,
        };
        Ok(run.took)
    }
}

fn main() -> Result<ExitCode> {
    if shm_measure::play()? {
        return Ok(ExitCode::SUCCESS);
    }
    if std::env::args().any(|argument| argument == "--bench") {
        measure_all()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut arguments = Arguments::from_args();
    // Both processes of a pair may spin.
    arguments.test_threads = Some(1);
    Ok(libtest_mimic::run(&arguments, trials()).exit_code())
}

fn measure_all() -> Result<()> {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(10)
        .configure_from_args();
    for measure in Measure::ALL {
        for length in LENGTHS {
            let mut group = criterion.benchmark_group(format!("{}, {length} B", measure.name()));
            group.sampling_mode(SamplingMode::Flat);
            if let Measure::Throughput = measure {
                group.throughput(Throughput::Bytes(length as u64));
            }
            for way in WAYS {
                if !way.takes(length) {
                    println!(
                        "{}, {length} B, {}: left out, it does not take so much",
                        measure.name(),
                        way.name()
                    );
                    continue;
                }
                // Started when it is asked for: whoever names one bench has no other processes.
                let pair: RefCell<Option<Box<dyn Measured>>> = RefCell::new(None);
                group.bench_function(BenchmarkId::from_parameter(way.name()), |bencher| {
                    let run = |count| -> Result<Duration> {
                        let mut pair = pair.borrow_mut();
                        let pair = match &mut *pair {
                            Some(pair) => pair,
                            None => pair.insert(start(way, length)?),
                        };
                        measure.run(pair.as_mut(), count, length, &mut histogram()?)
                    };
                    bencher.iter_custom(|count| run(count).unwrap_or_else(give_up));
                });
            }
            group.finish();
        }
    }
    criterion.final_summary();
    Ok(())
}

fn start(transport: Transport, length: usize) -> Result<Box<dyn Measured>> {
    Setup { transport, length, wait: Wait::Adaptive }.start(Placement::Apart)
}

/// Criterion takes no errors. The other process ends with this one, and nothing has a name.
fn give_up(error: Failure) -> Duration {
    eprintln!("{error}");
    std::process::exit(1);
}

fn trials() -> Vec<Trial> {
    let cases = WAYS.into_iter().flat_map(|way| Measure::ALL.map(|measure| (way, measure)));
    let trial = |(way, measure): (Transport, Measure)| {
        Trial::test(format!("{} over {}", measure.name(), way.name()), move || {
            let run = || -> Result<()> {
                for length in LENGTHS.into_iter().filter(|&length| way.takes(length)) {
                    let count = (BYTES_UNMEASURED / length).clamp(MESSAGES_UNMEASURED, 100) as u64;
                    measure.run(start(way, length)?.as_mut(), count, length, &mut histogram()?)?;
                }
                Ok(())
            };
            run().map_err(|error| Failed::from(error.to_string()))
        })
    };
    cases.map(trial).collect()
}
