//! Many senders and as many receivers at one queue: messages of [`BYTES`] bytes, each receiver verifies what it gets.
//!
//! A sender ends with one [`STOP`], a receiver with the first one it gets: queues are strictly first in, first out, so
//! the last thing in one is a stop, and nothing is left behind it.

use crate::control::Control;
use crate::payload::{Fixed, NUMBER_BYTES, Payload, STOP, wrong};
use crate::peer::{Opening, Other};
use crate::transport::Wait;
use crate::watchdog::{Watchdog, hung};
use crate::{Link, Result, Run, Serve, cores};
use serde::{Deserialize, Serialize};
use shm_core::{Memfd, Unnamed};
use shm_ring::{Receiver, Sender};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Bytes in a message.
pub const BYTES: usize = 56;
/// The role of a participant's process.
pub(crate) const ROLE: &str = "crowd";

const WORDS: usize = BYTES / NUMBER_BYTES;
const SENDER_SHIFT: u32 = 48;
/// Messages between two looks at the clock.
const MESSAGES_PER_LOOK: u64 = 64;
/// How long a case may take, beyond the time it was given.
const LIMIT: Duration = Duration::from_secs(10);

/// Slower than this, in million messages a second, most messages wait for somebody's time slice: two that share a
/// processor and answer each other over a pipe come to 0.2.
const STALLED_M_PER_S: f64 = 0.1;

/// Whether a rate, in million messages a second, says how long time slices are and nothing of the queue: participants
/// that spin on one another's work without yielding, more of them than processors, come to that.
pub fn is_stalled(m_per_s: f64) -> bool {
    m_per_s < STALLED_M_PER_S
}

/// What a participant does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Sends; its number.
    Send(u64),
    /// Receives; how many senders there are.
    Receive(u64),
}

/// What a participant says when it is done.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Report {
    /// Nanoseconds of the monotonic clock.
    began: u64,
    ended: u64,
    messages: u64,
    /// Of all numbers.
    sum: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Word {
    Ready,
    Done(Report),
    Failed(String),
}

/// A participant: its end of the queue, and what it does there.
#[derive(Debug)]
pub struct Participant<L> {
    link: L,
    part: Part,
}

impl<L: Link> Participant<L> {
    /// Of its end, one direction is used.
    pub fn new(link: L, part: Part) -> Self {
        Self { link, part }
    }

    fn take_part(&mut self, time: Duration) -> Result<Report> {
        match self.part {
            Part::Send(number) => send(&mut self.link, number, time),
            Part::Receive(senders) => receive(&mut self.link, senders),
        }
    }
}

impl<L: Link> Serve for Participant<L> {
    fn serve(&mut self, control: &mut Control) -> Result<()> {
        control.say(&Word::Ready)?;
        let Some(nanoseconds) = control.hear::<u64>()? else { return Ok(()) };
        match self.take_part(Duration::from_nanos(nanoseconds)) {
            Ok(report) => control.say(&Word::Done(report))?,
            Err(error) => control.say(&Word::Failed(error.to_string()))?,
        }
        // Stays until it is let go: who leaves early may be told of to the others.
        control.hear::<u64>().map(drop)
    }
}

#[inline(never)]
fn send<L: Link>(link: &mut L, sender: u64, time: Duration) -> Result<Report> {
    let mut payload = Fixed::<WORDS>::default();
    let (began, start) = (now(), Instant::now());
    let (mut messages, mut sum) = (0, 0_u64);
    while start.elapsed() < time {
        for number in messages..messages + MESSAGES_PER_LOOK {
            let number = sender << SENDER_SHIFT | number;
            link.send(payload.make(number))?;
            sum = sum.wrapping_add(number);
        }
        messages += MESSAGES_PER_LOOK;
    }
    link.send(payload.make(STOP))?;
    Ok(Report { began, ended: now(), messages, sum })
}

#[inline(never)]
#[allow(clippy::cast_possible_truncation)] // checked against the number of senders
fn receive<L: Link>(link: &mut L, senders: u64) -> Result<Report> {
    let mut payload = Fixed::<WORDS>::default();
    let mut next = vec![0; usize::try_from(senders)?];
    let mut buffer = [0; BYTES];
    let mut report = Report { began: now(), ..Report::default() };
    loop {
        let length = link.receive(&mut buffer)?;
        let message = buffer.get(..length).unwrap_or_default();
        let number = message.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        if !payload.is(number, message) {
            return Err(wrong(number, BYTES, message));
        }
        if number == STOP {
            report.ended = now();
            return Ok(report);
        }
        let (sender, count) = (number >> SENDER_SHIFT, number & ((1 << SENDER_SHIFT) - 1));
        let expected: &mut u64 = next.get_mut(sender as usize).ok_or("a message of nobody's")?;
        if count < *expected {
            return Err(format!("message {count} of sender {sender} after {}", *expected - 1).into());
        }
        *expected = count + 1;
        report.messages += 1;
        report.sum = report.sum.wrapping_add(number);
    }
}

