//! What must hold after a kill, and during and after a stop.

use crate::content::{PATIENCE, Receiver, Sender, who_sits};
use crate::scene::{Notes, Scene, Survivor};
use crate::tracer::{Step, Tracee};
use shm_ring::{End, Error, Kind, Role, Status};
use shm_tests::{FUSE, Peer};
use std::time::{Duration, Instant};

/// In which order survivor and successors go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    SurvivorFirst,
    SuccessorFirst,
    /// The survivor leaves, and has a successor too.
    BothReplaced,
}

pub(crate) const ORDERS: [Order; 3] = [Order::SurvivorFirst, Order::SuccessorFirst, Order::BothReplaced];

/// Messages to and fro at the end of each check, more than one lap.
const ROUNDS: u64 = 20;

/// After the victim was killed, having noted so many messages of its operation.
pub(crate) fn after_the_kill(scene: Scene, noted: u64, order: Order) {
    let operation = scene.operation;
    let status = scene.status();
    // How the victim, or its predecessor if it was not sitting yet, left.
    let sat = |who: &shm_ring::Participant| who.role == operation.role && !who.alive;
    let died = status.participants.iter().any(sat).then_some(End::Died);
    let ends: Vec<End> = died.or(operation.leaves).into_iter().collect();
    let moved = match operation.role {
        Role::Producer | Role::Sender => {
            assert_eq!(status.received, scene.received, "nobody received");
            status.sent.checked_sub(scene.sent).expect("what was sent stays sent")
        }
        Role::Consumer | Role::Receiver => {
            assert_eq!(status.sent, scene.sent, "nobody sent");
            status.received.checked_sub(scene.received).expect("what was received stays received")
        }
    };
    assert!(moved == 0 || moved == operation.messages, "{moved} of {} messages", operation.messages);
    assert!(noted == 0 || moved == noted, "{moved} messages moved, and the victim knew of {noted}");
    match operation.role {
        Role::Producer | Role::Sender => after_a_killed_producer(scene, &status, &ends, order),
        Role::Consumer | Role::Receiver => after_a_killed_consumer(scene, &status, &ends, order),
    }
}

fn after_a_killed_producer(scene: Scene, status: &Status, ends: &[End], order: Order) {
    let Scene { operation, name, survivor: Survivor::Receives(mut receiver), .. } = scene else { panic!() };
    let successor = || Sender::open(operation.kind, &name, PATIENCE).unwrap();
    let mut next = status.received;
    let (sender, heard);
    match order {
        Order::SurvivorFirst => {
            let mut heard_first = receive_all(&mut receiver, &mut next, status.sent);
            // The kernel is asked once in a slice only.
            let fuse = Instant::now() + FUSE;
            while heard_first.len() < ends.len() && Instant::now() < fuse {
                std::thread::sleep(Duration::from_millis(1));
                heard_first.append(&mut receive_all(&mut receiver, &mut next, status.sent));
            }
            heard = heard_first;
            sender = successor();
        }
        Order::SuccessorFirst => {
            sender = successor();
            heard = receive_all(&mut receiver, &mut next, status.sent);
        }
        Order::BothReplaced => {
            drop(receiver);
            receiver = Receiver::open(operation.kind, &name, PATIENCE).unwrap();
            sender = successor();
            heard = receive_all(&mut receiver, &mut next, status.sent);
        }
    }
    assert_eq!(next, status.sent, "all that was sent arrives");
    assert_eq!(heard, ends, "ends that the consumer was told of");
    goes_on(&name, sender, receiver, next);
}

fn after_a_killed_consumer(scene: Scene, status: &Status, ends: &[End], order: Order) {
    let Scene { operation, name, survivor: Survivor::Sends(mut sender), .. } = scene else { panic!() };
    let successor = || Receiver::open(operation.kind, &name, PATIENCE).unwrap();
    let (mut next, mut sent) = (status.received, status.sent);
    // A producer of values can not ask.
    let check_ends = |sender: &mut Sender| {
        let told = sender.ends();
        assert!(told == ends || operation.kind == Kind::SpscTyped, "the producer was told {told:?}");
    };
    let (mut receiver, heard);
    match order {
        Order::SurvivorFirst => {
            check_ends(&mut sender);
            send_all(&mut sender, &mut sent);
            receiver = successor();
            heard = receive_all(&mut receiver, &mut next, sent);
        }
        Order::SuccessorFirst => {
            receiver = successor();
            heard = receive_all(&mut receiver, &mut next, sent);
            check_ends(&mut sender);
        }
        Order::BothReplaced => {
            drop(sender);
            receiver = successor();
            let mut told = receive_all(&mut receiver, &mut next, sent);
            assert_eq!(told.pop(), Some(End::Dropped), "the producer left");
            heard = told;
            sender = Sender::open(operation.kind, &name, PATIENCE).unwrap();
        }
    }
    assert_eq!(next, sent, "all that was sent and not handed out arrives");
    assert_eq!(heard, [], "ends that the consumer was told of");
    goes_on(&name, sender, receiver, next);
}

