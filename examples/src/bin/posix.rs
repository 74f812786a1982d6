//! A POSIX shared memory object: two programs that agree on a name.
//!
//! ```text
//! cargo run --release -p shm-examples --bin posix
//! ```

use shm_core::{Access, Name, Options};
use shm_examples::letter::{self, GREETING, LETTER_BYTES};
use shm_examples::{FreshName, Outcome, second_process};

fn main() -> Outcome {
    match second_process()? {
        None => server(),
        Some((_, name)) => client(&Name::new(&name)?),
    }
}

fn server() -> Outcome {
    let fresh = FreshName::new()?; // removes the object in the end
    let object = Options::new().create(&Name::new(fresh.as_str())?, LETTER_BYTES)?;
    let region = object.map(Access::ReadWrite)?;
    let client = fresh.start("client")?;
    letter::write(&region, GREETING)?;
    client.finish()
}

fn client(name: &Name) -> Outcome {
    // To sleep until the letter is there, reading is enough.
    let object = Options::new().open(name, Access::ReadOnly)?;
    letter::print(&object.map(Access::ReadOnly)?)
}
