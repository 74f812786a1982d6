//! Life words: a word in a shared object that says which process uses it, and that the kernel marks when the
//! process dies, however it dies. Whoever sleeps on the word is woken by that.
//!
//! ```
//! use shm_core::{Access, Deadline, Life, LifeState, Name, Options, life, wait_any};
//!
//! # fn main() -> Result<(), shm_core::Error> {
//! let name = Name::new(&format!("life-doc-{}", std::process::id()))?;
//! let object = Options::new().create(&name, 4096)?;
//! let region = object.map(Access::ReadWrite)?;
//! let (signals, life_of_peer) = (region.read_word(0)?, region.read_word(64)?);
//!
//! let life = Life::register(&object, 64)?; // the peer, in its process
//!
//! let alive = life::look(&life_of_peer);
//! assert_eq!(life::state(alive), LifeState::Alive);
//! # let moment = Deadline::now();
//! // Until a signal, the peer's death, or the moment:
//! wait_any((&signals, 0), &[(&life_of_peer, alive)], moment)?;
//!
//! drop(life); // the peer leaves in good order, which wakes nobody
//! assert_eq!(life::state(life::look(&life_of_peer)), LifeState::Nobody);
//! Options::new().unlink(&name)
//! # }
//! ```
//!
//! # A suspicion, not a verdict
//!
//! A mark says that something happened to the process, and that it is worth asking the kernel (see [`crate::lock`])
//! whether it is dead. It is no proof: whoever can write the object can write a mark; and the mark comes while the
//! process is still being taken down, when others of its threads may even execute their last instructions. Nor does a
//! missing mark prove life: whoever can write the object can remove it. Every sleep needs another reason to end.
//!
//! The kernel wakes *one* sleeper. Whoever is woken by a life word wakes the others before anything else.
//!
//! # How it works
//!
//! ```text
//!   the helper's list head ──> entry ──────> entry ──────> back to the head
//!   private pages:           [   e      ] [      e   ]    which nobody else can write
//!   futex_offset further:    [   w      ] [      w   ]    the objects' pages with the life words
//! ```
//!
//! The kernel keeps, for every thread, the head of a list of locks that the thread may hold ("robust futexes"). When
//! the thread ends, also by exec, the kernel follows the list; where a lock's word holds the thread's id, it sets
//! `FUTEX_OWNER_DIED` there, and if `FUTEX_WAITERS` is set as well, wakes one sleeper. A life word is such a lock
//! that is never released: it holds the id of a helper thread that does nothing but live as long as its process,
//! and `FUTEX_WAITERS` from its birth.
//!
//! The links of that list must not lie in shared memory, where somebody else could bend them and have this process
//! write where they like. The kernel finds the word at a fixed distance from the list entry, the same for all. So the
//! entries lie in one range of private pages, and the pages with the words are mapped once more, at
//! that distance, each at the place that corresponds to its entry's.
//!
//! # Why a kill at any instruction does no harm
//!
//! The helper writes list and word itself. It is the thread whose death makes the kernel follow the list, so the
//! kernel finds what a prefix of the helper's instructions has written, and never meets another thread in the
//! middle of a change:
//!
//! * *Registering* lets the entry point onwards, then the list point at the entry, then stores the word. Killed
//!   before the last: the kernel finds a word that does not hold the helper's id, and leaves it alone. What
//!   is never there is a word that says *alive* and is not on the list.
//! * *Leaving* stores 0, then takes the entry out. Killed in between: the word does not hold the helper's id.
//!   The page goes only when the entry is out of the list.
//! * The memory for both is prepared before, and cleared up afterwards, by the thread that registers or leaves;
//!   the kernel looks at none of it meanwhile.
//!
//! # Limits
//!
//! The kernel follows at most 2048 entries, so that is about how many life words a process may have. It also stops at
//! the first word that it can not reach, because somebody shortened the object: words registered before that one
//! are not marked then. A forked child has none of its parent's life words; it registers its own. `FUTEX_OWNER_DIED`
//! is set also when the helper alone ends, which only this process itself can bring about.

mod helper;
mod list;
#[cfg(test)]
mod steps;
mod window;

