//! Shared memory and nothing else: what the machine can do, for rings to be held against.

use super::lane::{LINE_BYTES, LINE_PAYLOAD_BYTES, Lane, Room, give_all_back, give_back, spin};
use super::{Ours, RING_BYTES, Setup, descriptors};
use crate::payload::NUMBER_BYTES;
use crate::watchdog::given_up;
use crate::{Link, Result};
use rustix::event::{EventfdFlags, eventfd};
use shm_core::sync::Ordering;
use shm_core::{Deadline, Event, Listener, Words};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Below its highest 16 bits a stamped word holds its number.
const NUMBER_BITS: u32 = 48;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;
/// The longest sleep before a look at whether the case was given up.
const SLICE: Duration = Duration::from_millis(500);

/// A link over two lanes.
pub(crate) trait Bare: Link + Sized {
    fn slot_bytes(_setup: &Setup) -> u64 {
        4096
    }

    /// What else is handed over.
    fn extras() -> Result<Vec<OwnedFd>> {
        Ok(Vec::new())
    }

    /// `extras`: ours first, then theirs.
    fn attach(setup: &Setup, there: Lane, back: Lane, extras: Vec<OwnedFd>) -> Result<Self>;
}

pub(crate) fn make<B: Bare>(setup: &Setup) -> Result<Ours<B>> {
    let bytes = B::slot_bytes(setup);
    let (there, back) = (Lane::create(bytes)?, Lane::create(bytes)?);
    let mut descriptors = vec![there.descriptor()?, back.descriptor()?];
    let extras = B::extras()?;
    for extra in &extras {
        descriptors.push(extra.try_clone()?);
    }
    Ok(Ours { link: B::attach(setup, there, back, extras)?, words: Vec::new(), descriptors })
}

pub(crate) fn open<B: Bare>(setup: &Setup, descriptors: Vec<OwnedFd>) -> Result<B> {
    let mut descriptors = descriptors.into_iter();
    let back = Lane::open(descriptors::next(&mut descriptors)?)?;
    let there = Lane::open(descriptors::next(&mut descriptors)?)?;
    let extras: Vec<OwnedFd> = descriptors.rev().collect();
    B::attach(setup, there, back, extras)
}

fn number_of(message: &[u8]) -> Result<u64> {
    Ok(u64::from_ne_bytes(message.try_into().map_err(|_| "a message of another length than 8")?))
}

#[inline(always)]
fn put_number(stamped: u64, buffer: &mut [u8]) -> Result<usize> {
    let bits = stamped & NUMBER_MASK;
    let number = if bits == NUMBER_MASK { u64::MAX } else { bits };
    *buffer.first_chunk_mut().ok_or("no room for a number")? = number.to_ne_bytes();
    Ok(NUMBER_BYTES)
}

/// One line there, one back; each message is another value of its one word.
#[derive(Debug)]
pub(crate) struct Bounce {
    there: Lane,
    back: Lane,
    sent: u64,
    seen: u64,
}

impl Bare for Bounce {
    fn attach(_setup: &Setup, there: Lane, back: Lane, _extras: Vec<OwnedFd>) -> Result<Self> {
        Ok(Self { there, back, sent: 0, seen: 0 })
    }
}

impl Link for Bounce {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sent = self.sent.wrapping_add(1 << NUMBER_BITS); // another value even for the same number
        let word = self.sent & !NUMBER_MASK | number_of(message)? & NUMBER_MASK;
        self.there.written.store(word, Ordering::Release); // R62 pairs with A62
        Ok(())
    }

    #[inline(always)]
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let seen = self.seen;
        let back = &self.back.written;
        self.seen = spin(|| {
            let word = back.load(Ordering::Acquire); // A62 pairs with R62
            (word != seen).then_some(word)
        })?;
        put_number(self.seen, buffer)
    }
}

/// One word there, one back; each side sleeps on its own until it is woken.
#[derive(Debug)]
pub(crate) struct Futex {
    there: Lane,
    back: Lane,
    wakes: Event,
    hears: Listener,
    seen: u32,
}

impl Bare for Futex {
    fn attach(_setup: &Setup, there: Lane, back: Lane, _extras: Vec<OwnedFd>) -> Result<Self> {
        let (wakes, hears) = (Event::new(&there.all, 128)?, Listener::new(&back.all, 128)?);
        Ok(Self { there, back, wakes, hears, seen: 0 })
    }
}

