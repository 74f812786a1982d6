//! The operations of rings with one producer and one consumer, each killed and stopped at its moments.

use crate::check::{ORDERS, Order, after_the_kill, while_stopped};
use crate::scene::{Notes, Scene};
use crate::victim::{self as act, Part};
use crate::walk::{self, Course};
use crate::{Progress, watched};
use shm_ring::{End, Kind, Role};
use shm_tests::{Need, Scratch, Test};
use std::time::Duration;

/// As many messages as the ring takes.
pub(crate) const FULL: u64 = u64::MAX;
/// Rings that are made together.
const SCENES: usize = 200;
/// A side asks the kernel whether the other one lives this long after it sat down, and not before.
const SLICE: Duration = Duration::from_millis(100);
/// Steps spent on the tries of one operation: on those spread evenly, and on those at its differences.
const KILL_STEPS: u64 = if cfg!(debug_assertions) { 2_000 } else { 2_500 };
const KILL_DIFFERING_STEPS: u64 = 3_000;
const STOP_STEPS: u64 = 1_000;
const STOP_DIFFERING_STEPS: u64 = 2_000;

/// One operation of one side.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Whose.
    pub(crate) role: Role,
    /// Messages sent and received before it,
    pub(crate) before: u64,
    /// and messages sent and not received, or [`FULL`].
    pub(crate) waiting: u64,
    /// Messages that it sends, or is handed: all at once.
    pub(crate) messages: u64,
    /// Whether it waits for the other side.
    pub(crate) waits: bool,
    /// Whether it tries, and may move no message after all.
    pub(crate) tries: bool,
    /// Whether it comes to the ring.
    pub(crate) attaches: bool,
    /// How it leaves, if that is what it does.
    pub(crate) leaves: Option<End>,
    /// In the middle of which operation the process died whose seat it takes.
    pub(crate) predecessor: Option<&'static str>,
    pub(crate) act: fn(&Part),
}

/// The operation of that name.
pub(crate) fn named(name: &str) -> &'static Operation {
    OPERATIONS.iter().find(|operation| operation.name == name).expect("an operation")
}

const PRODUCER: Operation = Operation {
    name: "",
    kind: Kind::SpscBytes,
    role: Role::Producer,
    before: 0,
    waiting: 0,
    messages: 0,
    waits: false,
    tries: false,
    attaches: false,
    leaves: None,
    predecessor: None,
    act: act::send,
};
const CONSUMER: Operation = Operation { role: Role::Consumer, ..PRODUCER };
const TYPED_PRODUCER: Operation = Operation { kind: Kind::SpscTyped, ..PRODUCER };
const TYPED_CONSUMER: Operation = Operation { kind: Kind::SpscTyped, ..CONSUMER };

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
            vec![
                $(test(concat!("stepping::spsc::killed::", stringify!($name)), killed::$name),)*
                $(test(concat!("stepping::spsc::stopped::", stringify!($name)), stopped::$name),)*
            ]
        }
    };
}

const PAST_ALL_SLOTS: Operation = Operation { before: 8, ..TYPED_PRODUCER };
const COMES_TO_SEND: Operation = Operation { attaches: true, act: act::attach_producer, ..PRODUCER };
const COMES_TO_RECEIVE: Operation = Operation { attaches: true, act: act::attach_consumer, ..CONSUMER };

