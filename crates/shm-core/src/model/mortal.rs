//! Killing a thread before a store of its own: what a kill between two instructions leaves behind, since nothing
//! but stores leaves anything.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    /// The thread that is to die, and how many stores it has left. (All of a model's threads are one of the system's.)
    static MORTAL: RefCell<Option<(usize, usize)>> = const { RefCell::new(None) };
}

/// What unwinds through a thread that is killed.
struct Killed;

/// Runs `life` and kills this thread before it stores once more than `stores` times. Whether it was killed.
///
/// One thread of a model at a time.
pub fn run(stores: usize, life: impl FnOnce()) -> bool {
    MORTAL.set(Some((me(), stores)));
    let end = catch_unwind(AssertUnwindSafe(life));
    MORTAL.set(None);
    match end {
        Ok(()) => false,
        Err(what) if what.is::<Killed>() => true,
        Err(panic) => resume_unwind(panic),
    }
}

/// A store is about to happen.
pub(crate) fn step() {
    let killed = MORTAL.with_borrow_mut(|mortal| match mortal {
        Some((thread, left)) if *thread == me() => {
            let none_left = *left == 0;
            *left = left.saturating_sub(1);
            none_left
        }
        _ => false,
    });
    // Whatever is dropped on the way out belongs to a dead one, and stores nothing any more.
    if killed && !std::thread::panicking() {
        resume_unwind(Box::new(Killed));
    }
}

/// A number of the thread that calls this.
#[allow(clippy::cast_possible_truncation)] // a hash
pub(crate) fn me() -> usize {
    let mut hasher = DefaultHasher::new();
    loom::thread::current().id().hash(&mut hasher);
    hasher.finish() as usize
}
