//! `shmring send`: standard input into a ring.

mod raw;

use crate::context::Context;
use crate::failure::{Failure, Status, note};
use crate::input::{Framing, Input};
use crate::shape::{Plan, Shape};
use crate::signals::Signals;
use crate::sink::Sink;
use crate::units;
use shm_core::Place;
use shm_ring::{Deadline, Error, Producer, inspect_in};
use std::time::Duration;

/// The longest chunk of raw input in one message.
const CHUNK_BYTES: usize = 64 << 10;
/// Messages that are there already are sent together, up to so many bytes of them.
const BATCH_BYTES: usize = 16 << 10;
/// The longest time without a look at signals.
const SLICE: Duration = Duration::from_millis(100);

/// Sends standard input into a ring, a message per line
///
/// Each line is sent as soon as it is read, without its newline. When the ring is full, sending waits for a
/// receiver. At the end of its input it closes the stream and ends with 0, received or not: what was sent stays
/// in the ring; in a file, it is on the disk by then. Interrupted or failing, it leaves without closing, and
/// receivers are told so.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The ring
    name: Place,
    /// Create the ring if there is none
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    shape: Shape,
    /// A message per line (the default)
    #[arg(long, conflicts_with = "raw")]
    lines: bool,
    /// Send the bytes as they come, in chunks of at most 64 KiB, read straight into the ring if it takes 4 KiB or more
    #[arg(long)]
    raw: bool,
    /// Wait for space at most so long each time, such as 500ms or 5s, then end with 3
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// What becomes of a message for which there is no space: wait for it, drop the message and count it, or fail
    #[arg(long, value_name = "HOW", default_value = "wait")]
    on_full: OnFull,
    /// End with 4 when a receiver was there since sending began, and none is left, instead of waiting for another one
    #[arg(long)]
    require_receiver: bool,
}

/// What becomes of a message for which there is no space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
enum OnFull {
    Wait,
    Drop,
    Fail,
}

/// Sends standard input until its end.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let signals = Signals::watch()?;
    let sink = attach(arguments, context)?;
    let longest = CHUNK_BYTES.min(sink.max_message());
    let framing = if arguments.raw { Framing::Raw(longest) } else { Framing::Lines };
    let mut sender = Sender {
        batch_bytes: sink.batch_bytes(BATCH_BYTES),
        sink,
        signals: &signals,
        arguments,
        framing,
        messages: 0,
        dropped: 0,
    };
    let in_place = arguments.raw && longest >= raw::IN_PLACE_BYTES;
    let sent = if in_place { sender.send_raw(longest) } else { sender.send_all() };
    if sender.dropped > 0 {
        let (dropped, messages) = (sender.dropped, sender.messages);
        note(&format!("the ring was full: {dropped} of {messages} messages were dropped"));
    }
    // Any failure leaves without closing.
    sent?;
    sender.sink.flush().map_err(explain)?;
    sender.sink.close();
    Ok(())
}

fn attach(arguments: &Arguments, context: &Context) -> Result<Sink, Failure> {
    let (name, shape) = (&arguments.name.to_string(), &arguments.shape);
    if !arguments.create && shape.is_given() {
        let message = "--kind, --capacity and the like are for a ring that is created: add --create";
        return Err(Failure::new(Status::Usage, message));
    }
    let plan = shape.plan(name)?;
    // A ring that is there is taken as it is; one of the other kind that comes at this moment is refused below.
    let found = inspect_in(&context.directory, name).ok().map(|status| status.kind);
    let plan = match (found, plan) {
        (Some(kind), Plan::One(_)) if kind.is_mpmc() => Plan::Many(shm_ring::Sender::builder(name)),
        (Some(kind), Plan::Many(_)) if !kind.is_mpmc() => Plan::One(Producer::builder(name)),
        (_, plan) => plan,
    };
    let (directory, require) = (context.directory.clone(), arguments.require_receiver);
    let opened = match plan {
        Plan::One(builder) => {
            let builder = builder.directory(directory).require_peer(require);
            if arguments.create { builder.open_or_create() } else { builder.open() }
                .map(|producer| Sink::One(Box::new(producer)))
        }
        Plan::Many(builder) => {
            let builder = builder.directory(directory).require_peer(require);
            if arguments.create { builder.open_or_create() } else { builder.open() }
                .map(|sender| Sink::Many(Box::new(sender)))
        }
    };
    let sink = opened.map_err(|error| match error.is_not_found() {
        true => Failure::error(format!("{error} (shmring create), or send with --create")),
        false => explain(error),
    })?;
    if let Some(asked) = shape.asked_capacity()?.filter(|&asked| found.is_some() && asked != sink.capacity())
    {
        note(&format!("asked for a capacity of {asked} {}; the ring has {}", sink.unit(), sink.capacity()));
    }
    Ok(sink)
}