// Which message makes a pad: see `content`.
operations! {
    send: { before: 1, waiting: 2, messages: 1 } of PRODUCER,
    send_first_of_tenure: { messages: 1 } of PRODUCER,
    send_behind_a_pad: { before: 6, waiting: 2, messages: 1 } of PRODUCER,
    send_behind_a_pad_to_an_empty_ring: { before: 8, messages: 1 } of PRODUCER,
    send_to_a_full_ring: { waiting: FULL, messages: 1, waits: true } of PRODUCER,
    try_send_to_a_full_ring:
        { waiting: FULL, messages: 1, tries: true, act: act::try_send_to_a_full_ring } of PRODUCER,
    reserve_and_commit: { before: 1, waiting: 2, messages: 1, act: act::reserve_and_commit } of PRODUCER,
    reserve_behind_a_pad_and_commit:
        { before: 6, waiting: 2, messages: 1, act: act::reserve_and_commit } of PRODUCER,
    reserve_and_drop: { before: 1, waiting: 2, act: act::reserve_and_drop } of PRODUCER,
    reserve_behind_a_pad_and_drop: { before: 6, waiting: 2, act: act::reserve_and_drop } of PRODUCER,
    send_batch: { before: 1, waiting: 1, messages: 3, act: act::send_batch } of PRODUCER,
    send_batch_to_an_empty_ring: { before: 6, messages: 3, act: act::send_batch } of PRODUCER,
    send_batch_around_a_pad: { before: 5, waiting: 1, messages: 3, act: act::send_batch } of PRODUCER,
    send_batch_behind_a_pad: { before: 7, waiting: 1, messages: 3, act: act::send_batch } of PRODUCER,
    recv: { before: 1, waiting: 3, messages: 1, act: act::recv } of CONSUMER,
    recv_the_last: { before: 2, waiting: 1, messages: 1, act: act::recv } of CONSUMER,
    recv_behind_a_pad: { before: 8, waiting: 2, messages: 1, act: act::recv } of CONSUMER,
    recv_from_an_empty_ring: { before: 1, messages: 1, waits: true, act: act::recv } of CONSUMER,
    recv_into: { before: 1, waiting: 2, messages: 1, act: act::recv_into } of CONSUMER,
    try_recv_from_an_empty_ring:
        { before: 1, messages: 1, tries: true, act: act::try_recv_from_an_empty_ring } of CONSUMER,
    peek_and_take: { before: 1, waiting: 2, messages: 1, act: act::peek_and_take } of CONSUMER,
    peek_three_and_take_two:
        { before: 1, waiting: 4, messages: 2, act: act::peek_three_and_take_two } of CONSUMER,
    recv_batch: { before: 1, waiting: 4, messages: 3, act: act::recv_batch } of CONSUMER,
    recv_batch_around_a_pad: { before: 6, waiting: 3, messages: 3, act: act::recv_batch } of CONSUMER,
    recv_batch_of_all: { before: 2, waiting: 3, messages: 3, act: act::recv_batch } of CONSUMER,
    attach_producer: { predecessor: Some("send_first_of_tenure") } of COMES_TO_SEND,
    attach_producer_behind_a_pad:
        { predecessor: Some("send_behind_a_pad_to_an_empty_ring") } of COMES_TO_SEND,
    attach_producer_behind_a_batch: { predecessor: Some("send_batch_to_an_empty_ring") } of COMES_TO_SEND,
    attach_first_producer: {} of COMES_TO_SEND,
    attach_consumer: { predecessor: Some("recv") } of COMES_TO_RECEIVE,
    attach_consumer_behind_a_batch: { predecessor: Some("recv_batch") } of COMES_TO_RECEIVE,
    attach_consumer_to_an_empty_ring: { predecessor: Some("recv_batch_of_all") } of COMES_TO_RECEIVE,
    attach_first_consumer: {} of COMES_TO_RECEIVE,
    close_producer:
        { before: 1, waiting: 2, leaves: Some(End::Closed), act: act::close_producer } of PRODUCER,
    drop_producer:
        { before: 1, waiting: 2, leaves: Some(End::Dropped), act: act::drop_producer } of PRODUCER,
    close_consumer:
        { before: 1, waiting: 3, leaves: Some(End::Closed), act: act::close_consumer } of CONSUMER,
    drop_consumer:
        { before: 1, waiting: 3, leaves: Some(End::Dropped), act: act::drop_consumer } of CONSUMER,
    send_value: { before: 1, waiting: 2, messages: 1, act: act::send_value } of TYPED_PRODUCER,
    send_first_value: { messages: 1, act: act::send_value } of TYPED_PRODUCER,
    send_value_to_a_full_ring:
        { waiting: FULL, messages: 1, waits: true, act: act::send_value } of TYPED_PRODUCER,
    send_values: { messages: 3, act: act::send_values } of PAST_ALL_SLOTS,
    recv_value: { before: 1, waiting: 2, messages: 1, act: act::recv_value } of TYPED_CONSUMER,
    recv_value_from_an_empty_ring:
        { before: 1, messages: 1, waits: true, act: act::recv_value } of TYPED_CONSUMER,
    recv_values: { before: 8, waiting: 4, messages: 3, act: act::recv_values } of TYPED_CONSUMER,
    attach_typed_producer:
        { attaches: true, predecessor: Some("send_first_value"), act: act::attach_typed_producer }
        of TYPED_PRODUCER,
    attach_typed_consumer:
        { attaches: true, predecessor: Some("recv_value"), act: act::attach_typed_consumer }
        of TYPED_CONSUMER,
}

