//! Joining, leaving, dying and cleaning up behind the dead, explored by loom.

use super::{Claims, OwnSeat};
use crate::error::{End, Role};
use crate::layout::mpmc::TENURE_JOINING;
use crate::model::{Ring, descriptors, explore};
use crate::mpmc::exchange::{Attempt, Exchange};
use crate::mpmc::seat::{lock_byte, raise};
use loom::thread;
use shm_core::model::kernel::{self, Locks};
use shm_core::model::mortal;

/// A ring for three, and the locks of its seats.
fn scene() -> (Locks, Ring) {
    (Locks::new((0..3).map(lock_byte)), Ring::new(3, true))
}

fn claims(ring: &Ring) -> Claims {
    Claims::new(ring.parts.clone(), &ring.geometry).unwrap()
}

fn exchange(ring: &Ring, seat: u64, sends: bool) -> Exchange {
    Exchange::new(&ring.parts, ring.format, seat, sends).unwrap()
}

/// Sits down on a free seat as a sender.
fn sit(claims: &Claims, object: usize, seat: u64) -> OwnSeat {
    assert!(claims.lock(&descriptors()[object], seat).unwrap());
    OwnSeat::sit(claims, seat, Role::Sender).unwrap()
}

fn send(ring: &Ring, seat: u64, message: u64) {
    let mut exchange = exchange(ring, seat, true);
    ring.write(exchange.block(), message);
    assert_eq!(exchange.attempt().unwrap(), Attempt::Exchanged);
}

/// One sends, and goes. Whoever finds all senders gone finds what they sent.
fn gone(name: &str, closed: Option<bool>, end: End, kernel: bool) {
    explore(name, 3, move || {
        let (_locks, ring) = scene();
        let theirs = ring.clone();
        let sender = thread::spawn(move || {
            let claims = claims(&theirs);
            let seat = sit(&claims, 0, 0);
            send(&theirs, 0, 7);
            if let Some(closed) = closed {
                seat.leave(&claims.senders, closed);
            }
            kernel::close(&descriptors()[0]);
        });
        let claims = claims(&ring);
        let probe = kernel.then_some(&descriptors()[1]);
        let absence = claims.roster.absence(&claims.senders, Role::Sender, 0, probe).unwrap();
        if let Some(absence) = absence.filter(|absence| absence.joins > 0) {
            assert_eq!((absence.joins, absence.end), (1, end));
            let mut receiver = exchange(&ring, 2, false);
            assert_eq!(
                receiver.attempt().unwrap(),
                Attempt::Exchanged,
                "they are gone, and so is the message"
            );
            assert_eq!(ring.read(receiver.block()), 7);
        }
        sender.join().unwrap();
    });
}

#[test]
fn what_the_gone_have_sent_is_there() {
    gone("claim, closed", Some(true), End::Closed, false);
    gone("claim, closed, and the kernel is asked", Some(true), End::Closed, true);
    gone("claim, dropped", Some(false), End::Dropped, false);
    gone("claim, died", None, End::Died, true);
}

/// One comes on the first seat and another one leaves the second: somebody is there at any time.
#[test]
fn nobody_is_overlooked_who_comes_while_another_one_leaves() {
    explore("claim, a change", 3, || {
        let (_locks, ring) = scene();
        let leaver = sit(&claims(&ring), 0, 1);
        let theirs = ring.clone();
        let others = thread::spawn(move || {
            let claims = claims(&theirs);
            let comer = sit(&claims, 1, 0);
            leaver.leave(&claims.senders, true);
            kernel::close(&descriptors()[0]);
            comer
        });
        let claims = claims(&ring);
        let probe = Some(&descriptors()[2]);
        assert_eq!(claims.roster.absence(&claims.senders, Role::Sender, 0, probe).unwrap(), None);
        others.join().unwrap();
    });
}

/// Who sees a count of comings or goings sees who came or went.
#[test]
fn what_is_counted_is_seen() {
    for dies in [false, true] {
        explore(if dies { "claim, events of a death" } else { "claim, events" }, 3, move || {
            let (_locks, ring) = scene();
            let theirs = ring.clone();
            let other = thread::spawn(move || {
                let claims = claims(&theirs);
                let seat = sit(&claims, 0, 0);
                if dies {
                    kernel::close(&descriptors()[0]);
                    assert!(claims.lock(&descriptors()[1], 0).unwrap());
                    claims.clean_up(0).unwrap();
                } else {
                    seat.leave(&claims.senders, true);
                }
            });
            let claims = claims(&ring);
            let (joins, leaves) = claims.senders.events();
            if leaves == 0 {
                let tenure = claims.roster.tenure(0).unwrap();
                assert!(joins == 0 || tenure.state != 0, "a coming is counted before it is seen");
            } else {
                let absence = claims.roster.absence(&claims.senders, Role::Sender, 0, None).unwrap();
                assert_eq!(absence.unwrap().end, if dies { End::Died } else { End::Closed });
            }
            other.join().unwrap();
        });
    }
}

