//! Memory without a name, and zones: between a process and the children that it forks.

use rustix::process::{Signal, getpid};
use shm_core::sysv::{self, Options, Segment};
use shm_core::zone::{Mechanism, Zone};
use shm_core::{Deadline, Event, HugePages, Listener, Region, anonymous};
use shm_tests::process::{self, Fork, await_child};
use shm_tests::segments::begin;
use shm_tests::{FUSE, Segments, Test, peer, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        children_share_every_kind,
        a_killed_creator_leaves_no_segment,
        what_was_left_between_two_calls_is_removed,
        creators_killed_anywhere_leave_nothing_to_the_next,
    ]
}

/// Bytes of a zone: no whole pages.
const BYTES: u64 = 10_000;
const LAST: usize = 9_999;
/// Where a message lies that is there before the fork.
const BEFORE: usize = 16;
/// Where two events lie: that the parent has written, and that the child has.
const ASKED: usize = 64;
const ANSWERED: usize = 128;

/// Parent and child exchange messages, and wake each other. `in_child` tells the region as the child finds it.
fn exchange(how: Fork, region: &Region, in_child: impl FnOnce() -> Region) {
    let wait = |region: &Region, at| {
        let listener = Listener::new(region, at).unwrap();
        while listener.count() == 0 {
            let woken = listener.wait(0, Deadline::after(FUSE)).unwrap();
            assert_ne!(woken, shm_core::Woken::TimedOut);
        }
    };
    region.copy_in(BEFORE, b"before").unwrap();
    let child = process::fork(how, || {
        let found = in_child();
        assert_eq!((found.address(), found.bytes()), (region.address(), region.bytes()));
        assert_eq!(found.read_value::<[u8; 6]>(BEFORE).unwrap(), *b"before");
        wait(&found, ASKED);
        assert_eq!(found.read_value::<[u8; 6]>(0).unwrap(), *b"asking");
        found.copy_in(0, b"answer").unwrap();
        found.write_value(LAST, &7_u8).unwrap();
        Event::new(&found, ANSWERED).unwrap().signal().unwrap();
        // The child's own to let go of; the parent's stays.
        drop(found);
    });
    region.copy_in(0, b"asking").unwrap();
    Event::new(region, ASKED).unwrap().signal().unwrap();
    wait(region, ANSWERED);
    assert_eq!(region.read_value::<[u8; 6]>(0).unwrap(), *b"answer");
    assert_eq!(region.read_value::<u8>(LAST).unwrap(), 7);
    await_child(child);
    region.copy_in(0, b"after!").unwrap();
}

/// Role: shares memory of every kind with children, forked in every way.
pub(crate) fn share_with_children(_: &[String]) {
    begin();
    for how in [Fork::Handled, Fork::Bare] {
        for region in [
            anonymous::map(BYTES).unwrap(),
            anonymous::map_huge(BYTES, HugePages::of(2 << 20).or_ordinary()).unwrap().0,
            anonymous::dev_zero(BYTES).unwrap(),
        ] {
            exchange(how, &region, || region.clone());
        }
        for mechanism in Mechanism::ALL {
            let name = format!("{how:?} {mechanism}");
            let zone = Zone::create_with(&name, BYTES, mechanism).unwrap();
            assert!(!zone.existed() && zone.mechanism() == mechanism);
            exchange(how, zone.region(), || {
                let again = Zone::create(&name, BYTES).unwrap();
                assert!(again.existed() && again.mechanism() == mechanism);
                assert!(Zone::create(&name, BYTES + 1).is_err());
                // A name that the child forgets, and one that it makes, are its own business.
                Zone::unlink(&name).unwrap();
                assert!(!Zone::create("the child's", BYTES).unwrap().existed());
                again.region().clone()
            });
            assert!(Zone::create(&name, BYTES).unwrap().existed());
            assert!(!Zone::create("the child's", BYTES).unwrap().existed());
            Zone::unlink("the child's").unwrap();
        }
    }
    peer::say("done");
}

fn children_share_every_kind() {
    let mut segments = Segments::new();
    let mut peer = segments.start("share with children", &[]);
    peer.expect("done");
    peer.finish();
}

