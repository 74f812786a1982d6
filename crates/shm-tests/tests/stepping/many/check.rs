//! What must hold after a kill, and when nobody is left in the middle of anything.

use super::picture::Picture;
use super::scene::{Notes, Scene};
use shm_ring::{Directory, End, Role, inspect, repair_in};
use shm_tests::{FUSE, Scratch};
use std::time::Instant;

/// Who cleans up behind the dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// A repair that takes no part.
    Repair,
    /// A sender that takes the seat, and a repair if there is more.
    Sender,
    /// As before, by a receiver.
    Receiver,
    /// The survivors, by waiting.
    Waiting,
}

/// Who cleans up, and whether the survivors work before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) recovery: Recovery,
    pub(crate) work_first: bool,
}

pub(crate) const ORDERS: [Order; 8] = [
    Order { recovery: Recovery::Repair, work_first: false },
    Order { recovery: Recovery::Sender, work_first: true },
    Order { recovery: Recovery::Receiver, work_first: false },
    Order { recovery: Recovery::Waiting, work_first: true },
    Order { recovery: Recovery::Sender, work_first: false },
    Order { recovery: Recovery::Repair, work_first: true },
    Order { recovery: Recovery::Waiting, work_first: false },
    Order { recovery: Recovery::Receiver, work_first: true },
];

/// Messages to and fro in each check.
const ROUNDS: u64 = 3;

/// After the victim was killed.
pub(crate) fn after_the_kill(mut scene: Scene, notes: &Notes, order: Order, scratch: &Scratch) {
    let picture = scene.account(notes);
    let hands = picture.hands(|seat| picture.seats[seat].free);
    let lost: usize =
        hands.iter().zip(&picture.seats).filter(|(hand, seat)| seat.free && hand.unread).count();
    scene.find_unread(&hands, &picture, notes);
    let joined = picture.seats.iter().any(|seat| seat.free && seat.joined && !seat.receives);
    assert!(joined || !scene.operation.dies_sending() || scene.operation.leaves.is_some());
    let wakes = scene.wakes();
    if order.work_first {
        work(&mut scene);
    }
    recover(&mut scene, order.recovery);
    let after = scene.picture();
    let lost = if scene.operation.redelivery { 0 } else { lost as u64 };
    let count = |picture: &Picture| picture.seats.iter().map(|seat| seat.lost).sum::<u64>();
    assert_eq!(count(&after) - count(&picture), lost, "messages counted as lost");
    collect(&mut scene);
    is_whole(&scene);
    work(&mut scene);
    is_whole(&scene);
    // A dead sleeper costs one wake-up on each word, not one for every message. (A newcomer may add one.)
    let woken = scene.wakes() - wakes;
    let most = if order.recovery == Recovery::Waiting { 4 } else { 2 };
    assert!(woken <= most, "{woken} wake-ups, and nobody sleeps");
    let ends = ends_after_a_kill(&scene);
    scene.end(scratch, &ends);
}

/// How receivers may be told that all senders have gone, the survivors having closed.
fn ends_after_a_kill(scene: &Scene) -> Vec<End> {
    let operation = scene.operation;
    let sends = operation.role == Some(Role::Sender);
    match (scene.sender_died, sends, operation.leaves) {
        (true, ..) => vec![End::Died],
        (_, false, _) => vec![End::Closed],
        // It may have been killed before it came, or after it left.
        (_, _, Some(end)) => vec![End::Died, end],
        _ if operation.comes => vec![End::Died, End::Closed],
        _ => vec![End::Died],
    }
}

/// Somebody cleans up.
fn recover(scene: &mut Scene, recovery: Recovery) {
    let role = scene.operation.role;
    // A sender gets no seat with a message that is to come again.
    let recovery = match recovery {
        Recovery::Sender if !scene.again.is_empty() => Recovery::Receiver,
        other => other,
    };
    match recovery {
        Recovery::Repair => {
            assert_eq!(repair(scene), scene.again.len() as u64, "messages that are to come again");
        }
        Recovery::Sender => scene.come(Role::Sender),
        Recovery::Receiver => scene.come(Role::Receiver),
        Recovery::Waiting => {
            let role =
                role.map_or(Role::Receiver, |role| if role.sends() { Role::Receiver } else { Role::Sender });
            let fuse = Instant::now() + FUSE;
            while !scene.is_clean() {
                scene.wait(role);
                assert!(Instant::now() < fuse, "nobody cleans up: {:#?}", scene.picture());
            }
        }
    }
    if !scene.is_clean() {
        assert!(matches!(recovery, Recovery::Sender | Recovery::Receiver), "{recovery:?} did not clean up");
        repair(scene);
    }
}

/// Repairs the ring; how many messages are to come again.
pub(crate) fn repair(scene: &Scene) -> u64 {
    let found = repair_in(&Directory::posix(), &scene.name, false).unwrap();
    assert_eq!(found.busy, 0, "it can be told whose block it is: {:#?}", scene.picture());
    assert!(scene.is_clean(), "not cleaned up: {:#?}", scene.picture());
    found.to_redeliver
}

/// What was in the hands of dead receivers comes again, to whoever receives or waits.
pub(crate) fn collect(scene: &mut Scene) {
    let fuse = Instant::now() + FUSE;
    while !scene.again.is_empty() {
        scene.wait(Role::Receiver);
        assert!(Instant::now() < fuse, "{:?} never comes again", scene.again);
    }
}

/// All blocks are in one place, all hands are settled, nobody is dead, and everybody sees it so.
pub(crate) fn is_whole(scene: &Scene) {
    let picture = scene.picture();
    picture.hands(|_| false);
    assert!(picture.is_clean(), "{picture:#?}");
    assert!(picture.seats.iter().all(|seat| !seat.hand.unread), "a hand is not let go: {picture:#?}");
    let status = inspect(&scene.name).unwrap();
    assert!(status.limbo == 0 && !status.poisoned && !status.removed, "{status:?}");
    assert!(status.participants.iter().all(|who| who.alive), "{status:?}");
    assert_eq!((status.sent, status.received), (scene.sent, scene.received), "{status:?}");
    assert_eq!(status.depth, scene.queue.len() as u64, "{status:?}");
}

/// Everybody who is there sends and receives; *full* and *empty* are exact, and all comes in order.
pub(crate) fn work(scene: &mut Scene) {
    while scene.receive() {}
    for _ in 0..ROUNDS {
        assert!(scene.send() && scene.receive() && !scene.receive());
    }
    while scene.send() {}
    assert!(scene.receive() && scene.send() && !scene.send());
    while scene.receive() {}
}
