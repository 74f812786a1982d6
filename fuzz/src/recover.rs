//! A ring in a file, as the disk has it after the machine was restarted.
//!
//! An input is: form 0 and any bytes; or a [history](crate::history): of which kind (form n - 1), which one (u8), its
//! moment (u16), how many units of the file are from before that moment, and from when each (u8 each); patches (how
//! many, and these); flags (u8) and what they ask for (see [`Case::parse`]); after how many stores the first one to
//! recover dies (u8); and steps.
//!
//! The rules:
//!
//! * looking changes nothing, and neither does a recovery that fails;
//! * recovering twice leaves the same bytes as once, and so does recovering after somebody died at any store of it; or
//!   the same error;
//! * of pages that each are as they were at some moment since they were flushed, what is delivered is just what one
//!   of the last two flushes covered, or the ring is `Corrupt`; and a ring that was recovered goes on like any other;
//! * of any bytes, nothing torn is delivered, and nothing that was not covered by some flush: unless the input has
//!   computed the digests itself, which only people do;
//! * no descriptor stays open.

use crate::case::{Patch, Step};
use crate::digest;
use crate::handles::{Receives, Sends};
use crate::history::{self, Gets, History, Moment, Puts};
use crate::input::Reader;
use crate::object::{NAME, Scratch};
use crate::passing::open_descriptors;
use crate::stage::{Stage, Surroundings};
use shm_core::header::KIND_OFFSET;
use shm_core::hostile::{Interloper, Touch, install};
use shm_core::system;
use shm_ring::layout::restart::BOOT_OFFSET;
use shm_ring::{
    Consumer, Error, Producer, Receiver, Repair, Result, Role, Sender, TypedConsumer, TypedProducer,
    TypedReceiver, TypedSender,
};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Longest file.
const BYTES_MAX: usize = 64 << 10;
/// Units of the file that may be from before, patches, and steps, at most.
const UNITS_MAX: usize = 32;
const PATCHES_MAX: usize = 32;
const STEPS_MAX: usize = 32;
/// What is written at once: of the first page, which records lie in, only sectors.
const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;
/// Another run of the machine.
const ANOTHER_RUN: [u8; 16] = [0xEE; 16];
/// Messages that go through a ring which was recovered: laps of it.
const MESSAGES: u64 = 100;

/// What is on the disk, and what may come of it.
struct Case {
    /// 0: bytes of one producer, then as in [`history`].
    kind: usize,
    image: Vec<u8>,
    expected: Expected,
    deaths_store: u8,
    receiver_first: bool,
    steps: Vec<Step>,
}

/// What may be delivered.
enum Expected {
    /// Just one of these.
    Covered(Vec<Range<u64>>),
    /// The same; but of words that recovery believes the image may have others.
    Whole(Vec<Range<u64>>),
    /// Anything: digests are no witnesses here.
    Anything,
}

thread_local! {
    static DISK: Disk = Disk::new();
}

/// Plays an input.
pub fn play(input: &[u8]) {
    let case = Case::parse(&mut Reader::new(input));
    DISK.with(|disk| {
        let before = open_descriptors();
        match case.kind {
            0 => recover::<Producer, Consumer>(disk, &case),
            1 => recover::<TypedProducer<u64>, TypedConsumer<u64>>(disk, &case),
            3 => recover::<TypedSender<u64>, TypedReceiver<u64>>(disk, &case),
            _ => recover::<Sender, Receiver>(disk, &case),
        }
        assert_eq!(open_descriptors(), before, "descriptors that stay open");
    });
}

