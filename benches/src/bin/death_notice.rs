//! How long it takes until a sleeper learns that the process it waits for was killed: until it is woken, and until
//! it is told, by how much memory the dead one had.
//!
//! `cargo run --release -p shm-benches --bin death_notice [KILLS]`
//!
//! The kernel marks a life word, and wakes whoever sleeps on it, as soon as the process begins to die; it frees the
//! lock, which is the verdict, only when the process's memory is taken down. The library's slices, after which a
//! sleeper looks around without having been woken, are switched off. Sleeper and victim are pinned apart where there
//! are two processors: otherwise the sleeper may have to wait for the one that takes the dead process down.

use hdrhistogram::Histogram;
use shm_core::{Access, Deadline, LifeState, Name, Options, life, wait_any};
use shm_measure::names::{Fleeting, sweep};
use shm_measure::{Result, cores};
use shm_ring::layout::{mpmc, spsc};
use shm_ring::{Consumer, End, Error, Producer, Receiver, Sender};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KILLS: u64 = 200;
const RESIDENT_MIB: [u64; 4] = [0, 16, 64, 256];
/// So long the sleeper is given to fall asleep.
const SETTLE: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
enum Kind {
    Spsc,
    Mpmc,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, name, kind, mebibytes] = arguments.as_slice()
        && role == "victim"
    {
        return be_killed(name, kind, mebibytes.parse()?);
    }
    sweep()?;
    cores::two(); // asked before anybody is pinned
    let kills = arguments.get(1).map_or(Ok(KILLS), |count| count.parse())?;
    println!("microseconds from SIGKILL, {kills} kills each     p50      p90      p99      max");
    for (kind, label) in [(Kind::Spsc, "spsc"), (Kind::Mpmc, "mpmc")] {
        for mebibytes in RESIDENT_MIB {
            let woken = times(kills, kind, label, mebibytes, woken)?;
            let told = times(kills, kind, label, mebibytes, told)?;
            row(label, mebibytes, "woken", &woken);
            row(label, mebibytes, "told", &told);
        }
    }
    Ok(())
}

fn row(label: &str, mebibytes: u64, what: &str, times: &Histogram<u64>) {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    let (p50, p90, p99, max) = (at(0.5), at(0.9), at(0.99), times.max() as f64 / 1e3);
    println!(
        "{label}  {mebibytes:5} MiB resident  {what:5}          {p50:8.0} {p90:8.0} {p99:8.0} {max:8.0}"
    );
}

/// What is done until the moment whose time counts; it is given the ring's name, and what kills the other side.
type Until = fn(Kind, &str, Box<dyn FnOnce() -> Instant + Send>) -> Result<Duration>;

fn times(kills: u64, kind: Kind, label: &str, mebibytes: u64, until: Until) -> Result<Histogram<u64>> {
    let mut times = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)?;
    for _ in 0..kills {
        let fleeting = Fleeting::new("-death-notice")?;
        let name = fleeting.as_str().to_owned();
        match kind {
            Kind::Spsc => Producer::builder(&name).capacity(4096).create_ring()?,
            Kind::Mpmc => Sender::builder(&name).capacity(16).create_ring()?,
        }
        let mut victim = start(&name, label, mebibytes)?;
        let kill = {
            let pid = rustix::process::Pid::from_child(&victim);
            Box::new(move || {
                std::thread::sleep(SETTLE);
                let now = Instant::now();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                now
            })
        };
        let time = std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                if let Some((one, _)) = cores::two() {
                    cores::pin_to(one)?;
                }
                until(kind, &name, kill)
            });
            sleeper.join().map_err(|_| "the sleeper panicked")?
        })?;
        times.record(u64::try_from(time.as_nanos())?.max(1))?;
        victim.wait()?;
    }
    Ok(times)
}

fn start(name: &str, label: &str, mebibytes: u64) -> Result<Child> {
    let arguments = ["victim", name, label, &mebibytes.to_string()];
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn()?;
    let mut line = [0; 6];
    child.stdout.as_mut().ok_or("it was asked for")?.read_exact(&mut line)?;
    Ok(child)
}

/// In the other process: takes part, touches so much memory, and waits for its end.
fn be_killed(name: &str, kind: &str, mebibytes: usize) -> Result<()> {
    if let Some((_, other)) = cores::two() {
        cores::pin_to(other)?;
    }
    let mut ballast = vec![0_u8; mebibytes << 20];
    ballast.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    let ends: Box<dyn std::any::Any> =
        if kind == "spsc" { Box::new(Producer::open(name)?) } else { Box::new(Sender::open(name)?) };
    std::io::stdout().write_all(b"ready\n")?;
    std::io::stdout().flush()?;
    std::thread::sleep(Duration::from_secs(600));
    drop((ballast, ends));
    Ok(())
}

/// Until somebody who sleeps on the victim's life word is awake.
fn woken(kind: Kind, name: &str, kill: Box<dyn FnOnce() -> Instant + Send>) -> Result<Duration> {
    let object = Options::new().open(&Name::new(name)?, Access::ReadOnly)?;
    let offset = match kind {
        Kind::Spsc => spsc::PRODUCER_REGION_OFFSET + spsc::PRODUCER_WAIT_OFFSET + spsc::LIFE_OFFSET,
        Kind::Mpmc => mpmc::SEATS_OFFSET + mpmc::LIFE_OFFSET, // the first to come sits on the first seat
    };
    let word = object.map(Access::ReadOnly)?.read_word(offset)?;
    let alive = life::look(&word);
    if life::state(alive) != LifeState::Alive {
        return Err("this kernel or container has no life words".into());
    }
    let killer = std::thread::spawn(kill);
    while life::state(life::look(&word)) == LifeState::Alive {
        wait_any((&word, alive), &[], Deadline::NEVER)?;
    }
    let now = Instant::now();
    Ok(now.saturating_duration_since(killer.join().map_err(|_| "the killer panicked")?))
}

/// Until a call that waits for the victim has said that it died.
fn told(kind: Kind, name: &str, kill: Box<dyn FnOnce() -> Instant + Send>) -> Result<Duration> {
    let (now, killed, end) = match kind {
        Kind::Spsc => {
            let mut consumer = Consumer::builder(name).backstop(false).open()?;
            let killer = std::thread::spawn(kill);
            let end = consumer.recv().map(drop);
            (Instant::now(), killer.join(), end)
        }
        Kind::Mpmc => {
            let mut receiver = Receiver::builder(name).backstop(false).open()?;
            let killer = std::thread::spawn(kill);
            let end = receiver.recv().map(drop);
            (Instant::now(), killer.join(), end)
        }
    };
    if !matches!(end, Err(Error::Disconnected(End::Died))) {
        return Err(format!("told something else than a death: {end:?}").into());
    }
    Ok(now.saturating_duration_since(killed.map_err(|_| "the killer panicked")?))
}
