//! Removals that the kernel refuses.

use crate::foreign::{DAEMON, open_to_all};
use shm_core::{Directory, Removal};
use shm_ring::{Consumer, Error, Producer, Receiver, Sender, inspect_in, remove_in};
use shm_tests::process::become_user;
use shm_tests::{Need, Peer, Test, peer, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![a_refused_removal_leaves_the_ring_as_it_was needs [Need::Root]]
}

/// Role, with the arguments directory, and names of root's rings in it that anybody may write.
pub(crate) fn remove_as_another_user(arguments: &[String]) {
    let [directory, names @ ..] = arguments else { panic!("{arguments:?}") };
    become_user(DAEMON);
    for name in names {
        let refused = remove_in(&Directory::at(directory), name, Removal::Always);
        let forbidden = |error: &shm_core::Error| matches!(error, shm_core::Error::Forbidden { .. });
        assert!(matches!(&refused, Err(Error::Memory(error)) if forbidden(error)), "{refused:?}");
    }
    peer::say("refused");
}

/// The directory is sticky, as `/dev/shm` is: only a file's owner takes its name. The ring, which has been marked as
/// removed by then, is not.
fn a_refused_removal_leaves_the_ring_as_it_was() {
    let scratch = open_to_all();
    let (pair, many) = (scratch.name("pair"), scratch.name("many"));
    let place = |name: &shm_core::Name| format!("file:{}", scratch.path(name).display());
    let mut producer = Producer::builder(&place(&pair)).mode(0o666).create().unwrap();
    let mut sender = Sender::builder(&place(&many)).mode(0o666).create().unwrap();
    let mut peer =
        Peer::start("remove as another user", &[scratch.directory(), pair.as_str(), many.as_str()]);
    peer.expect("refused");
    peer.finish();
    producer.send(b"all goes on").unwrap();
    sender.send(b"all goes on").unwrap();
    for name in [&pair, &many] {
        let status = inspect_in(&Directory::at(scratch.directory()), name.as_str()).unwrap();
        assert!(!status.removed && !status.poisoned && status.depth == 1, "{status:?}");
    }
    let mut consumer = Consumer::open(&place(&pair)).unwrap();
    let mut receiver = Receiver::open(&place(&many)).unwrap();
    assert_eq!(consumer.recv().unwrap().to_vec(), b"all goes on");
    assert_eq!(receiver.recv().unwrap().to_vec(), b"all goes on");
    producer.check().unwrap();
    sender.check().unwrap();
}
