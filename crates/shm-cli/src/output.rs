//! Standard output: says exactly how much was written, and does not hang while a signal asks to stop.

use crate::failure::{Failure, Status};
use crate::signals::Signals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::io::Write;

/// A write of as much does not wait where there is room for any: the size of a page, of which a pipe is made.
const PIECE_BYTES: usize = 4096;
/// After a signal, how long a message that is written in part waits for the reader to take the rest.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Standard output.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: std::io::Stdout,
    /// Whether a write may wait for a reader.
    waits: bool,
}

/// Messages to be written together.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// All their bytes.
    pub(crate) bytes: Vec<u8>,
    /// Where each of them ends.
    pub(crate) ends: Vec<usize>,
}

impl Messages {
    /// How many of them lie within the first `bytes` bytes.
    fn within(&self, bytes: usize) -> usize {
        self.ends.partition_point(|&end| end <= bytes)
    }

    /// When `written` bytes are written: up to where to write so that no message is written in part.
    fn boundary(&self, written: usize) -> usize {
        if written == 0 {
            return 0;
        }
        self.ends.iter().copied().find(|&end| end >= written).unwrap_or(written)
    }
}

impl Output {
    /// Standard output.
    pub(crate) fn new() -> Self {
        let stdout = std::io::stdout();
        let is_file = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let waits = !rustix::fs::fstat(&stdout).is_ok_and(is_file);
        Self { stdout, waits }
    }

    /// Writes messages: how many were written to their end, and what came in between.
    pub(crate) fn write(&self, messages: &Messages, signals: &Signals) -> (usize, Result<(), Failure>) {
        let (written, result) = self.write_bytes(messages, signals);
        (messages.within(written), result)
    }

    fn write_bytes(&self, messages: &Messages, signals: &Signals) -> (usize, Result<(), Failure>) {
        let piece_bytes = if self.waits { PIECE_BYTES } else { usize::MAX };
        let (mut written, mut goal) = (0, messages.bytes.len());
        while written < goal {
            if self.waits && !self.await_room(signals) {
                // A signal, and nobody takes anything: come to an end with the message that was begun.
                goal = messages.boundary(written);
                if goal == written || !self.has_room(Some(&PATIENCE)) {
                    break;
                }
            }
            let piece = &messages.bytes[written..goal.min(written.saturating_add(piece_bytes))];
            match rustix::io::write(&self.stdout, piece) {
                Ok(bytes) => written += bytes,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return (written, Err(failed(error))),
            }
        }
        (written, signals.check())
    }

    /// Waits until something can be written, or there is a reason to stop.
    pub(crate) fn await_turn(&self, signals: &Signals) -> Result<(), Failure> {
        if self.waits && !self.has_room(Some(&Timespec::default())) {
            self.await_room(signals);
        }
        signals.check()?;
        self.check_open()
    }

    /// Waits until something can be written; `false` if a signal came first.
    fn await_room(&self, signals: &Signals) -> bool {
        loop {
            let mut files = [
                PollFd::new(&self.stdout, PollFlags::OUT),
                PollFd::from_borrowed_fd(signals.descriptor(), PollFlags::IN),
            ];
            let polled = poll(&mut files, None);
            if !files[0].revents().is_empty() || polled.is_err_and(|error| error != Errno::INTR) {
                return true;
            }
            if signals.check().is_err() {
                return false;
            }
        }
    }

    fn has_room(&self, patience: Option<&Timespec>) -> bool {
        let mut files = [PollFd::new(&self.stdout, PollFlags::OUT)];
        poll(&mut files, patience).is_ok() && !files[0].revents().is_empty()
    }

    /// An end to all work if whoever read our output has gone.
    pub(crate) fn check_open(&self) -> Result<(), Failure> {
        let mut files = [PollFd::new(&self.stdout, PollFlags::empty())];
        let gone = self.waits
            && poll(&mut files, Some(&Timespec::default())).is_ok()
            && files[0].revents().intersects(PollFlags::ERR | PollFlags::HUP);
        if gone { Err(Failure::silent(Status::OutputClosed)) } else { Ok(()) }
    }
}

/// Prints text for people or programs.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(errno) => failed(errno),
            None => Failure::error(format!("can not write standard output: {error}")),
        }
    })
}

/// Prints a value as JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::error(format!("can not write JSON: {error}")))?;
    print(&(text + "\n"))
}

fn failed(error: Errno) -> Failure {
    match error {
        Errno::PIPE => Failure::silent(Status::OutputClosed),
        error => Failure::error(format!("can not write standard output: {}", std::io::Error::from(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_messages_count() {
        let messages = Messages { bytes: b"ab\n\nc\n".to_vec(), ends: vec![3, 4, 6] };
        let found: Vec<_> = (0..=6).map(|at| (messages.within(at), messages.boundary(at))).collect();
        assert_eq!(found, [(0, 0), (0, 3), (0, 3), (1, 3), (2, 4), (2, 6), (3, 6)]);
    }
}
