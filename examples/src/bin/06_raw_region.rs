//! Shared memory without a ring: a named object, its mapping, and an event to wait for.
//!
//! For state that is overwritten rather than queued, such as a table of the newest prices, or for a data
//! structure of your own.
//!
//! ```text
//! cargo run --release -p shm-examples --bin 06_raw_region
//! ```

use shm_core::{Access, Deadline, Event, Listener, Name, Options, Region, Woken};
use shm_examples::{FreshName, Outcome, second_process};
use std::time::Duration;

/// Where things lie. Offsets are all that two processes can agree on: each maps the object at an address of
/// its own, so an address would mean nothing to the other.
const ASKED: usize = 0; // an event, 4 bytes
const ANSWERED: usize = 128; // another one, on a cache line of its own
const QUESTION: usize = 256; // two u64
const ANSWER: usize = 384; // u64
const OBJECT_BYTES: u64 = 4096;

/// Long enough for the other process to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Outcome {
    match second_process()? {
        Some((_, name)) => answer(&Name::new(&name)?),
        None => ask(),
    }
}

/// Waits until the event was signalled for the first time. Its count, zero in fresh memory, says so even if
/// that was before we came; and whatever was stored before the signal can be seen after it.
fn await_first(region: &Region, event: usize) -> Outcome {
    let listener = Listener::new(region, event)?;
    let deadline = Deadline::after(PATIENCE);
    while listener.count() == 0 {
        // Sleeps only if the count is still 0. Sleeps may end early, hence the loop.
        if listener.wait(0, deadline)? == Woken::TimedOut {
            return Err("the other process does not answer".into());
        }
    }
    Ok(())
}

fn answer(name: &Name) -> Outcome {
    let object = Options::new().open(name, Access::ReadWrite)?;
    let region = object.map(Access::ReadWrite)?;
    await_first(&region, ASKED)?;
    let [a, b] = region.read_value::<[u64; 2]>(QUESTION)?;
    region.write_value(ANSWER, &(a * b))?;
    Event::new(&region, ANSWERED)?.signal()?;
    Ok(())
}

fn ask() -> Outcome {
    let fresh = FreshName::new()?;
    let name = Name::new(fresh.as_str())?;
    // The object gets its name when it is complete and all of its memory is there: nobody ever opens a half-made
    // one, and no later access can fail for want of memory.
    let object = Options::new().mode(0o600).create(&name, OBJECT_BYTES)?;
    let region = object.map(Access::ReadWrite)?;
    let other = fresh.start("answer")?;

    region.write_value(QUESTION, &[6_u64, 7])?;
    Event::new(&region, ASKED)?.signal()?;
    await_first(&region, ANSWERED)?;
    println!("6 times 7 is {}, says another process", region.read_value::<u64>(ANSWER)?);

    // Every access is checked against the mapping.
    match region.read_value::<u64>(4090) {
        Ok(_) => return Err("read beyond the end".into()),
        Err(error) => println!("refused: {error}"),
    }
    // The name can go; mappings and descriptors stay valid.
    Options::new().unlink(&name)?;
    println!("without its name the object still holds {}", region.read_value::<u64>(ANSWER)?);
    other.finish()
}
