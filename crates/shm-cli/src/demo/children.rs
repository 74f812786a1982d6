//! Starting processes in a part, hearing what they tell, killing them.

use super::roles::{Load, Part, Word};
use super::transport::Transport;
use super::transport::stream::Ends;
use crate::failure::{Failure, Status};
use crate::signals::Signals;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// A started process. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    part: Part,
}

/// What to start.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// What it does.
    pub(crate) part: Part,
    /// By what.
    pub(crate) transport: Transport,
    /// How much of it.
    pub(crate) load: Load,
    /// What the names of the rings begin with.
    pub(crate) ring: Option<&'a str>,
    /// The processor to stay on.
    pub(crate) cpu: Option<usize>,
    /// Which of many senders it is.
    pub(crate) number: Option<u64>,
}

impl Process {
    /// What it does.
    pub(crate) fn part(&self) -> Part {
        self.part
    }

    /// Kills it, and returns when the kernel says that it is gone.
    pub(crate) fn kill(mut self) -> Result<(), Failure> {
        let failed = |error| Failure::error(format!("can not kill the {}: {error}", self.part.role()));
        let status = self.child.kill().and_then(|()| self.child.wait()).map_err(failed)?;
        if status.signal() == Some(Signal::KILL.as_raw()) {
            Ok(())
        } else {
            Err(self.ended_early(status, &[]))
        }
    }

