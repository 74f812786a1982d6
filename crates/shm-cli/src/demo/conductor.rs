//! The order of events: each transport in turn, with two processes of its own, then the kill, then the many.

use super::children::{Ear, News, Order, Process};
use super::cores;
use super::crowd::{Crowd, storm};
use super::messages::Tally;
use super::report::{Demonstration, Figures, Kill};
use super::roles::{Load, Part, Word};
use super::transport::Transport;
use super::transport::ring::Names;
use super::transport::stream;
use crate::context::Context;
use crate::failure::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use shm_ring::Directory;
use std::time::Duration;

/// Drawn on standard error, if that is a terminal.
const PROGRESS: &str = "{prefix:>4} {wide_bar} {percent:>3}%  {msg:<12}";

/// The process that was asked for the demonstration.
#[derive(Debug)]
pub(crate) struct Conductor {
    directory: Directory,
    load: Load,
    /// Processors of the producer and the consumer.
    cpus: Option<(usize, usize)>,
    ear: Ear,
    progress: ProgressBar,
}

/// What one transport is measured with. What goes first is dropped first: the names when nobody makes them
/// any more.
struct Stage {
    processes: Vec<Process>,
    names: Option<UnlinkedNames>,
}

/// The names of rings, which are taken away when this is dropped.
struct UnlinkedNames(Names);

impl Drop for UnlinkedNames {
    fn drop(&mut self) {
        self.0.unlink();
    }
}

impl Drop for Conductor {
    fn drop(&mut self) {
        self.progress.finish_and_clear();
    }
}

impl Conductor {
    /// Prepares a demonstration, which may take so long.
    pub(crate) fn new(context: &Context, load: Load, limit: Duration) -> Result<Self, Failure> {
        let progress = ProgressBar::new(load.messages);
        if let Ok(style) = ProgressStyle::with_template(PROGRESS) {
            progress.set_style(style);
        }
        let (directory, ear) = (context.directory.clone(), Ear::new(limit)?);
        Ok(Self { directory, load, cpus: cores::apart(), ear, progress })
    }

    /// Conducts it.
    pub(crate) fn conduct(mut self) -> Result<Demonstration, Failure> {
        let mut transports = Vec::new();
        for transport in Transport::ALL {
            transports.push(self.measure(transport)?);
        }
        let kill = self.kill()?;
        let crowd = self.crowd()?;
        Ok(Demonstration { transports, kill, crowd, load: self.load, cpus: self.cpus })
    }

    /// Sends all messages by one transport, and measures round trips.
    fn measure(&mut self, transport: Transport) -> Result<Figures, Failure> {
        self.show(transport.name(), "messages");
        let mut stage = self.set(transport, Part::Consume, Part::Produce)?;
        let (mut received, mut round_trips) = (None, None);
        while !stage.processes.is_empty() {
            match self.ear.hear(&mut stage.processes)? {
                News::Word(Word::Progress(messages)) => self.progress.set_position(messages),
                News::Word(Word::Received(tally, nanoseconds)) => {
                    self.progress.set_message("round trips");
                    received = Some((tally, nanoseconds));
                }
                News::Word(Word::RoundTrips(quantiles)) => round_trips = Some(quantiles),
                News::Word(Word::Ready | Word::Ended(..)) => {}
                News::Done(part) => stage.processes.retain(|process| process.part() != part),
            }
        }
        match (received, round_trips) {
            (Some((tally, nanoseconds)), Some(round_trips)) => {
                Ok(Figures::new(transport, tally, nanoseconds, round_trips))
            }
            _ => Err(Failure::error(format!("nothing was measured by {}", transport.name()))),
        }
    }

    /// Kills a producer while it sends, and hears from its consumer what it read and was told.
    fn kill(&mut self) -> Result<Kill, Failure> {
        self.show("kill", "messages");
        let mut stage = self.set(Transport::Ring, Part::ReceiveToTheEnd, Part::SendForEver)?;
        let (mut published, mut ended): (Option<u64>, Option<(Tally, String)>) = (None, None);
        while !stage.processes.is_empty() {
            match self.ear.hear(&mut stage.processes)? {
                News::Word(Word::Progress(messages)) => {
                    self.progress.set_position(messages);
                    if published.is_none() && messages > self.load.messages / 2 {
                        published = Some(stage.kill_sender()?);
                    }
                }
                News::Word(Word::Ended(tally, told)) => ended = Some((tally, told)),
                News::Word(_) => {}
                News::Done(part) => stage.processes.retain(|process| process.part() != part),
            }
        }
        match (published, ended) {
            (Some(published), Some((read, told))) => Ok(Kill::new(published, read, told)),
            _ => Err(Failure::error("the producer ended before it was killed")),
        }
    }

    /// Lets many send and receive while some of them are killed.
    fn crowd(&mut self) -> Result<Crowd, Failure> {
        self.show("many", "kills");
        let names = UnlinkedNames(Names::unique(&self.directory)?);
        storm(&mut self.ear, &self.progress, &names.0, self.load)
    }

    /// Starts the consumer, and when it is ready the producer.
    fn set(&mut self, transport: Transport, receiving: Part, sending: Part) -> Result<Stage, Failure> {
        let (left, right) = stream::connect(transport)?.unzip();
        let names = (transport == Transport::Ring).then(|| Names::unique(&self.directory)).transpose()?;
        let mut stage = Stage { processes: Vec::new(), names: names.map(UnlinkedNames) };
        let (sender_cpu, receiver_cpu) = self.cpus.unzip();
        let base = stage.names.as_ref().map(|names| names.0.base().to_owned());
        let order =
            |part, cpu| Order { part, transport, load: self.load, ring: base.as_deref(), cpu, number: None };
        stage.processes.push(self.ear.start(&order(receiving, receiver_cpu), right)?);
        while !matches!(self.ear.hear(&mut stage.processes)?, News::Word(Word::Ready)) {}
        stage.processes.push(self.ear.start(&order(sending, sender_cpu), left)?);
        Ok(stage)
    }

    fn show(&self, what: &'static str, doing: &'static str) {
        self.progress.reset();
        self.progress.set_prefix(what);
        self.progress.set_message(doing);
    }
}

impl Stage {
    /// Kills the sender, in the middle of whatever it does, and asks the library how much it had published.
    fn kill_sender(&mut self) -> Result<u64, Failure> {
        if let Some(sender) = self.processes.pop() {
            sender.kill()?;
        }
        // The consumer, which may still be reading, needs the names no more, and neither do we.
        match self.names.take() {
            Some(names) => Ok(names.0.inspect()?.sent),
            None => Err(Failure::error("only a ring can be asked")),
        }
    }
}
