//! Somebody always sends, though nobody stays: a receiver is never told that all have gone.

use shm_ring::{Error, Receiver, Sender};
use shm_tests::{Peer, Rings, Test, peer, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![nobody_is_told_of_an_end_while_somebody_is_there]
}

const HANDOVERS: u32 = 2000;

/// Role: joins before it leaves, over and over, so that one sender is always there.
pub(crate) fn hand_on(arguments: &[String]) {
    let open = || Sender::builder(&arguments[0]).attach_timeout(shm_tests::FUSE).open().unwrap();
    let mut sender = open();
    peer::say("here");
    for _ in 0..HANDOVERS {
        let next = open();
        drop(std::mem::replace(&mut sender, next));
    }
    peer::say("done");
    peer::stay();
}

fn nobody_is_told_of_an_end_while_somebody_is_there() {
    let rings = Rings::new();
    let name = rings.ring("baton");
    Sender::builder(name.as_str()).capacity(2).participants(6).create_ring().unwrap();
    let mut baton = Peer::start("hand the baton on", &[name.as_str()]);
    baton.expect("here");
    let mut receiver = Receiver::open(name.as_str()).unwrap();
    let hurry = std::thread::spawn(move || {
        baton.expect("done");
        baton
    });
    let mut looks = 0;
    while !hurry.is_finished() {
        assert!(matches!(receiver.try_recv(), Err(Error::Empty)), "told of an end after {looks} looks");
        assert!(!receiver.is_closed().unwrap(), "seen as closed after {looks} looks");
        looks += 1;
    }
    hurry.join().unwrap().finish();
    assert!(matches!(receiver.recv(), Err(Error::Disconnected(_))));
}
