//! shmring as the rivals are: queues of values of one plain type, by the same link. Its rings of bytes are measured by
//! the library's own.

use super::{QUEUE_BYTES, crowd_of_processes, pair, process, with_words};
use crate::words::{Ends, Message, Words};
use shm_core::{Memfd, Unnamed};
use shm_measure::crowd::{self, Part, Participant};
use shm_measure::peer::Opening;
use shm_measure::{Measured, Result, Run, Serve};
use shm_ring::{TypedConsumer, TypedProducer, TypedReceiver, TypedSender, WaitStrategy};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

pub const SPSC: &str = "shmring spsc";
pub const MPMC: &str = "shmring mpmc";
pub const CROWD: &str = "shmring";
const CROWD_WORDS: usize = crowd::BYTES / 8;
/// A message takes a cache line at least.
const MPMC_SLOTS: u64 = (QUEUE_BYTES / 64) as u64;
/// Of either side at a queue for one sender and one receiver.
const PARTICIPANTS: u64 = 2;

struct Single<const WORDS: usize>(TypedProducer<Message<WORDS>>, TypedConsumer<Message<WORDS>>);

impl<const WORDS: usize> Ends<WORDS> for Single<WORDS> {
    #[inline(always)]
    fn put(&mut self, message: Message<WORDS>) -> Result<()> {
        Ok(self.0.send(&message)?)
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Message<WORDS>> {
        Ok(self.1.recv()?)
    }
}

struct Crowded<const WORDS: usize>(TypedSender<Message<WORDS>>, TypedReceiver<Message<WORDS>>);

impl<const WORDS: usize> Ends<WORDS> for Crowded<WORDS> {
    #[inline(always)]
    fn put(&mut self, message: Message<WORDS>) -> Result<()> {
        Ok(self.0.send(&message)?)
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Message<WORDS>> {
        Ok(self.1.recv()?)
    }
}

/// The memories of a queue there and of one back.
fn memories() -> [Unnamed; 2] {
    [(); 2].map(|()| Unnamed::memfd("shm-rivals", Memfd::new("shm-rivals")))
}

/// The same in the other process, seen from there.
fn opened(descriptors: &[OwnedFd]) -> Result<[Unnamed; 2]> {
    let [there, back] = descriptors else { return Err("two descriptors were to come".into()) };
    let memory = |descriptor: &OwnedFd| -> Result<Unnamed> {
        Ok(Unnamed::from_descriptor("shm-rivals", descriptor.try_clone()?))
    };
    Ok([memory(back)?, memory(there)?])
}

fn started<const WORDS: usize, E: Ends<WORDS> + 'static>(
    name: &str,
    ends: E,
    memories: &[Unnamed; 2],
) -> Result<Box<dyn Measured>> {
    let descriptor = |memory: &Unnamed| -> Result<OwnedFd> {
        Ok(memory.descriptor().ok_or("a memfd has one")?.as_fd().try_clone_to_owned()?)
    };
    let descriptors: Vec<OwnedFd> = memories.iter().map(descriptor).collect::<Result<_>>()?;
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let other = process(name, vec![WORDS.to_string()], &descriptors)?;
    Ok(pair(name, Words::<_, WORDS>(ends), other))
}

fn single<const WORDS: usize>([there, back]: &[Unnamed; 2], create: bool) -> Result<Single<WORDS>> {
    let slots = (QUEUE_BYTES / (8 * WORDS)) as u64;
    let producer = TypedProducer::builder(SPSC).memory(there).capacity(slots).wait(WaitStrategy::Spin);
    let consumer = TypedConsumer::builder(SPSC).memory(back).capacity(slots).wait(WaitStrategy::Spin);
    let producer = producer.require_peer(true);
    Ok(match create {
        true => Single(producer.create()?, consumer.create()?),
        false => Single(producer.open()?, consumer.open()?),
    })
}

fn crowded<const WORDS: usize>([there, back]: &[Unnamed; 2], create: bool) -> Result<Crowded<WORDS>> {
    let sender = TypedSender::builder(MPMC).memory(there).capacity(MPMC_SLOTS).wait(WaitStrategy::Spin);
    let receiver = TypedReceiver::builder(MPMC).memory(back).capacity(MPMC_SLOTS).wait(WaitStrategy::Spin);
    let (sender, receiver) = (sender.participants(PARTICIPANTS), receiver.participants(PARTICIPANTS));
    let (sender, receiver) = (sender.require_peer(true), receiver.require_peer(true));
    Ok(match create {
        true => Crowded(sender.create()?, receiver.create()?),
        false => Crowded(sender.open()?, receiver.open()?),
    })
}

pub fn start_spsc(words: usize) -> Result<Box<dyn Measured>> {
    with_words!(words, start_spsc_of())
}

fn start_spsc_of<const WORDS: usize>() -> Result<Box<dyn Measured>> {
    let memories = memories();
    started(SPSC, single::<WORDS>(&memories, true)?, &memories)
}

pub fn start_mpmc(words: usize) -> Result<Box<dyn Measured>> {
    with_words!(words, start_mpmc_of())
}

fn start_mpmc_of<const WORDS: usize>() -> Result<Box<dyn Measured>> {
    let memories = memories();
    started(MPMC, crowded::<WORDS>(&memories, true)?, &memories)
}

pub fn open_spsc(opening: &Opening, descriptors: &[OwnedFd]) -> Result<Box<dyn Serve>> {
    with_words!(opening.word(0)?.parse::<usize>()?, open_spsc_of(descriptors))
}

fn open_spsc_of<const WORDS: usize>(descriptors: &[OwnedFd]) -> Result<Box<dyn Serve>> {
    Ok(Box::new(Words::<_, WORDS>(single::<WORDS>(&opened(descriptors)?, false)?)))
}

pub fn open_mpmc(opening: &Opening, descriptors: &[OwnedFd]) -> Result<Box<dyn Serve>> {
    with_words!(opening.word(0)?.parse::<usize>()?, open_mpmc_of(descriptors))
}

fn open_mpmc_of<const WORDS: usize>(descriptors: &[OwnedFd]) -> Result<Box<dyn Serve>> {
    Ok(Box::new(Words::<_, WORDS>(crowded::<WORDS>(&opened(descriptors)?, false)?)))
}

/// One of many at a queue.
enum OneOfMany {
    Sends(TypedSender<Message<CROWD_WORDS>>),
    Receives(TypedReceiver<Message<CROWD_WORDS>>),
}

impl Ends<CROWD_WORDS> for OneOfMany {
    #[inline(always)]
    fn put(&mut self, message: Message<CROWD_WORDS>) -> Result<()> {
        match self {
            Self::Sends(sender) => Ok(sender.send(&message)?),
            Self::Receives(_) => Err("this one receives".into()),
        }
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Message<CROWD_WORDS>> {
        match self {
            Self::Receives(receiver) => Ok(receiver.recv()?),
            Self::Sends(_) => Err("this one sends".into()),
        }
    }
}

pub fn measure(capacity: u64, pairs: u64, time: Duration) -> Result<Run> {
    let memory = Unnamed::memfd(CROWD, Memfd::new("shm-rivals"));
    TypedSender::<Message<CROWD_WORDS>>::builder(CROWD).memory(&memory).capacity(capacity).create_ring()?;
    let descriptor = memory.descriptor().ok_or("a memfd has one")?;
    crowd_of_processes(CROWD, pairs, descriptor.as_fd(), time)
}

/// They wait as they do by default: looking for a while, then asleep.
pub fn open_crowd(opening: &Opening, descriptors: &[OwnedFd]) -> Result<Box<dyn Serve>> {
    let part: Part = serde_json::from_str(opening.word(0)?)?;
    let descriptor = descriptors.first().ok_or("a descriptor was to come")?.try_clone()?;
    let memory = Unnamed::from_descriptor(CROWD, descriptor);
    let end = match part {
        Part::Send(_) => OneOfMany::Sends(TypedSender::builder(CROWD).memory(&memory).open()?),
        Part::Receive(_) => OneOfMany::Receives(TypedReceiver::builder(CROWD).memory(&memory).open()?),
    };
    Ok(Box::new(Participant::new(Words(end), part)))
}
