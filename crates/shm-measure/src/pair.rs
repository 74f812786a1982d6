//! This process's end of a link, and what is measured over it.
//!
//! ```text
//!   this process                             the other one: a copy of this program, or a thread
//!   Pair::start ───── starts, pins ────────> play (before anything else in its main)
//!   Measured::stream ─ order, messages ────> verifies each, answers once over the link
//!   Measured::round_trips ─ order, messages > verifies each, makes it anew and sends it back, verified here
//! ```

use crate::control::{Answer, Control, Order, What};
use crate::link::Link;
use crate::payload::{NUMBER_BYTES, Payload, STOP, with_payload, wrong};
use crate::peer::Other;
use crate::watchdog::{Watchdog, hung};
use crate::{BUFFER_BYTES_SPARE, Failure, Result};
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// How long a case may take, beyond the time it was given.
const LIMIT: Duration = Duration::from_secs(10);
/// How long to wait for what the other process has to say about a failure.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Nanoseconds that a round trip may take in a histogram.
const NANOSECONDS_MAX: u64 = 60_000_000_000;
/// Bytes sent between two looks at the clock.
const BYTES_PER_LOOK: usize = 64 << 10;
const MESSAGES_PER_LOOK: usize = 64;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub enum Extent {
    /// So many messages.
    Messages(u64),
    /// As many as there are in this time.
    Time(Duration),
    /// For so long, but at least so many messages.
    TimeAndMessages(Duration, u64),
}

impl Extent {
    fn count(self) -> Option<u64> {
        if let Self::Messages(count) = self { Some(count) } else { None }
    }

    #[inline]
    fn is_reached(self, count: u64, took: Duration) -> bool {
        match self {
            Self::Messages(messages) => count >= messages,
            Self::Time(time) => took >= time,
            Self::TimeAndMessages(time, messages) => took >= time && count >= messages,
        }
    }

    fn limit(self) -> Duration {
        match self {
            Self::Messages(_) => 12 * LIMIT, // whoever asks for so many wants them all
            Self::Time(time) | Self::TimeAndMessages(time, _) => time + LIMIT,
        }
    }
}

/// What came of a run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Messages, each of which was verified; of round trips, there and back.
    pub messages: u64,
    /// From the first send to the last verification.
    pub took: Duration,
}

impl Run {
    /// Messages in a second.
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }
}

/// What can be measured, whatever the link is.
pub trait Measured {
    /// Sends messages of `length` bytes; how many, and how long it took until all were verified.
    ///
    /// # Errors
    /// When a message was wrong, the other side is gone, or it hung and was killed.
    fn stream(&mut self, length: usize, extent: Extent) -> Result<Run>;

    /// Sends messages of `length` bytes one after the other there and back, and records how long each took, in
    /// nanoseconds. One look at the clock is in each.
    ///
    /// # Errors
    /// As [`stream`](Self::stream).
    fn round_trips(&mut self, length: usize, extent: Extent, times: &mut Histogram<u64>) -> Result<Run>;

    /// Lets the other process wait in a receive for so long; what it used of a processor, and how often it woke up.
    ///
    /// # Errors
    /// As [`stream`](Self::stream), and when there is no other process.
    fn idle(&mut self, length: usize, time: Duration) -> Result<crate::usage::Usage>;
}

/// An empty histogram for [`Measured::round_trips`].
///
/// # Errors
/// Never; the signature is that of the library.
pub fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, NANOSECONDS_MAX, 3)?)
}

/// Our end of a link.
#[derive(Debug)]
pub struct Pair<L> {
    name: String,
    // Closed before the other side is ended.
    link: L,
    other: Other,
}

impl<L: Link> Pair<L> {
    /// Our end, and those who have the other one. `name` is for errors.
    pub fn new(name: &str, link: L, other: Other) -> Self {
        Self { name: name.to_owned(), link, other }
    }

    /// Gives an order, does our part of it, and hears that the other side agrees on how many there were.
    fn conduct(
        &mut self,
        order: Order,
        limit: Duration,
        part: impl FnOnce(&mut L) -> Result<Run>,
    ) -> Result<Run> {
        let what = format!("{}, {} B, {:?}", self.name, order.length, order.what);
        let watchdog = Watchdog::watch(what.clone(), self.other.pids(), limit)?;
        let link = &mut self.link;
        let control = self.other.control();
        let done = control.say(&order).and_then(|()| ready(control)).and_then(|()| part(link));
        let done = match done {
            Ok(run) => verified(control, run),
            Err(error) => Err(last_words(control, error)),
        };
        let gave_up = watchdog.gave_up();
        done.map_err(|error| if gave_up { hung(&what, limit) } else { format!("{what}: {error}").into() })
    }
}

