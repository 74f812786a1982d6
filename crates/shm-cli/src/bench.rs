//! `shmring bench`: how fast rings are here, beside what the machine itself can do.

mod latency;
mod scale;
mod throughput;
mod wake;

use crate::failure::{Failure, Status};
use crate::signals::Signals;
use crate::units;
use shm_measure::plot::{self, Line};
use std::path::PathBuf;
use std::time::Duration;

/// All that one verb measures is done by then, with a margin to the 50 seconds that are promised.
const TOTAL: Duration = Duration::from_secs(30);

/// Measures rings between processes, every byte verified, beside what the machine can do
///
/// Two processes are started, each pinned to a processor of its own; each case is run three times, all in turn, after
/// all memory was touched. Done within 50 seconds, unless more is asked for with --run. Nothing is left in the file
/// system, however it ends. Other work on the machine makes every figure worse: watch the range of the runs.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    Latency(latency::Arguments),
    Throughput(throughput::Arguments),
    Wake(wake::Arguments),
    Scale(scale::Arguments),
}

/// What is the same for all of them.
#[derive(clap::Args, Debug)]
struct Common {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long each of the three runs of each case takes, such as 500ms [default: so long that all takes 30 s at most]
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    run: Option<Duration>,
}

impl Common {
    fn run(&self, cases: usize) -> Duration {
        self.run.unwrap_or_else(|| shm_measure::suite::run_time(cases, TOTAL))
    }
}

/// Measures what is asked for.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let signals = Signals::watch()?;
    // The other processes end with this one, and nothing has a name: there is nothing else to do.
    let end = move || std::process::exit(crate::demo::await_signal(&signals).status() as i32);
    let failed = |error: std::io::Error| Failure::error(format!("can not watch signals: {error}"));
    std::thread::Builder::new().name("signals".to_owned()).spawn(end).map_err(failed)?;
    match &arguments.what {
        What::Latency(arguments) => latency::run(arguments),
        What::Throughput(arguments) => throughput::run(arguments),
        What::Wake(arguments) => wake::run(arguments),
        What::Scale(arguments) => scale::run(arguments),
    }
}

/// What the library says of a measurement that failed.
fn failed(error: shm_measure::Failure) -> Failure {
    Failure::error(error.to_string())
}

/// Sizes as the command line says them.
fn sizes(given: &[u64], default: &[usize]) -> Result<Vec<usize>, Failure> {
    if given.is_empty() {
        return Ok(default.to_vec());
    }
    let fits = |&bytes: &u64| {
        usize::try_from(bytes).ok().filter(|bytes| (8..=64 << 20).contains(bytes)).ok_or_else(|| {
            let message = format!("--size {bytes}: from 8 bytes (a message's number) to 64MiB");
            Failure::new(Status::Usage, message)
        })
    };
    given.iter().map(fits).collect()
}

/// Draws one line for each name, in the order in which they come.
fn draw(
    path: &std::path::Path,
    title: &str,
    values: &str,
    points: impl Iterator<Item = (String, usize, f64)>,
) -> Result<(), Failure> {
    let mut lines: Vec<Line> = Vec::new();
    for (name, size, value) in points {
        let point = (size as f64, value);
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name, points: vec![point] }),
        }
    }
    for line in &mut lines {
        line.points.sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    plot::lines(path, title, values, &lines).map_err(failed)
}

/// A picture beside the table.
#[derive(clap::Args, Debug)]
struct Picture {
    /// Draw the table as well, as an SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}
