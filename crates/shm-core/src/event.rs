//! An event count: one shared word that counts occurrences, with sleeping and deadlines.
//!
//! Whoever changes something calls [`Event::signal`]; whoever waits reads the count, looks at what it
//! waits for, and sleeps only while the count is still the one it read. A signal between the look and
//! the sleep changes the count, so the kernel's comparison refuses the sleep: nothing is lost.
//!
//! ```
//! use shm_core::{Deadline, Event, Listener, Region, Woken, sync::Ordering};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), shm_core::Error> {
//! let region = Region::on_heap(4096)?; // or a mapping that another process has as well
//! let event = Event::new(&region, 0)?;
//! let ready = region.word::<u64>(8)?;
//!
//! let listener = Listener::new(&region, 0)?;
//! let waiter = std::thread::spawn(move || {
//!     loop {
//!         let seen = listener.count();
//!         if ready.load(Ordering::Relaxed) == 1 { // pairs with the count
//!             break;
//!         }
//!         listener.wait(seen, Deadline::NEVER).unwrap();
//!     }
//! });
//! region.word::<u64>(8)?.store(1, Ordering::Relaxed);
//! event.signal()?;
//! waiter.join().unwrap();
//! # Ok(())
//! # }
//! ```
//!
//! [`wait_any`] sleeps on several words at once: on an event and on the [life words](crate::life) of those who are
//! to signal it, for instance.

use crate::clock::Deadline;
use crate::error::{Error, Result};
use crate::region::Region;
use crate::sync::{AtomicU32, Ordering};
use crate::system;
use crate::word::{ReadWord, Word};
use rustix::io::Errno;
use rustix::thread::{ClockId, futex};

/// How many words [`wait_any`] sleeps on at once, at most: the kernel's limit.
pub const WORDS_MAX: usize = 128;
/// As many as are slept on mostly, or more.
const WORDS_FEW: usize = 4;

/// Whether [`wait_any`] can sleep on several words: 0 where nobody has asked the kernel yet.
static SEVERAL: AtomicU32 = AtomicU32::new(0);
const CAN: u32 = 1;
const CAN_NOT: u32 = 2;

/// Why [`Listener::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The count may have changed, or the wait was interrupted: look at your condition again.
    LookAgain,
    /// The deadline has passed.
    TimedOut,
}

/// The signalling side of an event. Needs a region mapped for writing.
#[derive(Debug)]
pub struct Event {
    count: Word<u32>,
}

/// The waiting side of an event. Reading rights are enough, also in the kernel.
#[derive(Debug)]
pub struct Listener {
    count: ReadWord<u32>,
}

impl Event {
    /// The event whose word is at `offset` of `region` (a multiple of 4; zeroed memory is a fresh event).
    ///
    /// # Errors
    /// When the word does not fit, is unaligned, or the region is read-only.
    pub fn new(region: &Region, offset: usize) -> Result<Self> {
        Ok(Self { count: region.word(offset)? })
    }

    /// The waiting side of this very event.
    pub fn listener(&self) -> Listener {
        Listener { count: self.count.reader() }
    }

    /// Counts one occurrence and wakes everybody who sleeps; returns how many slept.
    ///
    /// What was stored before the call is visible to whoever sees the new count. Always makes one
    /// system call. All are woken, never one: a single woken process may be killed before it runs, and
    /// the wake-up would go with it. Killed between the count and the wake-up, a process leaves sleepers
    /// that wake at the next signal or at their deadline.
    ///
    /// # Errors
    /// When the kernel refuses the wake-up, which it has no known reason to.
    pub fn signal(&self) -> Result<usize> {
        self.count.fetch_add(1, Ordering::Release); // R1 pairs with A1
        self.count.wake_all()
    }
}

impl Listener {
    /// The event whose word is at `offset` of `region`.
    ///
    /// # Errors
    /// When the word does not fit or is unaligned.
    pub fn new(region: &Region, offset: usize) -> Result<Self> {
        Ok(Self { count: region.read_word(offset)? })
    }

    /// The present count. It wraps around after 2^32 occurrences; compare it for equality only.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire) // A1 pairs with R1
    }

    /// The count as a word to [wait](wait_any) on together with others.
    #[inline]
    pub fn word(&self) -> &ReadWord<u32> {
        &self.count
    }

    /// Sleeps while the count is `seen`, until the deadline. Wakes spuriously, after signals too.
    ///
    /// # Errors
    /// When the kernel refuses to wait, which it has no known reason to.
    pub fn wait(&self, seen: u32, deadline: Deadline) -> Result<Woken> {
        Ok(if self.count.sleep_while(seen, deadline)? { Woken::TimedOut } else { Woken::LookAgain })
    }
}

/// Whether [`wait_any`] sleeps on all of its words and not on the first only. Asks the kernel once.
pub fn can_wait_on_several() -> bool {
    let known = SEVERAL.load(Ordering::Relaxed); // a fact about the kernel, nothing else
    if known != 0 {
        return known == CAN;
    }
    let can = system::has_futex_waitv();
    SEVERAL.store(if can { CAN } else { CAN_NOT }, Ordering::Relaxed); // as above
    can
}

