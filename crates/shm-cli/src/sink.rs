//! Where `send` sends: a ring of either kind.

use crate::input::{Framing, Pending};
use shm_ring::{Deadline, Error, Producer, Result, Sender};
use std::ops::Range;

/// A ring, from its sending side.
pub(crate) enum Sink {
    One(Box<Producer>),
    Many(Box<Sender>),
}

/// A message that could not be sent, and why.
pub(crate) type Refused = (Range<usize>, Error);

impl Sink {
    /// Sends messages that were read, up to about `bytes_max` bytes of them: how many were begun, and what stands
    /// against the last of them, if anything.
    pub(crate) fn push(
        &mut self,
        pending: &mut Pending,
        framing: Framing,
        bytes_max: usize,
    ) -> Result<(u64, Option<Refused>)> {
        let (mut begun, mut bytes) = (0, 0);
        let mut refused = None;
        match self {
            Self::One(producer) => {
                let mut batch = producer.batch();
                while bytes < bytes_max
                    && refused.is_none()
                    && let Some(message) = pending.next(framing)
                {
                    begun += 1;
                    bytes += message.len() + 1;
                    refused = batch.push(pending.bytes(&message)).err().map(|error| (message, error));
                }
                batch.send()?;
            }
            Self::Many(sender) => {
                while bytes < bytes_max
                    && refused.is_none()
                    && let Some(message) = pending.next(framing)
                {
                    begun += 1;
                    bytes += message.len() + 1;
                    refused = sender.try_send(pending.bytes(&message)).err().map(|error| (message, error));
                }
            }
        }
        Ok((begun, refused))
    }

    /// How many bytes of messages to send together, at most `most`.
    pub(crate) fn batch_bytes(&self, most: usize) -> usize {
        match self {
            Self::One(producer) => most.min(usize::try_from(producer.capacity() / 8).unwrap_or(most)),
            Self::Many(_) => most, // each is sent by itself
        }
    }

    pub(crate) fn try_send(&mut self, message: &[u8]) -> Result<()> {
        match self {
            Self::One(producer) => producer.try_send(message),
            Self::Many(sender) => sender.try_send(message),
        }
    }

    pub(crate) fn send_until(&mut self, message: &[u8], deadline: Deadline) -> Result<()> {
        match self {
            Self::One(producer) => producer.send_until(0, message, deadline),
            Self::Many(sender) => sender.send_until(0, message, deadline),
        }
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        match self {
            Self::One(producer) => producer.check(),
            Self::Many(sender) => sender.check(),
        }
    }

    pub(crate) fn count_dropped(&mut self) {
        match self {
            Self::One(producer) => producer.count_dropped(),
            Self::Many(sender) => sender.count_dropped(),
        }
    }

    /// In bytes or messages, as the kind has it.
    pub(crate) fn capacity(&self) -> u64 {
        match self {
            Self::One(producer) => producer.capacity(),
            Self::Many(sender) => sender.capacity(),
        }
    }

    /// What the capacity counts.
    pub(crate) fn unit(&self) -> &'static str {
        match self {
            Self::One(_) => "bytes",
            Self::Many(_) => "messages",
        }
    }

    pub(crate) fn max_message(&self) -> usize {
        match self {
            Self::One(producer) => producer.max_message(),
            Self::Many(sender) => sender.max_message(),
        }
    }

    /// Waits until a ring in a file is on the disk.
    pub(crate) fn flush(&mut self) -> Result<()> {
        match self {
            Self::One(producer) => producer.flush(),
            Self::Many(sender) => sender.flush(),
        }
    }

    pub(crate) fn close(self) {
        match self {
            Self::One(producer) => producer.close(),
            Self::Many(sender) => sender.close(),
        }
    }
}
