//! A private view: a snapshot that can be changed, and the original knows nothing of it.
//!
//! ```text
//! cargo run --release -p shm-examples --bin private
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
    let fresh = FreshName::new()?;
    let object = Options::new().create(&Name::new(fresh.as_str())?, LETTER_BYTES)?;
    let region = object.map(Access::ReadWrite)?;
    letter::write(&region, GREETING)?;
    fresh.start("client")?.finish()?;
    println!("the original says: {}", letter::read(&region)?);
    Ok(())
}

fn client(name: &Name) -> Outcome {
    // The right to read is enough: what is stored stays in this process.
    let snapshot = Options::new().open(name, Access::ReadOnly)?.map_private()?;
    letter::print(&snapshot)?;
    letter::write(&snapshot, "changed by its client")?;
    println!("the snapshot says: {}", letter::read(&snapshot)?);
    Ok(())
}
