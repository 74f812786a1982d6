//! Without intermediate copies: messages are written in the ring and looked at where they lie.
//!
//! ```text
//! cargo run --release -p shm-examples --bin 03_in_place
//! ```

use shm_examples::{FreshName, Outcome, second_process};
use shm_ring::{Consumer, Producer};

/// The kinds of message, as tags: a number of 16 bits that travels beside each message.
const PICTURE: u16 = 1;
const CAPTION: u16 = 2;

const PIXELS: usize = 256;

fn main() -> Outcome {
    match second_process()? {
        Some((_, name)) => paint(&name),
        None => look(),
    }
}

fn paint(name: &str) -> Outcome {
    let mut producer = Producer::open_or_create(name)?;

    // Space for the longest message that it could become...
    let mut space = producer.reserve(64 << 10)?;
    space.write_at(0, &PIXELS.to_le_bytes())?;
    for pixel in 0..PIXELS {
        space.write_at(8 + pixel, &[u8::try_from(pixel)?])?;
    }
    space.set_tag(PICTURE);
    // ...of which as much is sent as was needed. Only now does the consumer see anything.
    space.commit(8 + PIXELS)?;

    // A reservation that is not committed sends nothing.
    producer.reserve(100)?.write_at(0, b"never seen")?;

    // A batch: the consumer sees all of it or nothing, and is woken at most once.
    let mut batch = producer.batch();
    for caption in ["a", "gentle", "ramp"] {
        batch.push_tagged(CAPTION, caption.as_bytes())?;
    }
    batch.send()?;

    producer.close();
    Ok(())
}

fn look() -> Outcome {
    let name = FreshName::new()?;
    let other = name.start("paint")?;
    let mut consumer = Consumer::open_or_create(name.as_str())?;

    let message = consumer.recv()?;
    println!("a message of {} bytes with tag {}", message.len(), message.tag());
    // The message still lies in the ring. Only the bytes that are asked for are copied, so whatever another
    // process does to the ring meanwhile, what we hold does not change any more. (Whoever trusts the producer
    // can have a slice without any copy: `message.view().as_slice()`, which is `unsafe`.)
    let mut count = [0; 8];
    message.read_at(0, &mut count);
    let mut last = [0; 1];
    message.read_at(8 + usize::from_le_bytes(count) - 1, &mut last);
    println!("{} pixels, the last is {}", usize::from_le_bytes(count), last[0]);
    // Its space goes back to the producer when it is dropped.
    drop(message);

    // To look without receiving, and lose nothing if this process were killed right here: peek, then take.
    let mut words = Vec::new();
    let mut peeks = consumer.peek_batch();
    while words.len() < 3 {
        let caption = peeks.next_until(shm_ring::Deadline::NEVER)?;
        words.push(String::from_utf8(caption.to_vec())?);
    }
    peeks.take(words.len());
    println!("caption: {}", words.join(" "));

    other.finish()
}
