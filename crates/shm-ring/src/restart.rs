//! Rings in files, and machines that stop.
//!
//! Between two runs of the machine a file has, page by page, some version that the page had since it was last flushed:
//! the kernel writes when it likes to, and in any order. So of a ring that was not flushed nothing can be believed, not
//! even that it is one. What a flush covered can be, as long as it was not written over since.
//!
//! ```text
//! flush                                          first attach in another run of the machine
//!   lock the flush byte                            lock the flush byte; boot says: another run
//!   note the positions                             the record with a good checksum and the greatest number
//!   fsync: the messages are on the disk            its messages have its digest? no: Err(Corrupt)
//!   digest of the messages between the positions   write all words as at birth, with its positions
//!   write the older record                         boot = this run
//!   fsync: the record is on the disk
//! ```
//!
//! # Why nothing torn is delivered
//! A message is delivered after a restart only if the digest over all messages of the record is the one that was
//! taken of them in memory, after they were published. The record that is being written is not the one that counts
//! until it is whole, which its checksum tells. No word of the ring but the record's messages is believed: not the
//! positions, not the seats.
//!
//! # Why it finds what was flushed
//! What lies between the positions was on the disk when the record was written. It stays as it is until it is received
//! and its space is used again: in an SPSC ring no earlier than the next lap; in an MPMC ring as soon as it is
//! received. Then the digest is wrong, and the ring [`Corrupt`](crate::Error::Corrupt): never torn, but gone. What
//! was received since the flush and not written over comes again.
//!
//! # Why a kill or another stop at any moment does no harm
//! Recovery reads the record and its messages and writes only other words; `boot` is stored last. Whoever finds another
//! run's `boot` does it all again. Nobody takes part before `boot` is this run's, and only the lock's holder writes
//! until then. Where somebody holds a seat nevertheless, on another machine that shares the file, nothing is recovered.

mod digest;
mod mpmc;
mod record;
mod spsc;

use crate::error::{Error, Result, Role};
use crate::layout::Geometry;
use crate::layout::restart::{BOOT_OFFSET, FLUSH_LOCK_BYTE};
use digest::Digest;
use record::Record;
use shm_core::lock::{self, Lock};
use shm_core::sync::{Ordering, fence};
use shm_core::{Deadline, Header, Identity, Object, ReadWord, Region, Word, system};
use std::time::Duration;

/// Between two attempts at the lock, which is held while the disk writes.
const RETRY: Duration = Duration::from_millis(1);

/// What a flush notes, and a recovery sets up again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Snapshot {
    /// Position of the first message.
    first: u64,
    /// Position behind the last.
    end: u64,
    /// Messages sent up to there.
    count: u64,
    /// Of the messages between.
    digest: u64,
    sending: Side,
    receiving: Side,
}

/// What is known of those who send, or of those who receive; see [`crate::layout::restart::SIDE_BYTES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Side {
    tenure: u64,
    dropped: u64,
    died: u64,
    told: u64,
}

/// What a participant needs for flushing.
#[derive(Debug)]
pub(crate) struct Flusher {
    region: Region,
    geometry: Geometry,
    instance: Identity,
    outlives_restarts: bool,
    /// The disk has failed: what it lost, the kernel does not say again.
    failed: bool,
}

impl Flusher {
    pub(crate) fn new(
        object: &Object,
        region: Region,
        geometry: Geometry,
        instance: Identity,
    ) -> Result<Self> {
        Ok(Self { outlives_restarts: object.outlives_restarts()?, failed: false, region, geometry, instance })
    }

    /// Sees to it that what is in the ring now is there after a stop of the machine. Nothing to do for memory.
    pub(crate) fn flush(&mut self, object: &Object, deadline: Deadline) -> Result<()> {
        if !self.outlives_restarts {
            return Ok(());
        }
        if self.failed {
            return Err(Error::from(shm_core::Error::Unsupported {
                what: "another flush",
                reason: "the disk failed at an earlier one, and what it lost then it would not say again; \
                         receive what is there, and create the ring anew",
            }));
        }
        let _locked = Locked::take(object, deadline)?;
        let failed = core::cell::Cell::new(false);
        let sync = || {
            object.sync().map_err(|error| {
                failed.set(true);
                Error::from(error)
            })
        };
        let flushed = self.flush_locked(sync);
        self.failed = failed.get();
        flushed
    }

    fn flush_locked(&self, sync: impl Fn() -> Result<()>) -> Result<()> {
        let snapshot = if self.geometry.kind.is_mpmc() {
            mpmc::take(&self.region, &self.geometry, &sync)?
        } else {
            spsc::take(&self.region, &self.geometry, &sync)?
        };
        record::write(&self.region, self.instance, &snapshot)?;
        sync()
    }
}

/// The lock of whoever flushes or recovers.
struct Locked<'a>(&'a Object);

