//! The first message: two processes, two calls on either side.
//!
//! A ring has a name, like a file, and each side opens or creates it: it does not matter who is first.
//!
//! ```text
//! cargo run --release -p shm-examples --bin 01_hello
//! ```

use shm_examples::{FreshName, Outcome, second_process};
use shm_ring::{Consumer, Producer};

fn main() -> Outcome {
    match second_process()? {
        Some((_, name)) => say_hello(&name),
        None => hear_it(),
    }
}

/// The second process.
fn say_hello(name: &str) -> Outcome {
    let mut producer = Producer::open_or_create(name)?;
    producer.send(b"hello through shared memory")?;
    // The message is in the ring and stays there, even if this process ends before anybody has received it.
    // `close` says that nothing more comes; without it, the consumer would be told that we left early.
    producer.close();
    Ok(())
}

/// The first process.
fn hear_it() -> Outcome {
    // Your programs agree on a name such as "hello"; this one can run many times at once.
    let name = FreshName::new()?;
    let other = name.start("say_hello")?;

    let mut consumer = Consumer::open_or_create(name.as_str())?;
    let message = consumer.recv()?; // waits for it, sleeping when that takes long
    println!("received: {}", String::from_utf8_lossy(&message.to_vec()));

    other.finish()
}
