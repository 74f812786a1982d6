//! What the started processes do. They tell their conductor in lines of JSON on standard error, because a
//! transport may need both standard input and output; what is not such a line is a complaint for people.

use super::guard::Guard;
use super::latency::{Latencies, Quantiles};
use super::messages::{LENGTH_MAX, Messages, PING_BYTES, Tally, Verifier, length_of};
use super::transport::ring::{Names, RingLink};
use super::transport::stream::StreamLink;
use super::transport::{Link, Received, Transport};
use super::{cores, crowd};
use crate::failure::Failure;
use shm_ring::{Directory, End};
use std::io::Write;
use std::time::Instant;

/// Round trips that nobody measures, for caches and branch predictors; no more than are measured.
const WARM_UP: u64 = 1000;
/// How often a consumer tells how far it is, while it receives the messages it was promised.
const TELLINGS: u64 = 50;

/// How much is sent.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Messages through each transport
    #[arg(long, hide = true, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: u64,
    /// Round trips by each transport
    #[arg(long, hide = true, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) round_trips: u64,
    /// Kills among many senders and receivers
    #[arg(long, hide = true, default_value_t = 80)]
    pub(crate) kills: u64,
}

/// What a started process is to do.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Sends the messages, and then measures round trips.
    Produce,
    /// Receives and verifies the messages, and then answers round trips.
    Consume,
    /// Sends messages until it is killed.
    SendForEver,
    /// Receives and verifies messages until there is nobody left who sends any.
    ReceiveToTheEnd,
    /// One of many that send.
    CrowdSend,
    /// One of many that receive.
    CrowdReceive,
}

impl Part {
    /// Its name in arguments.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::SendForEver => "send-for-ever",
            Self::ReceiveToTheEnd => "receive-to-the-end",
            Self::CrowdSend => "crowd-send",
            Self::CrowdReceive => "crowd-receive",
        }
    }

    /// What people call it.
    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Produce | Self::SendForEver => "producer",
            Self::Consume | Self::ReceiveToTheEnd => "consumer",
            Self::CrowdSend => "sender",
            Self::CrowdReceive => "receiver",
        }
    }
}

/// One part in the demonstration.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Assignment {
    /// What to do
    #[arg(long, hide = true, required = false)]
    pub(crate) part: Part,
    /// By what
    #[arg(long, hide = true, required = false)]
    pub(crate) transport: Transport,
    /// The process that conducts
    #[arg(long, hide = true, required = false)]
    pub(crate) conductor: u32,
    /// What the names of the rings begin with
    #[arg(long, hide = true)]
    pub(crate) ring: Option<String>,
    /// Which of many senders
    #[arg(long, hide = true)]
    pub(crate) number: Option<u64>,
    /// The processor to stay on
    #[arg(long, hide = true)]
    pub(crate) cpu: Option<usize>,
}

/// What a started process tells its conductor.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// A consumer can be sent to.
    Ready,
    /// A consumer has received so many messages.
    Progress(u64),
    /// A consumer has received and verified the messages, in so many nanoseconds.
    Received(Tally, u64),
    /// A producer has measured round trips.
    RoundTrips(Quantiles),
    /// A consumer was told how its producer's time ended, after it received so much.
    Ended(Tally, String),
}

impl Word {
    fn tell(&self) -> Result<(), Failure> {
        let line = serde_json::to_string(self).map_err(|error| Failure::error(error.to_string()))?;
        let told = writeln!(std::io::stderr(), "{line}");
        told.map_err(|error| Failure::error(format!("the conductor does not listen: {error}")))
    }
}

/// Plays a part, to its end.
pub(crate) fn play(assignment: &Assignment, load: &Load, directory: &Directory) -> Result<(), Failure> {
    let names = assignment.ring.as_ref().map(|base| Names::new(directory, base));
    let guard = Guard::watch(assignment.conductor, names.clone())?;
    let played = match (assignment.transport, assignment.part, names) {
        (Transport::Ring, _, None) => return Err(Failure::error("a ring has a name")),
        (Transport::Ring, part @ (Part::CrowdSend | Part::CrowdReceive), Some(names)) => {
            crowd::play(part, assignment.number, &names, *load)
        }
        (Transport::Ring, Part::Consume | Part::ReceiveToTheEnd, Some(names)) => {
            guard.make_names(|| RingLink::create(&names)).and_then(|link| play_by(assignment, load, link))
        }
        (Transport::Ring, Part::Produce | Part::SendForEver, Some(names)) => {
            RingLink::open(&names).and_then(|link| play_by(assignment, load, link))
        }
        _ => StreamLink::standard().and_then(|link| play_by(assignment, load, link)),
    };
    // The conductor looks at the ring of a producer that it killed; every other one has served.
    guard.finish(played.is_err() || assignment.part == Part::Consume);
    played
}

