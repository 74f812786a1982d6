//! Words in MPMC rings that no correct participant writes: whatever is answered, it is an answer, and it comes.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::Scratch;
use shm_ring::layout::mpmc::{
    BLOCKS_MAX, COMMON_OFFSET, DATA_WAIT_OFFSET, HAND_BLOCK_BITS, HAND_OFFSET, NOTICE_OFFSET, SEAT_BYTES,
    SEATS_OFFSET, TENURE_OFFSET, TENURE_RECEIVER,
};
use shm_ring::layout::{NOTICE_POISONED, TENURE_JOINED, TENURE_STATE_BITS};
use shm_ring::{Error, Receiver, Sender, TypedReceiver, TypedSender, inspect, repair};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

const PARTICIPANTS: usize = 3;
const SLOTS_OFFSET: usize = SEATS_OFFSET + PARTICIPANTS * SEAT_BYTES;
/// Numbers in a slot, or in a hand, that name no block.
const NO_BLOCK: u64 = BLOCKS_MAX - 1;

/// Does what must not hang, and fails when it does.
fn fused(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = channel::<()>();
    let worker = std::thread::spawn(move || {
        let _done = done; // dropped at the end, or by a panic
        work();
    });
    let hangs = is_done.recv_timeout(common::FUSE) == Err(RecvTimeoutError::Timeout);
    assert!(!hangs, "it hangs");
    worker.join().unwrap();
}

/// Comes, or not; and goes on a little, or not.
fn visit(name: &Scratch) {
    let open = || Sender::builder(&name.0).attach_timeout(Duration::ZERO).open();
    if let Ok(mut sender) = open() {
        let _ = sender.try_send(b"visitor");
    }
    if let Ok(mut receiver) = Receiver::builder(&name.0).attach_timeout(Duration::ZERO).open() {
        let _ = receiver.recv_timeout(Duration::ZERO).map(|message| message.to_vec());
    }
    let _ = inspect(&name.0);
    let _ = repair(&name.0);
}

#[test]
fn no_word_makes_anybody_panic_or_hang() {
    fused(|| {
        let hand = NO_BLOCK | 1 << HAND_BLOCK_BITS;
        let wild = [0, 1, 2, 6, 255, 257, 1 << 40, hand, 1 << 62, u64::MAX - 7, u64::MAX];
        for redelivery in [false, true] {
            let name = Scratch::new("wild");
            let words = (COMMON_OFFSET..COMMON_OFFSET + 512)
                .chain(SEATS_OFFSET..SLOTS_OFFSET)
                .chain(SLOTS_OFFSET..SLOTS_OFFSET + 16)
                .chain(SLOTS_OFFSET + 64..SLOTS_OFFSET + 72);
            for (offset, value) in words.step_by(8).flat_map(|offset| wild.map(|value| (offset, value))) {
                let builder = Sender::builder(&name.0).capacity(2).max_message(16);
                let builder = builder.participants(PARTICIPANTS as u64).redelivery(redelivery);
                let mut sender = builder.attach_timeout(Duration::ZERO).create().unwrap();
                let mut receiver = Receiver::open(&name.0).unwrap();
                sender.send(&[1; 8]).unwrap();
                name.scribble(offset, &u64::to_le_bytes(value));
                for _ in 0..3 {
                    let _ = sender.send_timeout(&[2; 16], Duration::ZERO);
                    let _ = receiver.try_recv().map(|message| message.to_vec());
                }
                visit(&name);
                sender.close();
                let _ = receiver.recv_timeout(Duration::ZERO).map(|message| message.to_vec());
                drop(receiver);
                visit(&name);
                let _ = name.take_away(); // gone if the value said that it is removed
            }
        }
    });
}

/// Every mixture of a few sequences, which only grow in a correct ring, and never more than a lap apart.
#[test]
fn no_mixture_of_sequences_keeps_anybody() {
    fused(|| {
        // Seven blocks: three bits of a slot word.
        let sequences = [0, 1, 2, 5, 1 << 20, 1 << 59, (1 << 61) - 1].map(|sequence: u64| sequence << 3);
        for mixture in 0..sequences.len().pow(4) {
            let name = Scratch::new("mixture");
            let builder = Sender::builder(&name.0).capacity(4).participants(PARTICIPANTS as u64);
            let mut sender = builder.max_message(16).create().unwrap();
            for slot in 0..4 {
                let sequence = sequences[mixture / sequences.len().pow(slot) % sequences.len()];
                name.scribble(SLOTS_OFFSET + 8 * slot as usize, &(sequence | u64::from(slot)).to_le_bytes());
            }
            for _ in 0..5 {
                let _ = sender.try_send(b"sent");
            }
            visit(&name);
        }
    });
}

