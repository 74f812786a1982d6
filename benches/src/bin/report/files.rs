//! From file to file: through a pipe, and through a ring by the program.

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use shm_core::Memfd;
use shm_measure::names::{self, Fleeting};
use shm_measure::spread::{RUNS, Spread};
use shm_measure::{Result, cores};
use shm_ring::Producer;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const BYTES: usize = 1 << 30;
const GIB: f64 = (1_u64 << 30) as f64;
const RING_BYTES: u64 = 1 << 20;
/// Of the check.
const BUFFER_BYTES: usize = 1 << 20;

/// From a file to another, both in memory.
pub(crate) struct Speeds {
    pub(crate) ring: Way,
    pub(crate) pipe: Way,
}

/// What one way took.
pub(crate) struct Way {
    pub(crate) gb_per_s: Spread,
    /// Seconds of processors, of both processes, for a GiB.
    pub(crate) seconds_per_gib: Spread,
    /// How often the kernel copied each byte from or to a process, as it counts itself.
    pub(crate) copies: f64,
    /// Calls of `read` and `write` in both processes, for a MiB.
    pub(crate) calls_per_mib: f64,
}

/// One run.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    gb_per_s: f64,
    used: Used,
}

/// What processes used, as the kernel counts it.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    seconds: f64,
    bytes: u64,
    calls: u64,
}

/// The files. They have no names, and no disk.
struct Files {
    input: File,
    output: File,
}

/// `None` where the program is not built.
pub(crate) fn measure() -> Result<Option<Speeds>> {
    let program = std::env::current_exe()?.with_file_name("shmring");
    if !program.exists() {
        return Ok(None);
    }
    let memory = |bytes| -> Result<File> {
        Ok(File::from(Memfd::new("files").create(bytes)?.as_fd().try_clone_to_owned()?))
    };
    let mut files = Files { input: memory(BYTES as u64)?, output: memory(BYTES as u64)? };
    for number in 0..(BYTES / BUFFER_BYTES) as u64 {
        files.input.write_all(&block(number))?;
    }
    let (mut ring, mut pipe) = (Vec::new(), Vec::new());
    for run in 0..=RUNS {
        files.prepare()?;
        let by_pipe = through_pipe(&files)?;
        files.check()?;
        files.prepare()?;
        let by_ring = through_ring(&program, &files)?;
        files.check()?;
        // The first one brings all that takes part into memory.
        if run > 0 {
            pipe.push(by_pipe);
            ring.push(by_ring);
        }
    }
    Ok(Some(Speeds { ring: Way::of(&ring), pipe: Way::of(&pipe) }))
}

/// A part of the input that has no like.
fn block(number: u64) -> Vec<u8> {
    let words = (BUFFER_BYTES / 8) as u64;
    let words = number * words..(number + 1) * words;
    words.flat_map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).collect()
}

impl Files {
    /// Both from their beginning, and nothing of the input in the output.
    fn prepare(&mut self) -> Result<()> {
        self.input.rewind()?;
        self.output.rewind()?;
        for _ in 0..BYTES / BUFFER_BYTES {
            self.output.write_all(&[0; BUFFER_BYTES])?;
        }
        Ok(self.output.rewind()?)
    }

    fn check(&mut self) -> Result<()> {
        self.output.rewind()?;
        let mut found = vec![0; BUFFER_BYTES];
        for number in 0..(BYTES / BUFFER_BYTES) as u64 {
            self.output.read_exact(&mut found)?;
            if found != block(number) {
                return Err("what came out is not what went in".into());
            }
        }
        if self.output.read(&mut found)? > 0 {
            return Err("more came out than went in".into());
        }
        Ok(())
    }
}

impl Way {
    fn of(runs: &[Run]) -> Self {
        let spread = |value: fn(&Run) -> f64| Spread::of(&runs.iter().map(value).collect::<Vec<_>>());
        Self {
            gb_per_s: spread(|run| run.gb_per_s),
            seconds_per_gib: spread(|run| run.used.seconds * GIB / BYTES as f64),
            copies: spread(|run| run.used.bytes as f64 / BYTES as f64).median,
            calls_per_mib: spread(|run| run.used.calls as f64 / (BYTES >> 20) as f64).median,
        }
    }
}

/// A program on a processor.
fn on(processor: Option<usize>, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &processor.unwrap_or(0).to_string()]).arg(program);
    command
}

fn finish(began: Instant, mut writer: Child, mut reader: Child) -> Result<Run> {
    let mut used = Used::default();
    let children = [&mut writer, &mut reader];
    // Dead, but not forgotten: only now it is told what they used.
    for child in &children {
        waitid(WaitId::Pid(Pid::from_child(child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    }
    let took = began.elapsed();
    for child in children {
        used.add(child.id())?;
        if !child.wait()?.success() {
            return Err("a program failed".into());
        }
    }
    Ok(Run { gb_per_s: BYTES as f64 / took.as_secs_f64() / 1e9, used })
}

impl Used {
    fn add(&mut self, pid: u32) -> Result<()> {
        let io = std::fs::read_to_string(format!("/proc/{pid}/io"))?;
        let number = |key: &str| -> Result<u64> {
            let line = io.lines().find_map(|line| line.strip_prefix(key));
            Ok(line.ok_or("not among what the kernel counts")?.trim().parse()?)
        };
        self.bytes += number("rchar:")? + number("wchar:")?;
        self.calls += number("syscr:")? + number("syscw:")?;
        let run = std::fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
        self.seconds += run.split(' ').next().unwrap_or_default().parse::<f64>()? / 1e9;
        Ok(())
    }
}

fn through_pipe(files: &Files) -> Result<Run> {
    let (one, other) = cores::two().unzip();
    let began = Instant::now();
    let mut writer = on(one, Path::new("cat"));
    let mut writer = writer.stdin(files.input.try_clone()?).stdout(Stdio::piped()).spawn()?;
    let between = writer.stdout.take().ok_or("it was asked for")?;
    let reader = on(other, Path::new("cat")).stdin(between).stdout(files.output.try_clone()?).spawn()?;
    finish(began, writer, reader)
}

fn through_ring(program: &Path, files: &Files) -> Result<Run> {
    let (one, other) = cores::two().unzip();
    names::sweep()?;
    let name = Fleeting::new("-files")?;
    Producer::builder(name.as_str()).capacity(RING_BYTES).create_ring()?;
    let began = Instant::now();
    let mut reader = on(other, program);
    let reader = reader.args(["recv", name.as_str(), "--raw"]).stdout(files.output.try_clone()?).spawn()?;
    let mut writer = on(one, program);
    let writer = writer.args(["send", name.as_str(), "--raw"]).stdin(files.input.try_clone()?).spawn()?;
    finish(began, writer, reader)
}
