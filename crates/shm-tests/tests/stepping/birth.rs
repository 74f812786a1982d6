//! Rings that are just being created or removed.

use crate::check::goes_on;
use crate::content::{CAPACITY_BYTES, PATIENCE, Receiver, Sender, content};
use crate::tracer::{Tracee, allow_tracing, mark};
use crate::walk::{self, Course};
use crate::{Progress, watched};
use shm_core::{Access, Options};
use shm_ring::{Consumer, End, Error, Kind, Producer, inspect};
use shm_tests::{Need, Peer, Scratch, Test};
use std::time::Duration;

/// Steps spent on the tries of one operation, beside those at its differences.
const STEPS: u64 = 10_000;

pub(crate) fn tests() -> Vec<Test> {
    macro_rules! stepped {
        ($($test:ident),* $(,)?) => {
            vec![$(Test {
                name: concat!("stepping::birth::", stringify!($test)),
                needs: vec![Need::Trace],
                body: $test,
            }),*]
        };
    }
    stepped![
        killed_creating,
        stopped_creating,
        killed_removing,
        killed_removing_by_force,
        stopped_removing_by_force,
    ]
}

/// Role, with the arguments operation and ring.
pub(crate) fn be_the_maker(arguments: &[String]) {
    let [operation, ring] = arguments else { panic!("{arguments:?}") };
    allow_tracing();
    match operation.as_str() {
        "create" => {
            let builder = Producer::builder(ring).capacity(CAPACITY_BYTES).attach_timeout(PATIENCE);
            mark();
            let producer = builder.open_or_create();
            mark();
            producer.unwrap().send(&content(0)).unwrap();
        }
        "remove" => {
            mark();
            let removed = shm_ring::remove(ring);
            mark();
            removed.unwrap();
        }
        "remove by force" => {
            mark();
            let removed = shm_ring::remove_forced(ring);
            mark();
            removed.unwrap();
        }
        _ => panic!("{operation}"),
    }
}

/// Follows the operation once on what `set` makes, then goes to each moment in turn, on the same again.
fn at_every_moment<S>(operation: &str, set: impl Fn(&str) -> S, check: impl Fn(&str, S, Peer, Tracee, bool)) {
    let scratch = Scratch::posix();
    let name = scratch.name("ring");
    let name = name.as_str();
    watched(operation, |progress: &Progress| {
        let begin = || {
            let peer = Peer::start("maker", &[operation, name]);
            let tracee = Tracee::catch(peer.pid());
            (peer, tracee)
        };
        let made = set(name);
        let region = Options::new().open(&shm_core::Name::new(name).unwrap(), Access::ReadOnly).ok();
        let region = region.map(|object| object.map(Access::ReadOnly).unwrap());
        let mut seen = Vec::new();
        let changed = || {
            let now = region.as_ref().map_or(Vec::new(), |region| {
                let mut bytes = vec![0; region.bytes()];
                region.copy_out(0, &mut bytes).unwrap();
                bytes
            });
            std::mem::replace(&mut seen, now) != seen
        };
        let (peer, mut tracee) = begin();
        let asleep = || panic!("it sleeps");
        let course = if walk::coarse() {
            Course::of_calls(&mut tracee, asleep)
        } else {
            Course::follow(&mut tracee, changed, asleep)
        };
        peer.kill();
        drop(made);
        let _ = shm_ring::remove(name); // was removed, if that is the operation
        let mut tries = course.sample(STEPS);
        if !walk::coarse() {
            tries.extend(&course.changes);
        }
        course.tell(tries.len());
        for moment in tries {
            progress.now(format!("{operation} at {:?}", course.points[moment]));
            let made = set(name);
            let (peer, mut tracee) = begin();
            let there = walk::go_to(&mut tracee, course.points[moment], || panic!("it sleeps"));
            check(name, made, peer, tracee, !there);
            assert!(scratch.listing().is_empty(), "left: {:?}", scratch.listing());
        }
    });
}

/// Whether the ring has its name; nothing else may be there of what the dead process `pid` made.
fn is_named(name: &str, pid: u32) -> bool {
    let temporary = format!(".shmring-birth-{pid}-");
    let mut named = false;
    for entry in std::fs::read_dir("/dev/shm").unwrap().flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        assert!(!found.starts_with(&temporary), "{found} is left");
        named |= found == name;
    }
    named
}