impl<'a> Locked<'a> {
    fn take(object: &'a Object, deadline: Deadline) -> Result<Self> {
        while !lock::try_lock(object, FLUSH_LOCK_BYTE, Lock::Exclusive)? {
            if deadline.has_passed() {
                return Err(Error::TimedOut);
            }
            std::thread::sleep(RETRY.min(deadline.remaining()));
        }
        fence(Ordering::Acquire); // F21 pairs with R17
        Ok(Self(object))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // If it can not be given back now, it is when the object closes. A forked child has no thread that is here.
        let _ = lock::unlock(self.0, FLUSH_LOCK_BYTE);
    }
}

/// At a ring's birth, which counts as its first flush: it is empty.
pub(crate) fn initialise(region: &Region, header: &Header) -> shm_core::Result<()> {
    region.copy_in(BOOT_OFFSET, &system::boot_id().unwrap_or_default())?;
    let empty = Snapshot { digest: Digest::new().value(), ..Snapshot::default() };
    record::write(region, header.instance, &empty)
}

/// Whether the ring was last used in another run of the machine, and so is what the disk made of it.
pub(crate) fn is_from_another_run(object: &Object, region: &Region) -> Result<bool> {
    if !object.outlives_restarts()? {
        return Ok(false);
    }
    let Some(this_run) = system::boot_id() else {
        return Err(Error::from(shm_core::Error::Unsupported {
            what: "a ring in a file",
            reason: "/proc/sys/kernel/random/boot_id can not be read, so it can not be told whether the machine \
                     was restarted since",
        }));
    };
    let mut boot = [0; 16];
    for (at, half) in boot.chunks_exact_mut(8).enumerate() {
        let word: ReadWord<u64> = region.read_word(BOOT_OFFSET + at * 8)?;
        half.copy_from_slice(&word.load(Ordering::Acquire).to_le_bytes()); // A22 pairs with R17
    }
    Ok(boot != this_run)
}

/// Sets up a ring from another run of the machine as it was when it was flushed last. The caller attends the object.
///
/// # Errors
/// [`Error::Corrupt`] when that is not all there.
pub(crate) fn recover(
    object: &Object,
    region: &Region,
    instance: Identity,
    geometry: &Geometry,
    deadline: Deadline,
) -> Result<()> {
    let _locked = Locked::take(object, deadline)?;
    if !is_from_another_run(object, region)? {
        return Ok(()); // somebody else was faster
    }
    if somebody_sits(object, geometry)? {
        return Err(Error::from(shm_core::Error::Unsupported {
            what: "a ring in a file",
            reason: "processes of another run of the machine, or of another machine, are at it",
        }));
    }
    let snapshot = flushed(region, instance)?;
    if geometry.kind.is_mpmc() {
        mpmc::give(region, geometry, &snapshot)?;
    } else {
        spsc::give(region, geometry, &snapshot)?;
    }
    for (at, half) in system::boot_id().unwrap_or_default().chunks_exact(8).enumerate() {
        let word: Word<u64> = region.word(BOOT_OFFSET + at * 8)?;
        let half = half.try_into().map_or(0, u64::from_le_bytes); // it has 8 bytes
        word.store(half, Ordering::Release); // R17 pairs with A22 F21
    }
    Ok(())
}

/// Whether anybody holds a seat. In this run of the machine nobody can yet; on another one that shares the file
/// somebody may, and so may a process that was moved here while it ran.
fn somebody_sits(object: &Object, geometry: &Geometry) -> Result<bool> {
    let is_held = |byte| lock::is_free(object, byte).map(|free| !free);
    if geometry.kind.is_mpmc() {
        for seat in 0..geometry.participants {
            if is_held(crate::mpmc::seat::lock_byte(seat))? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    Ok(is_held(crate::seat::lock_byte(Role::Producer))? || is_held(crate::seat::lock_byte(Role::Consumer))?)
}

/// How many messages [`recover`] would bring back. Changes nothing.
pub(crate) fn recoverable(region: &Region, instance: Identity, geometry: &Geometry) -> Result<u64> {
    let snapshot = flushed(region, instance)?;
    if geometry.kind.is_mpmc() {
        mpmc::verify(region, geometry, &snapshot).map(|_| snapshot.end - snapshot.first)
    } else {
        spsc::verify(region, geometry, &snapshot)
    }
}

fn flushed(region: &Region, instance: Identity) -> Result<Snapshot> {
    let newest = record::read_all(region, instance)?.into_iter().flatten().max_by_key(|record| record.number);
    newest.map(|Record { snapshot, .. }| snapshot).ok_or(LOST)
}

/// What a flush covered is not whole.
const LOST: Error = Error::Corrupt(
    "the machine was restarted, and what was flushed before was written over or is not on the disk",
);
