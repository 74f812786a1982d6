//! Sealed rings between processes of different users.

use crate::foreign::{DAEMON, open_to_all};
use shm_core::pass;
use shm_ring::{Consumer, End, Error, Producer};
use shm_tests::process::become_user;
use shm_tests::{FUSE, Need, Peer, Test, peer, tests};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

pub(crate) fn tests() -> Vec<Test> {
    tests![two_users_share_a_sealed_ring needs [Need::Root]]
}

const MESSAGES: u32 = 10_000;

/// Role, with the argument path of a socket: an ordinary user, who receives from one ring and sends into another.
pub(crate) fn meet_as_another_user(arguments: &[String]) {
    become_user(DAEMON);
    let socket = || UnixStream::connect(&arguments[0]).unwrap();
    let mut consumer = Consumer::builder("there").attach_timeout(FUSE).connect(socket()).unwrap();
    let mut producer =
        Producer::builder("back").capacity(4096).attach_timeout(FUSE).connect(socket()).unwrap();
    for message in consumer.iter() {
        producer.send(&message.unwrap().bytes).unwrap();
    }
    producer.close();
    peer::say("done");
}

fn two_users_share_a_sealed_ring() {
    let scratch = open_to_all();
    let path = scratch.path(&scratch.name("socket"));
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
    let mut other = Peer::start("meet as another user", &[path.to_str().unwrap()]);
    let socket = listener.accept().unwrap().0;
    assert_eq!(pass::peer(&socket).unwrap().uid, DAEMON);
    let mut producer =
        Producer::builder("there").capacity(4096).attach_timeout(FUSE).connect(socket).unwrap();
    let mut consumer =
        Consumer::builder("back").attach_timeout(FUSE).connect(listener.accept().unwrap().0).unwrap();
    let sender = std::thread::spawn(move || {
        (0..MESSAGES).for_each(|number| producer.send(&number.to_le_bytes()).unwrap());
        producer.close();
    });
    for number in 0..MESSAGES {
        assert_eq!(consumer.recv().unwrap().to_vec(), number.to_le_bytes());
    }
    assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Closed))));
    sender.join().unwrap();
    other.expect("done");
    other.finish();
}
