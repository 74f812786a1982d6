//! A storm of kills and stops: whatever happens to some, the messages of the others arrive once and in order, and of
//! the dead at most what was in hand is missing.
//!
//! `SHMRING_FULL=1` makes the storms long.

use crate::blocks;
use crate::ledger::{Field, Ledger, MESSAGES};
use rustix::process::Signal;
use shm_core::sync::Ordering;
use shm_ring::{Delivery, Error, Receiver, Sender, inspect, repair};
use shm_tests::{Peer, Rings, Test, peer, tests};
use std::time::Duration;

pub(crate) fn tests() -> Vec<Test> {
    tests![a_storm_of_kills, a_storm_with_redelivery, a_storm_with_one_receiver]
}

/// How a storm is.
struct Storm {
    senders: usize,
    receivers: usize,
    capacity: u64,
    redelivery: bool,
    /// Kills in an ordinary run, and in a long one.
    kills: [u64; 2],
}

const SOON: Duration = Duration::from_millis(50);

/// Role: sends numbered messages until the end, or until all numbers are used.
pub(crate) fn send(arguments: &[String]) {
    let [name, notes, senders, id] = arguments else { panic!("{arguments:?}") };
    let (senders, id): (u64, u64) = (senders.parse().unwrap(), id.parse().unwrap());
    let ledger = Ledger::open(notes, senders);
    let mut sender = Sender::builder(name).attach_timeout(shm_tests::FUSE).open().unwrap();
    let sent = ledger.sent(id);
    peer::say("here");
    let mut number = 0;
    while number < MESSAGES && ledger.get(Field::Stop) == 0 {
        let mut message = [0; 48];
        message[..8].copy_from_slice(&id.to_le_bytes());
        message[8..16].copy_from_slice(&number.to_le_bytes());
        message[16..].fill(number.to_le_bytes()[0]);
        match sender.send_timeout(&message, SOON) {
            Ok(()) => {
                number += 1;
                sent.store(number, Ordering::Relaxed); // judged when all have ended
            }
            Err(Error::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }
    sender.close();
    peer::say("done");
}

/// Role: receives and notes, until the end.
pub(crate) fn receive(arguments: &[String]) {
    let [name, notes, senders] = arguments else { panic!("{arguments:?}") };
    let senders = senders.parse().unwrap();
    let ledger = Ledger::open(notes, senders);
    let mut receiver = Receiver::builder(name).attach_timeout(shm_tests::FUSE).open().unwrap();
    let mut next = vec![0; usize::try_from(senders).unwrap()];
    peer::say("here");
    loop {
        let pause = match receiver.recv_timeout(SOON) {
            Ok(delivery) => {
                note(&delivery, &ledger, &mut next);
                false
            }
            // Nothing came for a while, or all senders have gone for now; the end is when that is so for good.
            Err(Error::TimedOut | Error::Disconnected(_)) => true,
            Err(error) => panic!("{error}"),
        };
        let stopped = pause && ledger.get(Field::Stop) != 0;
        if stopped && receiver.is_closed().unwrap() && receiver.is_empty().unwrap() {
            return receiver.close();
        }
    }
}

fn note(delivery: &Delivery<'_>, ledger: &Ledger, next: &mut [u64]) {
    let message = delivery.to_vec();
    let word = |at: usize| u64::from_le_bytes(message[at..at + 8].try_into().unwrap());
    let (id, number) = (word(0), word(8));
    assert!(message[16..].iter().all(|byte| *byte == message[8]), "a message is torn");
    let again = delivery.is_redelivered();
    if ledger.note(id, number) && !again {
        ledger.add(Field::Repeated);
    }
    if again {
        return ledger.add(Field::Redelivered);
    }
    let next = &mut next[usize::try_from(id).unwrap()];
    if number < *next {
        ledger.add(Field::Disorder);
    }
    *next = number + 1;
}

/// A pseudo-random number below `limit`.
fn random(state: &mut u64, limit: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap() % limit
}

fn rage(storm: &Storm) {
    let kills = storm.kills[usize::from(std::env::var_os("SHMRING_FULL").is_some())];
    // Each sender that is killed or has used its numbers up is replaced by one with another id.
    let senders_max = 4 * (kills + storm.senders as u64) + 64;
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let descriptors_before = descriptors();
    let rings = Rings::new();
    let (ring, notes) = (rings.ring("ring"), rings.name("notes"));
    let ledger = Ledger::create(&rings.options(), &notes, senders_max);
    let participants = (storm.senders + storm.receivers) as u64 + 4;
    let builder = Sender::builder(ring.as_str()).capacity(storm.capacity).max_message(48);
    builder.participants(participants).redelivery(storm.redelivery).create_ring().unwrap();
    let count = senders_max.to_string();
    let mut ids = 0..senders_max;
    let mut start_sender = || {
        let id = ids.next().expect("enough numbers").to_string();
        Peer::start("send in a storm", &[ring.as_str(), notes.as_str(), &count, &id])
    };
    let start_receiver = || Peer::start("receive in a storm", &[ring.as_str(), notes.as_str(), &count]);
    let mut senders: Vec<Peer> = (0..storm.senders).map(|_| start_sender()).collect();
    let mut receivers: Vec<Peer> = (0..storm.receivers).map(|_| start_receiver()).collect();
    senders.iter_mut().chain(&mut receivers).for_each(|peer| peer.expect("here"));
    let (mut state, mut receivers_killed, mut stops) = (0x5EED, 0, 0);
    for kill in 0..kills {
        std::thread::sleep(Duration::from_millis(random(&mut state, 12) as u64));
        if kill % 5 == 4 {
            // Somebody is stopped for a while, and good for work afterwards.
            let stopped = &receivers[random(&mut state, receivers.len())];
            stopped.signal(Signal::STOP);
            std::thread::sleep(Duration::from_millis(5));
            stopped.signal(Signal::CONT);
            stops += 1;
        }
        let victim = random(&mut state, senders.len() + receivers.len());
        if victim < senders.len() {
            // It may just have come to its end by itself.
            drop(std::mem::replace(&mut senders[victim], start_sender()));
            senders[victim].expect("here");
        } else {
            let victim = victim - senders.len();
            std::mem::replace(&mut receivers[victim], start_receiver()).kill();
            receivers[victim].expect("here");
            receivers_killed += 1;
        }
    }
    ledger.add(Field::Stop);
    senders.into_iter().for_each(Peer::finish);
    receivers.into_iter().for_each(Peer::finish);
    // What those held who died last, and nobody has come or waited since.
    let mut receiver = Receiver::open(ring.as_str()).unwrap();
    let mut next = vec![0; usize::try_from(senders_max).unwrap()];
    while let Ok(delivery) = receiver.try_recv() {
        note(&delivery, &ledger, &mut next);
    }
    receiver.close();
    let sent = judge(storm, &ledger, senders_max, receivers_killed);
    println!("{kills} kills, {stops} stops");
    repair(ring.as_str()).unwrap();
    let status = inspect(ring.as_str()).unwrap();
    assert_eq!((status.participants.len(), status.limbo, status.depth), (0, 0, 0));
    assert!(status.sent >= sent && status.received == status.sent, "{status:?}");
    blocks::are_all_in_one_place(&ring);
    drop((ledger, rings));
    assert_eq!(descriptors(), descriptors_before, "descriptors were left open");
}

/// The verdict on the messages; how many were surely sent.
fn judge(storm: &Storm, ledger: &Ledger, senders_max: u64, receivers_killed: usize) -> u64 {
    let (mut sent, mut missing) = (0, 0);
    for id in 0..senders_max {
        let surely = ledger.sent(id).load(Ordering::Relaxed); // all have ended
        sent += surely;
        let got = ledger.got(id);
        let (before, behind) = got.split_at(usize::try_from(surely).unwrap());
        missing += before.iter().filter(|got| !**got).count();
        // What it was just sending when it was killed came or did not; nothing behind it.
        assert!(behind.iter().skip(1).all(|got| !got), "sender {id}");
    }
    let [repeated, disorder, again] =
        [Field::Repeated, Field::Disorder, Field::Redelivered].map(|field| ledger.get(field));
    println!("{sent} messages, {missing} lost with {receivers_killed} receivers, {again} handed out again");
    assert_eq!((repeated, disorder), (0, 0), "messages came twice, or in the wrong order");
    let allowed = if storm.redelivery { 0 } else { receivers_killed };
    assert!(
        missing <= allowed,
        "{missing} messages are missing, and {receivers_killed} receivers were killed"
    );
    assert!(
        again <= if storm.redelivery { receivers_killed as u64 } else { 0 },
        "{again} were handed out again"
    );
    sent
}

fn a_storm_of_kills() {
    rage(&Storm { senders: 8, receivers: 8, capacity: 64, redelivery: false, kills: [120, 4000] });
}

fn a_storm_with_redelivery() {
    rage(&Storm { senders: 4, receivers: 4, capacity: 16, redelivery: true, kills: [80, 3000] });
}

fn a_storm_with_one_receiver() {
    rage(&Storm { senders: 4, receivers: 1, capacity: 2, redelivery: false, kills: [60, 2000] });
}
