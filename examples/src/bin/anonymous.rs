//! Anonymous memory: a process and the child that it forks.
//!
//! ```text
//! cargo run --release -p shm-examples --bin anonymous
//! ```

use shm_core::anonymous;
use shm_examples::Outcome;
use shm_examples::child::in_a_child;
use shm_examples::letter::{self, GREETING, LETTER_BYTES};

fn main() -> Outcome {
    // Mapped before the fork: the child has the same memory at the same address.
    let region = anonymous::map(LETTER_BYTES)?;
    in_a_child(|| letter::print(&region), || Ok(letter::write(&region, GREETING)?))
}
