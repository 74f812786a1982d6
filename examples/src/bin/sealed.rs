//! A sealed ring: two processes that do not trust each other, with a Unix socket between them. Each writes memory of
//! its own, which the other can read and nobody else can change. Started as root, the client goes on as an ordinary
//! user.
//!
//! ```text
//! cargo run --release -p shm-examples --bin sealed
//! ```

use shm_examples::Outcome;
use shm_examples::child::in_a_child;
use shm_ring::{Consumer, End, Error, Producer};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
/// Nobody's user and group on most systems.
const NOBODY: u32 = 65534;

fn main() -> Outcome {
    // Your programs have a socket with a path, and look who is there: shm_core::pass::peer.
    let (here, there) = UnixStream::pair()?;
    in_a_child(|| client(there), || server(here))
}

fn server(socket: UnixStream) -> Outcome {
    let mut producer =
        Producer::builder("orders").capacity(1 << 16).attach_timeout(PATIENCE).connect(socket)?;
    for order in ["buy 10", "sell 7", "cancel"] {
        producer.send(order.as_bytes())?;
    }
    producer.close();
    Ok(())
}

fn client(socket: UnixStream) -> Outcome {
    give_up_rights()?;
    let mut consumer = Consumer::builder("orders").attach_timeout(PATIENCE).connect(socket)?;
    loop {
        match consumer.recv() {
            Ok(order) => println!("order: {}", String::from_utf8_lossy(&order.to_vec())),
            Err(Error::Disconnected(End::Closed)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("that was all of them");
    Ok(())
}

fn give_up_rights() -> Outcome {
    if rustix::process::geteuid().is_root() {
        let (user, group) = (rustix::process::Uid::from_raw(NOBODY), rustix::process::Gid::from_raw(NOBODY));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)?;
    }
    Ok(())
}
