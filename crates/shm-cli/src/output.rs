//! Standard output: says exactly how much was written, and does not hang while a signal asks to stop.

use crate::failure::{Failure, Status};
use crate::signals::Signals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

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

/// Where messages end that are written together, among all their bytes.
#[derive(Debug, Default)]
pub(crate) struct Ends(Vec<usize>);

impl Ends {
    /// One more, of so many bytes.
    pub(crate) fn push(&mut self, bytes: usize) {
        self.0.push(self.bytes() + bytes);
    }

    /// How many messages.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All their bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.last().copied().unwrap_or(0)
    }

    /// How many of them lie within the first `bytes` bytes.
    fn within(&self, bytes: usize) -> usize {
        self.0.partition_point(|&end| end <= bytes)
    }

    /// When `written` bytes are written: up to where to write so that no message is written in part.
    fn boundary(&self, written: usize) -> usize {
        if written == 0 {
            return 0;
        }
        self.0.iter().copied().find(|&end| end >= written).unwrap_or(written)
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

    /// Writes messages, of whose bytes `put` writes a part, at least one if there are any: how many were written to
    /// their end, and what came in between.
    pub(crate) fn write(
        &self,
        ends: &Ends,
        signals: &Signals,
        put: impl Fn(Range<usize>, BorrowedFd<'_>) -> std::io::Result<usize>,
    ) -> (usize, Result<(), Failure>) {
        let (written, result) = self.write_bytes(ends, signals, put);
        (ends.within(written), result)
    }

    fn write_bytes(
        &self,
        ends: &Ends,
        signals: &Signals,
        put: impl Fn(Range<usize>, BorrowedFd<'_>) -> std::io::Result<usize>,
    ) -> (usize, Result<(), Failure>) {
        let piece_bytes = if self.waits { PIECE_BYTES } else { usize::MAX };
        let (mut written, mut goal) = (0, ends.bytes());
        while written < goal {
            if self.waits && !self.await_room(signals) {
                // A signal, and nobody takes anything: come to an end with the message that was begun.
                goal = ends.boundary(written);
                if goal == written || !self.has_room(Some(&PATIENCE)) {
                    break;
                }
            }
            let piece = written..goal.min(written.saturating_add(piece_bytes));
            match put(piece, self.stdout.as_fd()) {
                Ok(bytes) => written += bytes,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
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
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed)
}

/// Prints a value as JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::error(format!("can not write JSON: {error}")))?;
    print(&(text + "\n"))
}

fn failed(error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::silent(Status::OutputClosed),
        _ => Failure::error(format!("can not write standard output: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_messages_count() {
        let mut ends = Ends::default();
        [3, 1, 2].into_iter().for_each(|bytes| ends.push(bytes));
        assert_eq!((ends.len(), ends.bytes()), (3, 6));
        let found: Vec<_> = (0..=6).map(|at| (ends.within(at), ends.boundary(at))).collect();
        assert_eq!(found, [(0, 0), (0, 3), (0, 3), (1, 3), (2, 4), (2, 6), (3, 6)]);
    }
}