fn killed_creating() {
    at_every_moment(
        "create",
        |_| (),
        |name, (), peer, _, _| {
            let pid = peer.pid();
            peer.kill();
            let named = is_named(name, pid);
            let builder = Consumer::builder(name).capacity(CAPACITY_BYTES).attach_timeout(PATIENCE);
            // Whoever finds the name finds a ring in order, and whoever does not can make one.
            let mut consumer = if named { builder.open().unwrap() } else { builder.create().unwrap() };
            let status = inspect(name).unwrap();
            let sat = status.participants.iter().any(|who| who.pid == pid);
            assert!(!sat || named && status.participants.iter().all(|who| who.alive == (who.pid != pid)));
            let sender = Sender::open(Kind::SpscBytes, name, PATIENCE).unwrap();
            match consumer.recv_timeout(Duration::ZERO) {
                Err(Error::Disconnected(End::Died)) => assert!(sat),
                Err(Error::TimedOut) => assert!(!sat),
                other => panic!("{other:?}"),
            }
            goes_on(name, sender, Receiver::Bytes(consumer), 0);
        },
    );
}

fn stopped_creating() {
    at_every_moment(
        "create",
        |_| (),
        |name, (), peer, tracee, has_ended| {
            let builder = Consumer::builder(name).capacity(CAPACITY_BYTES);
            let mut receiver = Receiver::Bytes(builder.open_or_create().unwrap());
            assert!(receiver.receive().is_none());
            tracee.release(has_ended);
            peer.finish();
            assert_eq!(receiver.receive().unwrap().unwrap(), 0, "they met in the same ring");
            assert!(matches!(receiver.receive(), Some(Err(Error::Disconnected(End::Dropped)))));
            let sender = Sender::open(Kind::SpscBytes, name, PATIENCE).unwrap();
            goes_on(name, sender, receiver, 1);
        },
    );
}

fn killed_removing() {
    let set = |name: &str| {
        let mut producer = Producer::builder(name).capacity(CAPACITY_BYTES).create().unwrap();
        producer.send(&content(0)).unwrap();
        producer.close();
    };
    at_every_moment("remove", set, |name, (), peer, _, _| {
        let pid = peer.pid();
        peer.kill();
        if !is_named(name, pid) {
            return;
        }
        let mut receiver = Receiver::open(Kind::SpscBytes, name, PATIENCE).unwrap();
        assert_eq!(receiver.receive().unwrap().unwrap(), 0);
        assert!(matches!(receiver.receive(), Some(Err(Error::Disconnected(End::Closed)))));
        let sender = Sender::open(Kind::SpscBytes, name, PATIENCE).unwrap();
        goes_on(name, sender, receiver, 1);
    });
}

/// A ring in use, with two messages in it.
fn in_use(name: &str) -> (Sender, Receiver) {
    let mut sender = Sender::create(Kind::SpscBytes, name);
    let receiver = Receiver::open(Kind::SpscBytes, name, PATIENCE).unwrap();
    assert!(sender.send(0) && sender.send(1));
    (sender, receiver)
}

/// Those who use a removed ring receive what was sent, and are told.
fn is_detached(sender: Sender, mut receiver: Receiver, next: u64) {
    for expected in next..2 {
        assert_eq!(receiver.receive().unwrap().unwrap(), expected);
    }
    assert!(matches!(receiver.receive(), Some(Err(Error::Detached))), "the consumer is told");
    let Sender::Bytes(mut producer) = sender else { panic!() };
    // At the latest when there is no more space.
    for _ in 0..CAPACITY_BYTES {
        match producer.try_send(&content(2)) {
            Ok(()) => {}
            Err(Error::Detached) => return,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the producer is not told");
}

fn killed_removing_by_force() {
    at_every_moment("remove by force", in_use, |name, (sender, mut receiver), peer, _, _| {
        let pid = peer.pid();
        peer.kill();
        if is_named(name, pid) {
            if !inspect(name).unwrap().removed {
                for expected in 0..2 {
                    assert_eq!(receiver.receive().unwrap().unwrap(), expected);
                }
                return goes_on(name, sender, receiver, 2);
            }
            // Marked, but not unlinked: whoever comes finishes it.
            let came = Sender::open(Kind::SpscBytes, name, PATIENCE).unwrap_err();
            assert!(came.is_not_found(), "{came}");
            assert!(!is_named(name, pid));
        }
        let another = in_use(name);
        is_detached(sender, receiver, 0);
        drop(another);
        shm_ring::remove(name).unwrap();
    });
}

fn stopped_removing_by_force() {
    at_every_moment("remove by force", in_use, |name, (mut sender, mut receiver), peer, tracee, ended| {
        // Sends and receives do not wait for a remover.
        assert_eq!(receiver.receive().unwrap().unwrap(), 0);
        let Sender::Bytes(producer) = &mut sender else { panic!() };
        assert!(matches!(producer.check(), Ok(()) | Err(Error::Detached)));
        tracee.release(ended);
        peer.finish();
        assert!(inspect(name).unwrap_err().is_not_found());
        is_detached(sender, receiver, 1);
    });
}