use crate::error::{Error, Result};
use crate::fork::{Guard, Section};
use crate::object::without_locks;
use crate::region::{Access, Region};
use crate::sync::Ordering;
use crate::system::page_bytes;
use crate::word::{ReadWord, Word};
use helper::Helper;
use rustix::fs::fstat;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use window::Source;

/// Somebody sleeps, or may: the kernel wakes nobody without this.
const WAITERS: u32 = 0x8000_0000;
/// Set by the kernel when the thread died.
const OWNER_DIED: u32 = 0x4000_0000;
const TID_MASK: u32 = 0x3fff_ffff;
/// What a life word's offset is a multiple of: its list entry, at the same place in another page, is a pointer.
pub const ALIGNMENT: u64 = 8;

/// What a life word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeState {
    /// Nobody has registered, or who had has left.
    Nobody,
    /// Somebody has registered, and the kernel has not marked the word.
    Alive,
    /// The kernel, or somebody who writes the word, suggests that who had registered is dead.
    Marked,
}

/// What the value of a life word says. Any value says something.
pub fn state(value: u32) -> LifeState {
    match (value & OWNER_DIED, value & TID_MASK) {
        (OWNER_DIED, _) => LifeState::Marked,
        (_, 0) => LifeState::Nobody,
        _ => LifeState::Alive,
    }
}

/// Loads a life word: its value, for [`state`] and for [`wait_any`](crate::wait_any).
#[inline]
pub fn look(word: &ReadWord<u32>) -> u32 {
    word.load(Ordering::Acquire) // A31 pairs with R31: what was stored before the registration is seen
}

/// A life word of this process, until it is dropped: 0 then, and nobody is woken.
///
/// In a forked child a copy does nothing when dropped: the word is the parent's.
#[derive(Debug)]
pub struct Life {
    guard: Guard,
    /// Of the word's list entry, from the beginning of the private pages.
    entry: usize,
}

/// Only used in a [`Section`], so that no fork copies it while it changes, or locked.
static HELPER: Mutex<Option<Helper>> = Mutex::new(None);

impl Life {
    /// Registers the word at `offset` of the object, which is open for writing. The word is the caller's alone: what
    /// it held is written over. The object may be closed afterwards.
    ///
    /// The first call in a process starts a thread that lives as long as the process, with all signals blocked,
    /// and reserves some megabytes of addresses.
    ///
    /// # Errors
    /// [`Error::Unaligned`], [`Error::OutOfBounds`], [`Error::Forbidden`] when it is not open for writing,
    /// [`Error::Unsupported`] when it is made of huge pages, or what the system says:
    /// no thread, no addresses, no such list in the kernel or in the container. None of
    /// these needs to stop anybody who bounds their peers' sleeps, and who does not do without is best told why.
    pub fn register(object: impl AsFd, offset: u64) -> Result<Self> {
        if !offset.is_multiple_of(ALIGNMENT) {
            return Err(Error::Unaligned { offset, alignment: ALIGNMENT });
        }
        let stat = fstat(&object).map_err(|errno| Error::system("fstat", OBJECT, errno))?;
        let bytes = u64::try_from(stat.st_size).unwrap_or(0);
        if offset.checked_add(size_of::<u32>() as u64).is_none_or(|end| end > bytes) {
            return Err(Error::OutOfBounds {
                offset: usize::try_from(offset).unwrap_or(usize::MAX),
                length: size_of::<u32>(),
                region_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            });
        }
        let section = Section::enter(); // no fork copies what is opened here
        let unlocked = without_locks(object.as_fd(), Access::ReadWrite);
        let file = unlocked.as_ref().map_or(object.as_fd(), AsFd::as_fd);
        Self::link(&section, &Source::File(file), offset)
    }