fn test(name: &'static str, body: fn()) -> Test {
    Test { name, needs: vec![Need::Trace], body }
}

/// The moments of an operation, followed once to its end: all, or those behind its system calls.
fn survey(operation: &'static Operation, scratch: &Scratch, notes: &Notes, fine: bool) -> Course {
    let scene = std::cell::RefCell::new(Scene::new(operation, scratch, 0));
    let (peer, mut tracee) = scene.borrow_mut().begin(notes);
    let (changed, wake) = (|| scene.borrow_mut().has_changed(notes), || scene.borrow_mut().wake());
    let course =
        if fine { Course::follow(&mut tracee, changed, wake) } else { Course::of_calls(&mut tracee, wake) };
    peer.kill();
    course
}

/// Kills a victim of its own at every moment.
fn killed_at_every_moment(name: &str) {
    let (operation, scratch) = (named(name), Scratch::posix());
    watched(name, |progress| {
        let notes = Notes::new(&scratch);
        let fine = !walk::coarse() || !operation.attaches && !operation.waits;
        let course = Course::of(("spsc", operation.name, fine), || survey(operation, &scratch, &notes, fine));
        let sample = course.sample(KILL_STEPS).into_iter().enumerate();
        let mut tries: Vec<(usize, Order)> =
            sample.map(|(index, moment)| (moment, ORDERS[index % ORDERS.len()])).collect();
        for (index, moment) in course.differing(KILL_DIFFERING_STEPS).into_iter().enumerate() {
            let orders = if walk::full() { &ORDERS[..] } else { &ORDERS[index % ORDERS.len()..][..1] };
            tries.extend(orders.iter().map(|&order| (moment, order)));
        }
        course.tell(tries.len());
        try_each(operation, &scratch, &tries, progress, |mut scene, &(moment, order)| {
            let (peer, mut tracee) = scene.begin(&notes);
            walk::go_to(&mut tracee, course.points[moment], || scene.wake());
            peer.kill();
            after_the_kill(scene, notes.read(), order);
        });
    });
}

/// Stops a victim of its own at every moment, and lets it go on.
fn stopped_at_every_moment(name: &str) {
    let (operation, scratch) = (named(name), Scratch::posix());
    watched(name, |progress| {
        let notes = Notes::new(&scratch);
        let fine = !walk::coarse();
        let course = Course::of(("spsc", operation.name, fine), || survey(operation, &scratch, &notes, fine));
        let mut tries = course.sample(STOP_STEPS);
        tries.extend(course.differing(STOP_DIFFERING_STEPS));
        course.tell(tries.len());
        try_each(operation, &scratch, &tries, progress, |mut scene, &moment| {
            let (peer, mut tracee) = scene.begin(&notes);
            let there = walk::go_to(&mut tracee, course.points[moment], || scene.wake());
            while_stopped(scene, peer, tracee, !there, &notes);
        });
    });
}

/// Gives each try a ring of its own, whose survivor has sat for a slice.
fn try_each<T: std::fmt::Debug>(
    operation: &'static Operation,
    scratch: &Scratch,
    tries: &[T],
    progress: &Progress,
    mut attempt: impl FnMut(Scene, &T),
) {
    for tries in tries.chunks(SCENES) {
        let scenes: Vec<Scene> =
            (1..=tries.len()).map(|index| Scene::new(operation, scratch, index)).collect();
        std::thread::sleep(SLICE);
        for (scene, which) in scenes.into_iter().zip(tries) {
            progress.now(format!("{} at {which:?}", operation.name));
            attempt(scene, which);
        }
    }
}
