//! Rings made by the real code, in states worth starting from.

use crate::object::{NAME, Scratch};
use crate::peers::Enemy;
use shm_core::header::{CREATED_OFFSET, INSTANCE_OFFSET, KIND_OFFSET};
use shm_ring::layout::mpmc::{self, COMMON_OFFSET};
use shm_ring::layout::restart::BOOT_OFFSET;
use shm_ring::layout::spsc::{
    CONSUMER_REGION_OFFSET, CONSUMER_SEAT_OFFSET, CONSUMER_WAIT_OFFSET, LIFE_OFFSET, PID_OFFSET,
    PRODUCER_REGION_OFFSET, PRODUCER_SEAT_OFFSET, PRODUCER_WAIT_OFFSET,
};
use shm_ring::{
    Builder, Consumer, Producer, Receiver, Result, Sender, TypedConsumer, TypedProducer, TypedReceiver,
    TypedSender,
};
use std::sync::LazyLock;

/// For how many the MPMC templates are made.
const MANY_PARTICIPANTS: u64 = 3;
/// Length of the template that is all zeros: that of the smallest ring.
const ZEROS_BYTES: usize = 8192;

/// The one of characters.
pub const CHARACTERS: usize = 7;

/// Those that a handle with this enemy is at home in.
pub fn of_enemy(enemy: Enemy) -> &'static [usize] {
    match enemy {
        Enemy::Producer | Enemy::Vandal => &[1, 2, 3, 4, 5, 6, CHARACTERS],
        Enemy::Consumer => &[1, 2, 3, 4, 5, 6],
        Enemy::Anybody => &[8, 9, 10],
    }
}

static TEMPLATES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| make().expect("rings to start from"));

/// How many there are.
pub fn count() -> usize {
    TEMPLATES.len()
}

/// The bytes of one; `index` wraps around. The first is all zeros.
pub fn of(index: usize) -> &'static [u8] {
    &TEMPLATES[index % TEMPLATES.len()]
}

fn make() -> Result<Vec<Vec<u8>>> {
    Ok(vec![
        vec![0; ZEROS_BYTES],
        image(empty)?,
        image(messages)?,
        image(wrapped)?,
        image(tenures)?,
        image(values)?,
        image(border)?,
        image(characters)?,
        image(many)?,
        image(many_held)?,
        image(many_values)?,
    ])
}

/// The object as it is while `leave`'s handles are attached: to whoever opens the copy, they died.
fn image<H>(leave: impl FnOnce(&Scratch) -> Result<H>) -> Result<Vec<u8>> {
    let scratch = Scratch::new();
    let handles = leave(&scratch)?;
    let mut bytes = std::fs::read(scratch.object()).expect("the object that was just made");
    drop(handles);
    // The same bytes at every start.
    bytes[INSTANCE_OFFSET..INSTANCE_OFFSET + 16].fill(7);
    bytes[CREATED_OFFSET..CREATED_OFFSET + 8].fill(0);
    bytes[BOOT_OFFSET..COMMON_OFFSET].fill(0);
    let kind = bytes[KIND_OFFSET];
    if kind >= 3 {
        for seat in (mpmc::SEATS_OFFSET..).step_by(mpmc::SEAT_BYTES).take(MANY_PARTICIPANTS as usize) {
            bytes[seat + mpmc::PID_OFFSET..seat + mpmc::PID_OFFSET + 4].fill(1);
            bytes[seat + mpmc::LIFE_OFFSET..seat + mpmc::LIFE_OFFSET + 4].fill(0);
        }
        return Ok(bytes);
    }
    for wait in [PRODUCER_REGION_OFFSET + PRODUCER_WAIT_OFFSET, CONSUMER_REGION_OFFSET + CONSUMER_WAIT_OFFSET]
    {
        bytes[wait + LIFE_OFFSET..wait + LIFE_OFFSET + 4].fill(0);
    }
    for seat in [PRODUCER_REGION_OFFSET + PRODUCER_SEAT_OFFSET, CONSUMER_REGION_OFFSET + CONSUMER_SEAT_OFFSET]
    {
        bytes[seat + PID_OFFSET..seat + PID_OFFSET + 4].fill(1);
    }
    Ok(bytes)
}