#[test]
fn a_block_that_is_nowhere_stops_all() {
    let name = Scratch::new("block");
    let mut sender = Sender::builder(&name.0).capacity(2).participants(PARTICIPANTS as u64).create().unwrap();
    let mut receiver = Receiver::open(&name.0).unwrap();
    sender.send(b"x").unwrap();
    name.scribble(SLOTS_OFFSET, &(1 << 3 | 7_u64).to_le_bytes());
    assert!(matches!(receiver.try_recv(), Err(Error::Corrupt(_))));
    assert!(matches!(receiver.try_recv(), Err(Error::Corrupt(_))));
    assert!(matches!(sender.send(b"y"), Err(Error::Corrupt(_))));
    assert!(inspect(&name.0).unwrap().poisoned);
    assert!(matches!(Receiver::open(&name.0), Err(Error::Corrupt(_))));
}

#[test]
fn a_hand_that_holds_no_block_is_told_and_repairs_nothing() {
    let name = Scratch::new("hand");
    let _sender = Sender::builder(&name.0).capacity(2).participants(PARTICIPANTS as u64).create().unwrap();
    let seat = SEATS_OFFSET + 2 * SEAT_BYTES;
    name.scribble(seat + HAND_OFFSET, &u64::MAX.to_le_bytes());
    let tenure = 1 << TENURE_STATE_BITS | TENURE_RECEIVER | TENURE_JOINED;
    name.scribble(seat + TENURE_OFFSET, &tenure.to_le_bytes());
    assert!(matches!(inspect(&name.0), Err(Error::Corrupt(_))));
    assert!(matches!(repair(&name.0), Err(Error::Corrupt(_))));
}

/// Whoever has said that the ring is corrupt goes on saying it, and wakes those who sleep.
#[test]
fn corrupt_is_for_good_for_all() {
    let name = Scratch::new("good");
    let mut sender = Sender::builder(&name.0).capacity(2).participants(PARTICIPANTS as u64).create().unwrap();
    let mut receiver = Receiver::open(&name.0).unwrap();
    name.scribble(COMMON_OFFSET + NOTICE_OFFSET, &NOTICE_POISONED.to_le_bytes());
    assert!(matches!(receiver.try_recv(), Err(Error::Corrupt(_))));
    name.scribble(COMMON_OFFSET + NOTICE_OFFSET, &[0; 4]);
    assert!(matches!(receiver.recv_timeout(Duration::from_millis(1)), Err(Error::Corrupt(_))));
    assert!(sender.send(b"x").is_ok(), "it was told of nothing");
}

/// Garbage stops receivers though messages wait, of bytes and of values.
#[test]
fn a_poisoned_ring_hands_nothing_out() {
    let poison =
        |name: &Scratch| name.scribble(COMMON_OFFSET + NOTICE_OFFSET, &NOTICE_POISONED.to_le_bytes());
    let name = Scratch::new("waiting");
    let mut sender = Sender::builder(&name.0).capacity(4).participants(PARTICIPANTS as u64).create().unwrap();
    let mut receiver = Receiver::open(&name.0).unwrap();
    (0..3).for_each(|_| sender.send(b"x").unwrap());
    assert_eq!(receiver.try_recv().unwrap().to_vec(), b"x");
    poison(&name);
    let received = receiver.try_recv().map(|message| message.to_vec());
    assert!(matches!(received, Err(Error::Corrupt(_))), "{received:?}");
    let name = Scratch::new("waiting-values");
    let mut sender = TypedSender::<u64>::builder(&name.0).capacity(4).create().unwrap();
    let mut receiver = TypedReceiver::<u64>::open(&name.0).unwrap();
    (0..3).for_each(|value| sender.send(&value).unwrap());
    assert_eq!(receiver.try_recv().unwrap(), 0);
    poison(&name);
    let received = receiver.try_recv();
    assert!(matches!(received, Err(Error::Corrupt(_))), "{received:?}");
}

/// A wait word of any value wakes or sleeps, and nothing else.
#[test]
fn a_garbage_wait_word_loses_no_message() {
    for garbage in [1, 2, 3, 0x8000_0000, u32::MAX] {
        let name = Scratch::new("word");
        let mut sender =
            Sender::builder(&name.0).capacity(2).participants(PARTICIPANTS as u64).create().unwrap();
        let mut receiver = Receiver::open(&name.0).unwrap();
        name.scribble(COMMON_OFFSET + DATA_WAIT_OFFSET, &u32::to_le_bytes(garbage));
        let timed_out = receiver.recv_timeout(Duration::from_millis(1)).map(|message| message.to_vec());
        assert!(matches!(timed_out, Err(Error::TimedOut)), "{timed_out:?}");
        sender.send(b"x").unwrap();
        assert_eq!(receiver.recv().unwrap().to_vec(), b"x");
    }
}
