//! Forks wait while something changes that a child must not get half of.

#![allow(unsafe_code)] // pthread_atfork

use crate::sync::{AtomicBool, Ordering};
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by whoever is in a section, and by whoever forks.
static GATE: Mutex<()> = Mutex::new(());
static HANDLED: AtomicBool = AtomicBool::new(false);

thread_local! {
    // Neither has a destructor, so both can be used whenever a handler or a destructor runs.
    /// How many sections of this thread enclose one another; a fork is one of them.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static HELD: Cell<Option<ManuallyDrop<MutexGuard<'static, ()>>>> = const { Cell::new(None) };
}

/// As long as it lives, no other thread forks by the C library or is in a section.
///
/// A fork by the thread itself, in a signal handler or in another library's fork handler, does not wait for its
/// own section but goes ahead: it may copy what is half done, which is better than to hang.
#[derive(Debug)]
pub(crate) struct Section {
    /// Left by the thread that entered.
    _not_send: core::marker::PhantomData<*const ()>,
}

impl Section {
    pub(crate) fn enter() -> Self {
        let handled = HANDLED.load(Ordering::Relaxed); // handlers that are set twice do no harm: sections nest
        if !handled {
            // SAFETY: the handlers are functions of this library; they allocate nothing, and take no lock but
            // `GATE`, which no section holds while it waits for a fork.
            let result = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
            // Out of memory, we do without, and try again next time.
            HANDLED.store(result == 0, Ordering::Relaxed); // as above
        }
        enter();
        Self { _not_send: core::marker::PhantomData }
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        leave();
    }
}

fn enter() {
    let depth = DEPTH.get();
    // Before the lock is taken: a fork by a signal handler in between does not wait for this thread.
    DEPTH.set(depth.saturating_add(1));
    if depth == 0 {
        let held = GATE.lock().unwrap_or_else(PoisonError::into_inner);
        HELD.set(Some(ManuallyDrop::new(held)));
    }
}

fn leave() {
    let depth = DEPTH.get();
    if depth == 1 {
        drop(HELD.take().map(ManuallyDrop::into_inner));
    }
    DEPTH.set(depth.saturating_sub(1));
}

extern "C" fn before() {
    enter();
}

extern "C" fn in_parent() {
    leave();
}

/// Runs in the child, whose only thread is a copy of the one that holds the gate.
extern "C" fn in_child() {
    super::guard::wipe();
    super::descriptor::let_all_go();
    super::reservation::fill_holes();
    leave();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_nest_and_exclude_other_threads() {
        let outer = Section::enter();
        drop(Section::enter());
        assert!(GATE.try_lock().is_err());
        let other = std::thread::spawn(|| drop(Section::enter()));
        assert!(!other.is_finished());
        drop(outer);
        other.join().unwrap();
        assert_eq!(DEPTH.get(), 0);
    }
}
