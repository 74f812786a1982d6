//! The ways a message goes to the other process: a ring, a pipe, a Unix stream socket.
//!
//! Each is used as its documentation advises: a message is one call. The byte streams have no messages, so
//! a length goes before each, with it in one `write`; their receiver reads up to 64 KiB at once, as many
//! messages as that may be.

use crate::Result;
use rustix::io::Errno;
use shm_ring::{Consumer, Producer};
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of the length before a message in a byte stream.
const LENGTH_BYTES: usize = size_of::<u32>();
/// Bytes that are read from a stream at once: what a pipe holds.
const READ_BYTES: usize = 64 << 10;

/// Capacity of the rings.
pub const RING_BYTES: u64 = 1 << 20;

/// A way for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// An spsc ring of bytes.
    Ring,
    /// A pipe.
    Pipe,
    /// A Unix stream socket.
    Unix,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ring, Self::Pipe, Self::Unix];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Pipe => "pipe",
            Self::Unix => "unix",
        }
    }

    /// The transport of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.name() == name)
    }
}

/// Sends messages to the other process.
pub trait Send {
    /// Sends one message, waiting for space.
    ///
    /// # Errors
    /// When the other process is gone.
    fn send(&mut self, message: &[u8]) -> Result<()>;
}

/// Receives messages from the other process.
pub trait Receive {
    /// Receives one message, waiting for it; how much of `buffer` it takes. `None`: there will be no more.
    ///
    /// # Errors
    /// When the other process has died, or the message is longer than the buffer.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>>;
}

impl Send for Producer {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(Self::send(self, message)?)
    }
}

impl Receive for Consumer {
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        match self.recv_into(buffer) {
            Ok((length, _)) => Ok(Some(length)),
            Err(shm_ring::Error::Disconnected(shm_ring::End::Closed | shm_ring::End::Dropped)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The sending end of a byte stream.
#[derive(Debug)]
pub struct StreamSender {
    stream: OwnedFd,
    /// The length and the message, side by side for one `write`.
    frame: Vec<u8>,
}

impl StreamSender {
    /// Sends into `stream`.
    pub fn new(stream: OwnedFd) -> Self {
        Self { stream, frame: Vec::new() }
    }
}

impl Send for StreamSender {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.frame.clear();
        self.frame.extend(u32::try_from(message.len())?.to_le_bytes());
        self.frame.extend(message);
        let mut rest = self.frame.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(self.stream.as_fd(), rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

/// The receiving end of a byte stream.
#[derive(Debug)]
pub struct StreamReceiver {
    stream: OwnedFd,
    buffer: Box<[u8]>,
    /// What was read and not yet received.
    unread: std::ops::Range<usize>,
}

impl StreamReceiver {
    /// Receives from `stream`.
    pub fn new(stream: OwnedFd) -> Self {
        Self { stream, buffer: vec![0; READ_BYTES].into(), unread: 0..0 }
    }

    /// Fills `target`; `false` when the stream has ended before its first byte.
    fn fill(&mut self, target: &mut [u8]) -> Result<bool> {
        let mut filled = 0;
        while filled < target.len() {
            let rest = &mut target[filled..];
            if self.unread.is_empty() && rest.len() >= self.buffer.len() {
                // Past the buffer: nothing would be gained by the copy.
                match read(&self.stream, rest)? {
                    0 => break,
                    count => filled += count,
                }
                continue;
            }
            if self.unread.is_empty() {
                self.unread = 0..read(&self.stream, &mut self.buffer)?;
                if self.unread.is_empty() {
                    break;
                }
            }
            let count = rest.len().min(self.unread.len());
            rest[..count].copy_from_slice(&self.buffer[self.unread.start..][..count]);
            self.unread.start += count;
            filled += count;
        }
        match filled {
            0 if !target.is_empty() => Ok(false),
            filled if filled < target.len() => Err("the stream ended within a message".into()),
            _ => Ok(true),
        }
    }
}

impl Receive for StreamReceiver {
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        let mut length = [0; LENGTH_BYTES];
        if !self.fill(&mut length)? {
            return Ok(None);
        }
        let length = usize::try_from(u32::from_le_bytes(length))?;
        let target = buffer.get_mut(..length).ok_or("a message longer than the buffer")?;
        if length > 0 && !self.fill(target)? {
            return Err("the stream ended within a message".into());
        }
        Ok(Some(length))
    }
}

fn read(stream: &OwnedFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match rustix::io::read(stream, &mut *buffer) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
