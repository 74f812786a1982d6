//! Standard input, cut into messages. Never waits while a signal asks to stop.

use crate::failure::Failure;
use crate::signals::Signals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::{Errno, ioctl_fionread};
use std::io::ErrorKind;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Bytes of room for each read, at least: what a pipe holds.
const READ_BYTES: usize = 64 << 10;
/// Between two looks at something else while no input comes.
const IDLE: Duration = Duration::from_millis(100);

/// How a stream of bytes is cut into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each line is a message, without its newline.
    Lines,
    /// Chunks of any length up to this one, as they come.
    Raw(usize),
}

/// Standard input, with what was read and not sent.
#[derive(Debug)]
pub(crate) struct Input {
    stdin: std::io::Stdin,
    /// Reading it never waits.
    is_file: bool,
    pending: Pending,
}

/// Bytes that are not sent yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    buffer: Vec<u8>,
    /// Where the bytes that are not sent begin.
    start: usize,
    /// Where those that were read end.
    end: usize,
    /// Up to here there is no newline.
    searched: usize,
    /// No more will be read.
    ended: bool,
}

impl Input {
    /// Standard input from where it stands.
    pub(crate) fn new() -> Self {
        let stdin = std::io::stdin();
        let is_file = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let is_file = rustix::fs::fstat(&stdin).is_ok_and(is_file);
        Self { stdin, is_file, pending: Pending::default() }
    }

    /// What was read.
    pub(crate) fn pending(&mut self) -> &mut Pending {
        &mut self.pending
    }

    /// Reads more, waiting for it as long as it takes; `false` when there is none. While it waits, and before
    /// it hands anything out, it asks `stands`, if there is one, whether that is still wanted.
    pub(crate) fn read(
        &mut self,
        signals: &Signals,
        mut stands: Option<impl FnMut() -> Result<(), Failure>>,
    ) -> Result<bool, Failure> {
        if self.pending.ended {
            return Ok(false);
        }
        loop {
            self.wait_asking(signals, stands.as_mut())?;
            let read = rustix::io::read(&self.stdin, self.pending.room());
            if let Some(bytes) = outcome(read.map_err(std::io::Error::from))? {
                self.pending.grown(bytes);
                return match stands {
                    Some(mut stands) if bytes > 0 => stands().map(|()| true),
                    _ => Ok(bytes > 0),
                };
            }
        }
    }

    /// Waits until there is something to read, or the end, as long as it takes. While it waits, and when that is over,
    /// it asks `stands`, if there is one, whether that is still wanted.
    pub(crate) fn wait(
        &self,
        signals: &Signals,
        mut stands: Option<impl FnMut() -> Result<(), Failure>>,
    ) -> Result<(), Failure> {
        self.wait_asking(signals, stands.as_mut())?;
        stands.map_or(Ok(()), |mut stands| stands())
    }

    fn wait_asking(
        &self,
        signals: &Signals,
        mut stands: Option<&mut impl FnMut() -> Result<(), Failure>>,
    ) -> Result<(), Failure> {
        if self.is_file {
            return signals.check(); // a file never has one wait
        }
        let idle = stands.as_ref().and_then(|_| Timespec::try_from(IDLE).ok());
        loop {
            let wanted = PollFlags::IN;
            let mut files =
                [PollFd::new(&self.stdin, wanted), PollFd::from_borrowed_fd(signals.descriptor(), wanted)];
            let polled = poll(&mut files, idle.as_ref());
            let ready = !files[0].revents().is_empty();
            signals.check()?;
            match polled {
                Err(error) if error != Errno::INTR => return Err(failed(error.into())),
                Ok(_) if ready => return Ok(()),
                _ => stands.as_mut().map_or(Ok(()), |stands| stands())?,
            }
        }
    }