    fn ended_early(&self, status: ExitStatus, said: &[String]) -> Failure {
        let said = if said.is_empty() { status.to_string() } else { said.join(" ") };
        Failure::error(format!("the {} failed: {said}", self.part.role()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the conductor hears.
#[derive(Debug)]
enum Event {
    /// A process told something.
    Line(Part, String),
    /// A process will tell nothing more.
    Silence(Part),
    /// The conductor was asked to stop.
    Interrupted(Failure),
}

/// What a process told, for the conductor to act on.
#[derive(Debug)]
pub(crate) enum News {
    /// What was measured, or how far it is.
    Word(Word),
    /// It has done its part.
    Done(Part),
}

/// All that the conductor hears, one thing after the other.
#[derive(Debug)]
pub(crate) struct Ear {
    events: Receiver<Event>,
    sender: Sender<Event>,
    limit: Duration,
    began: Instant,
    /// What processes said that is for people, with the part of each.
    said: Vec<(Part, String)>,
}

impl Ear {
    /// Begins to listen to signals. A demonstration that takes longer than the limit hangs.
    pub(crate) fn new(limit: Duration) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::error(format!("can not listen to signals: {error}"));
        let (sender, events) = channel();
        let (signals, to) = (Signals::watch()?, sender.clone());
        let listen = move || {
            let interrupted = await_signal(&signals);
            // Nobody listens any more when the demonstration is over.
            let _ = to.send(Event::Interrupted(interrupted));
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(failed)?;
        Ok(Self { events, sender, limit, began: Instant::now(), said: Vec::new() })
    }

    /// Starts a process and listens to it. `ends` become its standard input and output.
    pub(crate) fn start(&self, order: &Order<'_>, ends: Option<Ends>) -> Result<Process, Failure> {
        let failed =
            |error: std::io::Error| Failure::error(format!("can not start another process: {error}"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(order.arguments()).stderr(Stdio::piped());
        match ends {
            Some(Ends { incoming, outgoing }) => command.stdin(incoming).stdout(outgoing),
            None => command.stdin(Stdio::null()).stdout(Stdio::null()),
        };
        // Out of the terminal's foreground: an interrupt is for the conductor, which tells the others.
        let mut child = command.process_group(0).spawn().map_err(failed)?;
        let stderr = child.stderr.take();
        let (part, to) = (order.part, self.sender.clone());
        let process = Process { child, part };
        let listen = move || pass_on(part, stderr, &to);
        std::thread::Builder::new().name("listener".to_owned()).spawn(listen).map_err(failed)?;
        Ok(process)
    }

    /// What is heard next from `processes`. Fails when one of them does, when the conductor is interrupted, and
    /// when it all takes too long.
    pub(crate) fn hear(&mut self, processes: &mut [Process]) -> Result<News, Failure> {
        loop {
            match self.events.recv_timeout(self.limit.saturating_sub(self.began.elapsed())) {
                Ok(Event::Line(part, line)) => match serde_json::from_str(&line) {
                    Ok(word) => return Ok(News::Word(word)),
                    Err(_) => self.said.push((part, line)),
                },
                Ok(Event::Silence(part)) => {
                    // Of a process that is not there any more, the end was asked for.
                    if let Some(process) = processes.iter_mut().find(|process| process.part == part) {
                        self.end_of(process)?;
                        return Ok(News::Done(part));
                    }
                }
                Ok(Event::Interrupted(failure)) => return Err(failure),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(self.took_too_long());
                }
            }
        }
    }

    /// Waits for so long, unless the conductor is interrupted or it all takes too long.
    pub(crate) fn pause(&mut self, time: Duration) -> Result<(), Failure> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            match self.events.recv_timeout(left) {
                Ok(Event::Line(part, line)) => self.said.push((part, line)),
                Ok(Event::Silence(_)) => {}
                Ok(Event::Interrupted(failure)) => return Err(failure),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        if self.began.elapsed() < self.limit { Ok(()) } else { Err(self.took_too_long()) }
    }

    /// Whether a process has ended. Fails if it failed.
    pub(crate) fn has_ended(&self, process: &mut Process) -> Result<bool, Failure> {
        match process.child.try_wait() {
            Ok(None) => Ok(false),
            Ok(Some(_)) => self.end_of(process).map(|()| true),
            Err(error) => Err(Failure::error(error.to_string())),
        }
    }

    fn took_too_long(&self) -> Failure {
        let limit = humantime::format_duration(self.limit);
        Failure::new(Status::TimedOut, format!("not done after {limit}; what it had started is ended"))
    }

    fn end_of(&self, process: &mut Process) -> Result<(), Failure> {
        let status = process.child.wait().map_err(|error| Failure::error(error.to_string()))?;
        if status.success() {
            return Ok(());
        }
        let said = self.said.iter().filter(|(part, _)| *part == process.part);
        let said: Vec<String> =
            said.map(|(_, line)| line.strip_prefix("shmring: ").unwrap_or(line).to_owned()).collect();
        Err(process.ended_early(status, &said))
    }
}

/// Waits for a signal that asks to stop, and says how to.
pub(crate) fn await_signal(signals: &Signals) -> Failure {
    loop {
        // Whatever ends the wait, the look after it decides.
        let _ = poll(&mut [PollFd::from_borrowed_fd(signals.descriptor(), PollFlags::IN)], None);
        if let Err(failure) = signals.check() {
            return failure;
        }
    }
}

fn pass_on(part: Part, stderr: Option<ChildStderr>, to: &Sender<Event>) {
    for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        let Ok(line) = line else { break };
        // Nobody listens any more when the conductor has failed.
        let _ = to.send(Event::Line(part, line));
    }
    let _ = to.send(Event::Silence(part));
}

impl Order<'_> {
    fn arguments(&self) -> Vec<String> {
        let conductor = std::process::id();
        let mut arguments = vec![
            "demo".to_owned(),
            format!("--part={}", self.part.name()),
            format!("--transport={}", self.transport.name()),
            format!("--conductor={conductor}"),
            format!("--messages={}", self.load.messages),
            format!("--round-trips={}", self.load.round_trips),
        ];
        arguments.extend(self.ring.map(|ring| format!("--ring={ring}")));
        arguments.push(format!("--kills={}", self.load.kills));
        arguments.extend(self.number.map(|number| format!("--number={number}")));
        arguments.extend(self.cpu.map(|cpu| format!("--cpu={cpu}")));
        arguments
    }
}
