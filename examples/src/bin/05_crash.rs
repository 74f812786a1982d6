//! A producer is killed in the middle of its work. Nothing is lost that it had sent, nobody hangs, and the
//! next one goes on.
//!
//! ```text
//! cargo run --release -p shm-examples --bin 05_crash
//! ```

use shm_examples::{FreshName, Outcome, second_process};
use shm_ring::{Consumer, End, Error, Producer};

/// How many messages are received before the producer is killed.
const BEFORE_THE_KILL: u64 = 100_000;
/// How many messages its successor sends.
const OF_THE_SUCCESSOR: u64 = 1000;

fn main() -> Outcome {
    match second_process()? {
        Some((role, name)) if role == "send_for_ever" => send(&name, u64::MAX),
        Some((_, name)) => send(&name, OF_THE_SUCCESSOR),
        None => receive(),
    }
}

fn send(name: &str, count: u64) -> Outcome {
    // A killed process keeps its seat at the ring until the kernel has cleaned up after it; its successor waits
    // for that, here and by itself.
    let mut producer = Producer::open(name)?;
    for number in 0..count {
        producer.send(&number.to_le_bytes())?;
    }
    producer.close();
    Ok(())
}

/// Receives the number that must come next.
fn receive_number(consumer: &mut Consumer, expected: u64) -> Result<(), Error> {
    let mut bytes = [0; 8];
    consumer.recv_into(&mut bytes)?;
    assert_eq!(u64::from_le_bytes(bytes), expected, "a message is missing, or came twice");
    Ok(())
}

fn receive() -> Outcome {
    let name = FreshName::new()?;
    let mut consumer = Consumer::create(name.as_str())?;

    let producer = name.start("send_for_ever")?;
    for number in 0..BEFORE_THE_KILL {
        receive_number(&mut consumer, number)?;
    }
    println!("received {BEFORE_THE_KILL} messages; killing the producer");
    producer.kill()?;

    // What it had sent is in the ring, whole, up to the last message. Then we are told: by the kernel, which
    // knows at once, and not by a timeout that would have to guess.
    let mut number = BEFORE_THE_KILL;
    let end = loop {
        match receive_number(&mut consumer, number) {
            Ok(()) => number += 1,
            Err(Error::Disconnected(end)) => break end,
            Err(error) => return Err(error.into()),
        }
    };
    assert_eq!(end, End::Died);
    println!("received the rest of what it sent, none missing; then told: {end:?}");

    // Nobody has to repair anything: the next producer takes the seat and goes on.
    let successor = name.start("send_some")?;
    for number in 0..OF_THE_SUCCESSOR {
        receive_number(&mut consumer, number)?;
    }
    match receive_number(&mut consumer, 0) {
        Err(Error::Disconnected(End::Closed)) => {}
        other => return Err(format!("{other:?}").into()),
    }
    println!("a new producer went on with {OF_THE_SUCCESSOR} messages; then told: Closed");
    successor.finish()
}
