//! A receiver is killed with a message in hand.

use shm_ring::{End, Error, Receiver, Sender, inspect, repair};
use shm_tests::{Peer, Rings, Test, peer, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        it_takes_the_message_with_it_and_that_is_counted,
        it_comes_again_to_one_that_waits,
        it_comes_again_to_one_that_comes,
        it_comes_again_before_the_end_is_told,
        a_stopped_holder_is_alive_and_goes_on,
    ]
}

/// Role: takes one message and holds it; lets it go when the test says so, and takes the next.
pub(crate) fn hold(arguments: &[String]) {
    let mut receiver = Receiver::open(&arguments[0]).unwrap();
    peer::say("here");
    loop {
        let Ok(delivery) = receiver.recv() else { return };
        let again = if delivery.is_redelivered() { " again" } else { "" };
        peer::say(&format!("{}{again}", String::from_utf8(delivery.to_vec()).unwrap()));
        if peer::listen().is_none() {
            return;
        }
    }
}

fn with(redelivery: bool) -> (Rings, String, Sender) {
    let rings = Rings::new();
    let name = rings.ring("hand").as_str().to_owned();
    let sender = Sender::builder(&name).capacity(4).participants(4).redelivery(redelivery).create().unwrap();
    (rings, name, sender)
}

/// A process that holds the first message.
fn holder(name: &str, sender: &mut Sender) -> Peer {
    let mut holder = Peer::start("hold a message", &[name]);
    holder.expect("here");
    sender.send(b"first").unwrap();
    holder.expect("first");
    assert_eq!(inspect(name).unwrap().participants.iter().map(|who| who.holding).sum::<u64>(), 1);
    holder
}

fn it_takes_the_message_with_it_and_that_is_counted() {
    let (_rings, name, mut sender) = with(false);
    holder(&name, &mut sender).kill();
    sender.send(b"second").unwrap();
    let status = inspect(&name).unwrap();
    assert_eq!((status.limbo, status.lost), (1, 0));
    assert_eq!(repair(&name).unwrap().repaired, 1);
    let status = inspect(&name).unwrap();
    assert_eq!((status.limbo, status.lost, status.depth), (0, 1, 1));
    assert_eq!(repair(&name).unwrap().repaired, 0);
    let mut receiver = Receiver::open(&name).unwrap();
    assert_eq!(receiver.recv().unwrap().to_vec(), b"second");
    assert!(matches!(receiver.try_recv(), Err(Error::Empty)));
}

fn it_comes_again_to_one_that_waits() {
    let (_rings, name, mut sender) = with(true);
    let victim = holder(&name, &mut sender);
    let mut waiting = Peer::start("hold a message", &[&name]);
    waiting.expect("here");
    victim.kill();
    waiting.expect("first again");
    // And once more, if that one dies as well.
    let mut next = Peer::start("hold a message", &[&name]);
    next.expect("here");
    waiting.kill();
    next.expect("first again");
    next.tell("go on");
    sender.send(b"second").unwrap();
    next.expect("second");
    let status = inspect(&name).unwrap();
    assert_eq!((status.lost, status.sent, status.received), (0, 2, 2));
}

fn it_comes_again_to_one_that_comes() {
    let (_rings, name, mut sender) = with(true);
    holder(&name, &mut sender).kill();
    sender.send(b"second").unwrap();
    let repaired = repair(&name).unwrap();
    assert_eq!((repaired.repaired, repaired.to_redeliver), (1, 1));
    assert_eq!(repair(&name).unwrap().to_redeliver, 1);
    let mut receiver = Receiver::open(&name).unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let delivery = receiver.recv().unwrap();
        seen.push((delivery.to_vec(), delivery.is_redelivered()));
    }
    seen.sort();
    assert_eq!(seen, [(b"first".to_vec(), true), (b"second".to_vec(), false)]);
    drop(receiver);
    assert_eq!(repair(&name).unwrap().to_redeliver, 0);
}

fn it_comes_again_before_the_end_is_told() {
    let (_rings, name, mut sender) = with(true);
    let victim = holder(&name, &mut sender);
    let mut receiver = Receiver::open(&name).unwrap();
    victim.kill();
    sender.close();
    let delivery = receiver.try_recv().unwrap();
    assert_eq!((delivery.to_vec(), delivery.is_redelivered()), (b"first".to_vec(), true));
    drop(delivery);
    assert!(matches!(receiver.try_recv(), Err(Error::Disconnected(End::Closed))));
}

fn a_stopped_holder_is_alive_and_goes_on() {
    let (_rings, name, mut sender) = with(false);
    let mut stopped = holder(&name, &mut sender);
    stopped.signal(rustix::process::Signal::STOP);
    let mut receiver = Receiver::open(&name).unwrap();
    for round in 0..1000_u32 {
        sender.try_send(&round.to_le_bytes()).unwrap();
        assert_eq!(receiver.try_recv().unwrap().to_vec(), round.to_le_bytes());
    }
    assert_eq!(repair(&name).unwrap().repaired, 0);
    assert!(inspect(&name).unwrap().participants.iter().all(|who| who.alive));
    stopped.signal(rustix::process::Signal::CONT);
    sender.send(b"second").unwrap();
    stopped.tell("go on");
    stopped.expect("second");
}
