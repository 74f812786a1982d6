//! One way to send and receive for everything that is measured.
//!
//! One call sends one message, and it is on its way when the call returns: nothing is gathered in the sender. A
//! receiver takes whatever has arrived, as much at once as its transport offers, but never waits for more. So
//! every transport gives the same promise, and each is used as a program that wants that promise would use it.

pub(crate) mod ring;
pub(crate) mod stream;

use crate::failure::Failure;
use shm_ring::End;

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// A ring of this project.
    Ring,
    /// Two pipes.
    Pipe,
    /// A connected pair of Unix stream sockets.
    Unix,
    /// A connection by TCP on loopback.
    Tcp,
}

impl Transport {
    /// All, in the order in which they are measured.
    pub(crate) const ALL: [Self; 4] = [Self::Ring, Self::Pipe, Self::Unix, Self::Tcp];

    /// Its name in arguments and figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Pipe => "pipe",
            Self::Unix => "unix",
            Self::Tcp => "tcp",
        }
    }
}

/// What a receiver gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A message of so many bytes, at the front of the buffer.
    Message(usize),
    /// The other side has gone, and everything it sent was received.
    Ended(End),
}

/// One end of a connection, in both directions.
pub(crate) trait Link {
    /// Sends a message, waiting for space as long as it takes.
    fn send(&mut self, message: &[u8]) -> Result<(), Failure>;

    /// Receives the next message, waiting for it as long as it takes.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<Received, Failure>;

    /// Says that nothing more will be sent.
    fn close(self);
}