    /// The same for memory that has no descriptor: the word at `offset` of a region that shares all of its pages, such
    /// as an attached System V segment. The region may go afterwards.
    ///
    /// # Errors
    /// As [`register`](Self::register), and [`Error::ReadOnly`].
    pub fn register_in(region: &Region, offset: u64) -> Result<Self> {
        if !offset.is_multiple_of(ALIGNMENT) {
            return Err(Error::Unaligned { offset, alignment: ALIGNMENT });
        }
        let _: Word<u32> = region.word(usize::try_from(offset).unwrap_or(usize::MAX))?;
        let page_bytes = page_bytes() as u64;
        if !(region.address() as u64).is_multiple_of(page_bytes) {
            return Err(Error::Unaligned { offset: region.address() as u64, alignment: page_bytes });
        }
        Self::link(&Section::enter(), &Source::Mapping(region.address()), offset)
    }

    fn link(_section: &Section, source: &Source<'_>, offset: u64) -> Result<Self> {
        let guard = Guard::new();
        let mut place = lock();
        let mut helper = match place.take() {
            Some(helper) if !helper.is_forked() => helper,
            parent_s => {
                // What it refers to is not in this process. Not dropped: that might touch it.
                core::mem::forget(parent_s);
                Helper::start(guard)?
            }
        };
        let linked = helper.link(source, offset);
        *place = Some(helper);
        Ok(Self { guard, entry: linked? })
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.guard.is_forked() {
            return;
        }
        let _section = Section::enter();
        if let Some(helper) = &mut *lock() {
            helper.unlink(self.entry);
        }
    }
}

/// What messages call an object of which only the descriptor is known.
const OBJECT: &str = "the object of a life word";

fn lock() -> MutexGuard<'static, Option<Helper>> {
    HELPER.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Options;
    use crate::{Name, Object, Region};

    fn object(purpose: &str) -> (Object, Region) {
        let name = Name::new(&format!("shm-core-{purpose}-{}", std::process::id())).unwrap();
        let object = Options::new().create(&name, 16384).unwrap();
        Options::new().unlink(&name).unwrap();
        let region = object.map(Access::ReadWrite).unwrap();
        (object, region)
    }

    #[test]
    fn a_life_word_is_set_and_left() {
        let (object, region) = object("life");
        let word = region.read_word(4096 + 8).unwrap();
        assert_eq!(state(look(&word)), LifeState::Nobody);
        let life = Life::register(&object, 4096 + 8).unwrap();
        assert_eq!(state(look(&word)), LifeState::Alive);
        assert_ne!(look(&word) & WAITERS, 0);
        drop(object);
        drop(life);
        assert_eq!(look(&word), 0);
    }

    #[test]
    fn words_that_can_not_be_are_refused() {
        let (object, _) = object("refused");
        for offset in [4, 4095, 1] {
            assert!(matches!(Life::register(&object, offset).unwrap_err(), Error::Unaligned { .. }));
        }
        for offset in [16384, u64::MAX - 7] {
            assert!(matches!(Life::register(&object, offset).unwrap_err(), Error::OutOfBounds { .. }));
        }
        let only_read = std::fs::File::open("/proc/self/exe").unwrap();
        assert!(matches!(Life::register(&only_read, 0).unwrap_err(), Error::Forbidden { .. }));
    }

    #[test]
    fn words_of_one_page_come_and_go_in_any_order() {
        let (object, region) = object("many");
        let offsets = (0..2048).step_by(8);
        let register = |offset| Life::register(&object, offset as u64).unwrap();
        let mut lives: Vec<(usize, Life)> = offsets.map(|offset| (offset, register(offset))).collect();
        let mut turn = 7;
        while !lives.is_empty() {
            turn = (turn * 5 + 3) % lives.len();
            let (offset, life) = lives.swap_remove(turn);
            drop(life);
            assert_eq!(look(&region.read_word(offset).unwrap()), 0);
            for (offset, _) in lives.iter().take(3) {
                assert_eq!(state(look(&region.read_word(*offset).unwrap())), LifeState::Alive);
            }
        }
    }

    #[test]
    fn any_value_says_something() {
        assert_eq!(state(0), LifeState::Nobody);
        assert_eq!(state(WAITERS), LifeState::Nobody);
        assert_eq!(state(WAITERS | 77), LifeState::Alive);
        assert_eq!(state(77), LifeState::Alive);
        assert_eq!(state(WAITERS | OWNER_DIED), LifeState::Marked);
        assert_eq!(state(u32::MAX), LifeState::Marked);
    }
}
