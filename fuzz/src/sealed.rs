//! Two real sides of a sealed ring, in states worth starting from: what each said when they met, and what each wrote.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use shm_core::{Access, Deadline, Object, Region, pass};
use shm_ring::channel::builder::{Handle, Paired};
use shm_ring::layout::spsc::{
    CONSUMER_REGION_OFFSET, CONSUMER_SEAT_OFFSET, CONSUMER_WAIT_OFFSET, LIFE_OFFSET, PID_OFFSET,
    PRODUCER_REGION_OFFSET, PRODUCER_SEAT_OFFSET, PRODUCER_WAIT_OFFSET,
};
use shm_ring::{Builder, Consumer, Producer, TypedConsumer, TypedProducer};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::LazyLock;
use std::time::Duration;

/// Bytes of a greeting.
pub const HELLO_BYTES: usize = 56;
/// Capacity of the rings of bytes, and what their consumers accept.
pub const CAPACITY_BYTES: u64 = 256;
/// The same of rings of values.
pub const CAPACITY_VALUES: u64 = 8;
/// So long the two sides wait for each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one side says, and has written.
#[derive(Clone, Debug)]
pub struct Half {
    /// The greeting.
    pub hello: Vec<u8>,
    /// The memory that came with it, by now.
    pub memory: Vec<u8>,
}

/// Both sides at one moment.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// The one that sends.
    pub producer: Half,
    /// The other one.
    pub consumer: Half,
}

/// Moments of each kind of ring: they have met, messages wait, the ring went round, both have closed.
pub const MOMENTS: usize = 4;
/// Rings of bytes, of numbers and of characters.
pub const KINDS: usize = 3;

static MEETINGS: LazyLock<Vec<[Meeting; MOMENTS]>> = LazyLock::new(|| {
    vec![
        meet(
            Producer::builder("fuzz").capacity(CAPACITY_BYTES),
            Consumer::builder("fuzz").capacity(CAPACITY_BYTES),
            |producer, number| producer.send(&vec![number; usize::from(number % 40)]),
            |consumer| consumer.recv().map(drop),
            Producer::close,
            Consumer::close,
        ),
        meet(
            TypedProducer::<u64>::builder("fuzz").capacity(CAPACITY_VALUES),
            TypedConsumer::<u64>::builder("fuzz").capacity(CAPACITY_VALUES),
            |producer, number| producer.send(&number.into()),
            |consumer| consumer.recv().map(drop),
            TypedProducer::close,
            TypedConsumer::close,
        ),
        meet(
            TypedProducer::<char>::builder("fuzz").capacity(CAPACITY_VALUES),
            TypedConsumer::<char>::builder("fuzz").capacity(CAPACITY_VALUES),
            |producer, number| producer.send(&number.into()),
            |consumer| consumer.recv().map(drop),
            TypedProducer::close,
            TypedConsumer::close,
        ),
    ]
});

/// A moment of a meeting; both numbers wrap around.
pub fn at(kind: usize, moment: usize) -> &'static Meeting {
    &MEETINGS[kind % KINDS][moment % MOMENTS]
}

/// Two connected sockets.
pub fn sockets(kind: SocketType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("two sockets")
}

/// What came over a socket from a side that came to it: its greeting, and its memory.
pub fn overhear(socket: &OwnedFd) -> (Vec<u8>, OwnedFd) {
    let mut hello = vec![0; HELLO_BYTES];
    let received = pass::receive(socket, &mut hello, 1, Deadline::after(PATIENCE)).expect("a greeting");
    let [descriptor] = <[_; 1]>::try_from(received.descriptors).expect("one, as asked for");
    (hello, descriptor)
}

/// Maps what came for reading.
pub fn map(descriptor: OwnedFd) -> Region {
    let object = Object::from_descriptor(descriptor, "what came").expect("memory");
    object.map(Access::ReadOnly).expect("memory")
}

/// Has the two meet with somebody in between, who passes on what they say, and looks at their memory.
fn meet<P, C>(
    producer: Builder<P>,
    consumer: Builder<C>,
    send: fn(&mut P, u8) -> shm_ring::Result<()>,
    receive: fn(&mut C) -> shm_ring::Result<()>,
    close_producer: fn(P),
    close_consumer: fn(C),
) -> [Meeting; MOMENTS]
where
    P: Handle + Paired + Send + 'static,
    C: Handle + Paired + Send + 'static,
{
    let (for_producer, with_producer) = sockets(SocketType::SEQPACKET);
    let (for_consumer, with_consumer) = sockets(SocketType::SEQPACKET);
    let coming = std::thread::spawn(move || producer.attach_timeout(PATIENCE).connect(for_producer));
    let (produces, memory) = overhear(&with_producer);
    pass::send(&with_consumer, &produces, &[memory.as_fd()], Deadline::NEVER).expect("a socket");
    let producers = map(memory);
    let consumer = std::thread::spawn(move || consumer.attach_timeout(PATIENCE).connect(for_consumer));
    let (consumes, memory) = overhear(&with_consumer);
    pass::send(&with_producer, &consumes, &[memory.as_fd()], Deadline::NEVER).expect("a socket");
    let consumers = map(memory);
    let mut producer = coming.join().expect("a producer").expect("a ring");
    let mut consumer = consumer.join().expect("a consumer").expect("a ring");

    let now = || Meeting {
        producer: Half { hello: produces.clone(), memory: written(&producers, PRODUCER_REGION_OFFSET) },
        consumer: Half { hello: consumes.clone(), memory: written(&consumers, CONSUMER_REGION_OFFSET) },
    };
    let met = now();
    for number in 10..13 {
        send(&mut producer, number).expect("room");
    }
    receive(&mut consumer).expect("a message");
    let waiting = now();
    for number in 13..40 {
        send(&mut producer, number).expect("room");
        receive(&mut consumer).expect("a message");
    }
    let around = now();
    close_producer(producer);
    close_consumer(consumer);
    [met, waiting, around, now()]
}

/// The same bytes at every start: without who wrote them.
fn written(region: &Region, words: usize) -> Vec<u8> {
    let mut bytes = vec![0; region.bytes()];
    region.copy_out(0, &mut bytes).expect("all of it");
    let (wait, seat) = if words == PRODUCER_REGION_OFFSET {
        (words + PRODUCER_WAIT_OFFSET, words + PRODUCER_SEAT_OFFSET)
    } else {
        (words + CONSUMER_WAIT_OFFSET, words + CONSUMER_SEAT_OFFSET)
    };
    bytes[wait + LIFE_OFFSET..wait + LIFE_OFFSET + 4].fill(0);
    bytes[seat + PID_OFFSET..seat + PID_OFFSET + 4].fill(1);
    bytes
}