/// A death is told even when the dead one's seat was taken by another one, who left in good order.
#[test]
fn a_death_is_not_covered_by_a_successor() {
    explore("claim, a death covered", 3, || {
        let (_locks, ring) = scene();
        let dead = claims(&ring);
        sit(&dead, 0, 0);
        kernel::close(&descriptors()[0]);
        let theirs = ring.clone();
        let other = thread::spawn(move || {
            let claims = claims(&theirs);
            assert!(claims.lock(&descriptors()[1], 0).unwrap());
            claims.clean_up(0).unwrap();
            let seat = OwnSeat::sit(&claims, 0, Role::Sender).unwrap();
            seat.leave(&claims.senders, true);
        });
        let claims = claims(&ring);
        let absence = claims.roster.absence(&claims.senders, Role::Sender, 0, None).unwrap();
        assert!(absence.is_none_or(|absence| absence.end == End::Died));
        other.join().unwrap();
    });
}

/// No end is known to have been told of somebody who is not known to have come.
#[test]
fn what_was_told_had_come() {
    explore("claim, an end told", 3, || {
        let (_locks, ring) = scene();
        let theirs = ring.clone();
        let sender = thread::spawn(move || {
            let claims = claims(&theirs);
            sit(&claims, 0, 0).leave(&claims.senders, true);
        });
        let theirs = ring.clone();
        let told = thread::spawn(move || {
            let claims = claims(&theirs);
            let absence = claims.roster.absence(&claims.senders, Role::Sender, 0, None).unwrap();
            if let Some(absence) = absence {
                raise(&claims.senders.told, absence.joins);
            }
        });
        assert!(claims(&ring).senders.already_told().is_ok());
        sender.join().unwrap();
        told.join().unwrap();
    });
}

/// A sender is killed before a store, while a receiver takes what it sends; whoever cleans up finds the block it had.
#[test]
fn a_dead_ones_block_is_found() {
    for stores in 6..12 {
        explore(&format!("reclaim, killed after {stores} stores"), 3, move || {
            let (_locks, ring) = scene();
            let theirs = ring.clone();
            let dead = thread::spawn(move || {
                mortal::run(stores, || {
                    let claims = claims(&theirs);
                    if claims.lock(&descriptors()[0], 0).unwrap() {
                        OwnSeat::sit(&claims, 0, Role::Sender).unwrap();
                        send(&theirs, 0, 1);
                    }
                });
                kernel::close(&descriptors()[0]);
            });
            let theirs = ring.clone();
            let living = thread::spawn(move || {
                let mut receiver = exchange(&theirs, 1, false);
                for _ in 0..2 {
                    if receiver.attempt().unwrap() == Attempt::Exchanged {
                        theirs.read(receiver.block());
                        receiver.let_go();
                    }
                }
            });
            let claims = claims(&ring);
            if claims.lock(&descriptors()[2], 0).unwrap() {
                claims.clean_up(0).unwrap();
                // As the next one on the seat.
                let mut sender = exchange(&ring, 0, true);
                ring.write(sender.block(), 2);
                sender.attempt().unwrap();
                kernel::close(&descriptors()[2]);
            }
            dead.join().unwrap();
            living.join().unwrap();
            assert!(claims.lock(&descriptors()[2], 0).unwrap());
            claims.clean_up(0).unwrap();
            ring.assert_whole();
        });
    }
}

/// Somebody who was killed while it joined has died as a participant.
#[test]
fn who_is_killed_joining_is_seen() {
    explore("claim, killed joining", 3, || {
        let (_locks, ring) = scene();
        let theirs = ring.clone();
        let dead = thread::spawn(move || {
            mortal::run(1, || drop(sit(&claims(&theirs), 0, 0)));
            kernel::close(&descriptors()[0]);
        });
        let claims = claims(&ring);
        let tenure = claims.roster.tenure(0).unwrap();
        assert!(tenure.state == 0 || tenure.state == TENURE_JOINING);
        dead.join().unwrap();
    });
}
