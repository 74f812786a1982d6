//! Values of one plain type instead of bytes: no lengths, no encoding, and the type is checked.
//!
//! ```text
//! cargo run --release -p shm-examples --bin 02_typed
//! ```

use bytemuck::{Pod, Zeroable};
use shm_examples::{FreshName, Outcome, second_process};
use shm_ring::{TypedConsumer, TypedProducer};

/// What goes through the ring. `Pod` (plain old data) is checked by the compiler: fixed layout, no padding, no
/// pointers. A pointer would mean nothing in the other process.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Tick {
    price: f64,
    amount: u32,
    venue: u32,
}

fn main() -> Outcome {
    match second_process()? {
        Some((_, name)) => send_ticks(&name),
        None => add_up(),
    }
}

fn tick(number: u32) -> Tick {
    Tick { price: 100.0 + f64::from(number) / 4.0, amount: number, venue: 7 }
}

fn send_ticks(name: &str) -> Outcome {
    let mut producer = TypedProducer::<Tick>::open_or_create(name)?;
    producer.send(&tick(1))?;
    // Many at once are published together, which is faster.
    producer.send_slice(&[tick(2), tick(3), tick(4)])?;
    producer.close();
    Ok(())
}

fn add_up() -> Outcome {
    let name = FreshName::new()?;
    // Created before the other process starts, so that we can choose the capacity: in values, rounded up to a
    // power of two.
    let mut consumer = TypedConsumer::<Tick>::builder(name.as_str()).capacity(1000).create()?;
    println!("the ring has room for {} ticks", consumer.capacity());
    let other = name.start("send_ticks")?;

    let mut amount = 0;
    // Ends when the producer has closed and everything is received.
    for tick in consumer.iter() {
        let tick = tick?;
        println!("{} at {}", tick.amount, tick.price);
        amount += tick.amount;
    }
    println!("{amount} in all");
    other.finish()?;

    // The ring knows its type: its name, size and alignment. A program that was built with another `Tick` is
    // refused, instead of reading nonsense.
    match TypedProducer::<[u64; 2]>::open(name.as_str()) {
        Ok(_) => Err("a ring of ticks was opened as one of pairs".into()),
        Err(error) => {
            println!("refused: {error}");
            Ok(())
        }
    }
}