    /// Has somebody else read, once it was [waited](Self::wait) for: how many bytes came, `None` if not even the end.
    pub(crate) fn read_with(
        &self,
        read: impl FnOnce(BorrowedFd<'_>) -> std::io::Result<usize>,
    ) -> Result<Option<usize>, Failure> {
        outcome(read(self.stdin.as_fd()))
    }

    /// Bytes that can be read without waiting, as far as the kernel says, at most `most`: 0 at the end, and where it
    /// does not say. Of a file that is longer than its number can tell it may say less.
    pub(crate) fn available(&self, most: usize) -> usize {
        let bytes = ioctl_fionread(&self.stdin).unwrap_or(0);
        usize::try_from(bytes).map_or(most, |bytes| bytes.min(most))
    }
}

/// What a read came to: `None` if it is to be tried again.
fn outcome(read: std::io::Result<usize>) -> Result<Option<usize>, Failure> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

impl Pending {
    /// The next message, if it is there to its end: where it is, until the next call of `room`.
    pub(crate) fn next(&mut self, framing: Framing) -> Option<Range<usize>> {
        match framing {
            Framing::Lines => self.next_line(),
            Framing::Raw(longest) => {
                let message = self.start..self.end.min(self.start + longest);
                self.start = message.end;
                (!message.is_empty()).then_some(message)
            }
        }
    }

    fn next_line(&mut self) -> Option<Range<usize>> {
        let from = self.searched.max(self.start);
        self.searched = self.end;
        let newline = memchr::memchr(b'\n', self.buffer.get(from..self.end)?).map(|at| from + at);
        let end = newline.or_else(|| (self.ended && self.start < self.end).then_some(self.end))?;
        let line = self.start..end;
        self.start = (end + 1).min(self.end);
        self.searched = self.start;
        Some(line)
    }

    /// The bytes of a message.
    pub(crate) fn bytes(&self, message: &Range<usize>) -> &[u8] {
        self.buffer.get(message.clone()).unwrap_or_default()
    }

    /// How many bytes wait for the rest of their message.
    pub(crate) fn partial(&self) -> usize {
        self.end - self.start
    }

    /// Room for what is read next.
    fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.searched = self.searched.saturating_sub(self.start);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < READ_BYTES {
            // Twice as much each time, so that even a very long line is copied only a few times.
            self.buffer.resize((self.buffer.len() * 2).max(self.end + READ_BYTES), 0);
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were read into the room; none says that there are no more.
    fn grown(&mut self, bytes: usize) {
        self.end += bytes;
        self.ended |= bytes == 0;
    }
}

fn failed(error: std::io::Error) -> Failure {
    Failure::error(format!("can not read standard input: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces and collects the messages that come out.
    fn cut(text: &[u8], piece: usize, framing: Framing) -> Vec<Vec<u8>> {
        let mut pending = Pending::default();
        let mut messages = Vec::new();
        for piece in text.chunks(piece).chain([&b""[..]]) {
            pending.room()[..piece.len()].copy_from_slice(piece);
            pending.grown(piece.len());
            while let Some(message) = pending.next(framing) {
                messages.push(pending.bytes(&message).to_vec());
            }
        }
        assert_eq!(pending.partial(), 0);
        messages
    }

    #[test]
    fn lines_are_cut_at_newlines_however_they_come() {
        for piece in 1..12 {
            let lines = |text: &str| cut(text.as_bytes(), piece, Framing::Lines);
            assert_eq!(lines(""), Vec::<Vec<u8>>::new());
            assert_eq!(lines("a\nbc\n"), [&b"a"[..], b"bc"]);
            assert_eq!(lines("\n\nab\n\n"), [&b""[..], b"", b"ab", b""]);
            assert_eq!(lines("ab\nlast"), [&b"ab"[..], b"last"]);
            assert_eq!(lines("dos\r\n"), [&b"dos\r"[..]]);
        }
    }

    #[test]
    fn raw_chunks_are_no_longer_than_asked() {
        assert_eq!(cut(b"abcdefg", 7, Framing::Raw(3)), [&b"abc"[..], b"def", b"g"]);
        assert_eq!(cut(b"abcdefg", 2, Framing::Raw(3)), [&b"ab"[..], b"cd", b"ef", b"g"]);
    }

    #[test]
    fn long_lines_grow_the_buffer() {
        let text = format!("{}\nshort", "x".repeat(5 * READ_BYTES));
        let lines = cut(text.as_bytes(), READ_BYTES - 1, Framing::Lines);
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [5 * READ_BYTES, 5]);
    }
}
