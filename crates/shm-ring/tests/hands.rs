//! Messages in the hands of dead receivers, and the words by which deaths are told. A death is played: a receiver leaves,
//! and its seat's words are set back to what they were while it had a message in hand.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::Scratch;
use shm_ring::layout::mpmc::{self, HAND_OFFSET, SEAT_BYTES, SEATS_OFFSET, TENURE_OFFSET};
use shm_ring::layout::spsc;
use shm_ring::{Consumer, Error, Producer, Receiver, Sender, inspect, repair};
use std::time::Duration;

const DEAD: usize = SEATS_OFFSET + SEAT_BYTES;

/// A ring whose second seat is a dead receiver's that had "in hand" in hand; the sender sits on the first one, a
/// receiver on the third, and nobody else can come but to the dead one's seat.
fn ring(redelivery: bool) -> (Scratch, Sender, Receiver) {
    let name = Scratch::new("hands");
    let builder = Sender::builder(&name.0).capacity(4).max_message(16).participants(3);
    let mut sender = builder.redelivery(redelivery).create().unwrap();
    let mut dead = Receiver::open(&name.0).unwrap();
    let receiver = Receiver::open(&name.0).unwrap();
    sender.send_tagged(7, b"in hand").unwrap();
    let (mut hand, mut tenure) = ([0; 8], [0; 8]);
    {
        let delivery = dead.try_recv().unwrap();
        assert_eq!(delivery.to_vec(), b"in hand");
        name.read(DEAD + HAND_OFFSET, &mut hand);
        name.read(DEAD + TENURE_OFFSET, &mut tenure);
    }
    drop(dead);
    name.scribble(DEAD + HAND_OFFSET, &hand);
    name.scribble(DEAD + TENURE_OFFSET, &tenure);
    (name, sender, receiver)
}

fn newcomer(name: &Scratch) -> Result<Receiver, Error> {
    Receiver::builder(&name.0).attach_timeout(Duration::ZERO).open()
}

fn expect_again(receiver: &mut Receiver) {
    for length in [0, 6] {
        let refused = receiver.try_recv_into(&mut [0; 16][..length]);
        assert!(matches!(refused, Err(Error::BufferTooSmall { length: 7 })), "{refused:?}");
    }
    {
        let delivery = receiver.try_recv().unwrap();
        assert_eq!((delivery.to_vec(), delivery.tag()), (b"in hand".to_vec(), 7));
        assert!(delivery.is_redelivered());
    }
    assert!(matches!(receiver.try_recv(), Err(Error::Empty)), "once");
}

#[test]
fn one_that_waits_hands_out_what_the_dead_had() {
    let (name, mut sender, mut receiver) = ring(true);
    sender.send(b"next").unwrap();
    assert_eq!(receiver.try_recv().unwrap().to_vec(), b"next", "nobody was asked yet");
    let found = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!((found.to_vec(), found.tag(), found.is_redelivered()), (b"in hand".to_vec(), 7, true));
    assert!(matches!(newcomer(&name), Err(Error::NoSeat { participants: 3 })), "the seat is kept meanwhile");
    drop(found);
    assert!(matches!(receiver.try_recv(), Err(Error::Empty)), "once");
    // Its seat is free again, and nothing is in its hand.
    let mut third = newcomer(&name).unwrap();
    sender.send(b"more").unwrap();
    assert!(!third.try_recv().unwrap().is_redelivered());
    let status = inspect(&name.0).unwrap();
    assert_eq!((status.limbo, status.lost, status.depth), (0, 0, 0));
}

#[test]
fn the_next_one_on_the_seat_hands_it_out() {
    let (name, sender, _receiver) = ring(true);
    let mut third = newcomer(&name).unwrap();
    expect_again(&mut third);
    drop(third);
    expect_nothing(newcomer(&name).unwrap());
    assert_eq!(sender.len().unwrap(), 0);
}

fn expect_nothing(mut receiver: Receiver) {
    assert!(matches!(receiver.try_recv(), Err(Error::Empty)));
}

