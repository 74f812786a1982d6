//! What must hold while one is stopped, and after it went on.

use super::check::{collect, is_whole, repair, work};
use super::scene::{Notes, SURVIVORS, Scene};
use super::seats::Held;
use crate::tracer::{Step, Tracee};
use shm_ring::{Directory, End, Role, inspect, repair_in};
use shm_tests::{Peer, Scratch};

/// What others do while one is stopped, beside coming and dying.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meddling {
    /// They work after each death,
    works: bool,
    /// and somebody cleans up then.
    repairs: bool,
}

pub(crate) const MEDDLINGS: [Meddling; 4] = [
    Meddling { works: true, repairs: true },
    Meddling { works: false, repairs: true },
    Meddling { works: true, repairs: false },
    Meddling { works: false, repairs: false },
];

/// While the victim is stopped, and after it went on.
pub(crate) fn while_stopped(
    mut scene: Scene,
    mut peer: Peer,
    tracee: Tracee,
    has_ended: bool,
    notes: &Notes,
    meddling: Meddling,
    scratch: &Scratch,
) {
    let operation = scene.operation;
    let picture = scene.account(notes);
    // The victim may hold the lock of a dead one's seat.
    picture.hands(|seat| seat >= SURVIVORS);
    let stays = operation.role.is_some() && !operation.comes && operation.leaves.is_none();
    let status = inspect(&scene.name).unwrap();
    let lives = status.participants.iter().any(|who| who.pid == peer.pid() && who.alive);
    assert!(lives || !stays, "a stopped process lives: {status:?}");
    let held = Held::by_the_victim(&scene);
    meddle(&mut scene, notes, meddling);
    let picture = scene.picture();
    picture.hands(|seat| seat >= SURVIVORS);
    work(&mut scene);
    held.is_as_it_was(&scene);
    // What it still needs to end is there.
    if operation.role == Some(Role::Receiver) {
        while scene.send() {}
    }
    go_on(&mut scene, tracee, has_ended, notes);
    let picture = scene.account(notes);
    assert!(scene.moved == operation.messages || operation.tries, "{} messages", scene.moved);
    if operation.role != Some(Role::Receiver) && operation.role.is_some() {
        assert_eq!(notes.moved(), scene.moved, "what it knows");
    }
    for number in &notes_of(&scene, notes) {
        if scene.again.contains(number) {
            scene.comes_again(*number);
        }
    }
    // Nobody who lives leaves a hand open. What the dead left may be there, unless it was to be cleaned up.
    picture.hands(|seat| picture.seats[seat].free);
    in_good_standing(&mut scene, &mut peer);
    peer.finish();
    if !scene.is_clean() {
        assert!(
            operation.dead.len() + operation.beside.len() > 0,
            "the victim left something: {:#?}",
            scene.picture()
        );
        repair(&scene);
    }
    collect(&mut scene);
    is_whole(&scene);
    work(&mut scene);
    is_whole(&scene);
    let end = operation.leaves.unwrap_or(End::Dropped);
    let ends = match (scene.sender_died, operation.role) {
        (true, _) => vec![End::Died],
        (_, Some(Role::Sender)) => vec![end],
        _ => vec![End::Closed],
    };
    scene.end(scratch, &ends);
}

/// What the victim got, if it receives.
fn notes_of(scene: &Scene, notes: &Notes) -> Vec<u64> {
    if scene.operation.role == Some(Role::Receiver) { notes.handed().0 } else { Vec::new() }
}

/// Others die, and clean up, while the victim is stopped.
fn meddle(scene: &mut Scene, notes: &Notes, meddling: Meddling) {
    for &death in scene.operation.beside {
        // Where the victim holds the only seat that is left, nobody can come.
        if scene.picture().seats.iter().all(|seat| !seat.free) {
            continue;
        }
        scene.die(death, notes);
        if meddling.works {
            work(scene);
        }
    }
    if meddling.repairs {
        let found = repair_in(&Directory::posix(), &scene.name, false).unwrap();
        assert_eq!(found.busy, 0, "one who is stopped prevents a ruling: {:#?}", scene.picture());
        // All are settled but those that the victim holds.
        let picture = scene.picture();
        picture.hands(|seat| !picture.seats[seat].free);
    }
}

/// The victim sends or receives once more, as if nothing had been.
fn in_good_standing(scene: &mut Scene, peer: &mut Peer) {
    if !scene.operation.stays() {
        return;
    }
    while scene.receive() {}
    if scene.operation.role == Some(Role::Sender) {
        peer.tell("3000000");
        peer.expect("sent");
        scene.queue.push_back(3_000_000);
        scene.sent += 1;
        assert!(scene.receive());
    } else {
        assert!(scene.send());
        peer.tell("receive");
        peer.expect(&scene.queue.pop_front().unwrap().to_string());
        scene.received += 1;
    }
}

/// Lets the victim go on to its end. It sleeps only for a reason that the slots show, or a wake-up was lost.
fn go_on(scene: &mut Scene, mut tracee: Tracee, mut has_ended: bool, notes: &Notes) {
    while scene.operation.waits && !has_ended {
        match tracee.step() {
            Step::Asleep => {
                scene.account(notes);
                let full = scene.queue.len() == scene.shape.capacity;
                let sends = scene.operation.role == Some(Role::Sender);
                assert!(sends && full, "the victim sleeps although there is something for it");
                assert!(scene.receive());
            }
            step => has_ended = step == Step::Ended,
        }
    }
    tracee.release(has_ended);
}
