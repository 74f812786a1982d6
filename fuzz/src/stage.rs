//! Handles at one ring, and the steps that are taken with them.
//!
//! The rules that hold for every handle, whatever lies in the ring: calls end, and with the errors that they say they
//! have; one that has called its ring corrupt sends and receives nothing any more.

use crate::case::{Patch, Step};
use crate::handles::{Attach, Receives, Sends};
use crate::object::{NAME, Scratch};
use shm_ring::{Error, Result, Role};
use std::time::Duration;

/// What is around the handles: who else writes, and who looks at what they write.
pub trait Surroundings {
    /// Another process stores this.
    fn patch(&mut self, patch: &Patch);
    /// A handle of the role is about to attach,
    fn attaches(&mut self, role: Role);
    /// and has, to a ring of this capacity.
    fn attached(&mut self, role: Role, capacity: u64);
    /// A call is about to be made,
    fn calls(&mut self) {}
    /// and was.
    fn called(&mut self) {}
    /// How long those wait who wait. By default their deadline has passed when they begin.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

/// At most one that sends, and at most one that receives.
pub struct Stage<'a, P, C> {
    scratch: &'a Scratch,
    producer: Option<Side<P>>,
    consumer: Option<Side<C>>,
}

impl<'a, P: Sends, C: Receives> Stage<'a, P, C> {
    /// Attaches the roles in this order. Refusal is no failure.
    pub fn new(scratch: &'a Scratch, roles: &[Role], around: &mut dyn Surroundings) -> Self {
        let mut stage = Self { scratch, producer: None, consumer: None };
        for &role in roles {
            if role.sends() {
                stage.producer = Side::attach(scratch, role, around);
            } else {
                stage.consumer = Side::attach(scratch, role, around);
            }
        }
        stage
    }

    /// Those who have come already. They have no name to come back to: [`Step::Reopen`] is not for them.
    pub fn of(scratch: &'a Scratch, producer: Option<P>, consumer: Option<C>) -> Self {
        let producer = producer.map(|handle| Side { handle, corrupt: false });
        let consumer = consumer.map(|handle| Side { handle, corrupt: false });
        Self { scratch, producer, consumer }
    }

    /// Whether any of them got in.
    pub fn is_open(&self) -> bool {
        self.producer.is_some() || self.consumer.is_some()
    }

    /// Takes a step with all who are there.
    pub fn take(&mut self, step: &Step, around: &mut dyn Surroundings) {
        around.calls();
        match *step {
            Step::Look => {
                let _ = shm_ring::inspect_in(&self.scratch.directory(), NAME);
            }
            Step::Patch(ref patch) => around.patch(patch),
            Step::Reopen { close } => self.reopen(close, around),
            Step::Wait => {
                let patience = around.patience();
                act(&mut self.producer, |producer| producer.wait(patience).map(|()| true));
                act(&mut self.consumer, |consumer| consumer.wait(patience).map(|()| true));
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
        around.called();
    }

    fn reopen(&mut self, close: bool, around: &mut dyn Surroundings) {
        if let Some(producer) = self.producer.take() {
            producer.leave(close);
            self.producer = Side::attach(self.scratch, P::ROLE, around);
        }
        if let Some(consumer) = self.consumer.take() {
            consumer.leave(close);
            self.consumer = Side::attach(self.scratch, C::ROLE, around);
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
    fn attach(scratch: &Scratch, role: Role, around: &mut dyn Surroundings) -> Option<Self> {
        around.attaches(role);
        match H::attach(scratch) {
            Ok(handle) => {
                around.attached(role, handle.capacity());
                Some(Self { handle, corrupt: false })
            }
            Err(Error::Full | Error::Empty | Error::Disconnected(_) | Error::Forked) => {
                panic!("{} was refused for no reason", H::WHO)
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                None
            }
        }
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
        Err(Error::Full | Error::TooLarge { .. }) if H::ROLE.sends() => {}
        Err(Error::Empty | Error::BufferTooSmall { .. }) if !H::ROLE.sends() => {}
        Err(Error::TimedOut | Error::Disconnected(_) | Error::Detached) => {}
        Err(error) => panic!("{} said what it has no reason to: {error:?}", H::WHO),
    }
}
