//! Everybody who waits is told of a death, at once and without looking around from time to time: slices are
//! switched off, so that a notice that is lost is lost for good, and the test hangs until its watchdog.

use shm_ring::{Consumer, End, Error, Producer, Receiver, Sender, TypedConsumer, TypedProducer};
use shm_tests::{Peer, Rings, Test, peer, tests};
use std::time::Duration;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        all_receivers_are_told_of_the_last_senders_death,
        a_consumer_is_told_of_its_producers_death,
        who_sends_into_plenty_of_space_is_told_of_a_death,
    ]
}

const ROUNDS: usize = 40;
const RECEIVERS: usize = 3;
/// Memory whose tearing down keeps the verdict back for a while after the mark: none, and some.
const BALLAST: [&str; 2] = ["0", "16000000"];

/// Role: sends nothing, and waits to be killed.
pub(crate) fn sit_as_sender(arguments: &[String]) {
    let ballast = vec![1_u8; arguments[2].parse().unwrap()];
    let seat: Box<dyn std::any::Any> = match arguments[0].as_str() {
        "mpmc" => Box::new(Sender::open(&arguments[1]).unwrap()),
        _ => Box::new(Producer::open(&arguments[1]).unwrap()),
    };
    peer::say("sitting");
    peer::stay();
    drop((ballast, seat));
}

/// Role: receives nothing, and waits to be killed.
pub(crate) fn sit_as_receiver(arguments: &[String]) {
    let name = &arguments[1];
    let seat: Box<dyn std::any::Any> = match arguments[0].as_str() {
        "mpmc" => Box::new(Receiver::open(name).unwrap()),
        "typed" => Box::new(TypedConsumer::<u64>::open(name).unwrap()),
        _ => Box::new(Consumer::open(name).unwrap()),
    };
    peer::say("sitting");
    peer::stay();
    drop(seat);
}

/// Role: waits for a message, and says what came instead; again and again.
pub(crate) fn wait_without_backstop(arguments: &[String]) {
    let mut receiver = Receiver::builder(&arguments[0]).backstop(false).open().unwrap();
    while peer::listen().is_some() {
        peer::say("waiting");
        peer::say(&receiver.recv().map(drop).unwrap_err().to_string());
    }
}

fn all_receivers_are_told_of_the_last_senders_death() {
    let rings = Rings::new();
    let name = rings.ring("many");
    Sender::builder(name.as_str()).capacity(4).create_ring().unwrap();
    let start = |_| Peer::start("wait without backstop", &[name.as_str()]);
    let mut receivers: Vec<Peer> = (0..RECEIVERS).map(start).collect();
    for round in 0..ROUNDS {
        let mut sender = Peer::start("sit as sender", &["mpmc", name.as_str(), BALLAST[round % 2]]);
        sender.expect("sitting");
        for receiver in &mut receivers {
            receiver.tell("wait");
            receiver.expect("waiting");
        }
        sender.kill();
        for receiver in &mut receivers {
            receiver.expect("the other side died; wait for a successor or stop");
        }
    }
    receivers.into_iter().for_each(Peer::finish);
}

fn a_consumer_is_told_of_its_producers_death() {
    let rings = Rings::new();
    let name = rings.ring("one");
    let mut consumer = Consumer::builder(name.as_str()).backstop(false).create().unwrap();
    for round in 0..ROUNDS {
        let mut producer = Peer::start("sit as sender", &["spsc", name.as_str(), BALLAST[round % 2]]);
        producer.expect("sitting");
        let killer = std::thread::spawn(move || producer.kill());
        assert!(matches!(consumer.recv(), Err(shm_ring::Error::Disconnected(shm_ring::End::Died))));
        killer.join().unwrap();
    }
}

/// Nobody waits here, so nobody looks around: a producer sees the mark in the life word, without a look from time to
/// time. A sender at a ring of many has too many words to look at; it asks now and then.
fn who_sends_into_plenty_of_space_is_told_of_a_death() {
    let rings = Rings::new();
    told_while_sending("spsc", &rings, |name| {
        let mut producer = Producer::builder(name).require_peer(true).backstop(false).create().unwrap();
        move || producer.send(b"message")
    });
    told_while_sending("typed", &rings, |name| {
        let mut producer =
            TypedProducer::<u64>::builder(name).require_peer(true).backstop(false).create().unwrap();
        move || producer.send(&1)
    });
    told_while_sending("mpmc", &rings, |name| {
        let mut sender = Sender::builder(name).require_peer(true).create().unwrap();
        move || sender.send(b"message")
    });
}

fn told_while_sending<S: FnMut() -> Result<(), Error>>(
    kind: &str,
    rings: &Rings,
    create: impl FnOnce(&str) -> S,
) {
    let name = rings.ring(kind);
    let mut send = create(name.as_str());
    let mut receiver = Peer::start("sit as receiver", &[kind, name.as_str()]);
    receiver.expect("sitting");
    (0..40).for_each(|_| send().unwrap());
    receiver.kill();
    // Far fewer messages than there is space for, and time for the clock of such looks to tick.
    let told = (0..200).find_map(|_| {
        std::thread::sleep(Duration::from_millis(5));
        send().err()
    });
    assert!(matches!(told, Some(Error::Disconnected(End::Died))), "{kind}: {told:?}");
}
