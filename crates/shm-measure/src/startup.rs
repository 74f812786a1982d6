//! What it costs to make a ring and to join it.

use crate::Result;
use crate::names::{Fleeting, sweep};
use crate::spread::Spread;
use shm_ring::{Consumer, Producer, Sender, inspect};
use std::time::{Duration, Instant};

/// How often each is done.
const TIMES: usize = 200;
const RING_BYTES: u64 = 1 << 20;

/// What it costs to have a ring of 1 MiB.
#[derive(Clone, Copy, Debug)]
pub struct Startup {
    /// Making it and taking its producer's seat, in microseconds.
    pub create_us: Spread,
    /// Opening it and taking its consumer's seat, in microseconds.
    pub open_us: Spread,
    /// Bytes of its object beyond its capacity.
    pub spsc_overhead_bytes: u64,
    /// Bytes of the object of an MPMC ring of 1,024 messages of 64 bytes, beyond those of the messages.
    pub mpmc_overhead_bytes: u64,
}

/// Makes, joins and removes rings with names. The range is from the 10th to the 90th of 100.
///
/// # Errors
/// When `/dev/shm` has no room for one.
pub fn measure() -> Result<Startup> {
    sweep()?;
    let (mut creates, mut opens) = (Vec::new(), Vec::new());
    let mut spsc_overhead_bytes = 0;
    for _ in 0..TIMES {
        let name = Fleeting::new("-startup")?;
        let (producer, took) = timed(|| Producer::builder(name.as_str()).capacity(RING_BYTES).create())?;
        creates.push(took);
        let (consumer, took) = timed(|| Consumer::open(name.as_str()))?;
        opens.push(took);
        spsc_overhead_bytes = inspect(name.as_str())?.object_bytes - RING_BYTES;
        drop((producer, consumer));
    }
    let name = Fleeting::new("-startup")?;
    Sender::builder(name.as_str()).capacity(1024).max_message(64).create_ring()?;
    let mpmc_overhead_bytes = inspect(name.as_str())?.object_bytes - 1024 * 64;
    Ok(Startup {
        create_us: middle(creates),
        open_us: middle(opens),
        spsc_overhead_bytes,
        mpmc_overhead_bytes,
    })
}

fn timed<T>(what: impl FnOnce() -> shm_ring::Result<T>) -> Result<(T, Duration)> {
    let began = Instant::now();
    let made = what()?;
    Ok((made, began.elapsed()))
}

fn middle(mut times: Vec<Duration>) -> Spread {
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0.0, Duration::as_secs_f64) * 1e6;
    Spread { least: at(10), median: at(50), most: at(90) }
}
