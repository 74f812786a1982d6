//! Messages written and read where they lie.

#![allow(unsafe_code)] // slices over the ring's memory, between two processes of this very program

use super::Setup;
use super::rings::{Bytes, Rings};
use crate::link::{Progress, step};
use crate::payload::{NUMBER_BYTES, Payload};
use crate::{Link, Result};
use shm_core::Unnamed;

/// Whole messages, written and verified in the ring's memory.
#[derive(Debug)]
pub(crate) struct InPlace(Bytes);

impl Rings for InPlace {
    fn attach(setup: &Setup, there: &Unnamed, back: &Unnamed, create: bool) -> Result<Self> {
        Bytes::attach(setup, there, back, create).map(Self)
    }
}

impl Link for InPlace {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.0.producer.send(message)?)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.0.consumer.recv_into(buffer)?.0)
    }

    #[inline]
    fn send_run<P: Payload>(&mut self, payload: &mut P, first: u64, count: u64) -> Result<()> {
        for number in first..first + count {
            let length = payload.length();
            let mut space = self.0.producer.reserve(length)?;
            // SAFETY: the ring has no name, and the other process that has it is this program, which writes into it
            // by this library alone, as its consumer.
            payload.fill(number, unsafe { space.as_mut_slice() });
            space.commit(length)?;
        }
        Ok(())
    }

    #[inline]
    fn receive_run<P: Payload>(
        &mut self,
        payload: &mut P,
        next: u64,
        _buffer: &mut [u8],
    ) -> Result<Progress> {
        let message = self.0.consumer.recv()?;
        let view = message.view();
        // SAFETY: the ring has no name, and the other process that has it is this program, whose producer leaves the
        // message alone until it is given back, which `message` does when it is dropped, after the slice.
        let bytes = unsafe { view.as_slice() };
        step(payload, next, bytes)
    }
}

/// Space for messages of one length is reserved and given back, and of its content only a number is written and read:
/// what the ring itself takes.
#[derive(Debug)]
pub(crate) struct Handover {
    rings: Bytes,
    length: usize,
}

impl Rings for Handover {
    fn attach(setup: &Setup, there: &Unnamed, back: &Unnamed, create: bool) -> Result<Self> {
        Ok(Self { rings: Bytes::attach(setup, there, back, create)?, length: setup.length })
    }
}

impl Link for Handover {
    /// The message is a number; what is sent is as long as the link was made for.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let mut space = self.rings.producer.reserve(self.length)?;
        space.write_at(0, message)?;
        Ok(space.commit(self.length)?)
    }

    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let message = self.rings.consumer.recv()?;
        if message.len() != self.length {
            return Err(format!("{} bytes instead of {}", message.len(), self.length).into());
        }
        let number = buffer.get_mut(..NUMBER_BYTES).ok_or("no room for a number")?;
        Ok(message.read_at(0, number))
    }
}