/// Role: makes a zone by System V, forks a child that uses it, and stays; so does the child.
pub(crate) fn make_zones_and_stay(_: &[String]) {
    begin();
    let zone = Zone::create_with("stay", BYTES, Mechanism::SystemV).unwrap();
    let answered = Event::new(zone.region(), ANSWERED).unwrap();
    process::fork(Fork::Handled, || {
        let zone = Zone::create("stay", BYTES).unwrap();
        answered.signal().unwrap();
        while let Some(line) = peer::listen() {
            zone.region().copy_in(0, line.as_bytes()).unwrap();
            let mut bytes = vec![0; line.len()];
            zone.region().copy_out(0, &mut bytes).unwrap();
            peer::say(std::str::from_utf8(&bytes).unwrap());
        }
    });
    while answered.listener().count() == 0 {
        answered.listener().wait(0, Deadline::after(FUSE)).unwrap();
    }
    peer::say("the child is there");
    loop {
        std::thread::park();
    }
}

fn await_none(segments: &Segments) {
    let fuse = Deadline::after(FUSE);
    while !segments.listing().is_empty() {
        assert!(!fuse.has_passed(), "{:?}", segments.listing());
        std::thread::yield_now();
    }
}

fn a_killed_creator_leaves_no_segment() {
    let mut segments = Segments::new();
    let mut parent = segments.start("make zones and stay", &[]);
    parent.expect("the child is there");
    let listing = segments.listing();
    let [zone] = listing.as_slice() else { panic!("{listing:?}") };
    assert_eq!((zone.bytes, zone.attach_count, zone.marked_for_removal), (BYTES, 2, true));
    parent.signal(Signal::KILL);
    // The child has the memory as before.
    parent.tell("still there");
    parent.expect("still there");
    assert_eq!(segments.listing().len(), 1);
    parent.status(); // ends the child as well: it hears no more
    await_none(&segments);
}

/// Role, with the argument mode: leaves a segment, as a creator does that is killed right after it created it.
pub(crate) fn leave_a_segment(arguments: &[String]) {
    begin();
    let mode = u32::from_str_radix(&arguments[0], 8).unwrap();
    let segment = Options::new().mode(mode).private(BYTES).unwrap();
    peer::say(&segment.id().to_string());
    peer::stay();
}

fn what_was_left_between_two_calls_is_removed() {
    let mut segments = Segments::new();
    let leave = |segments: &mut Segments, mode| {
        let mut peer = segments.start("leave a segment", &[mode]);
        let id = peer.hear().parse::<i32>().unwrap();
        (peer, id)
    };
    let (killed, left) = leave(&mut segments, "611");
    let (_living, under_way) = leave(&mut segments, "611");
    let (another_killed, another_s) = leave(&mut segments, "600");
    killed.kill();
    another_killed.kill();
    let exists = |id| sysv::list().unwrap().iter().any(|segment| segment.id == id);
    assert!(exists(left) && exists(under_way) && exists(another_s));
    // In a process of its own, so that the zone's segment goes with it.
    let mut maker = segments.start("make zones and stay", &[]);
    maker.expect("the child is there");
    assert!(!exists(left), "left by a killed creator, and not removed");
    assert!(exists(under_way), "its creator lives: it may be about to attach it");
    assert!(exists(another_s), "not made for a zone");
    assert_ne!(maker.pid(), getpid().as_raw_nonzero().get().unsigned_abs());
    maker.signal(Signal::KILL);
    maker.status();
    for id in [under_way, another_s] {
        Segment::from_id(id).remove().unwrap();
    }
    await_none(&segments);
}

/// Role: makes and forgets zones by System V until it is killed.
pub(crate) fn make_zones_for_ever(_: &[String]) {
    begin();
    peer::say("begins");
    loop {
        let zone = Zone::create_with("for ever", BYTES, Mechanism::SystemV).unwrap();
        zone.region().write_value(LAST, &1_u8).unwrap();
        Zone::unlink("for ever").unwrap();
    }
}

fn creators_killed_anywhere_leave_nothing_to_the_next() {
    let mut segments = Segments::new();
    for round in 0_u64..200 {
        let mut creator = segments.start("make zones for ever", &[]);
        creator.expect("begins");
        // A moment at random; which one decides nothing.
        std::thread::sleep(std::time::Duration::from_micros(round * 37 % 1000));
        creator.kill();
    }
    let mut next = segments.start("make zones and stay", &[]);
    next.expect("the child is there");
    // Those that are still being taken down are marked, and go by themselves.
    let left: Vec<_> = segments.listing().into_iter().filter(|one| !one.marked_for_removal).collect();
    assert!(left.is_empty(), "{left:?}");
    next.signal(Signal::KILL);
    next.status();
    await_none(&segments);
}