impl<L: Link> Measured for Pair<L> {
    fn stream(&mut self, length: usize, extent: Extent) -> Result<Run> {
        let mut buffer = vec![0; length + BUFFER_BYTES_SPARE];
        let order = Order { what: What::Stream, length, count: extent.count() };
        self.conduct(order, extent.limit(), |link| {
            with_payload!(length, |payload| stream(link, payload, extent, &mut buffer))
        })
    }

    fn round_trips(&mut self, length: usize, extent: Extent, times: &mut Histogram<u64>) -> Result<Run> {
        let mut buffer = vec![0; length + BUFFER_BYTES_SPARE];
        let order = Order { what: What::RoundTrips, length, count: extent.count() };
        self.conduct(order, extent.limit(), |link| {
            with_payload!(length, |payload| round_trips(link, payload, extent, &mut buffer, times))
        })
    }

    fn idle(&mut self, length: usize, time: Duration) -> Result<crate::usage::Usage> {
        let order = Order { what: What::Stream, length, count: None };
        let pids = self.other.pids();
        let pid = *pids.first().ok_or("only another process can be looked at")?;
        let mut usage = None;
        let mut buffer = vec![0; length + BUFFER_BYTES_SPARE];
        self.conduct(order, time + LIMIT, |link| {
            usage = Some(crate::usage::of(pid, time)?);
            with_payload!(length, |payload| stream(link, payload, Extent::Time(Duration::ZERO), &mut buffer))
        })?;
        usage.ok_or_else(|| "nothing was looked at".into())
    }
}

fn ready(control: &mut Control) -> Result<()> {
    match control.hear()? {
        Some(Answer::Ready) => Ok(()),
        Some(Answer::Failed(why)) => Err(why.into()),
        Some(Answer::Verified(_)) => Err("an answer to another order".into()),
        None => Err("the other process has ended".into()),
    }
}

fn verified(control: &mut Control, run: Run) -> Result<Run> {
    match control.hear()? {
        Some(Answer::Verified(messages)) if messages == run.messages => Ok(run),
        Some(Answer::Failed(why)) => Err(why.into()),
        None => Err("the other process has ended".into()),
        Some(answer) => {
            Err(format!("{} messages were sent, and {answer:?} by the other side", run.messages).into())
        }
    }
}

/// Why it failed: what the other process says goes before what we noticed of it.
fn last_words(control: &mut Control, error: Failure) -> Failure {
    match control.hear_soon(LAST_WORDS) {
        Ok(Some(Answer::Failed(why))) => format!("the other process: {why}").into(),
        _ => error,
    }
}

#[inline(never)]
fn stream<L: Link, P: Payload>(
    link: &mut L,
    payload: &mut P,
    extent: Extent,
    buffer: &mut [u8],
) -> Result<Run> {
    let per_look = (BYTES_PER_LOOK / payload.length().max(1)).clamp(1, MESSAGES_PER_LOOK) as u64;
    let began = Instant::now();
    let mut messages = 0;
    loop {
        let left = extent.count().map_or(per_look, |count| per_look.min(count - messages));
        link.send_run(payload, messages, left)?;
        messages += left;
        if extent.is_reached(messages, began.elapsed()) {
            break;
        }
    }
    if extent.count().is_none() {
        link.send(payload.make(STOP))?;
    }
    let length = link.receive(buffer)?;
    let took = began.elapsed();
    let answer = buffer.get(..length).unwrap_or_default();
    let counted = answer.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    if payload.is(messages, answer) {
        Ok(Run { messages, took })
    } else {
        Err(format!("{messages} messages were sent, the other side says {counted}").into())
    }
}

#[inline(never)]
fn round_trips<L: Link, P: Payload>(
    link: &mut L,
    payload: &mut P,
    extent: Extent,
    buffer: &mut [u8],
    times: &mut Histogram<u64>,
) -> Result<Run> {
    let began = Instant::now();
    let (mut last, mut number) = (began, 0);
    loop {
        link.send(payload.make(number))?;
        let length = link.receive(buffer)?;
        let answer = buffer.get(..length).unwrap_or_default();
        if !payload.is(number, answer) {
            return Err(wrong(number, length, answer));
        }
        let now = Instant::now();
        times.saturating_record(u64::try_from((now - last).as_nanos()).unwrap_or(u64::MAX));
        (last, number) = (now, number + 1);
        if extent.is_reached(number, now - began) {
            break;
        }
    }
    if extent.count().is_none() {
        link.send(payload.make(STOP))?;
    }
    Ok(Run { messages: number, took: last - began })
}

const _: () = assert!(BUFFER_BYTES_SPARE >= NUMBER_BYTES);