fn play_by(assignment: &Assignment, load: &Load, link: impl Link) -> Result<(), Failure> {
    // Only now: the guard's thread is to stay out of the way, and a handle that is made by a thread which may run
    // on one processor only takes that for all there are.
    if let Some(cpu) = assignment.cpu {
        cores::pin(cpu)?;
    }
    match assignment.part {
        Part::Produce => produce(link, load),
        Part::Consume => consume(link, load),
        Part::SendForEver => send_mixed(&mut { link }, 0..u64::MAX),
        Part::ReceiveToTheEnd => receive_to_the_end(link, load),
        Part::CrowdSend | Part::CrowdReceive => Err(Failure::error("the many meet at a ring")),
    }
}

fn send_mixed(link: &mut impl Link, numbers: std::ops::Range<u64>) -> Result<(), Failure> {
    let mut messages = Messages::new();
    numbers.into_iter().try_for_each(|number| link.send(messages.make(number, length_of(number))))
}

fn produce(mut link: impl Link, load: &Load) -> Result<(), Failure> {
    send_mixed(&mut link, 0..load.messages)?;
    let (mut messages, mut verifier) = (Messages::new(), Verifier::new());
    let (mut latencies, mut buffer) = (Latencies::new()?, vec![0; LENGTH_MAX]);
    let warm_up = WARM_UP.min(load.round_trips);
    for number in 0..warm_up + load.round_trips {
        // The consumer goes on counting; the answers have numbers of their own.
        let message = messages.make(load.messages + number, PING_BYTES);
        let began = Instant::now();
        link.send(message)?;
        let received = link.receive(&mut buffer)?;
        let took = began.elapsed();
        verifier.check(PING_BYTES, expect_message(received, &buffer)?);
        if number >= warm_up {
            latencies.record(took);
        }
    }
    if let Some(complaint) = &verifier.tally().complaint {
        return Err(Failure::error(format!("among the answers, {complaint}")));
    }
    Word::RoundTrips(latencies.quantiles()).tell()?;
    link.close();
    Ok(())
}

fn consume(mut link: impl Link, load: &Load) -> Result<(), Failure> {
    Word::Ready.tell()?;
    let (mut verifier, mut buffer) = (Verifier::new(), vec![0; LENGTH_MAX]);
    let between_tellings = load.messages.div_ceil(TELLINGS);
    let mut began = None;
    while verifier.tally().messages < load.messages {
        let received = link.receive(&mut buffer)?;
        began.get_or_insert_with(Instant::now);
        verifier.check_mixed(expect_message(received, &buffer)?);
        if verifier.tally().messages.is_multiple_of(between_tellings) {
            Word::Progress(verifier.tally().messages).tell()?;
        }
    }
    let took = began.map_or(0, |began: Instant| began.elapsed().as_nanos());
    Word::Received(verifier.tally().clone(), u64::try_from(took).unwrap_or(u64::MAX)).tell()?;
    answer(link, &mut verifier, &mut buffer)
}

/// Answers each message by one of the same length, until the other side leaves.
fn answer(mut link: impl Link, verifier: &mut Verifier, buffer: &mut [u8]) -> Result<(), Failure> {
    let mut messages = Messages::new();
    let mut number = 0;
    loop {
        match link.receive(buffer)? {
            Received::Message(length) => {
                link.send(messages.make(number, PING_BYTES))?;
                verifier.check(PING_BYTES, &buffer[..length]);
                number += 1;
            }
            Received::Ended(End::Closed) => break link.close(),
            Received::Ended(end) => return Err(Failure::error(format!("the producer {end}"))),
        }
    }
    match &verifier.tally().complaint {
        Some(complaint) => Err(Failure::error(format!("among the messages to be answered, {complaint}"))),
        None => Ok(()),
    }
}

fn receive_to_the_end(mut link: impl Link, load: &Load) -> Result<(), Failure> {
    Word::Ready.tell()?;
    let (mut verifier, mut buffer) = (Verifier::new(), vec![0; LENGTH_MAX]);
    let between_tellings = load.messages.div_ceil(TELLINGS);
    let end = loop {
        match link.receive(&mut buffer)? {
            Received::Message(length) => verifier.check_mixed(&buffer[..length]),
            Received::Ended(end) => break end,
        }
        if verifier.tally().messages.is_multiple_of(between_tellings) {
            Word::Progress(verifier.tally().messages).tell()?;
        }
    };
    Word::Ended(verifier.tally().clone(), end_name(end).to_owned()).tell()
}

fn expect_message(received: Received, buffer: &[u8]) -> Result<&[u8], Failure> {
    match received {
        Received::Message(length) => Ok(&buffer[..length]),
        Received::Ended(end) => Err(Failure::error(format!("the other side {end} too early"))),
    }
}

/// How an end is called in figures.
fn end_name(end: End) -> &'static str {
    match end {
        End::Closed => "closed",
        End::Dropped => "dropped",
        End::Died => "died",
    }
}