/// While the victim is stopped, and after it went on.
pub(crate) fn while_stopped(mut scene: Scene, peer: Peer, tracee: Tracee, has_ended: bool, notes: &Notes) {
    let operation = scene.operation;
    let status = scene.status();
    let held = scene.seat_is_held();
    let stays = !operation.attaches && operation.leaves.is_none();
    assert!(held || !stays, "a stopped process keeps its seat");
    if held {
        let pid = who_sits(operation.kind, operation.role, &scene.name);
        assert!(pid == peer.pid() || !stays, "{pid} sits, not {}", peer.pid());
        assert!(status.participants.iter().all(|who| who.alive), "a stopped process lives: {status:?}");
    }
    let (last, mut told) = match &mut scene.survivor {
        Survivor::Receives(receiver) => {
            let all = scene.sent + operation.messages;
            let told = receive_all(receiver, &mut scene.received, all);
            let none = scene.received == scene.sent;
            assert!(none || scene.received == all, "all of a publication or nothing");
            (all, told)
        }
        Survivor::Sends(sender) => {
            let told = sender.ends();
            send_all(sender, &mut scene.sent);
            (scene.received + operation.messages, told)
        }
    };
    assert!(told.is_empty() || !stays, "a stopped process has not gone: {told:?}");
    go_on(tracee, has_ended, operation.waits);
    peer.finish();
    let status = scene.status();
    // One that only tries is free to have come too early.
    let last = last - if operation.tries && notes.read() == 0 { operation.messages } else { 0 };
    let Scene { name, survivor, mut sent, mut received, .. } = scene;
    let (sender, receiver) = match survivor {
        Survivor::Receives(mut receiver) => {
            assert_eq!(status.sent, last, "messages sent in the end");
            told.append(&mut receive_all(&mut receiver, &mut received, last));
            sent = last;
            (Sender::open(operation.kind, &name, PATIENCE).unwrap(), receiver)
        }
        Survivor::Sends(mut sender) => {
            assert_eq!(status.received, last, "messages received in the end");
            told.append(&mut sender.ends());
            let mut receiver = Receiver::open(operation.kind, &name, PATIENCE).unwrap();
            received = last;
            assert_eq!(receive_all(&mut receiver, &mut received, sent), []);
            (sender, receiver)
        }
    };
    // A predecessor's end is told by itself, or together with that of the victim, which left afterwards.
    let end = operation.leaves.unwrap_or(End::Dropped);
    let expected: &[&[End]] = match (operation.role, operation.kind, operation.predecessor) {
        (Role::Consumer, Kind::SpscTyped, _) => &[&[]],
        (_, _, None) => &[&[end]],
        (_, _, Some(_)) => &[&[End::Died, end], &[End::Died]],
    };
    assert!(expected.contains(&told.as_slice()), "told {told:?}, not {expected:?}");
    assert_eq!(received, sent, "everything arrives");
    goes_on(&name, sender, receiver, received);
}

/// Lets the victim go on to its end. One that `waits` has got what it waits for: it sleeps no more, or a wake-up
/// was lost.
fn go_on(mut tracee: Tracee, mut has_ended: bool, waits: bool) {
    while waits && !has_ended {
        match tracee.step() {
            Step::Asleep => panic!("the victim sleeps although there is something for it"),
            step => has_ended = step == Step::Ended,
        }
    }
    tracee.release(has_ended);
}

/// Everything goes on as if nothing had been: `next` messages were sent and received.
pub(crate) fn goes_on(name: &str, mut sender: Sender, mut receiver: Receiver, mut next: u64) {
    let counts = |next: u64, depth: u64| {
        let status = shm_ring::inspect(name).unwrap();
        assert_eq!((status.sent, status.received, status.depth), (next, next - depth, depth), "{status:?}");
        assert!(!status.poisoned && status.participants.iter().all(|who| who.alive), "{status:?}");
    };
    let mut expect = |next: u64| match receiver.receive() {
        Some(Ok(number)) => assert_eq!(number, next, "in order, each once"),
        other => panic!("message {next} was sent, and found is {other:?}"),
    };
    counts(next, 0);
    assert!(sender.send_longest(next), "the longest message fits an empty ring");
    expect(next);
    next += 1;
    for _ in 0..ROUNDS {
        assert!(sender.send(next), "there is space");
        counts(next + 1, 1);
        expect(next);
        next += 1;
    }
    let mut sent = next;
    send_all(&mut sender, &mut sent);
    counts(sent, sent - next);
    (next..sent).for_each(&mut expect);
    counts(sent, 0);
    sender.close();
    assert!(matches!(receiver.receive(), Some(Err(Error::Disconnected(End::Closed)))), "told that it closed");
    assert!(receiver.receive().is_none(), "told once");
    drop(receiver);
    shm_ring::remove(name).unwrap();
}

/// Sends until there is no space.
fn send_all(sender: &mut Sender, next: &mut u64) {
    let first = *next;
    while sender.send(*next) {
        *next += 1;
        assert!(*next - first < 1000, "the ring takes everything");
    }
}

/// Receives all that is there, `next` first and nothing from `end` on; the ends that were told meanwhile.
fn receive_all(receiver: &mut Receiver, next: &mut u64, end: u64) -> Vec<End> {
    let mut ends = Vec::new();
    while let Some(received) = receiver.receive() {
        match received {
            Ok(number) => {
                assert!(number == *next && number < end, "{number} instead of {next}, of {end}");
                *next += 1;
            }
            Err(Error::Disconnected(how)) => ends.push(how),
            Err(error) => panic!("{error}"),
        }
        assert!(ends.len() < 10, "{ends:?} is no end of ends");
    }
    ends
}
