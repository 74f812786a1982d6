//! Messages in the hands of dead receivers, and the words by which deaths are told. A death is played: a receiver
//! leaves, and its seat's words are set back to what they were while it had a message in hand.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::Scratch;
use shm_ring::layout::mpmc::{self, HAND_OFFSET, HAND_UNREAD, SEAT_BYTES, SEATS_OFFSET, TENURE_OFFSET};
use shm_ring::layout::{TENURE_JOINED, TENURE_STATE_BITS, spsc};
use shm_ring::{
    Consumer, End, Error, Producer, Receiver, Sender, TypedReceiver, TypedSender, inspect, repair,
};
use std::time::{Duration, Instant};

/// A ring whose second seat is a dead receiver's that had "in hand" in hand; the sender sits on the first one, a
/// receiver on the third, and nobody else can come but to the dead one's seat.
fn ring(redelivery: bool) -> (Scratch, Sender, Receiver) {
    ring_with(1, redelivery)
}

/// As [`ring`], with so many dead ones on the seats from the second on.
fn ring_with(dead: usize, redelivery: bool) -> (Scratch, Sender, Receiver) {
    let name = Scratch::new("hands");
    let builder = Sender::builder(&name.0).capacity(4).max_message(16).participants(2 + dead as u64);
    let mut sender = builder.redelivery(redelivery).create().unwrap();
    let mut receivers: Vec<_> = (0..dead).map(|_| Receiver::open(&name.0).unwrap()).collect();
    let survivor = Receiver::open(&name.0).unwrap();
    let mut words = vec![];
    for (index, receiver) in receivers.iter_mut().enumerate() {
        sender.send_tagged(7, b"in hand").unwrap();
        let delivery = receiver.try_recv().unwrap();
        assert_eq!(delivery.to_vec(), b"in hand");
        for offset in [HAND_OFFSET, TENURE_OFFSET] {
            let (at, mut word) = (SEATS_OFFSET + (1 + index) * SEAT_BYTES + offset, [0; 8]);
            name.read(at, &mut word);
            words.push((at, word));
        }
    }
    drop(receivers);
    for (at, word) in words {
        name.scribble(at, &word);
    }
    (name, sender, survivor)
}

/// Does something again until it has the effect, which it has within a slice.
fn until(mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < common::FUSE);
    }
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
    let found = receiver.recv_timeout(common::FUSE).unwrap();
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

/// As for messages of bytes.
#[test]
fn a_value_that_is_handed_out_again_says_so() {
    let name = Scratch::new("hands-typed");
    let builder = TypedSender::<u64>::builder(&name.0).capacity(4).participants(3);
    let mut sender = builder.redelivery(true).create().unwrap();
    let mut receiver = TypedReceiver::<u64>::open(&name.0).unwrap();
    // The words of its seat while the value is in its hand, not read yet.
    let seat = SEATS_OFFSET + SEAT_BYTES;
    let mut tenure = [0; 8];
    name.read(seat + TENURE_OFFSET, &mut tenure);
    sender.send(&5).unwrap();
    assert_eq!(receiver.recv().unwrap(), 5);
    assert!(!receiver.was_redelivered());
    let mut hand = [0; 8];
    name.read(seat + HAND_OFFSET, &mut hand);
    drop(receiver);
    let unread = u64::from_le_bytes(hand) | HAND_UNREAD;
    name.scribble(seat + HAND_OFFSET, &unread.to_le_bytes());
    name.scribble(seat + TENURE_OFFSET, &tenure);
    let mut receiver = TypedReceiver::<u64>::open(&name.0).unwrap();
    assert_eq!(receiver.recv().unwrap(), 5);
    assert!(receiver.was_redelivered());
    sender.send(&6).unwrap();
    assert_eq!(receiver.recv().unwrap(), 6);
    assert!(!receiver.was_redelivered());
}

/// Whoever inherits a message and leaves without having handed it out leaves it to the next one, who hands it out
/// before what is in the ring.
#[test]
fn what_was_inherited_and_not_handed_out_stays() {
    let (name, mut sender, _receiver) = ring(true);
    sender.try_send(b"later").unwrap();
    drop(newcomer(&name).unwrap());
    let mut third = newcomer(&name).unwrap();
    let mut exact = [0; 7];
    assert_eq!((third.try_recv_into(&mut exact).unwrap(), exact), ((7, 7), *b"in hand"));
    assert_eq!(third.try_recv().unwrap().to_vec(), b"later");
}

