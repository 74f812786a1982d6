//! `shmring create`: a ring that waits for its participants.

use crate::context::Context;
use crate::failure::Failure;
use crate::shape::{Plan, Shape};
use crate::units;
use shm_core::Place;

/// Creates a ring
///
/// All of its memory is taken now: later nothing fails for want of it. The ring stays until it is removed.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The ring, such as ticks
    name: Place,
    #[command(flatten)]
    shape: Shape,
    /// Permissions, in octal
    #[arg(long, default_value = "0600", value_parser = units::parse_mode)]
    mode: u32,
}

/// Creates the ring.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let directory = context.directory.clone();
    arguments.shape.require_capacity()?;
    match arguments.shape.plan(&arguments.name.to_string())? {
        Plan::One(builder) => builder.directory(directory).mode(arguments.mode).create_ring()?,
        Plan::Many(builder) => builder.directory(directory).mode(arguments.mode).create_ring()?,
    }
    Ok(())
}
