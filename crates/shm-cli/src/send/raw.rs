//! Raw input, read straight into the ring: the kernel copies it there, and nobody copies it again.

use super::{OnFull, Patience, Sender, explain};
use crate::failure::Failure;
use crate::input::Input;
use crate::sink::Sink;
use shm_ring::{Error, Producer, Reservation};

/// Shorter messages are read many at a time and copied: a system call for each would take longer.
pub(super) const IN_PLACE_BYTES: usize = 4 << 10;

/// What became of an attempt to read into the ring.
enum Step {
    /// There is one message more.
    Sent,
    /// There was no space for it, and that is no failure.
    Dropped,
    /// Nothing came after all.
    Nothing,
    /// The input has ended.
    Ended,
    /// There is no space to read into, and no reason to wait for it before something is read: the input may have ended,
    /// or what comes is to be dropped.
    ReadFirst,
}

impl Sender<'_> {
    /// Sends all input as it comes, in messages of at most `longest` bytes.
    pub(super) fn send_raw(&mut self, longest: usize) -> Result<(), Failure> {
        let mut input = Input::new();
        let (patience, on_full) = (self.patience(), self.arguments.on_full);
        loop {
            let sink = &mut self.sink;
            let check = || sink.check().map_err(explain);
            input.wait(self.signals, self.arguments.require_receiver.then_some(check))?;
            let step = match &mut self.sink {
                Sink::One(producer) => read_into_ring(producer, &input, longest, on_full, patience),
                Sink::Many(sender) => read_into_block(sender, &input, longest, on_full, patience),
            };
            match step? {
                Step::Sent => self.messages += 1,
                Step::Dropped => {
                    self.messages += 1;
                    self.sink.count_dropped();
                    self.dropped += 1;
                }
                Step::Nothing => {}
                Step::ReadFirst if self.read_and_send(&mut input)? => {}
                Step::Ended | Step::ReadFirst => return Ok(()),
            }
        }
    }
}

fn read_into_ring(
    producer: &mut Producer,
    input: &Input,
    longest: usize,
    on_full: OnFull,
    patience: Patience<'_>,
) -> Result<Step, Failure> {
    match producer.try_reserve(longest) {
        Ok(space) => return fill(space, input),
        Err(Error::Full) if on_full != OnFull::Wait => return Ok(Step::ReadFirst),
        Err(Error::Full) => {}
        Err(error) => return Err(explain(error)),
    }
    // As much space as what is there takes, and none if that is nothing.
    let length = input.available(longest);
    if length == 0 {
        return Ok(Step::ReadFirst);
    }
    let deadline = patience.deadline();
    loop {
        match producer.reserve_until(length, patience.slice(deadline)) {
            Ok(space) => return fill(space, input),
            Err(error) => patience.go_on(error, deadline)?,
        }
    }
}

fn fill(mut space: Reservation<'_>, input: &Input) -> Result<Step, Failure> {
    match input.read_with(|file| space.read_from(0, file))? {
        None => Ok(Step::Nothing),
        Some(0) => Ok(Step::Ended),
        Some(bytes) => space.commit(bytes).map(|()| Step::Sent).map_err(explain),
    }
}

/// There is always a block to read into: space is looked for when there is a message in it.
fn read_into_block(
    sender: &mut shm_ring::Sender,
    input: &Input,
    longest: usize,
    on_full: OnFull,
    patience: Patience<'_>,
) -> Result<Step, Failure> {
    let mut space = sender.reserve(longest).map_err(explain)?;
    let bytes = match input.read_with(|file| space.read_from(0, file))? {
        None => return Ok(Step::Nothing),
        Some(0) => return Ok(Step::Ended),
        Some(bytes) => bytes,
    };
    if on_full != OnFull::Wait {
        return match space.try_commit(bytes) {
            Ok(()) => Ok(Step::Sent),
            Err((_, Error::Full)) if on_full == OnFull::Drop => Ok(Step::Dropped),
            Err((_, error)) => Err(explain(error)),
        };
    }
    let deadline = patience.deadline();
    loop {
        match space.commit_until(bytes, patience.slice(deadline)) {
            Ok(()) => return Ok(Step::Sent),
            Err((same, error)) => {
                patience.go_on(error, deadline)?;
                space = same;
            }
        }
    }
}