impl Case {
    /// Flags: 1: the records get the checksums that they should have; 2: and the digests of the messages; 4: the file
    /// ends earlier (u16); 8: it ends later (u8, sectors); 16: the receiver comes first.
    fn parse(reader: &mut Reader<'_>) -> Self {
        let form = reader.below(history::KINDS + 1);
        let Some(kind) = form.checked_sub(1) else {
            let image = reader.rest();
            let image = image[..image.len().min(BYTES_MAX)].to_vec();
            let kind = usize::from(image.get(KIND_OFFSET).copied().unwrap_or(1).clamp(1, 4) - 1);
            let steps = Vec::new();
            let expected = Expected::Anything;
            return Self { kind, image, expected, deaths_store: 0, receiver_first: true, steps };
        };
        let history = history::of(kind, reader.u8().into());
        let moment = &history.moments[usize::from(reader.u16()) % history.moments.len()];
        let mut image = compose(&history, moment, reader);
        let patches = reader.below(PATCHES_MAX + 1);
        (0..patches).for_each(|_| Patch::parse(reader).apply(&mut image));
        let flags = reader.u8();
        if flags & 2 != 0 {
            digest::cover(&mut image);
        }
        if flags & 3 != 0 {
            digest::make_whole(&mut image);
        }
        if flags & 4 != 0 {
            image.truncate(reader.u16().into());
        }
        if flags & 8 != 0 {
            image.resize((image.len() + usize::from(reader.u8()) * SECTOR_BYTES).min(BYTES_MAX), 0);
        }
        let covered = &history.flushes[..moment.flushes];
        let expected = match (flags & 3, flags & 12, patches) {
            (0, 0, 0) => Expected::Covered(covered[covered.len().saturating_sub(2)..].to_vec()),
            (0, ..) => Expected::Whole(covered.to_vec()),
            _ => Expected::Anything,
        };
        let deaths_store = reader.u8();
        let mut steps = Vec::new();
        while !reader.is_empty() && steps.len() < STEPS_MAX {
            steps.push(Step::parse(reader));
        }
        Self { kind, image, expected, deaths_store, receiver_first: flags & 16 != 0, steps }
    }
}

/// The file as the disk has it: each unit is as it was at some time since it was flushed.
fn compose(history: &History, moment: &Moment, reader: &mut Reader<'_>) -> Vec<u8> {
    let versions = &history.versions[moment.versions.clone()];
    let newest = versions.last().expect("the moment itself");
    let mut image = newest.clone();
    let mut start = 0;
    for _ in 0..reader.below(UNITS_MAX + 1) {
        if start >= image.len() {
            break;
        }
        let unit = start..start + if start < PAGE_BYTES { SECTOR_BYTES } else { PAGE_BYTES };
        // 0 is the newest.
        let version = versions.len() - 1 - reader.below(versions.len());
        image[unit.clone()].copy_from_slice(&versions[version][unit.clone()]);
        start = unit.end;
    }
    image
}

/// A file on a disk, made once: what is written anew is written over.
struct Disk {
    scratch: Scratch,
}

impl Disk {
    fn new() -> Self {
        Self { scratch: Scratch::on_disk() }
    }

    /// Puts the image there, from another run of the machine.
    fn put(&self, image: &[u8]) {
        let path = self.scratch.object();
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).expect("a file");
        if file.metadata().expect("a file").size() != image.len() as u64 {
            file.set_len(0).expect("a length");
        }
        file.write_all_at(image, 0).expect("room on the disk");
        self.restart();
    }

    /// The machine is restarted.
    fn restart(&self) {
        let file = File::options().write(true).open(self.scratch.object()).expect("the file");
        if file.metadata().expect("a file").size() >= (BOOT_OFFSET + ANOTHER_RUN.len()) as u64 {
            file.write_all_at(&ANOTHER_RUN, BOOT_OFFSET as u64).expect("room on the disk");
        }
    }

    /// What is there; empty when it is gone.
    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.scratch.object()).unwrap_or_default()
    }

    fn repair(&self, dry_run: bool) -> Result<Repair> {
        shm_ring::repair_in(&self.scratch.directory(), NAME, dry_run)
    }
}

/// Dies at a store: this one and all later ones are not made.
struct Mortal(u8);

impl Interloper for Mortal {
    fn before_store(&mut self, _: Touch) -> bool {
        let lives = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        lives
    }
}

fn recover<P: Puts + Sends, C: Gets + Receives>(disk: &Disk, case: &Case) {
    disk.put(&case.image);
    let before = disk.bytes();
    let looked = shm_ring::inspect_in(&disk.scratch.directory(), NAME);
    let dry = disk.repair(true).map(drop);
    assert!(disk.bytes() == before, "looking has changed something");

    let recovered = outcome(disk.repair(false));
    let once = disk.bytes();
    assert_eq!(recovered, outcome(dry.map(|()| Repair::default())), "looking foresaw another outcome");
    if recovered.is_err() {
        assert!(once == before, "a recovery that failed has changed something");
    }
    disk.restart();
    assert_eq!(outcome(disk.repair(false)), recovered, "the second recovery");
    assert!(disk.bytes() == once, "the second recovery has left something else");

    die_and_recover(disk, case, &recovered, &once);

    // At last by those who want to go on, in an image that nobody has touched.
    disk.put(&case.image);
    let depth = looked.ok().filter(|status| status.restarted).map(|status| status.depth);
    go_on::<P, C>(disk, case, recovered.is_ok().then_some(depth).flatten());
}

