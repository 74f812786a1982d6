//! `shmring recv`: a ring to standard output.

use crate::context::Context;
use crate::failure::{Failure, Status};
use crate::output::{Messages, Output};
use crate::signals::Signals;
use crate::units;
use shm_core::Name;
use shm_ring::{Consumer, Deadline, End, Error, Peeks, View};
use std::time::Duration;

/// Messages that are there already are written together, up to so many bytes of them. Few: killed between writing
/// and taking, a receiver leaves as many to come again.
const BATCH_BYTES: usize = 16 << 10;
/// The longest time without a look at signals and at whether anybody reads our output.
const SLICE: Duration = Duration::from_millis(100);
/// Between two looks for a ring that does not exist yet.
const APPEARANCE: Duration = Duration::from_millis(20);

/// Receives from a ring to standard output, a line per message
///
/// Ends with 0 when everything is received and the sender closed the stream, and with 4 if it died or left
/// without closing. On an empty ring whose end has been told it waits for the next sender. What could not be
/// written (a closed pipe) is not taken: the next receiver gets it. One that is killed (SIGKILL) may have written up
/// to 16 KiB, or one longer message, that comes again.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The ring
    name: Name,
    /// A newline behind each message (the default)
    #[arg(long, conflicts_with = "raw")]
    lines: bool,
    /// Write the messages as they are, one behind the other
    #[arg(long)]
    raw: bool,
    /// End with 0 after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Wait for a message at most so long each time, such as 500ms or 5s, then end with 3
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
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
    let mut consumer = attach(arguments, context, &signals)?;
    receive_all(&mut consumer, arguments, &signals)?;
    consumer.close();
    Ok(())
}

fn attach(arguments: &Arguments, context: &Context, signals: &Signals) -> Result<Consumer, Failure> {
    let deadline = arguments.timeout.map_or(Deadline::NEVER, Deadline::after);
    let open = || Consumer::builder(arguments.name.as_str()).directory(context.directory.clone()).open();
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
        let (written, result) = look.output.write(&messages, signals);
        peeks.take(written);
        result?;
        left -= written as u64;
    }
    Ok(())
}

/// How messages are looked at. Nothing of this takes any.
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
        while (messages.ends.len() as u64) < most && messages.bytes.len() < BATCH_BYTES {
            match peeks.try_next() {
                Ok(view) => self.add(&mut messages, &view),
                Err(_) if !messages.ends.is_empty() => break, // told again when these are taken
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
                Err(Error::TimedOut) if deadline.has_passed() => {
                    let message = "timed out: no message came; is a sender running?";
                    return Err(Failure::new(Status::TimedOut, message));
                }
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
        view.append_to(&mut messages.bytes);
        if !self.arguments.raw {
            messages.bytes.push(b'\n');
        }
        messages.ends.push(messages.bytes.len());
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
