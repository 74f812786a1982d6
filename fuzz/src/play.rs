//! Opens an object as everything it could be, and works with whatever opens.
//!
//! The rules, whatever the bytes are:
//!
//! * no panic, no wait that was not asked for, no access outside of the mapping (the sanitizer tells);
//! * a producer writes in its own region and the data, a consumer in its own region, senders, receivers and
//!   repairers everywhere but in the header, and who looks writes nowhere;
//! * a handle that has called a ring corrupt sends and receives nothing any more;
//! * what does not begin as an object of this project is never removed.

use crate::case::{Case, Step};
use crate::handles::{Attach, Receives, Sends};
use crate::object::{NAME, Scratch, Shadow};
use shm_core::header::{GEOMETRY_OFFSET, MAGIC};
use shm_ring::layout::GEOMETRY_DATA_BYTES;
use shm_ring::layout::mpmc::COMMON_OFFSET;
use shm_ring::layout::spsc::{
    CONSUMER_REGION_BYTES, CONSUMER_REGION_OFFSET, DATA_OFFSET, PRODUCER_REGION_BYTES, PRODUCER_REGION_OFFSET,
};
use shm_ring::{
    Consumer, Error, Producer, Receiver, Removal, Result, Role, Sender, TypedConsumer, TypedProducer,
    TypedReceiver, TypedSender,
};

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

/// Every way to open the case's object, one after the other, each with the object made anew.
pub fn everything(case: &Case) {
    SCRATCH.with(|scratch| {
        look(scratch, case);
        play::<Producer, Consumer>(scratch, case, &[Role::Producer]);
        play::<Producer, Consumer>(scratch, case, &[Role::Consumer]);
        play::<Producer, Consumer>(scratch, case, &[Role::Producer, Role::Consumer]);
        play::<TypedProducer<u64>, TypedConsumer<u64>>(scratch, case, &[Role::Producer]);
        play::<TypedProducer<u64>, TypedConsumer<u64>>(scratch, case, &[Role::Consumer, Role::Producer]);
        play::<TypedProducer<char>, TypedConsumer<char>>(scratch, case, &[Role::Consumer]);
        play::<Sender, Receiver>(scratch, case, &[Role::Sender, Role::Receiver]);
        play::<Sender, Receiver>(scratch, case, &[Role::Receiver]);
        play::<TypedSender<u64>, TypedReceiver<u64>>(scratch, case, &[Role::Sender, Role::Receiver]);
        repair(scratch, case);
        remove(scratch, case, Removal::IfUnused);
        remove(scratch, case, Removal::Always);
    });
}

fn look(scratch: &Scratch, case: &Case) {
    let shadow = scratch.put(&case.object, case.hole_bytes);
    // An error is as good as an answer; `check` judges.
    let _ = shm_ring::inspect_in(&scratch.directory(), NAME).map(|status| format!("{status:?}"));
    shadow.check("looking");
}

fn repair(scratch: &Scratch, case: &Case) {
    let mut shadow = scratch.put(&case.object, case.hole_bytes);
    let _ = shm_ring::repair_in(&scratch.directory(), NAME, true);
    shadow.check("looking for repairs");
    shadow.allow(COMMON_OFFSET, usize::MAX);
    for _ in 0..2 {
        let _ = shm_ring::repair_in(&scratch.directory(), NAME, false);
    }
    shadow.check("repairing");
}

fn remove(scratch: &Scratch, case: &Case, removal: Removal) {
    let _shadow = scratch.put(&case.object, case.hole_bytes);
    let removed = shm_ring::remove_in(&scratch.directory(), NAME, removal);
    assert_eq!(removed.is_ok(), !scratch.object().exists(), "removed {removed:?}");
    assert!(removed.is_err() || case.object.starts_with(&MAGIC), "removed what is foreign");
}

fn play<P: Sends, C: Receives>(scratch: &Scratch, case: &Case, roles: &[Role]) {
    let mut shadow = scratch.put(&case.object, case.hole_bytes);
    let mut stage = Stage { scratch, producer: None, consumer: None };
    for role in roles {
        match role {
            role if role.sends() => stage.producer = Side::<P>::attach(scratch, &mut shadow, *role),
            role => stage.consumer = Side::<C>::attach(scratch, &mut shadow, *role),
        }
    }
    if stage.producer.is_some() || stage.consumer.is_some() {
        for step in &case.steps {
            stage.take(step, &mut shadow);
        }
    }
    drop(stage);
    shadow.check(if roles.len() > 1 { "a pair" } else { WHO[usize::from(!roles[0].sends())] });
}

