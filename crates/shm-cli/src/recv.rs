//! `shmring recv`: a ring to standard output.

use crate::context::Context;
use crate::failure::{Failure, Status};
use crate::output::{Ends, Output};
use crate::signals::Signals;
use crate::units;
use shm_core::Place;
use shm_ring::{Consumer, Deadline, End, Error, Kind, Peeks, Receiver, View};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Messages that are there already are written together, up to so many bytes of them. Few: killed between writing
/// and taking, a receiver leaves as many to come again.
const BATCH_BYTES: usize = 16 << 10;
/// And of raw ones so many, which are written from the ring: what one system call takes.
const BATCH_RAW: u64 = 64;
/// The longest time without a look at signals and at whether anybody reads our output.
const SLICE: Duration = Duration::from_millis(100);
/// Between two looks for a ring that does not exist yet.
const APPEARANCE: Duration = Duration::from_millis(20);

/// Receives from a ring to standard output, a line per message
///
/// Ends with 0 when everything is received and the sender closed the stream (of an mpmc ring: all senders did), and
/// with 4 if it died or left without closing. On an empty ring whose end has been told it waits for the next sender.
///
/// From an spsc ring, what could not be written (a closed pipe) is not taken: the next receiver gets it. One that is
/// killed (SIGKILL) may have written what comes again: less than 16 KiB and one message more. From an mpmc ring it
/// takes one message at a time, when there is room to write: killed, or its output closed at that moment, it takes
/// that one message with it, unless the ring was made with --redelivery.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The ring
    name: Place,
    /// A newline behind each message (the default)
    #[arg(long, conflicts_with = "raw")]
    lines: bool,
    /// Write the messages as they are, one behind the other, straight from the ring
    #[arg(long)]
    raw: bool,
    /// End with 0 after so many messages
    #[arg(long, value_name = "N", value_parser = units::parse_count, allow_hyphen_values = true)]
    count: Option<u64>,
    /// Wait for a message at most so long each time, such as 500ms or 5s, then end with 3
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// Wait for the ring to appear
    #[arg(long)]
    wait: bool,
    /// Stay when the sender goes, and wait for the next one
    #[arg(long)]
    follow: bool,
}

/// Receives until the stream ends, or as long as asked.
pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let signals = Signals::watch()?;
    match attach(arguments, context, &signals)? {
        Source::One(mut consumer) => {
            receive_all(&mut consumer, arguments, &signals)?;
            consumer.flush()?;
            consumer.close();
        }
        Source::Many(mut receiver) => {
            receive_each(&mut receiver, arguments, &signals)?;
            receiver.flush()?;
            receiver.close();
        }
    }
    Ok(())
}

/// A ring, from its receiving side.
enum Source {
    One(Box<Consumer>),
    Many(Box<Receiver>),
}

fn attach(arguments: &Arguments, context: &Context, signals: &Signals) -> Result<Source, Failure> {
    let deadline = arguments.timeout.map_or(Deadline::NEVER, Deadline::after);
    let (name, directory) = (&arguments.name.to_string(), &context.directory);
    let open = || match Consumer::builder(name).directory(directory.clone()).open() {
        Err(Error::WrongKind { found: Kind::MpmcBytes, .. }) => {
            Receiver::builder(name).directory(directory.clone()).open().map(Box::new).map(Source::Many)
        }
        opened => opened.map(Box::new).map(Source::One),
    };
    loop {
        match open() {
            Err(error) if arguments.wait && error.is_not_found() => {
                signals.check()?;
                if deadline.has_passed() {
                    let message = format!("timed out: nobody created the ring {}", arguments.name);
                    return Err(Failure::new(Status::TimedOut, message));
                }
                std::thread::sleep(APPEARANCE.min(deadline.remaining()));
            }
            Err(error) if error.is_not_found() => {
                return Err(Failure::error(format!("{error} (shmring create), or receive with --wait")));
            }
            other => return Ok(other?),
        }
    }
}

/// Receives and writes until there is a reason to stop.
fn receive_all(consumer: &mut Consumer, arguments: &Arguments, signals: &Signals) -> Result<(), Failure> {
    let look = Look { arguments, signals, output: Output::new() };
    let mut left = arguments.count.unwrap_or(u64::MAX);
    while left > 0 {
        signals.check()?;
        let mut peeks = consumer.peek_batch();
        let Some(messages) = look.collect(&mut peeks, left)? else {
            return Ok(());
        };
        let (written, result) =
            look.output.write(&messages.ends, signals, |range, output| match arguments.raw {
                true => peeks.write_to(range, output),
                false => messages.write_to(range, output),
            });
        peeks.take(written);
        result?;
        left -= written as u64;
    }
    Ok(())
}