impl Link for Futex {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.there.written.store(number_of(message)?, Ordering::Relaxed); // ordered by the event
        self.wakes.signal()?;
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            let count = self.hears.count();
            if count != self.seen {
                self.seen = count;
                let number = self.back.written.load(Ordering::Relaxed); // ordered by the event
                *buffer.first_chunk_mut().ok_or("no room for a number")? = number.to_ne_bytes();
                return Ok(NUMBER_BYTES);
            }
            self.hears.wait(count, Deadline::after(SLICE))?;
            if given_up() {
                return Err("the other side did not answer".into());
            }
        }
    }
}

/// Words, each of which says itself that it is new.
#[derive(Debug)]
pub(crate) struct Stamped {
    there: Lane,
    back: Lane,
    target: Words,
    source: Words,
    room: Room,
    written: u64,
    read: u64,
    words: u64,
}

impl Bare for Stamped {
    fn slot_bytes(_setup: &Setup) -> u64 {
        RING_BYTES
    }

    fn attach(_setup: &Setup, there: Lane, back: Lane, _extras: Vec<OwnedFd>) -> Result<Self> {
        let (target, source) = (there.slots.words()?, back.slots.words()?);
        let words = (there.slots.bytes() / NUMBER_BYTES) as u64;
        Ok(Self { there, back, target, source, room: Room::default(), written: 0, read: 0, words })
    }
}

impl Link for Stamped {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let (position, words) = (self.written, self.words);
        if !self.room.is_there(&self.there, position, words) {
            let (room, there) = (&mut self.room, &self.there);
            spin(|| room.is_there(there, position, words).then_some(()))?;
        }
        let stamp = ((position / words + 1) & 0xFFFF) << NUMBER_BITS;
        let word = stamp | number_of(message)? & NUMBER_MASK;
        self.target.store(position * NUMBER_BYTES as u64, word, Ordering::Release)?; // R63 pairs with A63
        self.written = position + 1;
        Ok(())
    }

    #[inline(always)]
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let (position, source) = (self.read, &self.source);
        let stamp = (position / self.words + 1) & 0xFFFF;
        let word = spin(|| {
            let word = source.load(position * NUMBER_BYTES as u64, Ordering::Acquire); // A63 pairs with R63
            (word >> NUMBER_BITS == stamp).then_some(word)
        })?;
        self.read = position + 1;
        give_back(&self.back, self.read, self.words / 8);
        put_number(word, buffer)
    }
}

/// Lines, each with a stamp and a message.
#[derive(Debug)]
pub(crate) struct Lines {
    there: Lane,
    back: Lane,
    target: Words,
    source: Words,
    room: Room,
    written: u64,
    read: u64,
    lines: u64,
}

impl Bare for Lines {
    fn slot_bytes(_setup: &Setup) -> u64 {
        RING_BYTES
    }

    fn attach(_setup: &Setup, there: Lane, back: Lane, _extras: Vec<OwnedFd>) -> Result<Self> {
        let (target, source) = (there.slots.words()?, back.slots.words()?);
        let lines = (there.slots.bytes() / LINE_BYTES) as u64;
        Ok(Self { there, back, target, source, room: Room::default(), written: 0, read: 0, lines })
    }
}

impl Link for Lines {
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // below the bytes of a mapping
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let (position, lines) = (self.written, self.lines);
        if !self.room.is_there(&self.there, position, lines) {
            let (room, there) = (&mut self.room, &self.there);
            spin(|| room.is_there(there, position, lines).then_some(()))?;
        }
        let at = (position & (lines - 1)) as usize * LINE_BYTES;
        let message: &[u8; LINE_PAYLOAD_BYTES] = message.try_into().map_err(|_| "no message of a line")?;
        self.there.slots.copy_in(at + NUMBER_BYTES, message)?;
        self.target.store(at as u64, position / lines + 1, Ordering::Release)?; // R64 pairs with A64
        self.written = position + 1;
        Ok(())
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // below the bytes of a mapping
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let (position, source) = (self.read, &self.source);
        let (at, stamp) = ((position & (self.lines - 1)) as usize * LINE_BYTES, position / self.lines + 1);
        spin(|| {
            let found = source.load(at as u64, Ordering::Acquire); // A64 pairs with R64
            (found == stamp).then_some(())
        })?;
        let target: &mut [u8; LINE_PAYLOAD_BYTES] = buffer.first_chunk_mut().ok_or("no room for a line")?;
        self.back.slots.copy_out(at + NUMBER_BYTES, target)?;
        self.read = position + 1;
        give_back(&self.back, self.read, self.lines / 8);
        Ok(LINE_PAYLOAD_BYTES)
    }
}

/// Slots of one length, and a count of those that are written.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) there: Lane,
    pub(crate) back: Lane,
    room: Room,
    length: usize,
    slots: u64,
    stride: usize,
    written: u64,
    /// Known to be written by the other side.
    known: u64,
    read: u64,
}

