//! How calls wait, for how long, and what ends a stream.
//!
//! ```text
//! cargo run --release -p shm-examples --bin 04_waiting
//! ```

use shm_examples::{FreshName, Outcome, second_process};
use shm_ring::{Consumer, End, Error, Producer, WaitStrategy};
use std::time::Duration;

fn main() -> Outcome {
    match second_process()? {
        Some((role, name)) => send(&name, role == "send_and_close"),
        None => receive(),
    }
}

fn send(name: &str, close: bool) -> Outcome {
    // Spin looks again and again: the shortest latency, for a processor of its own. Adaptive, the default, does
    // so only for as long as it pays, and then sleeps. Sleep sleeps at once.
    let mut producer = Producer::builder(name).wait(WaitStrategy::Adaptive).open()?;
    producer.send(b"something")?;
    if close {
        producer.close(); // the stream is complete
    }
    Ok(()) // otherwise dropped: we leave, and nobody knows whether that was all
}

fn receive() -> Outcome {
    let name = FreshName::new()?;
    let mut consumer = Consumer::builder(name.as_str()).capacity(64).wait(WaitStrategy::Sleep).create()?;

    // Three ways to wait: not at all, for some time, and (`recv`) for as long as it takes.
    match consumer.try_recv() {
        Err(Error::Empty) => println!("try_recv: nothing there"),
        other => return Err(format!("{other:?}").into()),
    }
    match consumer.recv_timeout(Duration::from_millis(50)) {
        Err(Error::TimedOut) => println!("recv_timeout: nothing came"),
        other => return Err(format!("{other:?}").into()),
    }

    // Two producers, one after the other. Each is a stream of its own, with its own end.
    for role in ["send_and_close", "send_and_leave"] {
        let other = name.start(role)?;
        let message = consumer.recv()?.to_vec();
        // What was sent is received first; then the end is told, once; then the consumer waits for the next
        // producer. Iterating (`consumer.iter()`) ends by itself at `Closed`.
        match consumer.recv() {
            Err(Error::Disconnected(end)) => {
                let meaning = match end {
                    End::Closed => "it said that this was all",
                    End::Dropped => "it left without closing",
                    End::Died => "its process died",
                };
                println!("{role}: {} bytes, then {end:?}: {meaning}", message.len());
            }
            other => return Err(format!("{other:?}").into()),
        }
        other.finish()?;
    }
    drop(consumer);

    // A full ring is waited for in the same three ways. This one has 64 bytes, and nobody receives.
    let mut producer = Producer::open(name.as_str())?;
    let mut sent = 0;
    while producer.try_send(b"12345678").is_ok() {
        sent += 1;
    }
    println!("try_send: full after {sent} messages");
    match producer.send_timeout(b"12345678", Duration::from_millis(50)) {
        Err(Error::TimedOut) => println!("send_timeout: no space came"),
        other => return Err(format!("{other:?}").into()),
    }
    // No space could ever be enough for this one, so it is an error at once and never a wait.
    if let Err(error) = producer.send(&[0; 64]) {
        println!("send: {error}");
    }
    Ok(())
}
