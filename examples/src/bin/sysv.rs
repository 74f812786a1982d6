//! A System V segment: two programs that agree on a key.
//!
//! ```text
//! cargo run --release -p shm-examples --bin sysv
//! ```

use shm_core::sysv::{Key, Segment};
use shm_core::{Access, Identity};
use shm_examples::letter::{self, GREETING, LETTER_BYTES};
use shm_examples::{Outcome, second_process, start};

fn main() -> Outcome {
    match second_process()? {
        None => server(),
        Some((_, key)) => client(key.parse()?),
    }
}

/// A segment stays until somebody removes it: here, whoever made it, also after an error.
struct Removed(Segment);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

fn server() -> Outcome {
    // Your programs agree on a number, or make one of a path that both know: Key::of_path.
    let random = Identity::random()?.to_string();
    let key: Key = format!("0x5{}", &random[..7]).parse()?;
    let segment = Removed(Segment::create(key, LETTER_BYTES)?);
    let region = segment.0.attach(Access::ReadWrite)?;
    let client = start("client", &key.to_string())?;
    letter::write(&region, GREETING)?;
    client.finish()
}

fn client(key: Key) -> Outcome {
    letter::print(&Segment::open(key)?.attach(Access::ReadOnly)?)
}