/// Receives from a ring that others receive from as well: one message at a time, when there is room to write it.
fn receive_each(receiver: &mut Receiver, arguments: &Arguments, signals: &Signals) -> Result<(), Failure> {
    let look = Look { arguments, signals, output: Output::new() };
    let patience = || arguments.timeout.map_or(Deadline::NEVER, Deadline::after);
    let (mut left, mut deadline) = (arguments.count.unwrap_or(u64::MAX), patience());
    while left > 0 {
        look.output.await_turn(signals)?;
        match receiver.recv_until(deadline.min(Deadline::after(SLICE))) {
            Ok(delivery) => {
                let mut messages = Messages::default();
                look.add(&mut messages, &delivery.view());
                // Let go of when it is written.
                let (written, result) =
                    look.output.write(&messages.ends, signals, |range, output| match arguments.raw {
                        true => delivery.write_to(range, output),
                        false => messages.write_to(range, output),
                    });
                left -= written as u64;
                result?;
                deadline = patience();
            }
            Err(Error::TimedOut) if deadline.has_passed() => return Err(no_message()),
            Err(Error::TimedOut) => {
                signals.check()?;
                look.output.check_open()?;
            }
            Err(Error::Disconnected(_)) if arguments.follow => {}
            Err(error) => return ended(error).map(drop),
        }
    }
    Ok(())
}

fn no_message() -> Failure {
    Failure::new(Status::TimedOut, "timed out: no message came; is a sender running?")
}

/// Messages to be written together.
#[derive(Debug, Default)]
struct Messages {
    ends: Ends,
    /// All of them with their newlines; raw ones are written from where they lie.
    lines: Vec<u8>,
}

impl Messages {
    fn write_to(&self, range: Range<usize>, output: BorrowedFd<'_>) -> std::io::Result<usize> {
        Ok(rustix::io::write(output, self.lines.get(range).unwrap_or_default())?)
    }
}

/// How messages are looked at. Nothing of this takes any from an spsc ring.
struct Look<'a> {
    arguments: &'a Arguments,
    signals: &'a Signals,
    output: Output,
}

impl Look<'_> {
    /// Messages to be written together, at most `most`: all that are there, or else the next one. `None` when the
    /// stream has ended.
    fn collect(&self, peeks: &mut Peeks<'_>, most: u64) -> Result<Option<Messages>, Failure> {
        let mut messages = Messages::default();
        let most = most.min(if self.arguments.raw { BATCH_RAW } else { u64::MAX });
        while (messages.ends.len() as u64) < most && messages.ends.bytes() < BATCH_BYTES {
            match peeks.try_next() {
                Ok(view) => self.add(&mut messages, &view),
                Err(_) if messages.ends.len() > 0 => break, // told again when these are taken
                Err(Error::Empty) => return self.wait(peeks),
                Err(Error::Disconnected(_)) if self.arguments.follow => {}
                Err(error) => return ended(error),
            }
        }
        Ok(Some(messages))
    }

    /// Waits for a message.
    fn wait(&self, peeks: &mut Peeks<'_>) -> Result<Option<Messages>, Failure> {
        let deadline = self.arguments.timeout.map_or(Deadline::NEVER, Deadline::after);
        let mut messages = Messages::default();
        loop {
            match peeks.next_until(deadline.min(Deadline::after(SLICE))) {
                Ok(view) => {
                    self.add(&mut messages, &view);
                    return Ok(Some(messages));
                }
                Err(Error::TimedOut) if deadline.has_passed() => return Err(no_message()),
                Err(Error::TimedOut) => {
                    self.signals.check()?;
                    self.output.check_open()?;
                }
                Err(Error::Disconnected(_)) if self.arguments.follow => {}
                Err(error) => return ended(error),
            }
        }
    }

    fn add(&self, messages: &mut Messages, view: &View<'_>) {
        if self.arguments.raw {
            return messages.ends.push(view.len());
        }
        view.append_to(&mut messages.lines);
        messages.lines.push(b'\n');
        messages.ends.push(view.len() + 1);
    }
}

/// What the ring's answer means to a receiver that has written everything before it.
fn ended(error: Error) -> Result<Option<Messages>, Failure> {
    match error {
        Error::Disconnected(End::Closed) => Ok(None),
        Error::Disconnected(end) => Err(Failure::new(
            Status::PeerEnded,
            format!("the sender {end}; everything it had sent is received"),
        )),
        error => Err(error.into()),
    }
}
