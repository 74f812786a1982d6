//! `shmring rm`: takes a ring's name away.

use crate::context::Context;
use crate::failure::Failure;
use crate::report::is_spoilt_ring;
use shm_core::Place;
use shm_ring::{Removal, inspect_in, remove_in};

/// Removes a ring
///
/// Refuses while living participants are attached, and names them. What is not a ring is never removed.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The ring
    name: Place,
    /// Remove it whoever uses it: they receive what was sent, and are told. Removes damaged rings as well
    #[arg(long)]
    force: bool,
}

/// Removes the ring.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let (directory, name) = (&context.directory, &arguments.name.to_string());
    if arguments.force {
        return Ok(remove_in(directory, name, Removal::Always)?);
    }
    match inspect_in(directory, name) {
        // Who uses a ring that can not be read can not be told.
        Err(error) if is_spoilt_ring(&error) => {
            Err(Failure::error(format!("{error} (shmring rm --force removes it)")))
        }
        _ => Ok(remove_in(directory, name, Removal::IfUnused)?),
    }
}
