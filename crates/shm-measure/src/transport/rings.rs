//! Rings in memory without a name: one there, one back.

use super::{BATCH, Ours, RING_MESSAGES, Setup, descriptors};
use crate::link::{self, Progress};
use crate::payload::{NUMBER_BYTES, Payload, STOP};
use crate::{Link, Result};
use shm_core::{Deadline, Memfd, Unnamed};
use shm_ring::{Consumer, Error, Producer, Receiver, Sender, TypedConsumer, TypedProducer};
use std::os::fd::{AsFd, OwnedFd};

const LABEL: &str = "shm-measure";

/// A pair of rings, seen from one side.
pub(crate) trait Rings: Link + Sized {
    /// Attaches to the ring that is sent into and to the one that is received from. `create` makes them.
    fn attach(setup: &Setup, there: &Unnamed, back: &Unnamed, create: bool) -> Result<Self>;
}

pub(crate) fn make<R: Rings>(setup: &Setup) -> Result<Ours<R>> {
    let memories = [(); 2].map(|()| Unnamed::memfd(LABEL, Memfd::new(LABEL)));
    let link = R::attach(setup, &memories[0], &memories[1], true)?;
    let mut descriptors = Vec::new();
    for memory in &memories {
        descriptors
            .push(memory.descriptor().ok_or("a memfd has a descriptor")?.as_fd().try_clone_to_owned()?);
    }
    Ok(Ours { link, words: Vec::new(), descriptors })
}

pub(crate) fn open<R: Rings>(setup: &Setup, descriptors: Vec<OwnedFd>) -> Result<R> {
    let mut descriptors = descriptors.into_iter();
    let there = Unnamed::from_descriptor(LABEL, descriptors::next(&mut descriptors)?);
    let back = Unnamed::from_descriptor(LABEL, descriptors::next(&mut descriptors)?);
    R::attach(setup, &back, &there, false)
}

/// A producer and a consumer of bytes.
#[derive(Debug)]
pub(crate) struct Bytes {
    pub(crate) producer: Producer,
    pub(crate) consumer: Consumer,
}

impl Bytes {
    pub(crate) fn attach(setup: &Setup, there: &Unnamed, back: &Unnamed, create: bool) -> Result<Self> {
        let (bytes, wait) = (setup.ring_bytes(), setup.wait.strategy());
        let producer = Producer::builder(LABEL).memory(there).capacity(bytes).wait(wait).require_peer(true);
        let consumer = Consumer::builder(LABEL).memory(back).capacity(bytes).wait(wait);
        Ok(if create {
            Self { producer: producer.create()?, consumer: consumer.create()? }
        } else {
            Self { producer: producer.open()?, consumer: consumer.open()? }
        })
    }
}

/// A message per call.
#[derive(Debug)]
pub(crate) struct Single(Bytes);

impl Rings for Single {
    fn attach(setup: &Setup, there: &Unnamed, back: &Unnamed, create: bool) -> Result<Self> {
        Bytes::attach(setup, there, back, create).map(Self)
    }
}

impl Link for Single {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.0.producer.send(message)?)
    }

    #[inline(always)]
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.0.consumer.recv_into(buffer)?.0)
    }
}

/// Messages by the batch.
#[derive(Debug)]
pub(crate) struct Batched(Bytes);

impl Rings for Batched {
    fn attach(setup: &Setup, there: &Unnamed, back: &Unnamed, create: bool) -> Result<Self> {
        Bytes::attach(setup, there, back, create).map(Self)
    }
}

