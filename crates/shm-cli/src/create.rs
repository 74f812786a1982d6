//! `shmring create`: a ring that waits for its participants.

use crate::context::Context;
use crate::failure::{Failure, note};
use crate::units;
use shm_core::Name;
use shm_ring::Producer;

/// Creates a ring
///
/// All of its memory is taken now: later nothing fails for want of it. The ring stays until it is removed.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The ring, such as ticks
    name: Name,
    /// Bytes in the ring, such as 64KiB or 1MiB; rounded up to a power of two
    #[arg(long, value_name = "SIZE", value_parser = units::parse_capacity)]
    capacity: u64,
    /// Permissions, in octal
    #[arg(long, default_value = "0600", value_parser = units::parse_mode)]
    mode: u32,
}

/// Creates the ring.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let capacity = units::ring_capacity(arguments.capacity)?;
    Producer::builder(arguments.name.as_str())
        .directory(context.directory.clone())
        .capacity(capacity)
        .mode(arguments.mode)
        .create_ring()?;
    if capacity != arguments.capacity {
        note(&format!("capacity {} rounded up to {capacity} bytes", arguments.capacity));
    }
    Ok(())
}