fn builder<H: shm_ring::channel::builder::Handle>(
    new: fn(&str) -> Builder<H>,
    scratch: &Scratch,
) -> Builder<H> {
    new(NAME).directory(scratch.directory())
}

fn empty(scratch: &Scratch) -> Result<()> {
    builder(Producer::builder, scratch).capacity(32).create().map(drop)
}

fn messages(scratch: &Scratch) -> Result<()> {
    let mut producer = builder(Producer::builder, scratch).capacity(64).create()?;
    producer.send(b"one")?;
    producer.send_tagged(2, b"")?;
    producer.close();
    Ok(())
}

fn wrapped(scratch: &Scratch) -> Result<(Producer, Consumer)> {
    let mut producer = builder(Producer::builder, scratch).capacity(128).create()?;
    let mut consumer = builder(Consumer::builder, scratch).open()?;
    for length in [40, 24, 30, 17] {
        producer.send(&[b'x'; 64][..length])?;
        if length != 17 {
            consumer.recv()?;
        }
    }
    Ok((producer, consumer))
}

fn tenures(scratch: &Scratch) -> Result<Producer> {
    let mut producer = builder(Producer::builder, scratch).capacity(256).create()?;
    producer.send(b"of the first")?;
    drop(producer);
    let mut consumer = builder(Consumer::builder, scratch).open()?;
    consumer.recv()?;
    let mut producer = builder(Producer::builder, scratch).open()?;
    producer.send(b"of the second")?;
    producer.close();
    let mut producer = builder(Producer::builder, scratch).open()?;
    producer.send(b"of the third")?;
    consumer.try_recv().map(drop).err(); // tells the end of the first
    Ok(producer)
}

fn values(scratch: &Scratch) -> Result<()> {
    let mut producer = builder(TypedProducer::<u64>::builder, scratch).capacity(4).create()?;
    for value in 1..4 {
        producer.send(&value)?;
    }
    let mut consumer = builder(TypedConsumer::<u64>::builder, scratch).open()?;
    consumer.recv()?;
    producer.close();
    Ok(())
}

/// A consumer of the first tenure, and values of the second behind its border.
fn border(scratch: &Scratch) -> Result<(TypedProducer<u64>, TypedConsumer<u64>)> {
    let mut producer = builder(TypedProducer::<u64>::builder, scratch).capacity(2).create()?;
    let consumer = builder(TypedConsumer::<u64>::builder, scratch).open()?;
    producer.send(&1)?;
    drop(producer);
    let mut producer = builder(TypedProducer::<u64>::builder, scratch).open()?;
    producer.send(&2)?;
    Ok((producer, consumer))
}

fn characters(scratch: &Scratch) -> Result<()> {
    let mut producer = builder(TypedProducer::<char>::builder, scratch).capacity(4).create()?;
    producer.send(&'a')?;
    producer.send(&'\u{10FFFF}')
}

fn many(scratch: &Scratch) -> Result<Sender> {
    let new = builder(Sender::builder, scratch).capacity(4).max_message(64).participants(MANY_PARTICIPANTS);
    let mut sender = new.create()?;
    for message in [&b"one"[..], b"", b"three"] {
        sender.send(message)?;
    }
    let mut receiver = builder(Receiver::builder, scratch).open()?;
    receiver.recv()?;
    receiver.close();
    Ok(sender)
}

/// A receiver that died with a message in hand that is to come again, and a sender in the middle of an exchange.
fn many_held(scratch: &Scratch) -> Result<(Sender, Receiver)> {
    let new = builder(Sender::builder, scratch).capacity(2).participants(MANY_PARTICIPANTS).redelivery(true);
    let mut sender = new.max_message(64).create()?;
    sender.send(b"held")?;
    let mut receiver = builder(Receiver::builder, scratch).open()?;
    std::mem::forget(receiver.recv()?);
    sender.send(b"next")?;
    Ok((sender, receiver))
}

fn many_values(scratch: &Scratch) -> Result<TypedReceiver<u64>> {
    let new = builder(TypedSender::<u64>::builder, scratch).capacity(2).participants(MANY_PARTICIPANTS);
    let mut sender = new.create()?;
    sender.send(&1)?;
    sender.close();
    builder(TypedReceiver::<u64>::builder, scratch).open()
}