const WHO: [&str; 2] = ["one that sends", "one that receives"];

struct Stage<'a, P, C> {
    scratch: &'a Scratch,
    producer: Option<Side<P>>,
    consumer: Option<Side<C>>,
}

impl<P: Sends, C: Receives> Stage<'_, P, C> {
    fn take(&mut self, step: &Step, shadow: &mut Shadow) {
        match *step {
            Step::Look => {
                let _ = shm_ring::inspect_in(&self.scratch.directory(), NAME);
            }
            Step::Patch(ref patch) => shadow.patch(patch),
            Step::Reopen { close } => self.reopen(close, shadow),
            Step::Wait => {
                act(&mut self.producer, |producer| producer.wait().map(|()| true));
                act(&mut self.consumer, |consumer| consumer.wait().map(|()| true));
            }
            Step::Ask => {
                // Questions tell of garbage, but stop nothing.
                let _ = self.producer.as_mut().map(|producer| producer.handle.ask());
                let _ = self.consumer.as_mut().map(|consumer| consumer.handle.ask());
            }
            Step::Send { length } => act(&mut self.producer, |p| p.send(length).map(|()| true)),
            Step::Reserve { length, commit } => {
                act(&mut self.producer, |p| p.reserve(length, commit).map(|()| commit.is_some()));
            }
            Step::Batch { count } => act(&mut self.producer, |p| p.batch(count).map(|()| false)),
            Step::Receive => act(&mut self.consumer, Receives::receive),
            Step::ReceiveInto { bytes } => act(&mut self.consumer, |c| c.receive_into(bytes)),
            Step::ReceiveBatch { count } => act(&mut self.consumer, |c| c.receive_batch(count)),
            Step::Peek { take } => act(&mut self.consumer, |c| c.peek(take)),
            Step::PeekBatch { count, take } => act(&mut self.consumer, |c| c.peek_batch(count, take)),
        }
    }

    fn reopen(&mut self, close: bool, shadow: &mut Shadow) {
        if let Some(producer) = self.producer.take() {
            producer.leave(close);
            self.producer = Side::attach(self.scratch, shadow, P::ROLE);
        }
        if let Some(consumer) = self.consumer.take() {
            consumer.leave(close);
            self.consumer = Side::attach(self.scratch, shadow, C::ROLE);
        }
    }
}

/// A handle, and whether it has called its ring corrupt.
struct Side<H> {
    handle: H,
    corrupt: bool,
}

impl<H: Attach> Side<H> {
    /// `None` when the object is refused, as it should be if it is not a sound ring.
    fn attach(scratch: &Scratch, shadow: &mut Shadow, role: Role) -> Option<Self> {
        // Also when it is refused: claiming a seat, and telling of garbage, writes in the own region.
        match role {
            Role::Producer => {
                shadow.allow(PRODUCER_REGION_OFFSET, PRODUCER_REGION_OFFSET + PRODUCER_REGION_BYTES);
            }
            Role::Consumer => {
                shadow.allow(CONSUMER_REGION_OFFSET, CONSUMER_REGION_OFFSET + CONSUMER_REGION_BYTES);
            }
            // There everybody writes everywhere, but never in the header.
            Role::Sender | Role::Receiver => shadow.allow(COMMON_OFFSET, usize::MAX),
        }
        let handle = H::attach(scratch).ok()?;
        if role == Role::Producer {
            let data_bytes = usize::try_from(shadow.word(GEOMETRY_OFFSET + 8 * GEOMETRY_DATA_BYTES));
            shadow.allow(DATA_OFFSET, DATA_OFFSET.saturating_add(data_bytes.unwrap_or(usize::MAX)));
        }
        Some(Self { handle, corrupt: false })
    }

    fn leave(self, close: bool) {
        if close {
            self.handle.close();
        }
    }
}

/// Takes a step with a side, if it is there. `call` answers whether a message passed.
fn act<H: Attach>(side: &mut Option<Side<H>>, call: impl FnOnce(&mut H) -> Result<bool>) {
    let Some(side) = side else { return };
    match call(&mut side.handle) {
        Ok(passed) => assert!(!(passed && side.corrupt), "{} went on after Corrupt", H::WHO),
        Err(Error::Corrupt(_)) => side.corrupt = true,
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
