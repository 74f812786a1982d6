//! The operations of rings with many senders and receivers, each killed and stopped at its moments; and rings at
//! which others have died before.

mod check;
mod picture;
mod scene;
mod seats;
mod sleepers;
mod stop;
mod victim;

use crate::walk::{self, Course};
use crate::{Progress, watched};
use check::{ORDERS, Order, after_the_kill};
use scene::{Death, Notes, Scene};
use shm_ring::{End, Role};
use shm_tests::{Need, Scratch, Test};
use stop::{MEDDLINGS, Meddling, while_stopped};
use victim::{self as act, After, Part};

pub(crate) use sleepers::be_a_sleeper;
pub(crate) use victim::be_the_victim;

/// As many messages as the ring takes.
pub(crate) const FULL: u64 = u64::MAX;
/// Steps spent on the tries of one operation: on those spread evenly, and on those at its differences. (Long
/// operations have most of their differences in common.)
const KILL_STEPS: u64 = if cfg!(debug_assertions) { 1_000 } else { 2_500 };
const KILL_DIFFERING_STEPS: u64 = 4_000;
const STOP_STEPS: u64 = 1_000;
const STOP_DIFFERING_STEPS: u64 = 2_000;
/// Enough for all moments right before a difference: others come beside, and what one has seen may be so no more at
/// just one of them.
const STOP_BESIDE_STEPS: u64 = 100_000;

/// One operation of one participant, or of somebody who repairs.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Whose; nobody's if it takes no part.
    pub(crate) role: Option<Role>,
    pub(crate) capacity: u64,
    pub(crate) redelivery: bool,
    /// Messages sent and received before it,
    pub(crate) before: u64,
    /// whether the victim has sent, or received, one of its own then,
    pub(crate) warm: bool,
    /// and messages in the ring when it begins, or [`FULL`].
    pub(crate) waiting: u64,
    /// Messages that it sends, or receives, at most.
    pub(crate) messages: u64,
    /// Whether it waits for others.
    pub(crate) waits: bool,
    /// Whether it may move less.
    pub(crate) tries: bool,
    /// Whether it comes to the ring.
    pub(crate) comes: bool,
    /// Whether it cleans up behind the dead while it waits.
    pub(crate) tends: bool,
    /// How it leaves, if that is what it does.
    pub(crate) leaves: Option<End>,
    /// Who died at the ring before, each on a seat of its own.
    pub(crate) dead: &'static [Death],
    /// Who comes and dies while the victim is stopped.
    pub(crate) beside: &'static [Death],
    /// Seats for those beside, unless they take those of the dead.
    pub(crate) spare: usize,
    pub(crate) act: fn(&Part) -> After,
}

impl Operation {
    /// Seats, beside those of the survivors: no more than are needed, so that newcomers get those of the dead.
    fn seats(&self) -> usize {
        let own = self.role.is_some() && (!self.comes || self.dead.is_empty());
        self.dead.len() + self.spare + usize::from(own)
    }

    /// Whether the victim sits at the ring behind it.
    fn stays(&self) -> bool {
        self.role.is_some() && self.leaves.is_none()
    }

    /// Whether the victim is surely a sender that sits at the ring.
    fn dies_sending(&self) -> bool {
        self.role == Some(Role::Sender) && !self.comes
    }
}

/// The operation of that name.
pub(crate) fn named(name: &str) -> &'static Operation {
    OPERATIONS.iter().chain(DYING).find(|operation| operation.name == name).expect("an operation")
}

const SENDER: Operation = Operation {
    name: "",
    role: Some(Role::Sender),
    capacity: 4,
    redelivery: false,
    before: 5,
    warm: false,
    waiting: 1,
    messages: 0,
    waits: false,
    tries: false,
    comes: false,
    tends: false,
    leaves: None,
    dead: &[],
    beside: &[],
    spare: 0,
    act: act::send,
};
const RECEIVER: Operation = Operation { role: Some(Role::Receiver), act: act::recv, ..SENDER };
const AGAIN: Operation = Operation { redelivery: true, ..RECEIVER };
const COMES_TO_SEND: Operation = Operation { comes: true, act: act::attach_sender, ..SENDER };
const COMES_TO_RECEIVE: Operation = Operation { comes: true, act: act::attach_receiver, ..RECEIVER };
const REPAIR: Operation = Operation { role: None, act: act::repair, ..SENDER };
const TENDS: Operation = Operation { waiting: 0, messages: 1, waits: true, tends: true, ..RECEIVER };

/// What those do who are killed in preparation.
static DYING: &[Operation] = &[
    Operation { name: "die_sending", act: act::die_sending, ..SENDER },
    Operation { name: "die_receiving", act: act::die_receiving, ..RECEIVER },
];

