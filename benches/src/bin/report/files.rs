//! From file to file: through a pipe, and through a ring by the program.

use shm_measure::names::{self, Fleeting};
use shm_measure::spread::{RUNS, Spread};
use shm_measure::{Result, cores};
use shm_ring::Producer;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const BYTES: usize = 256 << 20;

/// Gigabytes a second, from a file to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speeds {
    pub(crate) ring: Spread,
    pub(crate) pipe: Spread,
}

/// A directory that goes with this value.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // what is left is in the temporary directory
    }
}

/// `None` where the program is not built.
pub(crate) fn measure() -> Result<Option<Speeds>> {
    let program = std::env::current_exe()?.with_file_name("shmring");
    if !program.exists() {
        return Ok(None);
    }
    let scratch = Scratch(std::env::temp_dir().join(format!("shm-report-{}", std::process::id())));
    std::fs::create_dir(&scratch.0)?;
    let (input, output) = (scratch.0.join("in"), scratch.0.join("out"));
    let bytes: Vec<u8> =
        (0..BYTES as u64 / 8).flat_map(|number| (number ^ number << 29).to_le_bytes()).collect();
    std::fs::write(&input, &bytes)?;
    let (mut ring, mut pipe) = (Vec::new(), Vec::new());
    for run in 0..=RUNS {
        let rates = [through_pipe(&input, &output)?, through_ring(&program, &input, &output)?];
        if std::fs::read(&output)? != bytes {
            return Err("what came out of the ring is not what went in".into());
        }
        // The first one brings the files into memory.
        if run > 0 {
            pipe.push(rates[0]);
            ring.push(rates[1]);
        }
    }
    Ok(Some(Speeds { ring: Spread::of(&ring), pipe: Spread::of(&pipe) }))
}

/// A program on a processor.
fn on(processor: Option<usize>, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &processor.unwrap_or(0).to_string()]).arg(program);
    command
}

fn rate(began: Instant, mut writer: Child, mut reader: Child) -> Result<f64> {
    if writer.wait()?.success() && reader.wait()?.success() {
        return Ok(BYTES as f64 / began.elapsed().as_secs_f64() / 1e9);
    }
    Err("a program failed".into())
}

fn through_pipe(input: &Path, output: &Path) -> Result<f64> {
    let (one, other) = cores::two().unzip();
    let began = Instant::now();
    let mut writer = on(one, Path::new("cat")).stdin(File::open(input)?).stdout(Stdio::piped()).spawn()?;
    let between = writer.stdout.take().ok_or("it was asked for")?;
    // A second pipe: cat would otherwise use the kernel's shortcut from file to file.
    let reader = on(other, Path::new("cat")).stdin(between).stdout(File::create(output)?).spawn()?;
    rate(began, writer, reader)
}

fn through_ring(program: &Path, input: &Path, output: &Path) -> Result<f64> {
    let (one, other) = cores::two().unzip();
    names::sweep()?;
    let name = Fleeting::new("-files")?;
    Producer::builder(name.as_str()).capacity(1 << 20).create_ring()?;
    let began = Instant::now();
    let mut reader = on(other, program);
    let reader = reader.args(["recv", name.as_str(), "--raw"]).stdout(File::create(output)?).spawn()?;
    let mut writer = on(one, program);
    let writer = writer.args(["send", name.as_str(), "--raw"]).stdin(File::open(input)?).spawn()?;
    rate(began, writer, reader)
}
