//! Sides that are killed at any moment: what the other one reads, and where their successors go on.

use crate::message::{content, number, value};
use shm_core::{Access, Name};
use shm_ring::{
    Consumer, Deadline, Directory, End, Error, Participant, Producer, Role, Status, TypedConsumer,
    TypedProducer, inspect,
};
use shm_tests::{Peer, Rings, Test, peer, tests};
use std::time::Duration;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        what_a_killed_producer_sent_is_read_and_its_successor_goes_on,
        what_a_killed_producer_of_values_sent_is_read_and_its_successor_goes_on,
        a_killed_consumers_successor_goes_on_behind_what_was_handed_out,
        both_sides_killed_in_turn,
        a_producer_that_asks_is_told_of_its_consumers_death,
        a_stopped_producer_is_not_dead,
    ]
}

const KILLS: u64 = 200;

/// A moment that differs from kill to kill: from the attach itself to some thousand messages later.
fn a_moment(kill: u64) {
    std::thread::sleep(Duration::from_micros(kill.wrapping_mul(0x9E37_79B9) % 1500));
}

/// Of one kill in four: waits until a count of the ring has grown by some. However slow the machine is, and whoever
/// runs first, the kills are in the middle of something.
fn await_progress(kill: u64, name: &str, count: fn(&Status) -> u64, from: u64) {
    let fuse = Deadline::after(shm_tests::FUSE);
    while kill % 4 == 1 && count(&inspect(name).unwrap()) < from + 8 {
        assert!(!fuse.has_passed(), "nothing goes on");
        std::thread::yield_now();
    }
}

/// Role: sends numbered messages in every way there is, going on at the number that the ring says.
pub(crate) fn produce_for_ever(arguments: &[String]) {
    let name = &arguments[0];
    let mut producer = Producer::builder(name).attach_timeout(shm_tests::FUSE).open().unwrap();
    let mut next = inspect(name).unwrap().sent;
    peer::say("sending");
    loop {
        match next % 4 {
            0 => producer.send(&content(next)).unwrap(),
            1 => {
                let bytes = content(next);
                let mut space = producer.reserve(bytes.len() + 16).unwrap();
                space.write_at(0, &bytes).unwrap();
                space.commit(bytes.len()).unwrap();
            }
            _ => {
                let mut batch = producer.batch();
                let mut added = 0;
                while added < 2 && batch.push(&content(next + added)).is_ok() {
                    added += 1;
                }
                batch.send().unwrap();
                next += added;
                continue;
            }
        }
        next += 1;
    }
}

/// Reads until it is told that the producer died; `next` is the number expected next.
fn read_until_death(consumer: &mut Consumer, next: &mut u64) {
    loop {
        match consumer.recv_until(Deadline::after(shm_tests::FUSE)) {
            Ok(message) => {
                assert_eq!(number(&message.to_vec()), *next);
                *next += 1;
            }
            Err(Error::Disconnected(end)) => return assert_eq!(end, End::Died),
            Err(error) => panic!("{error}"),
        }
    }
}

fn what_a_killed_producer_sent_is_read_and_its_successor_goes_on() {
    let rings = Rings::new();
    let name = rings.ring("produce");
    let mut consumer = Consumer::builder(name.as_str()).capacity(4096).create().unwrap();
    let (mut next, mut deaths) = (0, 0);
    for kill in 0..KILLS {
        let mut producer = Peer::start("produce for ever", &[name.as_str()]);
        if kill % 4 > 0 {
            producer.expect("sending");
        }
        let (ring, sent) = (name.clone(), next);
        let killer = std::thread::spawn(move || {
            a_moment(kill);
            await_progress(kill, ring.as_str(), |status| status.sent, sent);
            producer.kill();
        });
        // Killed before it sat down, it was never there, and nobody is told.
        let came = kill % 4 > 0 || {
            while !killer.is_finished() {
                std::thread::yield_now();
            }
            let dead = |who: &Participant| who.role == Role::Producer && who.tenure > deaths;
            inspect(name.as_str()).unwrap().participants.iter().any(dead)
        };
        if came {
            read_until_death(&mut consumer, &mut next);
            deaths += 1;
        }
        killer.join().unwrap();
        let status = inspect(name.as_str()).unwrap();
        assert_eq!((status.sent, status.received, status.depth), (next, next, 0), "after kill {kill}");
    }
    assert!(next > KILLS, "{next} messages in all");
}

