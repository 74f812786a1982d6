//! One message in raw shared memory, for the examples of kinds of memory: whoever comes first, the reader waits until
//! the writer has written.

use shm_core::{Deadline, Event, Listener, Region, Woken};
use std::time::Duration;

/// What the server writes in every example.
pub const GREETING: &str = "hello share memory ipc! i'm server.";

/// Room for a letter.
pub const LETTER_BYTES: u64 = 4096;

/// An event of 4 bytes, in fresh memory 0;
const WRITTEN: usize = 0;
/// on a line of its own, the length of the text, a u64, and the text.
const LENGTH: usize = 128;
const TEXT: usize = 136;

/// Long enough for the other process to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes the text, and then says that it is there: whoever sees that, sees the text.
///
/// # Errors
/// When it does not fit.
pub fn write(region: &Region, text: &str) -> shm_core::Result<()> {
    region.write_value(LENGTH, &(text.len() as u64))?;
    region.copy_in(TEXT, text.as_bytes())?;
    Event::new(region, WRITTEN)?.signal()?;
    Ok(())
}

/// Waits for the text, and copies it out.
///
/// # Errors
/// When nobody writes one in time, or it is garbage.
pub fn read(region: &Region) -> Result<String, Box<dyn std::error::Error>> {
    let listener = Listener::new(region, WRITTEN)?;
    let deadline = Deadline::after(PATIENCE);
    while listener.count() == 0 {
        // Sleeps only if the count is still 0. Sleeps may end early, hence the loop.
        if listener.wait(0, deadline)? == Woken::TimedOut {
            return Err("the other process does not write".into());
        }
    }
    let length = region.read_value::<u64>(LENGTH)?;
    if length > LETTER_BYTES - TEXT as u64 {
        return Err("the length is garbage".into()); // whoever may write the memory may have written anything
    }
    let mut text = vec![0; usize::try_from(length)?];
    region.copy_out(TEXT, &mut text)?;
    Ok(String::from_utf8(text)?)
}

/// What the client does in every example.
///
/// # Errors
/// As [`read`].
pub fn print(region: &Region) -> Result<(), Box<dyn std::error::Error>> {
    println!("ipc client get: {}", read(region)?);
    Ok(())
}
