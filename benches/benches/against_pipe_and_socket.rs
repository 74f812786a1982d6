//! A ring against a pipe and a Unix socket, between two processes, every byte verified.
//!
//! `cargo bench -p shm-benches` measures; without `--bench` (as `cargo test` runs it) everything is done
//! once and nothing is measured.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use libtest_mimic::{Arguments, Failed, Trial};
use shm_benches::{Pair, Result, Transport};
use std::cell::RefCell;
use std::process::ExitCode;
use std::time::Duration;

/// Lengths of messages in bytes.
const LENGTHS: [usize; 4] = [8, 64, 1 << 10, 64 << 10];
/// Messages of each length when nothing is measured: the ring goes around, at 64 KiB as well.
const MESSAGES_UNMEASURED: u64 = 100;

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

    fn run(self, pair: &mut Pair, count: u64, length: usize) -> Result<Duration> {
        match self {
            Self::Throughput => pair.throughput(count, length),
            Self::RoundTrip => pair.round_trips(count, length),
        }
    }
}

fn main() -> Result<ExitCode> {
    if shm_benches::play()? {
        return Ok(ExitCode::SUCCESS);
    }
    if std::env::args().any(|argument| argument == "--bench") {
        measure_all()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut arguments = Arguments::from_args();
    // One after the other: each looks at what has a name.
    arguments.test_threads = Some(1);
    Ok(libtest_mimic::run(&arguments, trials()).exit_code())
}

fn measure_all() -> Result<()> {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(20)
        .configure_from_args();
    for measure in Measure::ALL {
        for length in LENGTHS {
            let mut group = criterion.benchmark_group(format!("{}, {length} B", measure.name()));
            group.sampling_mode(SamplingMode::Flat);
            if let Measure::Throughput = measure {
                group.throughput(Throughput::Bytes(length as u64));
            }
            for transport in Transport::ALL {
                let pair = RefCell::new(Pair::start(transport)?);
                group.bench_function(BenchmarkId::from_parameter(transport.name()), |bencher| {
                    bencher.iter_custom(|count| {
                        measure.run(&mut pair.borrow_mut(), count, length).unwrap_or_else(give_up)
                    });
                });
            }
            group.finish();
        }
    }
    criterion.final_summary();
    Ok(())
}

/// Criterion takes no errors. The other process ends with this one, and nothing has a name.
fn give_up(error: shm_benches::Failure) -> Duration {
    eprintln!("{error}");
    std::process::exit(1);
}

fn trials() -> Vec<Trial> {
    let pairs =
        Transport::ALL.into_iter().flat_map(|transport| Measure::ALL.map(|measure| (transport, measure)));
    let trial = |(transport, measure): (Transport, Measure)| {
        Trial::test(format!("{} over {}", measure.name(), transport.name()), move || {
            let run = || -> Result<()> {
                let mut pair = Pair::start(transport)?;
                for length in LENGTHS {
                    measure.run(&mut pair, MESSAGES_UNMEASURED, length)?;
                }
                nothing_has_a_name()
            };
            run().map_err(Failed::from)
        })
    };
    pairs.map(trial).collect()
}

/// While a pair still works, `/dev/shm` shows nothing of it.
fn nothing_has_a_name() -> Result<()> {
    let ours = format!("{}{}-", shm_benches::names::PREFIX, std::process::id());
    let names = shm_core::Directory::posix().names()?;
    match names.iter().find(|name| name.as_str().starts_with(&ours)) {
        Some(name) => Err(format!("{} is left in /dev/shm", name.as_str()).into()),
        None => Ok(()),
    }
}
