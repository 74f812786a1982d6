//! Handles in forked children (guarantee G13): every call of a copy is an error, its drop changes nothing, and the
//! parent's life and death are seen as if the child were not there.

use shm_core::{Deadline, Directory, Removal};
use shm_ring::{
    Consumer, End, Error, Producer, Receiver, Sender, TypedConsumer, TypedProducer, TypedReceiver,
    TypedSender, inspect, remove_in,
};
use shm_tests::process::{self, Fork, await_child};
use shm_tests::{Peer, Ring, Rings, Test, peer, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        copies_of_handles_answer_with_an_error_and_change_nothing,
        a_parents_death_is_seen_while_its_child_lives,
    ]
}

/// That a call was refused because it was made on a copy.
macro_rules! forked {
    ($($call:expr),* $(,)?) => {
        $(match $call {
            Err(Error::Forked) => {}
            other => panic!("{}: {:?}", stringify!($call), other.map(|_| ())),
        })*
    };
}

/// All handles there are, and looks and reservations that are under way.
fn copies_of_handles_answer_with_an_error_and_change_nothing() {
    for how in [Fork::Handled, Fork::Bare] {
        let rings = Rings::new();
        let names = ["bytes", "values", "many", "many-values"].map(|name| rings.ring(name));
        let [bytes, values, many, many_values] = names.each_ref().map(Ring::as_str);
        let mut producer = Producer::create(bytes).unwrap();
        let mut consumer = Consumer::open(bytes).unwrap();
        let mut typed_producer = TypedProducer::<u64>::create(values).unwrap();
        let mut typed_consumer = TypedConsumer::<u64>::open(values).unwrap();
        let mut sender = Sender::create(many).unwrap();
        let mut receiver = Receiver::open(many).unwrap();
        let mut typed_sender = TypedSender::<u64>::create(many_values).unwrap();
        let mut typed_receiver = TypedReceiver::<u64>::open(many_values).unwrap();
        for value in 0..3_u64 {
            producer.send(&value.to_le_bytes()).unwrap();
            typed_producer.send(&value).unwrap();
            sender.send(&value.to_le_bytes()).unwrap();
            typed_sender.send(&value).unwrap();
        }
        let before: Vec<Vec<u8>> = names.iter().map(Ring::bytes).collect();
        let child = process::fork(how, || {
            let soon = shm_tests::FUSE;
            forked![
                producer.send(b"x"),
                producer.try_send(b"x"),
                producer.send_timeout(b"x", soon),
                producer.reserve(1),
                producer.batch().push(b"x"),
                producer.check(),
                producer.len(),
                producer.is_closed(),
                consumer.recv(),
                consumer.try_recv(),
                consumer.recv_timeout(soon),
                consumer.recv_into(&mut [0; 8]),
                consumer.try_peek(),
                consumer.try_recv_batch(2),
                consumer.len(),
                consumer.is_closed(),
                typed_producer.send(&1),
                typed_producer.try_send(&1),
                typed_consumer.recv(),
                typed_consumer.try_recv(),
                sender.send(b"x"),
                sender.try_send(b"x"),
                sender.send_batch(&[b"x"]),
                sender.try_clone(),
                sender.check(),
                sender.len(),
                sender.is_closed(),
                receiver.recv(),
                receiver.try_recv(),
                receiver.recv_into(&mut [0; 8]),
                receiver.recv_batch_until(2, Deadline::NEVER, |_| {}),
                receiver.try_clone(),
                receiver.len(),
                typed_sender.send(&1),
                typed_receiver.recv(),
            ];
            producer.close();
            consumer.close();
            sender.close();
            receiver.close();
            drop((typed_producer, typed_consumer, typed_sender, typed_receiver));
        });
        await_child(child);
        let after: Vec<Vec<u8>> = names.iter().map(Ring::bytes).collect();
        assert!(before == after, "a copy in a child has written into a ring ({how:?})");
        // The handles moved into the child's work; this process's are still at the rings.
        for name in [bytes, values, many, many_values] {
            let status = inspect(name).unwrap();
            assert_eq!(status.participants.iter().filter(|who| who.alive).count(), 2, "{name} {how:?}");
        }
    }
    looks_and_reservations_under_way();
}

fn looks_and_reservations_under_way() {
    let rings = Rings::new();
    let (one, many) = (rings.ring("one"), rings.ring("many"));
    let mut producer = Producer::create(one.as_str()).unwrap();
    let mut consumer = Consumer::open(one.as_str()).unwrap();
    let mut sender = Sender::create(many.as_str()).unwrap();
    let mut receiver = Receiver::open(many.as_str()).unwrap();
    producer.send(b"first").unwrap();
    sender.send(b"first").unwrap();
    let (message, delivery) = (consumer.recv().unwrap(), receiver.recv().unwrap());
    let (mut space, mut room) = (producer.reserve(6).unwrap(), sender.reserve(6).unwrap());
    let looked_at = rings.ring("looked-at");
    let mut third = Producer::create(looked_at.as_str()).unwrap();
    let mut looker = Consumer::open(looked_at.as_str()).unwrap();
    [b"a", b"b"].iter().for_each(|message| third.send(*message).unwrap());
    let mut looks = looker.peek_batch();
    assert_eq!(looks.try_next().unwrap().to_vec(), b"a");
    let before = [one.bytes(), many.bytes(), looked_at.bytes()];
    let child = process::fork(Fork::Handled, || {
        forked![looks.try_next(), looks.next_until(Deadline::NEVER)];
        looks.take(1);
        drop(looks);
        forked![space.write_at(0, b"second"), room.write_at(0, b"second"), space.commit(6), room.commit(6)];
        drop((message, delivery));
    });
    await_child(child);
    assert!(before == [one.bytes(), many.bytes(), looked_at.bytes()]);
}

/// Role: takes part on all sides that the test wants, forks a child that stays, and stays.
pub(crate) fn fork_and_stay(arguments: &[String]) {
    let [one, many] = arguments else { panic!("{arguments:?}") };
    let mut producer = Producer::open(one).unwrap();
    let mut sender = Sender::open(many).unwrap();
    producer.send(b"last").unwrap();
    sender.send(b"last").unwrap();
    process::fork(Fork::Handled, || {
        // In the child: no participant, though it has copies of everything.
        let copies = (producer, sender);
        peer::say("the child is there");
        peer::stay();
        drop(copies);
    });
    peer::stay();
}

fn a_parents_death_is_seen_while_its_child_lives() {
    let rings = Rings::new();
    let (one, many) = (rings.ring("one"), rings.ring("many"));
    let mut consumer = Consumer::create(one.as_str()).unwrap();
    let mut receiver = Receiver::create(many.as_str()).unwrap();
    let mut parent = Peer::start("fork and stay", &[one.as_str(), many.as_str()]);
    parent.expect("the child is there");
    assert_eq!(consumer.recv().unwrap().to_vec(), b"last");
    assert_eq!(receiver.recv().unwrap().to_vec(), b"last");
    parent.kill();
    // Its child holds the peer's pipes, and would hold the locks if they had followed it.
    assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Died))));
    assert!(matches!(receiver.recv(), Err(Error::Disconnected(End::Died))));
    drop((consumer, receiver));
    let directory = Directory::posix();
    remove_in(&directory, one.as_str(), Removal::IfUnused).unwrap();
    remove_in(&directory, many.as_str(), Removal::IfUnused).unwrap();
}
