//! A zone: named memory for a process and its children, by whichever mechanism works on this machine.
//!
//! ```text
//! cargo run --release -p shm-examples --bin zone
//! ```

use shm_core::Zone;
use shm_examples::Outcome;
use shm_examples::child::in_a_child;
use shm_examples::letter::{self, GREETING, LETTER_BYTES};

fn main() -> Outcome {
    let zone = Zone::create("letters", LETTER_BYTES)?;
    in_a_child(
        || {
            // The child asks for it by its name, and gets what is there.
            let zone = Zone::create("letters", LETTER_BYTES)?;
            if !zone.existed() {
                return Err("it is another one".into());
            }
            letter::print(zone.region())
        },
        || Ok(letter::write(zone.region(), GREETING)?),
    )
}