#[allow(clippy::cast_sign_loss)] // the monotonic clock is not before 0
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The processor of a participant: senders and receivers in turn.
pub fn processor(part: Part, index: u64) -> Option<usize> {
    let all = cores::allowed();
    let shift = usize::from(matches!(part, Part::Receive(_)));
    let index = usize::try_from(index).ok()? + shift;
    all.get(index.checked_rem(all.len())?).copied()
}

/// Lets all participants begin, hears what they did, and compares what was sent with what was received.
///
/// # Errors
/// When anything was lost, repeated or wrong, or it took too long.
pub fn conduct(what: &str, mut others: Vec<Other>, time: Duration) -> Result<Run> {
    let limit = time + LIMIT;
    let watchdog = Watchdog::watch(what.to_owned(), others.iter().flat_map(Other::pids).collect(), limit)?;
    let run = hear_all(&mut others, time);
    let gave_up = watchdog.gave_up();
    run.map_err(|error| if gave_up { hung(what, limit) } else { format!("{what}: {error}").into() })
}

fn hear_all(others: &mut [Other], time: Duration) -> Result<Run> {
    let heard = |other: &mut Other| match other.control().hear()? {
        Some(Word::Failed(why)) => Err(why.into()),
        Some(word) => Ok(word),
        None => Err(crate::Failure::from("a participant has ended")),
    };
    for other in &mut *others {
        heard(other)?;
    }
    for other in &mut *others {
        other.control().say(&u64::try_from(time.as_nanos())?)?;
    }
    let (mut began, mut ended) = (u64::MAX, 0);
    // Senders come first.
    let (mut sent, mut received) = ((0, 0_u64), (0, 0_u64));
    let half = others.len() / 2;
    for (index, other) in others.iter_mut().enumerate() {
        let Word::Done(report) = heard(other)? else { return Err("not a report".into()) };
        (began, ended) = (began.min(report.began), ended.max(report.ended));
        let side = if index < half { &mut sent } else { &mut received };
        *side = (side.0 + report.messages, side.1.wrapping_add(report.sum));
    }
    if sent != received {
        return Err(format!("sent {} messages, received {}, or others", sent.0, received.0).into());
    }
    Ok(Run { messages: received.0, took: Duration::from_nanos(ended - began) })
}

/// Measures an MPMC ring with `pairs` senders and as many receivers, each a process.
///
/// # Errors
/// When anything was lost, repeated or wrong, or it took too long.
pub fn measure(capacity: u64, pairs: u64, wait: Wait, time: Duration) -> Result<Run> {
    let memory = Unnamed::memfd(ROLE, Memfd::new(ROLE));
    let ring = Sender::builder(ROLE).memory(&memory).capacity(capacity).max_message(BYTES as u64);
    ring.create_ring()?;
    let descriptor = memory.descriptor().ok_or("a memfd has a descriptor")?;
    let descriptor = descriptor.as_fd();
    let parts = (0..pairs).map(Part::Send).chain((0..pairs).map(|_| Part::Receive(pairs)));
    let start = |(index, part): (u64, Part)| {
        let opening = Opening {
            transport: ROLE.to_owned(),
            processor: processor(part, index % pairs),
            descriptors: 1,
            words: vec![serde_json::to_string(&part)?, wait.name().to_owned()],
        };
        Other::process(opening, &[descriptor])
    };
    let others: Vec<Other> = (0..).zip(parts).map(start).collect::<Result<_>>()?;
    conduct(&format!("mpmc, {pairs} senders, {pairs} receivers, capacity {capacity}"), others, time)
}

/// One end of an MPMC ring.
#[derive(Debug)]
enum End {
    Sends(Sender),
    Receives(Receiver),
}

impl Link for End {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        match self {
            Self::Sends(sender) => Ok(sender.send(message)?),
            Self::Receives(_) => Err("this one receives".into()),
        }
    }

    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Receives(receiver) => Ok(receiver.recv_into(buffer)?.0),
            Self::Sends(_) => Err("this one sends".into()),
        }
    }
}

pub(crate) fn open(opening: &Opening, descriptors: Vec<OwnedFd>) -> Result<Box<dyn Serve>> {
    let part: Part = serde_json::from_str(opening.word(0)?)?;
    let wait = Wait::of_name(opening.word(1)?)?.strategy();
    let descriptor = descriptors.into_iter().next().ok_or("too few descriptors were handed over")?;
    let memory = Unnamed::from_descriptor(ROLE, descriptor);
    let end = match part {
        Part::Send(_) => End::Sends(Sender::builder(ROLE).memory(&memory).wait(wait).open()?),
        Part::Receive(_) => End::Receives(Receiver::builder(ROLE).memory(&memory).wait(wait).open()?),
    };
    Ok(Box::new(Participant::new(end, part)))
}
