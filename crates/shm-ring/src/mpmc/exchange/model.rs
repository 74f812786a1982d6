//! Exchanges in a ring of two slots, explored by loom.

use super::{Attempt, Exchange};
use crate::model::{Ring, explore};
use loom::thread;
use shm_core::sync::yield_now;

impl Ring {
    fn exchange(&self, seat: u64, sends: bool) -> Exchange {
        Exchange::new(&self.parts, self.format, seat, sends).unwrap()
    }

    /// Fills the block in hand and tries to send it.
    fn try_send(&self, exchange: &mut Exchange, message: u64) -> bool {
        self.write(exchange.block(), message);
        exchange.exchange_plainly(|_| true) || exchange.attempt().unwrap() == Attempt::Exchanged
    }

    fn try_receive(&self, exchange: &mut Exchange) -> Option<u64> {
        let exchanged =
            exchange.exchange_plainly(|_| true) || exchange.attempt().unwrap() == Attempt::Exchanged;
        exchanged.then(|| {
            let message = self.read(exchange.block());
            exchange.let_go();
            message
        })
    }

    fn send(&self, exchange: &mut Exchange, message: u64) {
        while !self.try_send(exchange, message) {
            yield_now();
        }
    }

    fn receive(&self, exchange: &mut Exchange) -> u64 {
        loop {
            if let Some(message) = self.try_receive(exchange) {
                return message;
            }
            yield_now();
        }
    }
}

/// One sends, one receives, more than two laps.
#[test]
fn messages_arrive_in_order() {
    explore("exchange, one to one", 2, || {
        let ring = Ring::new(2, true);
        let theirs = ring.clone();
        let sender = thread::spawn(move || {
            let mut exchange = theirs.exchange(0, true);
            (1..=5).for_each(|message| theirs.send(&mut exchange, message));
        });
        let mut exchange = ring.exchange(1, false);
        for message in 1..=5 {
            assert_eq!(ring.receive(&mut exchange), message);
        }
        assert_eq!(ring.try_receive(&mut exchange), None);
        sender.join().unwrap();
    });
}

/// Two send, one receives: each message once. Nobody waits; what is still there in the end is received then.
#[test]
fn what_several_send_arrives_once() {
    explore("exchange, two to one", 2, || {
        let ring = Ring::new(3, true);
        let senders = [0, 1].map(|seat| {
            let theirs = ring.clone();
            thread::spawn(move || assert!(theirs.try_send(&mut theirs.exchange(seat, true), seat)))
        });
        let mut exchange = ring.exchange(2, false);
        let mut received: Vec<u64> = (0..2).filter_map(|_| ring.try_receive(&mut exchange)).collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        received.extend((0..2).filter_map(|_| ring.try_receive(&mut exchange)));
        received.sort_unstable();
        assert_eq!(received, [0, 1]);
        ring.assert_whole();
    });
}

/// One sends, two receive: each message once, the first before the second.
#[test]
fn what_several_receive_arrives_once() {
    explore("exchange, one to two", 2, || {
        let ring = Ring::new(3, true);
        let receivers = [0, 1].map(|seat| {
            let theirs = ring.clone();
            thread::spawn(move || theirs.try_receive(&mut theirs.exchange(seat, false)))
        });
        let mut exchange = ring.exchange(2, true);
        assert!(ring.try_send(&mut exchange, 1) && ring.try_send(&mut exchange, 2));
        let mut received: Vec<u64> = receivers.into_iter().filter_map(|one| one.join().unwrap()).collect();
        let mut late = ring.exchange(2, false);
        received.extend((0..2).filter_map(|_| ring.try_receive(&mut late)));
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        ring.assert_whole();
    });
}

/// Somebody who has not looked for long jumps over what others have passed, and takes none of it for garbage.
#[test]
fn a_late_comer_catches_up() {
    explore("exchange, a late comer", 2, || {
        let ring = Ring::new(3, true);
        let theirs = ring.clone();
        let others = thread::spawn(move || {
            let (mut sender, mut receiver) = (theirs.exchange(0, true), theirs.exchange(1, false));
            for message in 1..=4 {
                theirs.send(&mut sender, message);
                theirs.receive(&mut receiver);
            }
        });
        let mut late = ring.exchange(2, true);
        ring.try_send(&mut late, 9);
        others.join().unwrap();
    });
}

/// Full and empty are not both true: each may be older than the other one's operation, but not than one's own.
#[test]
fn full_and_empty_are_not_older_than_ones_own_operation() {
    explore("exchange, full or empty", 3, || {
        let ring = Ring::new(2, true);
        let (mut sender, mut receiver) = (ring.exchange(0, true), ring.exchange(1, false));
        ring.send(&mut sender, 1);
        ring.send(&mut sender, 2);
        assert_eq!(ring.receive(&mut receiver), 1);
        let theirs = ring.clone();
        let other = thread::spawn(move || {
            theirs.send(&mut sender, 3);
            Exchange::settle_view();
            theirs.try_send(&mut sender, 4)
        });
        assert_eq!(ring.receive(&mut receiver), 2);
        Exchange::settle_view();
        let third = ring.try_receive(&mut receiver);
        let fourth_sent = other.join().unwrap();
        assert!(third.is_some() || fourth_sent, "full and empty at once");
    });
}

/// A message that is refused was in the slot while it was looked at.
#[test]
fn a_refusal_is_about_the_message_in_the_slot() {
    explore("exchange, a refusal", 3, || {
        let ring = Ring::new(3, false);
        let (mut sender, mut receiver) = (ring.exchange(0, true), ring.exchange(1, false));
        ring.send(&mut sender, 1);
        let theirs = ring.clone();
        let others = thread::spawn(move || {
            // The block of message 1 comes into the receiver's hand, from there into a slot, and back to the sender.
            assert_eq!(theirs.receive(&mut receiver), 1);
            theirs.send(&mut sender, 2);
            assert_eq!(theirs.receive(&mut receiver), 2);
            theirs.send(&mut sender, 3);
            theirs.send(&mut sender, 4);
            theirs.write(sender.block(), 5);
        });
        let mut picky = ring.exchange(2, false);
        let mut seen = 0;
        let position = |exchange: &Exchange| exchange.cursor() + 1;
        let attempt = picky.attempt_if(|block| {
            seen = ring.read(block);
            false
        });
        if attempt.unwrap() == Attempt::Refused {
            assert_eq!(seen, position(&picky), "a later message was taken for the one in the slot");
        }
        others.join().unwrap();
    });
}
