//! What a process takes of a processor while it does nothing.

use crate::{Result, cores};
use rustix::process::Pid;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a process used in some time.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Percent of one processor.
    pub processor_percent: f64,
    /// How often it went back to sleep, in a second.
    pub wakes_per_second: f64,
}

/// Looks at a process, waits, and looks again.
///
/// # Errors
/// When it is gone.
pub fn of(pid: Pid, time: Duration) -> Result<Usage> {
    std::thread::sleep(Duration::from_millis(200)); // it goes to sleep first
    let (began, before) = (Instant::now(), look(pid)?);
    std::thread::sleep(time);
    let (took, after) = (began.elapsed(), look(pid)?);
    Ok(Usage::between(before, after, took))
}

/// What a thread uses on a processor that sleeps for so long each time and does nothing else: nobody who looks around
/// as often can use less.
///
/// # Errors
/// When there can be no more threads.
pub fn of_a_sleeper(processor: Option<usize>, slice: Duration, time: Duration) -> Result<Usage> {
    let sleep = move || -> Result<Usage> {
        processor.map_or(Ok(()), cores::pin_to)?;
        let path = Path::new("/proc/thread-self");
        std::thread::sleep(slice);
        let (began, before) = (Instant::now(), look_at(path)?);
        while began.elapsed() < time {
            std::thread::sleep(slice);
        }
        Ok(Usage::between(before, look_at(path)?, began.elapsed()))
    };
    let thread = std::thread::Builder::new().name("sleeper".to_owned()).spawn(sleep)?;
    thread.join().map_err(|_| "the sleeper panicked")?
}

impl Usage {
    fn between(before: (u64, u64), after: (u64, u64), took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        Self {
            processor_percent: (after.0 - before.0) as f64 / 1e9 / seconds * 100.0,
            wakes_per_second: (after.1 - before.1) as f64 / seconds,
        }
    }
}

/// Nanoseconds on a processor, and how often it went to sleep, all threads together.
fn look(pid: Pid) -> Result<(u64, u64)> {
    let mut sums = (0, 0);
    for thread in std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()))? {
        let (run, switches) = look_at(&thread?.path())?;
        sums = (sums.0 + run, sums.1 + switches);
    }
    Ok(sums)
}

/// Of one thread.
fn look_at(thread: &Path) -> Result<(u64, u64)> {
    let run = std::fs::read_to_string(thread.join("schedstat"))?;
    let status = std::fs::read_to_string(thread.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    let run = run.split(' ').next().unwrap_or_default().parse()?;
    Ok((run, line.unwrap_or_default().trim().parse()?))
}
