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

use crate::clock::Deadline;
use crate::error::Result;
use crate::region::Region;
use crate::sync::Ordering;
use crate::word::{ReadWord, Word};

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

    /// Sleeps while the count is `seen`, until the deadline. Wakes spuriously, after signals too.
    ///
    /// # Errors
    /// When the kernel refuses to wait, which it has no known reason to.
    pub fn wait(&self, seen: u32, deadline: Deadline) -> Result<Woken> {
        Ok(if self.count.sleep_while(seen, deadline)? { Woken::TimedOut } else { Woken::LookAgain })
    }
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
}