/// How long space is waited for.
#[derive(Clone, Copy, Debug)]
struct Patience<'a> {
    signals: &'a Signals,
    timeout: Option<Duration>,
}

impl Patience<'_> {
    /// For a wait that begins now.
    fn deadline(&self) -> Deadline {
        self.timeout.map_or(Deadline::NEVER, Deadline::after)
    }

    /// Until the next look at signals.
    fn slice(&self, deadline: Deadline) -> Deadline {
        deadline.min(Deadline::after(SLICE))
    }

    /// Whether a wait that came to this within a slice goes on.
    fn go_on(&self, error: Error, deadline: Deadline) -> Result<(), Failure> {
        match error {
            Error::TimedOut if deadline.has_passed() => {
                let message = "timed out: the ring is full and nobody makes space; is a receiver running?";
                Err(Failure::new(Status::TimedOut, message))
            }
            Error::TimedOut => self.signals.check(),
            error => Err(explain(error)),
        }
    }
}

/// The work of sending.
struct Sender<'a> {
    sink: Sink,
    signals: &'a Signals,
    arguments: &'a Arguments,
    framing: Framing,
    batch_bytes: usize,
    /// Messages begun, whatever became of them.
    messages: u64,
    dropped: u64,
}

impl<'a> Sender<'a> {
    fn send_all(&mut self) -> Result<(), Failure> {
        let mut input = Input::new();
        while self.read_and_send(&mut input)? {}
        Ok(())
    }

    /// Reads once and sends what is complete by then; whether there may be more.
    fn read_and_send(&mut self, input: &mut Input) -> Result<bool, Failure> {
        let sink = &mut self.sink;
        let check = || sink.check().map_err(explain);
        let more = input.read(self.signals, self.arguments.require_receiver.then_some(check))?;
        self.send_pending(input)?;
        Ok(more)
    }

    /// Sends all messages that were read to their end.
    fn send_pending(&mut self, input: &mut Input) -> Result<(), Failure> {
        let pending = input.pending();
        loop {
            self.signals.check()?;
            let (pushed, refused) =
                self.sink.push(pending, self.framing, self.batch_bytes).map_err(explain)?;
            self.messages += pushed;
            match refused {
                None if pushed > 0 => {}
                None => break,
                Some((message, Error::Full)) => self.send_to_full_ring(pending.bytes(&message))?,
                Some((_, Error::TooLarge { length, max })) => return Err(self.too_long(length, max)),
                Some((_, error)) => return Err(explain(error)),
            }
        }
        if pending.partial() > self.sink.max_message() {
            self.messages += 1;
            return Err(self.too_long(pending.partial(), self.sink.max_message()));
        }
        Ok(())
    }

    fn send_to_full_ring(&mut self, message: &[u8]) -> Result<(), Failure> {
        if self.arguments.on_full == OnFull::Wait {
            return self.send_waiting(message);
        }
        match self.sink.try_send(message) {
            Err(Error::Full) if self.arguments.on_full == OnFull::Drop => {
                self.sink.count_dropped();
                self.dropped += 1;
                Ok(())
            }
            other => other.map_err(explain),
        }
    }

    fn send_waiting(&mut self, message: &[u8]) -> Result<(), Failure> {
        let patience = self.patience();
        let deadline = patience.deadline();
        loop {
            match self.sink.send_until(message, patience.slice(deadline)) {
                Ok(()) => return Ok(()),
                Err(error) => patience.go_on(error, deadline)?,
            }
        }
    }

    fn patience(&self) -> Patience<'a> {
        Patience { signals: self.signals, timeout: self.arguments.timeout }
    }

    fn too_long(&self, length: usize, max: usize) -> Failure {
        let line = self.messages;
        Failure::error(format!(
            "line {line} has {length} bytes or more, and this ring's limit is {max}; split it, send with --raw, or \
             create a ring with more capacity (spsc) or a greater --max-message (mpmc)"
        ))
    }
}

/// What the ring's answer means to a sender.
fn explain(error: Error) -> Failure {
    match error {
        Error::Disconnected(end) => Failure::new(
            Status::PeerEnded,
            format!(
                "the receiver {end}; start another and send the rest, or send without --require-receiver"
            ),
        ),
        error => error.into(),
    }
}