impl Bare for Slots {
    fn slot_bytes(setup: &Setup) -> u64 {
        setup.ring_bytes()
    }

    fn attach(setup: &Setup, there: Lane, back: Lane, _extras: Vec<OwnedFd>) -> Result<Self> {
        // A line of its own for each, with its length in front; a power of two of them.
        let stride = (setup.length + NUMBER_BYTES).next_multiple_of(LINE_BYTES);
        let fit = (there.slots.bytes() / stride) as u64;
        let slots = if fit.is_power_of_two() { fit } else { fit.next_power_of_two() / 2 };
        let length = setup.length;
        Ok(Self { there, back, room: Room::default(), length, slots, stride, written: 0, known: 0, read: 0 })
    }
}

impl Slots {
    #[allow(clippy::cast_possible_truncation)] // below the bytes of a mapping
    fn offset(&self, position: u64) -> usize {
        (position & (self.slots - 1)) as usize * self.stride
    }

    fn has_room(&mut self) -> bool {
        self.room.is_there(&self.there, self.written, self.slots)
    }

    fn put(&mut self, message: &[u8]) -> Result<()> {
        if message.len() > self.length {
            return Err("a message longer than its slot".into());
        }
        let at = self.offset(self.written);
        self.there.slots.write_value(at, &(message.len() as u64))?;
        self.there.slots.copy_in(at + NUMBER_BYTES, message)?;
        self.written += 1;
        self.there.written.store(self.written, Ordering::Release); // R65 pairs with A65
        Ok(())
    }

    fn has_message(&mut self) -> bool {
        if self.known == self.read {
            self.known = self.back.written.load(Ordering::Acquire); // A65 pairs with R65
        }
        self.known != self.read
    }

    fn take(&mut self, buffer: &mut [u8], every: u64) -> Result<usize> {
        let at = self.offset(self.read);
        let length = usize::try_from(self.back.slots.read_value::<u64>(at)?)?;
        let target = buffer.get_mut(..length).ok_or("a message longer than the buffer")?;
        self.back.slots.copy_out(at + NUMBER_BYTES, target)?;
        self.read += 1;
        give_back(&self.back, self.read, every);
        Ok(length)
    }
}

impl Link for Slots {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        if !self.has_room() {
            spin(|| self.has_room().then_some(()))?;
        }
        self.put(message)
    }

    #[inline]
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        spin(|| self.has_message().then_some(()))?;
        self.take(buffer, (self.slots / 8).max(1))
    }
}

/// As [`Slots`], but nobody spins: an eventfd tells of each message, another one of space.
#[derive(Debug)]
pub(crate) struct Signalled {
    slots: Slots,
    /// We write: data there, space back.
    tells: [OwnedFd; 2],
    /// We read: data back, space there.
    hears: [OwnedFd; 2],
}

impl Bare for Signalled {
    fn slot_bytes(setup: &Setup) -> u64 {
        setup.ring_bytes()
    }

    /// In an order that is the other side's when it is reversed.
    fn extras() -> Result<Vec<OwnedFd>> {
        (0..4).map(|_| Ok(eventfd(0, EventfdFlags::CLOEXEC)?)).collect()
    }

    fn attach(setup: &Setup, there: Lane, back: Lane, extras: Vec<OwnedFd>) -> Result<Self> {
        let [data_there, space_back, space_there, data_back] =
            <[OwnedFd; 4]>::try_from(extras).map_err(|_| "eventfds are missing")?;
        let slots = Slots::attach(setup, there, back, Vec::new())?;
        Ok(Self { slots, tells: [data_there, space_back], hears: [data_back, space_there] })
    }
}

impl Link for Signalled {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        while !self.slots.has_room() {
            hear(&self.hears[1])?;
        }
        self.slots.put(message)?;
        tell(&self.tells[0])
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while !self.slots.has_message() {
            // Who is about to sleep withholds nothing.
            give_all_back(&self.slots.back, self.slots.read);
            tell(&self.tells[1])?;
            if self.slots.has_message() {
                break;
            }
            hear(&self.hears[0])?;
        }
        let every = (self.slots.slots / 8).max(1);
        let length = self.slots.take(buffer, every)?;
        if self.slots.read.is_multiple_of(every) {
            tell(&self.tells[1])?;
        }
        Ok(length)
    }
}

fn tell(event: &OwnedFd) -> Result<()> {
    rustix::io::write(event, &1_u64.to_ne_bytes())?;
    Ok(())
}

fn hear(event: &OwnedFd) -> Result<()> {
    match rustix::io::read(event, &mut [0; 8]) {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::INTR) if !given_up() => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
