//! shaq, between processes, over descriptors without a name.

#![allow(unsafe_code)] // its way to open queues

use super::{QUEUE_BYTES, crowd_of_processes, pair, process, with_words};
use crate::words::{Ends, Message, Words, snooze, spin};
use shaq::{mpmc, spsc};
use shm_core::Memfd;
use shm_measure::crowd::{self, Part, Participant};
use shm_measure::peer::Opening;
use shm_measure::{Measured, Result, Run, Serve};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

pub const SPSC: &str = "shaq spsc";
pub const MPMC: &str = "shaq mpmc";
pub const CROWD: &str = "shaq crowd";
const CROWD_WORDS: usize = crowd::BYTES / 8;

/// Memory of so many bytes.
fn memory(bytes: usize) -> Result<File> {
    let object = Memfd::new("shaq").create(bytes as u64)?;
    Ok(File::from(object.as_fd().try_clone_to_owned()?))
}

fn file(descriptors: &[OwnedFd], index: usize) -> Result<File> {
    Ok(File::from(descriptors.get(index).ok_or("a descriptor is missing")?.try_clone()?))
}

fn said(error: shaq::error::Error) -> shm_measure::Failure {
    format!("shaq: {error:?}").into()
}

struct Single<const WORDS: usize>(spsc::Producer<Message<WORDS>>, spsc::Consumer<Message<WORDS>>);

impl<const WORDS: usize> Ends<WORDS> for Single<WORDS> {
    #[inline(always)]
    fn put(&mut self, message: Message<WORDS>) -> Result<()> {
        spin(|| self.0.try_write(message).ok())
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Message<WORDS>> {
        spin(|| self.1.try_read())
    }
}

pub fn start_spsc(words: usize) -> Result<Box<dyn Measured>> {
    with_words!(words, start_spsc_of())
}

fn start_spsc_of<const WORDS: usize>() -> Result<Box<dyn Measured>> {
    let bytes = spsc::minimum_file_size::<Message<WORDS>>(QUEUE_BYTES / (8 * WORDS));
    let files = [memory(bytes)?, memory(bytes)?];
    // SAFETY: the memory is new, and only this process initialises it; the message is plain words.
    let there = unsafe { spsc::Producer::create(&files[0], bytes) }.map_err(said)?;
    // SAFETY: as above.
    let back = unsafe { spsc::Consumer::create(&files[1], bytes) }.map_err(said)?;
    let other = process(SPSC, vec![WORDS.to_string()], &[files[0].as_fd(), files[1].as_fd()])?;
    Ok(pair(SPSC, Words::<_, WORDS>(Single(there, back)), other))
}

pub fn open_spsc(opening: &Opening, descriptors: &[OwnedFd]) -> Result<Box<dyn Serve>> {
    with_words!(opening.word(0)?.parse::<usize>()?, open_spsc_of(descriptors))
}

fn open_spsc_of<const WORDS: usize>(descriptors: &[OwnedFd]) -> Result<Box<dyn Serve>> {
    // SAFETY: the first process has initialised it, as its other end, for the same type.
    let there = unsafe { spsc::Consumer::join(&file(descriptors, 0)?) }.map_err(said)?;
    // SAFETY: as above.
    let back = unsafe { spsc::Producer::join(&file(descriptors, 1)?) }.map_err(said)?;
    Ok(Box::new(Words::<_, WORDS>(Single(back, there))))
}

/// Its empty and full are sometimes told too early: tried again, as everything is here.
///
/// Nothing of ours can be done about what it does inside of a call: places are reserved by a compare and exchange, and
/// published or released in their order, each participant spinning, without yielding, until those before it are done.
/// One that is interrupted in between keeps all others of its role spinning for their time slices. With four of each
/// on two processors it comes to some hundred messages a second, by luck sooner or later or never; 16,384 that are in
/// the queue then take more than a minute (seen in its header: reserved ahead of released by four, all the time).
/// That is no hang, and looks like one.
struct Shared<const WORDS: usize>(mpmc::Producer<Message<WORDS>>, mpmc::Consumer<Message<WORDS>>);

impl<const WORDS: usize> Ends<WORDS> for Shared<WORDS> {
    #[inline(always)]
    fn put(&mut self, message: Message<WORDS>) -> Result<()> {
        snooze(|| self.0.try_write(message).ok())
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Message<WORDS>> {
        snooze(|| self.1.try_read())
    }
}

pub fn start_mpmc(words: usize) -> Result<Box<dyn Measured>> {
    with_words!(words, start_mpmc_of())
}

fn start_mpmc_of<const WORDS: usize>() -> Result<Box<dyn Measured>> {
    let bytes = mpmc::minimum_file_size::<Message<WORDS>>(QUEUE_BYTES / (8 * WORDS));
    let files = [memory(bytes)?, memory(bytes)?];
    // SAFETY: the memory is new, and only this process initialises it; the message is plain words.
    let there = unsafe { mpmc::Producer::create(&files[0], bytes) }.map_err(said)?;
    // SAFETY: as above.
    let back = unsafe { mpmc::Consumer::create(&files[1], bytes) }.map_err(said)?;
    let other = process(MPMC, vec![WORDS.to_string()], &[files[0].as_fd(), files[1].as_fd()])?;
    Ok(pair(MPMC, Words::<_, WORDS>(Shared(there, back)), other))
}

pub fn open_mpmc(opening: &Opening, descriptors: &[OwnedFd]) -> Result<Box<dyn Serve>> {
    with_words!(opening.word(0)?.parse::<usize>()?, open_mpmc_of(descriptors))
}

fn open_mpmc_of<const WORDS: usize>(descriptors: &[OwnedFd]) -> Result<Box<dyn Serve>> {
    // SAFETY: the first process has initialised it, for the same type.
    let there = unsafe { mpmc::Consumer::join(&file(descriptors, 0)?) }.map_err(said)?;
    // SAFETY: as above.
    let back = unsafe { mpmc::Producer::join(&file(descriptors, 1)?) }.map_err(said)?;
    Ok(Box::new(Words::<_, WORDS>(Shared(back, there))))
}

pub fn measure(capacity: u64, pairs: u64, time: Duration) -> Result<Run> {
    let bytes = mpmc::minimum_file_size::<Message<CROWD_WORDS>>(usize::try_from(capacity)?);
    let file = memory(bytes)?;
    // SAFETY: the memory is new, and only this process initialises it; the message is plain words.
    let made = unsafe { mpmc::Producer::<Message<CROWD_WORDS>>::create(&file, bytes) }.map_err(said)?;
    let run = crowd_of_processes(CROWD, pairs, file.as_fd(), time);
    drop(made);
    run
}

pub fn open_crowd(opening: &Opening, descriptors: &[OwnedFd]) -> Result<Box<dyn Serve>> {
    let part: Part = serde_json::from_str(opening.word(0)?)?;
    let file = file(descriptors, 0)?;
    // SAFETY: the first process has initialised it, for the same type.
    let producer = unsafe { mpmc::Producer::join(&file) }.map_err(said)?;
    let consumer = producer.join_as_consumer();
    Ok(Box::new(Participant::new(Words::<_, CROWD_WORDS>(Shared(producer, consumer)), part)))
}