/// Role: as `produce for ever`, with values.
pub(crate) fn produce_values_for_ever(arguments: &[String]) {
    let builder = TypedProducer::<[u64; 3]>::builder(&arguments[0]).attach_timeout(shm_tests::FUSE);
    let mut producer = builder.open().unwrap();
    let mut next = inspect(&arguments[0]).unwrap().sent;
    peer::say("sending");
    loop {
        let values: Vec<_> = (next..next + 1 + next % 3).map(value).collect();
        producer.send_slice(&values).unwrap();
        next += values.len() as u64;
    }
}

fn what_a_killed_producer_of_values_sent_is_read_and_its_successor_goes_on() {
    let rings = Rings::new();
    let name = rings.ring("values");
    let mut consumer = TypedConsumer::<[u64; 3]>::builder(name.as_str()).capacity(64).create().unwrap();
    let mut next = 0;
    for kill in 0..KILLS / 4 {
        let mut producer = Peer::start("produce values for ever", &[name.as_str()]);
        producer.expect("sending");
        let killer = std::thread::spawn(move || {
            a_moment(kill);
            producer.kill();
        });
        loop {
            match consumer.recv_until(Deadline::after(shm_tests::FUSE)) {
                Ok(received) => {
                    assert_eq!(received, value(next));
                    next += 1;
                }
                Err(Error::Disconnected(End::Died)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        killer.join().unwrap();
        assert_eq!(inspect(name.as_str()).unwrap().sent, next, "after kill {kill}");
    }
}

/// Role: receives numbered messages, and notes the number of each in an object of its own before it asks for the
/// next one.
pub(crate) fn consume_and_note(arguments: &[String]) {
    let (ring, notes) = (&arguments[0], Name::new(&arguments[1]).unwrap());
    let notes =
        shm_core::Options::new().open(&notes, Access::ReadWrite).unwrap().map(Access::ReadWrite).unwrap();
    let mut consumer = Consumer::builder(ring).attach_timeout(shm_tests::FUSE).open().unwrap();
    // What the dead one noted, and what it was handed: the same, or one more that it held.
    let noted: u64 = notes.read_value(0).unwrap();
    let mut next = inspect(ring).unwrap().received;
    assert!(noted <= next && next <= noted + 3, "handed out {next}, noted {noted}");
    notes.write_value(0, &next).unwrap();
    peer::say("receiving");
    loop {
        match next % 3 {
            0 => {
                let message = consumer.recv().unwrap();
                assert_eq!(number(&message.to_vec()), next);
                next += 1;
            }
            1 => {
                let mut buffer = [0; 512];
                let (length, _) = consumer.recv_into(&mut buffer).unwrap();
                assert_eq!(number(&buffer[..length]), next);
                next += 1;
            }
            _ => {
                let batch = consumer.recv_batch_until(3, Deadline::NEVER).unwrap();
                for view in batch.iter() {
                    assert_eq!(number(&view.to_vec()), next);
                    next += 1;
                }
            }
        }
        notes.write_value(0, &next).unwrap();
    }
}

fn a_killed_consumers_successor_goes_on_behind_what_was_handed_out() {
    let rings = Rings::new();
    let (name, notes) = (rings.ring("consume"), rings.name("notes"));
    let _notes = rings.options().create(&notes, 8).unwrap();
    let mut producer = Producer::builder(name.as_str()).capacity(4096).create().unwrap();
    let mut sent = 0;
    for kill in 0..KILLS {
        let (ring, received) = (name.clone(), inspect(name.as_str()).unwrap().received);
        let mut consumer = Peer::start("consume and note", &[name.as_str(), notes.as_str()]);
        let killer = std::thread::spawn(move || {
            if kill % 4 > 0 {
                consumer.expect("receiving");
            }
            a_moment(kill);
            await_progress(kill, ring.as_str(), |status| status.received, received);
            consumer.kill();
        });
        while !killer.is_finished() {
            match producer.send_timeout(&content(sent), Duration::from_millis(1)) {
                Ok(()) => sent += 1,
                Err(Error::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
        }
        killer.join().unwrap();
    }
    // What is left is there, whole and in order.
    let mut consumer = Consumer::open(name.as_str()).unwrap();
    let first = inspect(name.as_str()).unwrap().received;
    for expected in first..sent {
        assert_eq!(number(&consumer.try_recv().unwrap().to_vec()), expected);
    }
    assert!(matches!(consumer.try_recv(), Err(Error::Empty)));
    assert!(first > KILLS, "{first} messages in all");
}

fn both_sides_killed_in_turn() {
    let rings = Rings::new();
    let (name, notes) = (rings.ring("both"), rings.name("notes"));
    let _notes = rings.options().create(&notes, 8).unwrap();
    drop(Producer::builder(name.as_str()).capacity(1024).create().unwrap());
    // A consumer is told of each producer's death and fails on it: so each of them is killed in the same round.
    for round in 0..KILLS / 4 {
        let mut producer = Peer::start("produce for ever", &[name.as_str()]);
        producer.expect("sending");
        let consumer = Peer::start("consume and note", &[name.as_str(), notes.as_str()]);
        a_moment(round);
        consumer.kill();
        a_moment(round + 7);
        producer.kill();
        let status = inspect(name.as_str()).unwrap();
        assert!(status.sent >= status.received && !status.poisoned, "{status:?}");
    }
    let mut consumer = Consumer::open(name.as_str()).unwrap();
    let status = inspect(name.as_str()).unwrap();
    for expected in status.received..status.sent {
        assert_eq!(number(&consumer.try_recv().unwrap().to_vec()), expected);
    }
    assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Died))));
}

fn a_producer_that_asks_is_told_of_its_consumers_death() {
    let rings = Rings::new();
    let (name, notes) = (rings.ring("require"), rings.name("notes"));
    let _notes = rings.options().create(&notes, 8).unwrap();
    let mut producer = Producer::builder(name.as_str()).capacity(64).require_peer(true).create().unwrap();
    let mut consumer = Peer::start("consume and note", &[name.as_str(), notes.as_str()]);
    consumer.expect("receiving");
    consumer.kill();
    let told = loop {
        match producer.send_timeout(&[0; 24], shm_tests::FUSE) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(told, Error::Disconnected(End::Died)), "{told}");
}

fn a_stopped_producer_is_not_dead() {
    use rustix::process::Signal;
    let rings = Rings::new();
    let name = rings.ring("stopped");
    let mut consumer = Consumer::builder(name.as_str()).capacity(1024).create().unwrap();
    let directory = Directory::posix();
    let mut producer = Peer::start("produce for ever", &[name.as_str()]);
    producer.expect("sending");
    producer.signal(Signal::STOP);
    let mut next = 0;
    loop {
        // Longer than any slice: were time to judge, it would have.
        match consumer.recv_timeout(Duration::from_millis(400)) {
            Ok(message) => {
                assert_eq!(number(&message.to_vec()), next);
                next += 1;
            }
            Err(Error::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        shm_ring::inspect_in(&directory, name.as_str()).unwrap().participants.iter().all(|who| who.alive)
    );
    producer.signal(Signal::CONT);
    let message = consumer.recv_timeout(shm_tests::FUSE).unwrap();
    assert_eq!(number(&message.to_vec()), next, "it goes on as if nothing had been");
    drop(message);
    producer.kill();
    next += 1;
    read_until_death(&mut consumer, &mut next);
}
