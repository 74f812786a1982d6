//! What the handles of MPMC rings do, between mappings in one process.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation)]

mod common;

use common::Scratch;
use shm_ring::{
    Consumer, Deadline, End, Error, Kind, Receiver, Role, Sender, TypedReceiver, TypedSender, WaitStrategy,
    inspect,
};
use std::collections::VecDeque;
use std::time::Duration;

fn small(name: &Scratch, capacity: u64) -> Sender {
    Sender::builder(&name.0).capacity(capacity).max_message(100).participants(8).create().unwrap()
}

fn soon() -> Duration {
    Duration::from_millis(1)
}

#[test]
fn messages_come_in_order_and_full_and_empty_are_exact() {
    for capacity in [2, 4, 8] {
        let name = Scratch::new("mpmc-order");
        let mut sender = small(&name, capacity);
        let mut receiver = Receiver::open(&name.0).unwrap();
        let (mut next_sent, mut next_received) = (0_u64, 0_u64);
        for step in 0..1000_u64 {
            // Fills and drains by amounts that meet the ring's end in every way.
            for _ in 0..step % (capacity + 2) {
                let waiting = next_sent - next_received;
                match sender.try_send_tagged(next_sent as u16, &next_sent.to_le_bytes()) {
                    Ok(()) => next_sent += 1,
                    Err(Error::Full) => assert_eq!(waiting, capacity),
                    Err(error) => panic!("{error}"),
                }
            }
            for _ in 0..(step * 7) % (capacity + 2) {
                match receiver.try_recv() {
                    Ok(message) => {
                        assert_eq!(message.to_vec(), next_received.to_le_bytes());
                        assert_eq!(message.tag(), next_received as u16);
                        assert!(!message.is_redelivered());
                        next_received += 1;
                    }
                    Err(Error::Empty) => assert_eq!(next_sent, next_received),
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(sender.len().unwrap(), next_sent - next_received);
            assert_eq!(receiver.len().unwrap(), next_sent - next_received);
        }
        let status = inspect(&name.0).unwrap();
        assert_eq!((status.sent, status.received), (next_sent, next_received));
        assert_eq!((status.kind, status.capacity, status.max_participants), (Kind::MpmcBytes, capacity, 8));
    }
}

#[test]
fn a_participant_that_was_away_finds_its_place() {
    let name = Scratch::new("mpmc-place");
    let mut senders = vec![small(&name, 8)];
    let mut receivers = vec![Receiver::open(&name.0).unwrap()];
    for _ in 0..2 {
        senders.push(senders[0].try_clone().unwrap());
        receivers.push(receivers[0].try_clone().unwrap());
    }
    let mut queue = VecDeque::new();
    let mut random = 1_u64;
    for value in 0..20_000_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Long runs by one of them while the others fall behind.
        let who = (random >> 40) as usize % 3 / (1 + (random >> 50) as usize % 2);
        if (random >> 33).is_multiple_of(2) {
            match senders[who].try_send(&value.to_le_bytes()) {
                Ok(()) => queue.push_back(value),
                Err(Error::Full) => assert_eq!(queue.len(), 8),
                Err(error) => panic!("{error}"),
            }
        } else {
            match receivers[who].try_recv() {
                Ok(message) => assert_eq!(message.to_vec(), queue.pop_front().unwrap().to_le_bytes()),
                Err(Error::Empty) => assert!(queue.is_empty()),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn lengths_are_limited_and_writing_in_place_sends_what_was_written() {
    let name = Scratch::new("mpmc-lengths");
    let mut sender = small(&name, 4);
    let mut receiver = Receiver::open(&name.0).unwrap();
    assert_eq!((sender.max_message(), receiver.max_message()), (100, 100));
    assert!(matches!(sender.send(&[0; 101]), Err(Error::TooLarge { length: 101, max: 100 })));
    assert!(matches!(sender.reserve(101), Err(Error::TooLarge { .. })));
    for length in 0..=100 {
        sender.send(&vec![length as u8; length]).unwrap();
        assert_eq!(receiver.recv().unwrap().to_vec(), vec![length as u8; length]);
    }
    sender.reserve(50).unwrap().write_at(0, b"not sent").unwrap();
    assert!(matches!(receiver.try_recv(), Err(Error::Empty)));
    let mut space = sender.reserve(50).unwrap();
    space.write_at(0, b"in ").unwrap();
    space.write_at(3, b"place").unwrap();
    assert!(matches!(space.write_at(48, b"xyz"), Err(Error::TooLarge { length: 51, max: 50 })));
    space.set_tag(9);
    space.commit(8).unwrap();
    let message = receiver.recv().unwrap();
    assert_eq!((message.tag(), message.to_vec()), (9, b"in place".to_vec()));
    drop(message);
    for _ in 0..4 {
        sender.send(b"x").unwrap();
    }
    let mut space = sender.reserve(1).unwrap();
    space.write_at(0, b"y").unwrap();
    let (space, error) = space.try_commit(1).unwrap_err();
    assert!(matches!(error, Error::Full));
    receiver.recv().unwrap();
    space.try_commit(1).map_err(|(_, error)| error).unwrap();
    let mut last = Vec::new();
    let received = receiver.recv_batch_until(9, Deadline::NEVER, |view| last = view.to_vec()).unwrap();
    assert_eq!((received, last), (4, b"y".to_vec()));
}

#[test]
fn a_message_that_does_not_fit_the_buffer_stays_in_the_ring() {
    let name = Scratch::new("mpmc-buffer");
    let mut sender = small(&name, 4);
    let mut first = Receiver::open(&name.0).unwrap();
    let mut second = first.try_clone().unwrap();
    sender.send_tagged(3, &[7; 50]).unwrap();
    let mut buffer = [0; 100];
    assert!(matches!(first.recv_into(&mut buffer[..49]), Err(Error::BufferTooSmall { length: 50 })));
    assert!(matches!(first.try_recv_into(&mut []), Err(Error::BufferTooSmall { length: 50 })));
    assert_eq!(second.try_recv_into(&mut buffer).unwrap(), (50, 3));
    assert_eq!(buffer[..50], [7; 50]);
}

#[test]
fn batches_wait_for_space_and_say_how_far_they_came() {
    let name = Scratch::new("mpmc-batch");
    let mut sender = small(&name, 4);
    let mut receiver = Receiver::open(&name.0).unwrap();
    let taker = std::thread::spawn(move || {
        let mut messages = Vec::new();
        while messages.len() < 100 {
            receiver.recv_batch_until(3, Deadline::NEVER, |view| messages.push(view.to_vec())).unwrap();
        }
        messages
    });
    let messages: Vec<Vec<u8>> = (0..100_u8).map(|value| vec![value; usize::from(value)]).collect();
    assert_eq!(sender.send_batch(&messages).unwrap(), 100);
    assert_eq!(taker.join().unwrap(), messages);
    let too_long = vec![0; 101];
    assert_eq!(sender.send_batch(&[&b"fits"[..], &too_long]).unwrap(), 1);
    assert!(matches!(sender.send_batch(&[&too_long]), Err(Error::TooLarge { .. })));
}

#[test]
fn values_are_sent_and_checked() {
    let name = Scratch::new("mpmc-typed");
    let mut sender = TypedSender::<[u32; 5]>::builder(&name.0).capacity(4).participants(4).create().unwrap();
    let mut receiver = TypedReceiver::<[u32; 5]>::open(&name.0).unwrap();
    assert_eq!(receiver.capacity(), 4);
    for value in 0..50 {
        sender.send(&[value; 5]).unwrap();
        assert_eq!(receiver.recv().unwrap(), [value; 5]);
    }
    assert_eq!(sender.send_slice(&[[1; 5], [2; 5]]).unwrap(), 2);
    let mut values = [[0; 5]; 3];
    assert_eq!(receiver.recv_slice_until(&mut values, Deadline::NEVER).unwrap(), 2);
    assert_eq!(values, [[1; 5], [2; 5], [0; 5]]);
    assert!(matches!(TypedReceiver::<[u32; 4]>::open(&name.0), Err(Error::WrongType { .. })));
    assert!(matches!(Receiver::open(&name.0), Err(Error::WrongKind { found: Kind::MpmcTyped, .. })));
    assert!(matches!(Consumer::open(&name.0), Err(Error::WrongKind { .. })));
}

#[test]
fn the_end_is_told_once_to_every_receiver_that_is_there() {
    let name = Scratch::new("mpmc-end");
    let mut first = small(&name, 8);
    let second = first.try_clone().unwrap();
    let mut here = Receiver::open(&name.0).unwrap();
    let mut there = here.try_clone().unwrap();
    first.send(b"last").unwrap();
    first.close();
    drop(second); // without closing: the worst of the ends is told
    assert_eq!(here.recv().unwrap().to_vec(), b"last");
    for receiver in [&mut here, &mut there] {
        assert!(matches!(receiver.recv(), Err(Error::Disconnected(End::Dropped))));
        assert!(matches!(receiver.try_recv(), Err(Error::Empty)));
        assert!(receiver.is_closed().unwrap());
    }
    // Whoever comes later is not told of it again, and waits for the next stream.
    let mut late = here.try_clone().unwrap();
    assert!(matches!(late.recv_timeout(soon()), Err(Error::TimedOut)));
    let next = Sender::open(&name.0).unwrap();
    assert!(matches!(late.recv_timeout(soon()), Err(Error::TimedOut)));
    next.close();
    for receiver in [&mut here, &mut there, &mut late] {
        assert!(matches!(receiver.recv(), Err(Error::Disconnected(End::Closed))));
    }
}

#[test]
fn an_end_that_nobody_saw_is_told_to_the_next_receiver() {
    let name = Scratch::new("mpmc-next");
    small(&name, 8).close();
    let mut receiver = Receiver::open(&name.0).unwrap();
    assert!(matches!(receiver.recv(), Err(Error::Disconnected(End::Closed))));
    let mut late = Receiver::open(&name.0).unwrap();
    assert!(matches!(late.recv_timeout(soon()), Err(Error::TimedOut)));
}

#[test]
fn a_sender_is_told_of_its_receivers_if_it_asked_for_it() {
    let name = Scratch::new("mpmc-require");
    let mut sender = Sender::builder(&name.0).capacity(2).require_peer(true).create().unwrap();
    let mut careless = sender.try_clone().unwrap();
    sender.check().unwrap();
    let receiver = Receiver::open(&name.0).unwrap();
    sender.check().unwrap();
    drop(receiver);
    assert!(matches!(sender.check(), Err(Error::Disconnected(End::Dropped))));
    sender.check().unwrap();
    careless.send(b"1").unwrap();
    careless.send(b"2").unwrap();
    assert!(matches!(careless.send_timeout(b"3", soon()), Err(Error::Disconnected(End::Dropped))));
}

#[test]
fn seats_are_limited_and_come_back() {
    let name = Scratch::new("mpmc-seats");
    let sender = Sender::builder(&name.0).capacity(4).participants(2).create().unwrap();
    let receiver = Receiver::open(&name.0).unwrap();
    let builder = Receiver::builder(&name.0).attach_timeout(soon());
    assert!(matches!(builder.clone().open(), Err(Error::NoSeat { participants: 2 })));
    drop(sender);
    drop(builder.open().unwrap());
    drop(receiver);
    let status = inspect(&name.0).unwrap();
    assert_eq!((status.participants.len(), status.limbo), (0, 0));
}

#[test]
fn participants_are_shown_with_what_they_did() {
    let name = Scratch::new("mpmc-shown");
    let mut sender = small(&name, 8);
    let mut receiver = Receiver::open(&name.0).unwrap();
    sender.send(b"1").unwrap();
    sender.send(b"2").unwrap();
    let held = receiver.recv().unwrap();
    let status = inspect(&name.0).unwrap();
    let find = |role| status.participants.iter().find(|who| who.role == role).unwrap();
    let (from, to) = (find(Role::Sender), find(Role::Receiver));
    assert_eq!((from.sent, from.received, from.holding, from.alive), (2, 0, 0, true));
    assert_eq!((to.sent, to.received, to.holding, to.pid), (0, 1, 1, std::process::id()));
    assert_eq!((status.sent, status.received, status.depth), (2, 1, 1));
    drop(held);
    assert_eq!(inspect(&name.0).unwrap().participants[1].holding, 0);
}

#[test]
fn removal_is_refused_in_use_and_told_when_forced() {
    let name = Scratch::new("mpmc-removal");
    let mut sender = small(&name, 2);
    let mut receiver = Receiver::open(&name.0).unwrap();
    let Err(Error::InUse(who)) = shm_ring::remove(&name.0) else { panic!("removed") };
    assert_eq!(who.len(), 2);
    sender.send(b"1").unwrap();
    shm_ring::remove_forced(&name.0).unwrap();
    assert!(matches!(sender.send(b"2"), Err(Error::Detached)));
    assert_eq!(receiver.recv().unwrap().to_vec(), b"1");
    assert!(matches!(receiver.recv(), Err(Error::Detached)));
    assert!(matches!(receiver.try_clone(), Err(Error::Detached)));
}

/// Several threads on each side: nothing is lost or repeated, and what one receiver gets from one sender is in order.
#[test]
fn threads_on_both_sides_lose_and_repeat_nothing() {
    const EACH: u64 = 30_000;
    for capacity in [2, 64] {
        let name = Scratch::new("mpmc-threads");
        let sender = Sender::builder(&name.0).capacity(capacity).max_message(16).create().unwrap();
        let receiver = Receiver::open(&name.0).unwrap();
        let takers: Vec<_> = (0..3)
            .map(|_| {
                let mut receiver = receiver.try_clone().unwrap();
                std::thread::spawn(move || {
                    let mut seen: Vec<Vec<u64>> = vec![Vec::new(); 3];
                    let mut buffer = [0; 16];
                    loop {
                        match receiver.recv_into(&mut buffer) {
                            Ok((length, who)) => {
                                assert_eq!(length, 8);
                                let value = u64::from_le_bytes(buffer[..8].try_into().unwrap());
                                let from = &mut seen[usize::from(who)];
                                assert!(from.last().is_none_or(|last| *last < value));
                                from.push(value);
                            }
                            Err(Error::Disconnected(End::Closed)) => return seen,
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        let givers: Vec<_> = (0..3)
            .map(|who| {
                let mut sender = sender.try_clone().unwrap();
                std::thread::spawn(move || {
                    (0..EACH).for_each(|value| sender.send_tagged(who, &value.to_le_bytes()).unwrap());
                    sender.close();
                })
            })
            .collect();
        givers.into_iter().for_each(|giver| giver.join().unwrap());
        drop(receiver);
        sender.close();
        let seen: Vec<_> = takers.into_iter().map(|taker| taker.join().unwrap()).collect();
        for who in 0..3 {
            let mut all: Vec<u64> = seen.iter().flat_map(|taker| taker[who].iter().copied()).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..EACH), "capacity {capacity}, sender {who}");
        }
    }
}

/// Each sleep is counted, and lasts: for a slice, if nobody wakes the sleeper.
#[test]
fn sleeps_are_counted_and_few() {
    let name = Scratch::new("mpmc-sleeps");
    let builder = Receiver::builder(&name.0).capacity(2).participants(3).wait(WaitStrategy::Sleep);
    let mut receiver = builder.create().unwrap();
    // A machine that stands still may have the time pass before the first sleep.
    let sleeps = (0..20).find_map(|_| {
        let received = receiver.recv_timeout(Duration::from_millis(150)).map(|message| message.to_vec());
        assert!(matches!(received, Err(Error::TimedOut)), "{received:?}");
        Some(receiver.wait_counts().sleeps).filter(|sleeps| *sleeps > 0)
    });
    assert!(sleeps.is_some_and(|sleeps| sleeps < 100), "{sleeps:?}");
}
