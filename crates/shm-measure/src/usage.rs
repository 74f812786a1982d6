//! What a process takes of a processor while it does nothing.

use crate::Result;
use rustix::process::Pid;
use std::time::Duration;

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
    let (run_before, switches_before) = look(pid)?;
    std::thread::sleep(time);
    let (run, switches) = look(pid)?;
    let seconds = time.as_secs_f64();
    Ok(Usage {
        processor_percent: (run - run_before) as f64 / 1e9 / seconds * 100.0,
        wakes_per_second: (switches - switches_before) as f64 / seconds,
    })
}

/// Nanoseconds on a processor, and how often it went to sleep, all threads together.
fn look(pid: Pid) -> Result<(u64, u64)> {
    let mut sums = (0, 0);
    for thread in std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()))? {
        let path = thread?.path();
        let run = std::fs::read_to_string(path.join("schedstat"))?;
        sums.0 += run.split(' ').next().unwrap_or_default().parse::<u64>()?;
        let status = std::fs::read_to_string(path.join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sums.1 += line.unwrap_or_default().trim().parse::<u64>()?;
    }
    Ok(sums)
}