fn die_and_recover(disk: &Disk, case: &Case, recovered: &std::result::Result<(), String>, once: &[u8]) {
    disk.put(&case.image);
    let installed = install(Mortal(case.deaths_store));
    let _ = disk.repair(false); // it is dead, whatever it says
    drop(installed);
    let bytes = disk.bytes();
    let boot = bytes.get(BOOT_OFFSET..BOOT_OFFSET + ANOTHER_RUN.len());
    if boot.is_some_and(|boot| Some(boot) != system::boot_id().as_ref().map(|run| &run[..])) {
        assert_eq!(&outcome(disk.repair(false)), recovered, "after a death at store {}", case.deaths_store);
    }
    assert!(disk.bytes() == once, "after a death at store {} something else is left", case.deaths_store);
}

/// Whether it was done, or why not.
fn outcome(repaired: Result<Repair>) -> std::result::Result<(), String> {
    repaired.map(drop).map_err(|error| {
        assert!(!matches!(error, Error::Full | Error::Empty | Error::Forked | Error::Disconnected(_)));
        error.to_string()
    })
}

/// Attaches to the ring, receives what is there, and uses it. `depth`: so many messages come back.
fn go_on<P: Puts + Sends, C: Gets + Receives>(disk: &Disk, case: &Case, depth: Option<u64>) {
    let scratch = &disk.scratch;
    let both = if case.receiver_first {
        C::attach(scratch).and_then(|receiver| Ok((P::attach(scratch)?, receiver)))
    } else {
        P::attach(scratch).and_then(|sender| Ok((sender, C::attach(scratch)?)))
    };
    let (mut sender, mut receiver) = match both {
        Ok(both) => both,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty());
            if let Expected::Covered(_) = case.expected {
                assert!(matches!(error, Error::Corrupt(_)) && depth.is_none(), "{text}, of {depth:?}");
            }
            return;
        }
    };
    let delivered = drain(&mut receiver, sender.capacity());
    case.expected.check(&delivered, depth);
    if let (Expected::Covered(_), Ok(_)) = (&case.expected, &delivered) {
        for number in 0..MESSAGES {
            sender.put(number).expect("space in a ring that was drained");
            assert_eq!(receiver.get().expect("what was sent"), Some(number));
        }
    }
    let mut stage = Stage::of(scratch, Some(sender), Some(receiver));
    for step in &case.steps {
        stage.take(step, &mut Nobody);
    }
}

/// All that is there; at most as much as there can be.
fn drain(receiver: &mut impl Gets, capacity: u64) -> Result<Vec<Option<u64>>> {
    let mut delivered = Vec::new();
    loop {
        match receiver.get() {
            Ok(number) => delivered.push(number),
            Err(Error::Empty) => return Ok(delivered),
            Err(error @ (Error::Corrupt(_) | Error::Detached)) => return Err(error),
            Err(error) => panic!("receiving said what it has no reason to: {error:?}"),
        }
        assert!(delivered.len() as u64 <= capacity, "more messages than there is space for");
    }
}

impl Expected {
    fn check(&self, delivered: &Result<Vec<Option<u64>>>, depth: Option<u64>) {
        let (Self::Covered(ranges) | Self::Whole(ranges)) = self else { return };
        let delivered = match delivered {
            Ok(delivered) => delivered,
            Err(error) => {
                assert!(matches!(self, Self::Whole(_)), "a ring that was recovered: {error}");
                return;
            }
        };
        let numbers: Option<Vec<u64>> = delivered.iter().copied().collect();
        let numbers = numbers.unwrap_or_else(|| panic!("a torn message was delivered: {delivered:?}"));
        let covered = ranges.iter().any(|range| numbers.iter().copied().eq(range.clone()));
        assert!(covered, "delivered {numbers:?}, of {ranges:?}");
        assert_eq!(depth, Some(numbers.len() as u64), "another number than was foretold");
    }
}

/// No other process writes.
struct Nobody;

impl Surroundings for Nobody {
    fn patch(&mut self, _: &Patch) {}
    fn attaches(&mut self, _: Role) {}
    fn attached(&mut self, _: Role, _: u64) {}
}
