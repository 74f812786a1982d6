//! A memfd: memory without a name, whose descriptor goes over a Unix socket. Its size is sealed, so that the receiver
//! need not fear that it is cut off under its mapping.
//!
//! ```text
//! cargo run --release -p shm-examples --bin memfd
//! ```

use shm_core::seal::{self, Expectation};
use shm_core::{Access, Deadline, Memfd, Object, Seals, pass};
use shm_examples::Outcome;
use shm_examples::child::in_a_child;
use shm_examples::letter::{self, GREETING, LETTER_BYTES};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn main() -> Outcome {
    // Your programs have a socket with a path, or a parent that gives them one.
    let (here, there) = UnixStream::pair()?;
    in_a_child(|| client(&there), || server(&here))
}

fn patience() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

fn server(socket: &UnixStream) -> Outcome {
    let object = Memfd::new("letter").create(LETTER_BYTES)?;
    let region = object.map(Access::ReadWrite)?;
    letter::write(&region, GREETING)?;
    // From now on nobody maps it for writing, or changes its size; the region above stays as it is.
    seal::apply(&object, Seals::RECEIVER_SAFE, "the letter")?;
    pass::send(socket, b"letter", &[object.as_fd()], patience())?;
    Ok(())
}

fn client(socket: &UnixStream) -> Outcome {
    let mut payload = [0; 6];
    let received = pass::receive(socket, &mut payload, 1, patience())?;
    let descriptor = received.descriptors.into_iter().next().ok_or("no descriptor")?;
    // Before anything is mapped: is it what was agreed?
    Expectation::new(LETTER_BYTES).verify(&descriptor, "the letter")?;
    let object = Object::from_descriptor(descriptor, "the letter")?;
    letter::print(&object.map(Access::ReadOnly)?)
}