/// Whoever inherits a message and leaves without having handed it out leaves it to the next one.
#[test]
fn what_was_inherited_and_not_handed_out_stays() {
    let (name, _sender, _receiver) = ring(true);
    drop(newcomer(&name).unwrap());
    let mut third = newcomer(&name).unwrap();
    expect_again(&mut third);
}

/// A sender cleans up, and leaves the message to a receiver.
#[test]
fn a_seat_with_a_message_is_no_senders() {
    let (name, _sender, mut receiver) = ring(true);
    let refused = Sender::builder(&name.0).attach_timeout(Duration::ZERO).open();
    assert!(matches!(refused, Err(Error::NoSeat { participants: 3 })));
    let found = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(found.is_redelivered());
}

#[test]
fn a_repair_says_what_is_to_be_handed_out_again() {
    let (name, _sender, mut receiver) = ring(true);
    assert_eq!(inspect(&name.0).unwrap().limbo, 1);
    let done = repair(&name.0).unwrap();
    assert_eq!((done.dead.len(), done.repaired, done.to_redeliver, done.busy), (1, 1, 1, 0));
    let again = repair(&name.0).unwrap();
    assert_eq!((again.dead.len(), again.repaired, again.to_redeliver), (0, 0, 1));
    assert!(receiver.recv_timeout(Duration::from_secs(60)).unwrap().is_redelivered());
    assert_eq!(repair(&name.0).unwrap().to_redeliver, 0);
}

#[test]
fn without_redelivery_it_is_lost_and_counted() {
    let (name, mut sender, mut receiver) = ring(false);
    let before = inspect(&name.0).unwrap();
    assert_eq!((before.limbo, before.participants.iter().filter(|who| !who.alive).count()), (1, 1));
    let done = repair(&name.0).unwrap();
    assert_eq!((done.dead.len(), done.repaired, done.to_redeliver, done.busy), (1, 1, 0, 0));
    let status = inspect(&name.0).unwrap();
    assert_eq!((status.lost, status.limbo, status.depth, status.received), (1, 0, 0, 1));
    sender.send(b"next").unwrap();
    assert_eq!(receiver.try_recv().unwrap().to_vec(), b"next");
    assert_eq!(repair(&name.0).unwrap().repaired, 0);
}

/// The words that the kernel marks when a process dies are registered where others look for them.
#[test]
fn life_words_hold_a_thread_of_ours() {
    let is_ours = |name: &Scratch, offset: usize| {
        let mut word = [0; 4];
        name.read(offset, &mut word);
        let thread = u32::from_le_bytes(word) & 0x3FFF_FFFF;
        thread != 0 && std::path::Path::new(&format!("/proc/self/task/{thread}")).exists()
    };
    let name = Scratch::new("lives");
    let producer = Producer::create(&name.0).unwrap();
    let life = spsc::LIFE_OFFSET;
    let producers = spsc::PRODUCER_REGION_OFFSET + spsc::PRODUCER_WAIT_OFFSET + life;
    let consumers = spsc::CONSUMER_REGION_OFFSET + spsc::CONSUMER_WAIT_OFFSET + life;
    if !is_ours(&name, producers) && std::env::var_os("SHMRING_REQUIRE").is_none() {
        return; // a kernel or a memory that has no life words
    }
    assert!(is_ours(&name, producers) && !is_ours(&name, consumers));
    let consumer = Consumer::open(&name.0).unwrap();
    assert!(is_ours(&name, consumers));
    drop((producer, consumer));
    assert!(!is_ours(&name, producers) && !is_ours(&name, consumers));
    let name = Scratch::new("lives-mpmc");
    let _sender = Sender::builder(&name.0).participants(4).create().unwrap();
    let _receiver = Receiver::open(&name.0).unwrap();
    for (seat, sits) in [(0, true), (1, true), (2, false)] {
        assert_eq!(is_ours(&name, SEATS_OFFSET + seat * SEAT_BYTES + mpmc::LIFE_OFFSET), sits, "{seat}");
    }
}