macro_rules! operations {
    ($($name:ident: { $($field:ident: $value:expr),* $(,)? } of $of:ident,)*) => {
        static OPERATIONS: &[Operation] = &[$(Operation { name: stringify!($name), $($field: $value,)* ..$of }),*];

        mod killed {
            $(pub(super) fn $name() { super::killed_at_every_moment(stringify!($name)); })*
        }

        mod stopped {
            $(pub(super) fn $name() { super::stopped_at_every_moment(stringify!($name)); })*
        }

        pub(crate) fn tests() -> Vec<Test> {
            let mut tests = vec![
                $(test(concat!("stepping::mpmc::killed::", stringify!($name)), killed::$name),)*
                $(test(concat!("stepping::mpmc::stopped::", stringify!($name)), stopped::$name),)*
            ];
            tests.extend(sleepers::tests());
            tests
        }
    };
}

operations! {
    send: { warm: true, waiting: 2, messages: 1 } of SENDER,
    send_first: { before: 0, waiting: 0, messages: 1 } of SENDER,
    send_behind_others: { messages: 1 } of SENDER,
    send_beside_a_death:
        { messages: 1, beside: &[Death::Sent], spare: 1 } of SENDER,
    send_into_the_last_space: { waiting: 3, messages: 1 } of SENDER,
    send_to_a_small_ring: { capacity: 2, messages: 1 } of SENDER,
    send_to_a_full_ring: { waiting: FULL, messages: 1, waits: true } of SENDER,
    try_send_to_a_full_ring:
        { waiting: FULL, messages: 1, tries: true, act: act::try_send } of SENDER,
    try_send_to_a_full_small_ring:
        { capacity: 2, waiting: FULL, messages: 1, tries: true, act: act::try_send } of SENDER,
    reserve_and_commit: { messages: 1, act: act::reserve_and_commit } of SENDER,
    reserve_and_drop: { act: act::reserve_and_drop } of SENDER,
    send_batch: { messages: 3, act: act::send_batch } of SENDER,
    send_batch_to_a_small_ring:
        { capacity: 2, messages: 3, waits: true, act: act::send_batch } of SENDER,
    recv: { warm: true, waiting: 2, messages: 1 } of RECEIVER,
    recv_behind_others: { waiting: 2, messages: 1 } of RECEIVER,
    recv_the_last: { messages: 1 } of RECEIVER,
    recv_beside_a_death:
        { waiting: 2, messages: 1, beside: &[Death::Received], spare: 1 } of RECEIVER,
    recv_from_a_full_small_ring: { capacity: 2, waiting: FULL, messages: 1 } of RECEIVER,
    recv_from_an_empty_ring: { waiting: 0, messages: 1, waits: true } of RECEIVER,
    try_recv_from_an_empty_ring:
        { waiting: 0, messages: 1, tries: true, act: act::try_recv } of RECEIVER,
    recv_into: { waiting: 2, messages: 1, act: act::recv_into } of RECEIVER,
    recv_into_too_small_a_buffer: { waiting: 2, act: act::recv_into_too_small_a_buffer } of RECEIVER,
    recv_batch: { waiting: FULL, messages: 3, tries: true, act: act::recv_batch } of RECEIVER,
    recv_for_redelivery: { waiting: 2, messages: 1 } of AGAIN,
    recv_batch_for_redelivery:
        { waiting: FULL, messages: 3, tries: true, act: act::recv_batch } of AGAIN,
    recv_again_on_the_seat_of_the_dead:
        { comes: true, dead: &[Death::Received], act: act::come_and_receive, tries: true, messages: 1 } of AGAIN,
    recv_again_by_waiting:
        { waiting: 0, dead: &[Death::Holding, Death::Sent], tends: true, tries: true, waits: true, messages: 1 }
        of AGAIN,
    attach_sender: {} of COMES_TO_SEND,
    attach_sender_where_one_died_sending:
        { dead: &[Death::Sending], beside: &[Death::Sent] } of COMES_TO_SEND,
    attach_sender_where_one_had_sent: { dead: &[Death::Sent], beside: &[Death::Received] } of COMES_TO_SEND,
    attach_receiver: {} of COMES_TO_RECEIVE,
    attach_receiver_where_one_died_receiving:
        { dead: &[Death::Receiving], beside: &[Death::Received] } of COMES_TO_RECEIVE,
    attach_receiver_where_one_had_received:
        { dead: &[Death::Received], beside: &[Death::Sent] } of COMES_TO_RECEIVE,
    attach_receiver_where_two_died: { dead: &[Death::Sent, Death::Received] } of COMES_TO_RECEIVE,
    drop_sender: { leaves: Some(End::Dropped), act: act::drop_sender } of SENDER,
    close_sender: { leaves: Some(End::Closed), act: act::close_sender } of SENDER,
    drop_receiver: { leaves: Some(End::Dropped), act: act::drop_receiver } of RECEIVER,
    close_receiver: { leaves: Some(End::Closed), act: act::close_receiver } of RECEIVER,
    repair_behind_one_about_to_send:
        { dead: &[Death::Sending], beside: &[Death::Sent] } of REPAIR,
    repair_behind_one_that_had_sent: { dead: &[Death::Sent], beside: &[Death::Received] } of REPAIR,
    repair_behind_one_about_to_receive:
        { dead: &[Death::Receiving], beside: &[Death::Received] } of REPAIR,
    repair_behind_one_that_had_received:
        { dead: &[Death::Received], beside: &[Death::Sent] } of REPAIR,
    repair_behind_one_that_held_a_message: { dead: &[Death::Holding] } of REPAIR,
    repair_behind_two: { dead: &[Death::Received, Death::Sent] } of REPAIR,
    repair_behind_two_senders: { dead: &[Death::Sending, Death::Sent] } of REPAIR,
    repair_for_redelivery: { redelivery: true, dead: &[Death::Received, Death::Holding] } of REPAIR,
    wait_beside_one_about_to_send: { dead: &[Death::Sending], beside: &[Death::Sent] } of TENDS,
    wait_beside_one_that_had_sent: { dead: &[Death::Sent], beside: &[Death::Received] } of TENDS,
    wait_for_space_beside_one_that_had_received:
        {
            waiting: FULL,
            messages: 1,
            waits: true,
            tends: true,
            dead: &[Death::Received],
            beside: &[Death::Received],
        } of SENDER,
    wait_beside_two: { dead: &[Death::Received, Death::Sent] } of TENDS,
}

