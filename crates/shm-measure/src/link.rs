//! One end of a way to the other process and back.

use crate::Result;
use crate::payload::{Payload, STOP, wrong};

/// One end of a two-way link. Each call moves one message, unless the link says otherwise for [runs](Self::send_run).
///
/// A link whose other end is dead answers with an error, or looks at [`watchdog::given_up`](crate::watchdog::given_up)
/// while it spins.
pub trait Link {
    /// Sends one message, waiting for space.
    ///
    /// # Errors
    /// When the other end is gone, or the message does not fit.
    fn send(&mut self, message: &[u8]) -> Result<()>;

    /// Receives one message, waiting for it; how much of `buffer` it takes.
    ///
    /// # Errors
    /// When the other end is gone, or the message is longer than the buffer.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize>;

    /// Sends `count` messages from number `first` on, the way that this link is measured by: one per call.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline(always)]
    fn send_run<P: Payload>(&mut self, payload: &mut P, first: u64, count: u64) -> Result<()> {
        (first..first + count).try_for_each(|number| self.send(payload.make(number)))
    }

    /// Receives and verifies messages, of which the first is to be number `next` or [`STOP`].
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and when a message is anything else.
    #[inline(always)]
    fn receive_run<P: Payload>(&mut self, payload: &mut P, next: u64, buffer: &mut [u8]) -> Result<Progress> {
        let length = self.receive(buffer)?;
        step(payload, next, buffer.get(..length).unwrap_or_default())
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The number of the message to come.
    Next(u64),
    /// There are no more; how many there were.
    Ended(u64),
}

/// Verifies message number `next`, or that it is the last one of its run.
///
/// # Errors
/// When it is anything else.
#[inline(always)]
pub fn step<P: Payload>(payload: &mut P, next: u64, message: &[u8]) -> Result<Progress> {
    if payload.is(next, message) { Ok(Progress::Next(next + 1)) } else { end(payload, next, message) }
}

#[cold]
fn end<P: Payload>(payload: &mut P, next: u64, message: &[u8]) -> Result<Progress> {
    if payload.is(STOP, message) {
        Ok(Progress::Ended(next))
    } else {
        Err(wrong(next, payload.length(), message))
    }
}
