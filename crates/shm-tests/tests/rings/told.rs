//! Everybody who waits is told of a death, at once and without looking around from time to time: slices are
//! switched off, so that a notice that is lost is lost for good, and the test hangs until its watchdog.

use shm_ring::{Consumer, Producer, Receiver, Sender};
use shm_tests::{Peer, Rings, Test, peer, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![all_receivers_are_told_of_the_last_senders_death, a_consumer_is_told_of_its_producers_death]
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
