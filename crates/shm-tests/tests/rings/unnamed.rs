//! Rings without a name: in anonymous memory, `/dev/zero` and memfds, between a process and its forked children.

use rustix::process::{Signal, kill_process};
use shm_core::Memfd;
use shm_ring::{Consumer, End, Error, Producer, Receiver, Sender, Unnamed, inspect_memory};
use shm_tests::process::{self, Fork, await_child};
use shm_tests::{Peer, Test, peer, tests};

/// What a child sends before it is killed.
const MESSAGES: u64 = 100;

pub(crate) fn tests() -> Vec<Test> {
    tests![children_share_rings_without_names]
}

fn memories() -> [Unnamed; 3] {
    [Unnamed::anonymous("anonymous"), Unnamed::dev_zero("zeros"), Unnamed::memfd("memfd", Memfd::new("ring"))]
}

fn children_share_rings_without_names() {
    let mut peer = Peer::start("share rings with children", &[]);
    peer.expect("all shared");
    peer.finish();
}

/// Role: forks children that attach to rings made before the fork.
pub(crate) fn share_rings_with_children(_: &[String]) {
    for memory in memories() {
        one_producer(&memory);
    }
    for memory in memories() {
        many_senders(&memory);
    }
    peer::say("all shared");
}

fn one_producer(memory: &Unnamed) {
    let mut producer = Producer::builder("ring").memory(memory).capacity(1 << 16).create().unwrap();
    let reader = process::fork(Fork::Handled, || {
        let mut consumer = Consumer::builder("ring").memory(memory).open().unwrap();
        for number in 0..MESSAGES {
            assert_eq!(consumer.recv().unwrap().to_vec(), number.to_le_bytes());
        }
        assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Closed))));
    });
    (0..MESSAGES).for_each(|number| producer.send(&number.to_le_bytes()).unwrap());
    producer.close();
    await_child(reader);
    let writer = process::fork(Fork::Handled, || {
        let mut producer = Producer::builder("ring").memory(memory).open().unwrap();
        (0..MESSAGES).for_each(|number| producer.send(&number.to_le_bytes()).unwrap());
        loop {
            std::thread::park();
        }
    });
    let mut consumer = Consumer::builder("ring").memory(memory).open().unwrap();
    for number in 0..MESSAGES {
        assert_eq!(consumer.recv().unwrap().to_vec(), number.to_le_bytes());
    }
    kill_process(writer, Signal::KILL).unwrap();
    assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Died))), "{}", memory.kind());
    let _ = rustix::process::waitpid(Some(writer), rustix::process::WaitOptions::empty());
    assert_eq!(inspect_memory(memory).unwrap().sent, 2 * MESSAGES);
}

fn many_senders(memory: &Unnamed) {
    let builder = Receiver::builder("ring").memory(memory).capacity(256).participants(4);
    let mut receiver = builder.max_message(16).create().unwrap();
    let writers = [0, 1].map(|_| {
        process::fork(Fork::Handled, || {
            let mut sender = Sender::builder("ring").memory(memory).open().unwrap();
            (0..MESSAGES).for_each(|number| sender.send(&number.to_le_bytes()).unwrap());
            loop {
                std::thread::park();
            }
        })
    });
    let mut total = 0;
    for _ in 0..2 * MESSAGES {
        let message = receiver.recv().unwrap().to_vec();
        total += u64::from_le_bytes(message.try_into().unwrap());
    }
    assert_eq!(total, MESSAGES * (MESSAGES - 1));
    for writer in writers {
        kill_process(writer, Signal::KILL).unwrap();
    }
    assert!(matches!(receiver.recv(), Err(Error::Disconnected(End::Died))), "{}", memory.kind());
    for writer in writers {
        let _ = rustix::process::waitpid(Some(writer), rustix::process::WaitOptions::empty());
    }
}