impl Link for Batched {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.0.producer.send(message)?)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.0.consumer.recv_into(buffer)?.0)
    }

    #[inline]
    fn send_run<P: Payload>(&mut self, payload: &mut P, first: u64, count: u64) -> Result<()> {
        let (mut number, end) = (first, first + count);
        while number < end {
            let mut batch = self.0.producer.batch();
            while number < end && batch.len() < BATCH as u64 {
                match batch.push(payload.make(number)) {
                    Ok(()) => number += 1,
                    Err(Error::Full) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            let pushed = batch.len();
            batch.send()?;
            if pushed == 0 {
                // Full: one message waits for space.
                self.0.producer.send(payload.make(number))?;
                number += 1;
            }
        }
        Ok(())
    }

    #[inline]
    fn receive_run<P: Payload>(
        &mut self,
        payload: &mut P,
        mut next: u64,
        buffer: &mut [u8],
    ) -> Result<Progress> {
        let messages = self.0.consumer.recv_batch_until(BATCH, Deadline::NEVER)?;
        for view in messages.iter() {
            let length = view.read_at(0, buffer);
            match link::step(payload, next, buffer.get(..length).unwrap_or_default())? {
                Progress::Next(number) => next = number,
                ended @ Progress::Ended(_) => return Ok(ended),
            }
        }
        Ok(Progress::Next(next))
    }
}

/// Values of 8 bytes, one per call or many.
#[derive(Debug)]
pub(crate) struct Typed<const MANY: bool> {
    producer: TypedProducer<u64>,
    consumer: TypedConsumer<u64>,
    values: Vec<u64>,
}

impl<const MANY: bool> Rings for Typed<MANY> {
    fn attach(setup: &Setup, there: &Unnamed, back: &Unnamed, create: bool) -> Result<Self> {
        let (slots, wait) = (setup.ring_bytes() / NUMBER_BYTES as u64, setup.wait.strategy());
        let producer =
            TypedProducer::builder(LABEL).memory(there).capacity(slots).wait(wait).require_peer(true);
        let consumer = TypedConsumer::builder(LABEL).memory(back).capacity(slots).wait(wait);
        let (producer, consumer) = match create {
            true => (producer.create()?, consumer.create()?),
            false => (producer.open()?, consumer.open()?),
        };
        Ok(Self { producer, consumer, values: vec![0; BATCH] })
    }
}

#[inline]
fn number(message: &[u8]) -> Result<u64> {
    Ok(u64::from_ne_bytes(message.try_into().map_err(|_| "a value of another length")?))
}

impl<const MANY: bool> Link for Typed<MANY> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.producer.send(&number(message)?)?)
    }

    #[inline(always)]
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let value = self.consumer.recv()?;
        *buffer.first_chunk_mut().ok_or("no room for a value")? = value.to_ne_bytes();
        Ok(NUMBER_BYTES)
    }

    #[inline(always)]
    fn send_run<P: Payload>(&mut self, payload: &mut P, first: u64, count: u64) -> Result<()> {
        if !MANY {
            return (first..first + count).try_for_each(|number| self.send(payload.make(number)));
        }
        self.values.clear();
        self.values.extend(first..first + count); // a value is its number
        Ok(self.producer.send_slice(&self.values)?)
    }

    #[inline(always)]
    fn receive_run<P: Payload>(
        &mut self,
        payload: &mut P,
        mut next: u64,
        buffer: &mut [u8],
    ) -> Result<Progress> {
        if !MANY {
            let length = self.receive(buffer)?;
            return link::step(payload, next, buffer.get(..length).unwrap_or_default());
        }
        self.values.resize(BATCH, 0);
        let count = self.consumer.recv_slice_until(&mut self.values, Deadline::NEVER)?;
        for value in self.values.iter().take(count) {
            match *value {
                value if value == next => next += 1,
                STOP => return Ok(Progress::Ended(next)),
                value => return Err(format!("value {value} instead of {next}").into()),
            }
        }
        Ok(Progress::Next(next))
    }
}

/// A ring that many could be at: here there are two.
#[derive(Debug)]
pub(crate) struct Crowded {
    sender: Sender,
    receiver: Receiver,
}

impl Rings for Crowded {
    fn attach(setup: &Setup, there: &Unnamed, back: &Unnamed, create: bool) -> Result<Self> {
        let (bytes, wait) = (setup.length.max(64) as u64, setup.wait.strategy());
        // Long messages are few: a ring of many would exceed what a machine has.
        let messages = RING_MESSAGES.min(((16 << 20) / bytes).next_power_of_two()).max(4);
        let sender =
            Sender::builder(LABEL).memory(there).capacity(messages).max_message(bytes).participants(8);
        let receiver =
            Receiver::builder(LABEL).memory(back).capacity(messages).max_message(bytes).participants(8);
        let (sender, receiver) = (sender.wait(wait).require_peer(true), receiver.wait(wait));
        Ok(if create {
            Self { sender: sender.create()?, receiver: receiver.create()? }
        } else {
            Self { sender: sender.open()?, receiver: receiver.open()? }
        })
    }
}

impl Link for Crowded {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.sender.send(message)?)
    }

    #[inline(always)]
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.receiver.recv_into(buffer)?.0)
    }
}