fn test(name: &'static str, body: fn()) -> Test {
    Test { name, needs: vec![Need::Trace], body }
}

/// The moments of an operation, followed once to its end: all, or those behind its system calls.
fn survey(operation: &'static Operation, scratch: &Scratch, notes: &Notes) -> Course {
    let scene = std::cell::RefCell::new(Scene::new(operation, scratch));
    let (peer, mut tracee) = scene.borrow_mut().begin(notes);
    let (changed, wake) = (|| scene.borrow_mut().has_changed(notes), || scene.borrow_mut().wake(notes));
    let course = if walk::coarse() {
        Course::of_calls(&mut tracee, wake)
    } else {
        Course::follow(&mut tracee, changed, wake)
    };
    peer.kill();
    let name = scene.into_inner().name;
    shm_ring::remove_forced(&name).unwrap();
    course
}

/// Kills a victim of its own at every moment.
fn killed_at_every_moment(name: &str) {
    let operation = named(name);
    watched(name, |progress| {
        let scratch = Scratch::posix();
        let notes = Notes::new(&scratch);
        let course =
            Course::of(("mpmc", operation.name, !walk::coarse()), || survey(operation, &scratch, &notes));
        let mut moments = course.sample(KILL_STEPS);
        moments.extend(course.differing(KILL_DIFFERING_STEPS));
        let orders = ORDERS.iter().cycle();
        let tries: Vec<(usize, Order)> = moments.into_iter().zip(orders.copied()).collect();
        course.tell(tries.len());
        for (moment, order) in tries {
            let point = course.points[moment];
            progress.now(format!("{name}, killed at {point:?}, {order:?}"));
            let mut scene = Scene::new(operation, &scratch);
            let (peer, mut tracee) = scene.begin(&notes);
            walk::go_to(&mut tracee, point, || scene.wake(&notes));
            peer.kill();
            after_the_kill(scene, &notes, order, &scratch);
        }
    });
}

/// Stops a victim of its own at every moment, and lets it go on.
fn stopped_at_every_moment(name: &str) {
    let operation = named(name);
    watched(name, |progress: &Progress| {
        let scratch = Scratch::posix();
        let notes = Notes::new(&scratch);
        let course =
            Course::of(("mpmc", operation.name, !walk::coarse()), || survey(operation, &scratch, &notes));
        let mut moments = course.sample(STOP_STEPS);
        moments.extend(course.differing(STOP_DIFFERING_STEPS));
        let mut tries: Vec<(usize, Meddling)> =
            moments.into_iter().zip(MEDDLINGS.iter().cycle().copied()).collect();
        if !operation.beside.is_empty() {
            let moments = course.about_to_differ(STOP_BESIDE_STEPS).into_iter();
            tries.extend(moments.map(|moment| (moment, Meddling::default())));
        }
        course.tell(tries.len());
        for (moment, meddling) in tries {
            let point = course.points[moment];
            progress.now(format!("{name}, stopped at {point:?}, {meddling:?}"));
            let mut scene = Scene::new(operation, &scratch);
            let (peer, mut tracee) = scene.begin(&notes);
            let there = walk::go_to(&mut tracee, point, || scene.wake(&notes));
            while_stopped(scene, peer, tracee, !there, &notes, meddling, &scratch);
        }
    });
}
