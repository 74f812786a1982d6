//! Shared memory in one direction, made by one side, mapped by both, touched before anything is measured.
//!
//! ```text
//! 0        how many were written        one cache line of the writer's
//! 256      how many were read           one cache line of the reader's
//! 4096     slots
//! ```

use crate::watchdog::given_up;
use crate::{Failure, Result};
use shm_core::sync::Ordering;
use shm_core::{Access, MapOptions, Memfd, Object, Region, Span, Word, system};
use std::os::fd::{AsFd, OwnedFd};

pub(crate) const LINE_BYTES: usize = 64;
/// What a line carries beside its stamp.
pub(crate) const LINE_PAYLOAD_BYTES: usize = LINE_BYTES - size_of::<u64>();

const WRITTEN_OFFSET: usize = 0;
const READ_OFFSET: usize = 256;
const SLOTS_OFFSET: usize = 4096;
/// Looks between two at whether the case was given up.
const LOOKS: u32 = 4096;

/// One direction.
#[derive(Debug)]
pub(crate) struct Lane {
    /// The memory, for those who need its descriptor.
    pub(crate) object: Object,
    /// What the writer writes.
    pub(crate) written: Word<u64>,
    /// What the reader writes.
    pub(crate) read: Word<u64>,
    /// The slots: a power of two of bytes.
    pub(crate) slots: Region,
    /// All of it.
    pub(crate) all: Region,
}

impl Lane {
    /// New memory with so many bytes of slots, a power of two.
    pub(crate) fn create(slot_bytes: u64) -> Result<Self> {
        Self::map(Memfd::new("shm-measure").create(SLOTS_OFFSET as u64 + slot_bytes)?)
    }

    /// What another process made.
    pub(crate) fn open(descriptor: OwnedFd) -> Result<Self> {
        Self::map(Object::from_descriptor(descriptor, "shm-measure")?)
    }

    fn map(object: Object) -> Result<Self> {
        let all = object.map_with(&MapOptions::new(Access::ReadWrite).populate(true))?;
        system::touch(&all)?;
        Ok(Self {
            written: all.word(WRITTEN_OFFSET)?,
            read: all.word(READ_OFFSET)?,
            slots: all.part(Span::new(SLOTS_OFFSET, all.bytes() - SLOTS_OFFSET))?,
            object,
            all,
        })
    }

    pub(crate) fn descriptor(&self) -> Result<OwnedFd> {
        Ok(self.object.as_fd().try_clone_to_owned()?)
    }
}

/// Spins until `look` finds something.
#[inline(always)]
pub(crate) fn spin<T>(mut look: impl FnMut() -> Option<T>) -> Result<T> {
    loop {
        for _ in 0..LOOKS {
            if let Some(found) = look() {
                return Ok(found);
            }
            core::hint::spin_loop();
        }
        if given_up() {
            return Err(abandoned());
        }
    }
}

#[cold]
fn abandoned() -> Failure {
    "the other side did not answer".into()
}

/// Room for a writer that is at most `capacity` ahead of what the reader says: looked at only when what is known is not
/// enough.
#[derive(Debug, Default)]
pub(crate) struct Room {
    read: u64,
}

impl Room {
    #[inline(always)]
    pub(crate) fn is_there(&mut self, lane: &Lane, position: u64, capacity: u64) -> bool {
        if position.wrapping_sub(self.read) < capacity {
            return true;
        }
        self.read = lane.read.load(Ordering::Acquire); // A60 pairs with R60 and R61
        position.wrapping_sub(self.read) < capacity
    }
}

/// Says how far a reader is, every so often: `every` is a power of two.
#[inline(always)]
pub(crate) fn give_back(lane: &Lane, position: u64, every: u64) {
    if position & (every - 1) == 0 {
        lane.read.store(position, Ordering::Release); // R60 pairs with A60
    }
}

/// Says at once how far a reader is.
pub(crate) fn give_all_back(lane: &Lane, position: u64) {
    lane.read.store(position, Ordering::Release); // R61 pairs with A60
}