/// A sender cleans up, and leaves the message to a receiver.
#[test]
fn a_seat_with_a_message_is_no_senders() {
    let (name, _sender, mut receiver) = ring(true);
    let refused = Sender::builder(&name.0).attach_timeout(Duration::ZERO).open();
    assert!(matches!(refused, Err(Error::NoSeat { participants: 3 })));
    let found = receiver.recv_timeout(common::FUSE).unwrap();
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
    assert!(receiver.recv_timeout(common::FUSE).unwrap().is_redelivered());
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
    if shm_core::Memfd::new("life").create(4096).unwrap().register_life(0).is_err() {
        return; // a kernel that has none
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

/// Who finds nothing for a while cleans up, receiver or sender; nobody else is needed.
#[test]
fn whoever_looks_long_enough_cleans_up() {
    let limbo = |name: &Scratch| inspect(&name.0).unwrap().limbo;
    let (name, _sender, mut receiver) = ring_with(2, false);
    until(|| {
        assert!(matches!(receiver.try_recv(), Err(Error::Empty)));
        limbo(&name) == 0
    });
    let status = inspect(&name.0).unwrap();
    assert_eq!((status.lost, status.participants.len()), (2, 2));
    for redelivery in [false, true] {
        let (name, mut sender, mut receiver) = ring_with(2, redelivery);
        for _ in 0..4 {
            sender.try_send(b"x").unwrap();
        }
        until(|| {
            assert!(matches!(sender.try_send(b"x"), Err(Error::Full)));
            limbo(&name) == 0
        });
        assert_eq!(inspect(&name.0).unwrap().lost, if redelivery { 0 } else { 2 });
        for _ in 0..4 {
            assert_eq!(receiver.try_recv().unwrap().to_vec(), b"x");
        }
        // Left to a receiver, one after the other: no seat is kept by the sender.
        let mut again = 0;
        until(|| {
            match receiver.try_recv() {
                Ok(delivery) => {
                    assert!(delivery.is_redelivered());
                    again += 1;
                }
                Err(error) => assert!(matches!(error, Error::Empty)),
            }
            again == if redelivery { 2 } else { 0 }
        });
        assert_eq!(repair(&name.0).unwrap().to_redeliver, 0);
        assert!(newcomer(&name).is_ok());
    }
}

/// A delivery that was leaked was handed out all the same.
#[test]
fn a_leaked_delivery_does_not_come_again() {
    let (name, mut sender, mut receiver) = ring(true);
    sender.try_send(b"leaked").unwrap();
    std::mem::forget(receiver.try_recv().unwrap());
    until(|| receiver.try_recv().is_ok_and(|delivery| delivery.is_redelivered()));
    drop(receiver);
    assert_eq!(repair(&name.0).unwrap().to_redeliver, 0);
    let (name, _sender, _receiver) = ring(true);
    let mut receiver = newcomer(&name).unwrap();
    std::mem::forget(receiver.try_recv().unwrap());
    assert!(matches!(receiver.try_recv(), Err(Error::Empty)));
}

/// However many seats there are, each one's turn comes, where the kernel has marked nothing as well.
#[test]
fn whoever_looks_long_enough_cleans_up_behind_all() {
    const SEATS: usize = 50;
    let name = Scratch::new("hands-turns");
    let builder = Sender::builder(&name.0).capacity(4).max_message(16).participants(SEATS as u64);
    let _sender = builder.create().unwrap();
    let mut receiver = Receiver::open(&name.0).unwrap();
    let dead = || (2..SEATS).map(|seat| SEATS_OFFSET + seat * SEAT_BYTES);
    for at in dead() {
        name.scribble(at + mpmc::LIFE_OFFSET, &0x8000_0001_u32.to_le_bytes());
        let joined = 1 << TENURE_STATE_BITS | mpmc::TENURE_RECEIVER | TENURE_JOINED;
        name.scribble(at + TENURE_OFFSET, &joined.to_le_bytes());
    }
    assert_eq!(inspect(&name.0).unwrap().limbo, dead().count() as u64);
    until(|| {
        assert!(matches!(receiver.try_recv(), Err(Error::Empty)));
        inspect(&name.0).unwrap().limbo == 0
    });
}

/// What the dead had in hand comes before the end, whosever turn it is, where the kernel has marked nothing as well.
#[test]
fn what_the_dead_had_comes_before_the_end_whosever_turn_it_is() {
    const DEAD: usize = 20;
    let (name, sender, mut receiver) = ring_with(DEAD, true);
    // All but the last one's, which is further on than the kernel is asked at once.
    let others: Vec<_> = (1..DEAD).map(|_| newcomer(&name).unwrap()).collect();
    others.into_iter().for_each(|mut other| assert!(other.try_recv().unwrap().is_redelivered()));
    name.scribble(SEATS_OFFSET + DEAD * SEAT_BYTES + mpmc::LIFE_OFFSET, &0x8000_0001_u32.to_le_bytes());
    sender.close();
    assert!(receiver.try_recv().unwrap().is_redelivered());
    assert!(matches!(receiver.try_recv(), Err(Error::Disconnected(End::Closed))));
}

/// Messages of several dead ones come one after the other; the seat of each is kept while its message is in hand.
#[test]
fn several_dead_hands_are_emptied_one_by_one() {
    let (name, _sender, mut receiver) = ring_with(3, true);
    for left in [2, 1, 0] {
        let delivery = receiver.recv_timeout(common::FUSE).unwrap();
        assert_eq!((delivery.to_vec(), delivery.is_redelivered()), (b"in hand".to_vec(), true));
        drop(delivery);
        let done = repair(&name.0).unwrap();
        assert_eq!((done.to_redeliver, done.busy), (left, 0));
    }
    let all: Vec<_> = (0..3).map(|_| newcomer(&name).unwrap()).collect();
    assert!(matches!(newcomer(&name), Err(Error::NoSeat { .. })));
    drop(all);
}

/// Its first message is a receiver's first sample of how many wait, and each 1,024th from then on.
#[test]
fn the_most_that_wait_are_sampled() {
    let name = Scratch::new("sample");
    let mut sender = Sender::builder(&name.0).capacity(8).max_message(8).participants(2).create().unwrap();
    let mut receiver = Receiver::open(&name.0).unwrap();
    let most = |seat: usize| {
        let mut word = [0; 8];
        name.read(SEATS_OFFSET + seat * SEAT_BYTES + mpmc::HIGH_WATER_OFFSET, &mut word);
        u64::from_le_bytes(word)
    };
    let exchange = |sender: &mut Sender, receiver: &mut Receiver| {
        sender.try_send(b"x").unwrap();
        receiver.try_recv().map(drop).unwrap();
    };
    (0..3).for_each(|_| sender.try_send(b"x").unwrap());
    receiver.try_recv().map(drop).unwrap();
    assert_eq!(most(1), 3);
    (0..3).for_each(|_| sender.try_send(b"x").unwrap());
    for _ in 1..1024 {
        exchange(&mut sender, &mut receiver);
        assert_eq!(most(1), 3, "no sample");
    }
    exchange(&mut sender, &mut receiver);
    assert_eq!(most(1), 6);
}

/// What others send while one waits makes no other wait of it.
#[test]
fn a_wait_is_one_whatever_others_send_meanwhile() {
    let name = Scratch::new("counted-beside-others");
    let mut sender = Sender::builder(&name.0).capacity(2).max_message(8).participants(3).create().unwrap();
    let mut other = Sender::open(&name.0).unwrap();
    let mut receiver = Receiver::open(&name.0).unwrap();
    other.try_send(b"x").unwrap();
    other.try_send(b"x").unwrap();
    for _ in 0..3 {
        assert!(matches!(sender.send_timeout(b"x", Duration::ZERO), Err(Error::TimedOut)));
        receiver.try_recv().map(drop).unwrap();
        other.try_send(b"x").unwrap();
    }
    assert_eq!(inspect(&name.0).unwrap().full_waits, 1);
}

/// A wait for space is counted once, however often it goes on; and so is each waking of sleepers.
#[test]
fn waits_and_wakes_are_counted() {
    let name = Scratch::new("counted");
    let mut sender = Sender::builder(&name.0).capacity(2).max_message(8).participants(2).create().unwrap();
    let mut receiver = Receiver::open(&name.0).unwrap();
    sender.try_send(b"x").unwrap();
    sender.try_send(b"x").unwrap();
    for waits in [1, 2] {
        for _ in 0..3 {
            assert!(matches!(sender.send_timeout(b"x", Duration::ZERO), Err(Error::TimedOut)));
        }
        let status = inspect(&name.0).unwrap();
        assert_eq!((status.full_waits, status.high_water), (waits, 2));
        receiver.try_recv().map(drop).unwrap();
        sender.try_send(b"x").unwrap();
    }
    receiver.try_recv().map(drop).unwrap();
    let armed = 4 * 100 + mpmc::WAIT_ARMED;
    for wakes in [1, 2] {
        name.scribble(mpmc::COMMON_OFFSET + mpmc::DATA_WAIT_OFFSET, &(armed * wakes).to_le_bytes());
        sender.try_send(b"x").unwrap();
        receiver.try_recv().map(drop).unwrap();
        sender.try_send(b"x").unwrap();
        receiver.try_recv().map(drop).unwrap();
        assert_eq!(sender.wait_counts().wakes, u64::from(wakes));
    }
}

/// What the dead had in hand comes before the end of the stream, whoever tells that.
#[test]
fn a_message_in_a_dead_hand_comes_before_the_end() {
    let (_name, sender, mut receiver) = ring(true);
    sender.close();
    assert!(receiver.try_recv().unwrap().is_redelivered());
    assert!(matches!(receiver.try_recv(), Err(Error::Disconnected(End::Closed))));
}

/// A seat whose word says that somebody sits there, and whose lock is free, is a dead one's: at once, for who asks.
#[test]
fn a_dead_sender_is_gone() {
    let name = Scratch::new("dead-sender");
    let sender = Sender::builder(&name.0).participants(3).create().unwrap();
    let mut receiver = Receiver::open(&name.0).unwrap();
    let mut tenure = [0; 8];
    name.read(SEATS_OFFSET + TENURE_OFFSET, &mut tenure);
    sender.close();
    name.scribble(SEATS_OFFSET + TENURE_OFFSET, &tenure);
    assert!(receiver.is_closed().unwrap());
    let found = inspect(&name.0).unwrap().participants;
    assert_eq!(found.iter().map(|who| who.alive).collect::<Vec<_>>(), [false, true]);
    let end = receiver.recv_timeout(common::FUSE).map(|delivery| delivery.to_vec());
    assert!(matches!(end, Err(Error::Disconnected(End::Died))), "{end:?}");
    assert!(receiver.is_closed().unwrap());
}

#[test]
fn a_dead_producer_is_gone() {
    let name = Scratch::new("dead-producer");
    let mut producer = Producer::create(&name.0).unwrap();
    let mut consumer = Consumer::open(&name.0).unwrap();
    let (at, mut tenure) =
        (spsc::PRODUCER_REGION_OFFSET + spsc::PRODUCER_SEAT_OFFSET + spsc::TENURE_OFFSET, [0; 8]);
    name.read(at, &mut tenure);
    producer.send(b"last").unwrap();
    producer.close();
    name.scribble(at, &tenure);
    assert!(consumer.is_closed().unwrap());
    assert_eq!(consumer.recv().unwrap().to_vec(), b"last");
    let end = consumer.recv_timeout(common::FUSE).map(|message| message.to_vec());
    assert!(matches!(end, Err(Error::Disconnected(End::Died))), "{end:?}");
    // Its successor makes a note of it, for consumers to come.
    drop(consumer);
    Producer::open(&name.0).unwrap().close();
    let mut died = [0; 8];
    name.read(at - spsc::TENURE_OFFSET + spsc::DIED_BITS_OFFSET, &mut died);
    assert_eq!(u64::from_le_bytes(died), 1 << 1);
}