/// Sleeps while every one of the words holds the value beside it, until the deadline. Wakes spuriously, after
/// signals too. Whoever returns from here does not know which word it was and looks at all of them.
///
/// `first` is the word whose change must not be missed. Where the kernel can not wait on several words
/// (see [`can_wait_on_several`]), it is the only one that is slept on; and of more than [`WORDS_MAX`] words it
/// is the first that many, `first` included. So whoever has a reason to look at the other words even then
/// chooses the deadline accordingly.
///
/// A word that holds another value than expected for good makes every call return at once: leave it out.
///
/// # Errors
/// When the kernel refuses to wait, which it has no known reason to.
pub fn wait_any(
    first: (&ReadWord<u32>, u32),
    others: &[(&ReadWord<u32>, u32)],
    deadline: Deadline,
) -> Result<Woken> {
    if !others.is_empty() && can_wait_on_several() {
        // Room for few is made ready sooner than room for all that may be.
        let answer = if others.len() < WORDS_FEW {
            wait_on::<WORDS_FEW>(&first, others, deadline)
        } else {
            wait_on::<WORDS_MAX>(&first, others, deadline)
        };
        match answer {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => return Ok(Woken::LookAgain),
            Err(Errno::TIMEDOUT) => return Ok(Woken::TimedOut),
            // A filter that was set after we asked.
            Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS | Errno::INVAL) => {
                SEVERAL.store(CAN_NOT, Ordering::Relaxed); // as in `can_wait_on_several`
            }
            Err(errno) => return Err(Error::system("futex_waitv", "shared words", errno)),
        }
    }
    let (word, expected) = first;
    Ok(if word.sleep_while(expected, deadline)? { Woken::TimedOut } else { Woken::LookAgain })
}

/// Waits on up to `ROOM` words.
fn wait_on<const ROOM: usize>(
    first: &(&ReadWord<u32>, u32),
    others: &[(&ReadWord<u32>, u32)],
    deadline: Deadline,
) -> core::result::Result<usize, Errno> {
    let mut waiters = [futex::Wait::new(); ROOM];
    let words = core::iter::once(first).chain(others);
    let used =
        waiters.iter_mut().zip(words).map(|(waiter, (word, expected))| *waiter = word.waiter(*expected));
    let count = used.count();
    // All words are borrowed, and so mapped, for the length of the call.
    let flags = futex::WaitvFlags::empty();
    let waiters = waiters.get(..count).unwrap_or_default();
    futex::waitv(waiters, flags, deadline.timespec().as_ref(), ClockId::Monotonic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_changed_count_refuses_the_sleep() {
        let region = Region::on_heap(64).unwrap();
        let event = Event::new(&region, 4).unwrap();
        let listener = event.listener();
        let seen = listener.count();
        assert_eq!(event.signal().unwrap(), 0);
        assert_eq!(listener.wait(seen, Deadline::NEVER).unwrap(), Woken::LookAgain);
    }

    #[test]
    fn a_deadline_ends_the_sleep() {
        let region = Region::on_heap(64).unwrap();
        let listener = Listener::new(&region, 0).unwrap();
        let deadline = Deadline::after(Duration::from_millis(5));
        while listener.wait(0, deadline).unwrap() == Woken::LookAgain {}
        assert!(deadline.has_passed());
    }

    #[test]
    fn a_sleeper_is_woken() {
        let region = Region::on_heap(64).unwrap();
        let event = Event::new(&region, 0).unwrap();
        let listener = event.listener();
        let sleeper = std::thread::spawn(move || {
            while listener.count() == 0 {
                listener.wait(0, Deadline::NEVER).unwrap();
            }
        });
        event.signal().unwrap();
        sleeper.join().unwrap();
    }

    #[test]
    fn any_of_several_words_ends_the_sleep_or_refuses_it() {
        assert!(can_wait_on_several(), "a kernel before 5.16");
        let region = Region::on_heap(4096).unwrap();
        let words: Vec<ReadWord<u32>> = (0..200).map(|index| region.read_word(index * 4).unwrap()).collect();
        let expected: Vec<(&ReadWord<u32>, u32)> = words.iter().map(|word| (word, 0)).collect();
        let soon = || Deadline::after(Duration::from_millis(5));
        let at_once = |count: usize| wait_any(expected[0], &expected[1..count], soon()).unwrap();
        for count in [1, 2, WORDS_MAX, WORDS_MAX + 1, 200] {
            assert_eq!(at_once(count), Woken::TimedOut, "{count} words");
        }
        for changed in [0, 1, WORDS_MAX - 1] {
            region.word::<u32>(changed * 4).unwrap().store(1, Ordering::Relaxed); // test
            assert_eq!(at_once(200), Woken::LookAgain, "word {changed}");
            region.word::<u32>(changed * 4).unwrap().store(0, Ordering::Relaxed); // test
        }
        // What is beyond the limit is left out, and nothing else.
        region.word::<u32>(WORDS_MAX * 4).unwrap().store(1, Ordering::Relaxed); // test
        assert_eq!(at_once(200), Woken::TimedOut);
    }

    #[test]
    fn a_sleeper_on_several_words_is_woken_by_any() {
        assert!(can_wait_on_several(), "a kernel before 5.16");
        for signalled in 0..3 {
            let region = Region::on_heap(4096).unwrap();
            let listeners: Vec<Listener> =
                (0..3).map(|at| Listener::new(&region, at * 64).unwrap()).collect();
            let sleeper = std::thread::spawn(move || {
                let others = [(listeners[1].word(), 0), (listeners[2].word(), 0)];
                while listeners.iter().all(|listener| listener.count() == 0) {
                    wait_any((listeners[0].word(), 0), &others, Deadline::NEVER).unwrap();
                }
            });
            Event::new(&region, signalled * 64).unwrap().signal().unwrap();
            sleeper.join().unwrap();
        }
    }
}
