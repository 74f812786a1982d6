//! Memory of `/dev/zero`: as anonymous memory, on systems that lack it.
//!
//! ```text
//! cargo run --release -p shm-examples --bin dev_zero
//! ```

use shm_core::anonymous;
use shm_examples::Outcome;
use shm_examples::child::in_a_child;
use shm_examples::letter::{self, GREETING, LETTER_BYTES};

fn main() -> Outcome {
    let region = anonymous::dev_zero(LETTER_BYTES)?;
    in_a_child(|| letter::print(&region), || Ok(letter::write(&region, GREETING)?))
}
