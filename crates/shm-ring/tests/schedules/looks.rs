//! How many looks at shared memory an operation takes: in an MPMC ring, one alone finds its place in a number of looks
//! that grows with the logarithm of the capacity, however far the others have gone on meanwhile (and as many again when
//! it counts how many messages wait).

use super::common::Scratch;
use shm_core::hostile::{Interloper, Touch, install};
use shm_ring::{Error, Receiver, Sender};
use std::cell::Cell;
use std::rc::Rc;

struct Looks(Rc<Cell<u32>>);

impl Interloper for Looks {
    fn before_load(&mut self, _: Touch) {
        self.0.set(self.0.get() + 1);
    }
}

/// What somebody does, and how many loads that took.
fn looks<R>(does: impl FnOnce() -> R) -> (R, u32) {
    let count = Rc::new(Cell::new(0));
    let installed = install(Looks(count.clone()));
    let result = does();
    drop(installed);
    (result, count.get())
}

#[test]
fn whoever_fell_behind_finds_its_place_in_few_looks() {
    let mut most = [0; 2];
    for (kind, capacity_bits) in [4_u32, 10].into_iter().enumerate() {
        let capacity = 1_u64 << capacity_bits;
        let name = Scratch::new("looks");
        let mut sender = Sender::builder(&name.0).capacity(capacity).max_message(8).create().unwrap();
        let mut receiver = Receiver::open(&name.0).unwrap();
        let mut late = (sender.try_clone().unwrap(), receiver.try_clone().unwrap());
        for ahead in (0..40).chain([capacity - 1, capacity, capacity + 1, 3 * capacity, 5 * capacity + 7]) {
            for waiting in [0, 1, capacity / 2, capacity - 1] {
                for _ in 0..ahead {
                    sender.try_send(b"x").unwrap();
                    receiver.try_recv().unwrap();
                }
                for _ in 0..waiting {
                    sender.try_send(b"x").unwrap();
                }
                let (sent, by_sender) = looks(|| late.0.try_send(b"x"));
                sent.unwrap();
                let (received, by_receiver) = looks(|| late.1.try_recv().map(drop));
                received.unwrap();
                let now = by_sender.max(by_receiver);
                assert!(now <= 4 * capacity_bits + 16, "{now} looks, {ahead} behind, {waiting} waiting");
                most[kind] = now.max(most[kind]);
                while !matches!(receiver.try_recv(), Err(Error::Empty)) {}
            }
        }
    }
    assert!(most[1] > 4 * 10, "the limit is not reached: {most:?}");
}

/// Who is at its place looks once.
#[test]
fn whoever_is_at_its_place_looks_at_one_slot() {
    let name = Scratch::new("once");
    let mut sender = Sender::builder(&name.0).capacity(64).max_message(8).create().unwrap();
    let mut receiver = Receiver::open(&name.0).unwrap();
    for _ in 0..2000 {
        sender.try_send(b"x").unwrap();
        receiver.try_recv().unwrap();
    }
    let (_, by_sender) = looks(|| sender.try_send(b"x").unwrap());
    let (_, by_receiver) = looks(|| receiver.try_recv().map(drop).unwrap());
    assert!(by_sender <= 6 && by_receiver <= 7, "{by_sender} {by_receiver}");
}
