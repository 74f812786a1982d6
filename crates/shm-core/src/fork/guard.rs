//! Whether this is a child of the process that made a handle.

#![allow(unsafe_code)] // a page that the kernel wipes in children

use super::Section;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// The word that is 0 in a child until it makes a guard of its own: in a page that is never unmapped, or
/// [`UNWIPED`]; null before the first guard.
static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(core::ptr::null_mut());
/// Takes the page's place where the kernel has no such page (before Linux 4.14). Wiped by the fork handler.
static UNWIPED: AtomicU64 = AtomicU64::new(0);
/// How many generations this process and its ancestors have begun.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

/// Tells whether the process that made it has forked, and this is the child.
///
/// ```
/// let guard = shm_core::Guard::new();
/// assert!(!guard.is_forked());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    word: &'static AtomicU64,
    /// What the word held in the process that made the guard. Never 0, and never the same in a child.
    generation: u64,
}

impl Guard {
    /// A guard of the process that calls this.
    #[allow(clippy::new_without_default)] // a default has no business knowing the process
    pub fn new() -> Self {
        let word = word();
        let generation = word.load(Ordering::Relaxed); // nothing else is read because of it
        if generation != 0 {
            return Self { word, generation };
        }
        // No fork in the middle: a child must not have the count from before and a guard from after.
        let _section = Section::enter();
        let count = GENERATIONS.fetch_add(1, Ordering::Relaxed).wrapping_add(1); // a number, nothing else
        // The count alone would do; the process id makes up for forks that no section keeps out.
        let fresh = count << 32 | u64::from(std::process::id());
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed); // a number, nothing else
        let generation = match word.compare_exchange(0, fresh, success, failure) {
            Ok(_) => fresh,
            Err(another_thread_s) => another_thread_s,
        };
        Self { word, generation }
    }

    /// Whether this is a copy in a forked child. Costs one load.
    #[inline(always)]
    pub fn is_forked(self) -> bool {
        self.word.load(Ordering::Relaxed) != self.generation // the child has run no other thread before
    }
}

/// In a child, where the kernel may not have wiped the word.
pub(super) fn wipe() {
    UNWIPED.store(0, Ordering::Relaxed); // the child has no other thread yet
}

fn word() -> &'static AtomicU64 {
    let known = WORD.load(Ordering::Acquire); // A30 pairs with X30
    if !known.is_null() {
        // SAFETY: what was published there is never unmapped.
        return unsafe { AtomicU64::from_ptr(known.cast()) };
    }
    // No lock: a child that another thread forks right now would find it taken for ever.
    let fresh = wiped_page().unwrap_or(core::ptr::from_ref(&UNWIPED).cast_mut());
    let (success, failure) = (Ordering::AcqRel, Ordering::Acquire); // X30 pairs with A30 X30
    let word = match WORD.compare_exchange(core::ptr::null_mut(), fresh, success, failure) {
        Ok(_) => fresh,
        Err(another_thread_s) => {
            if fresh.cast_const() != core::ptr::from_ref(&UNWIPED) {
                // SAFETY: this mapping was just made, and nobody was told of it.
                let _ = unsafe { munmap(fresh.cast(), rustix::param::page_size()) };
            }
            another_thread_s
        }
    };
    // SAFETY: a word of a page that stays mapped, or the static one.
    unsafe { AtomicU64::from_ptr(word.cast()) }
}

fn wiped_page() -> Option<*mut AtomicU64> {
    let bytes = rustix::param::page_size();
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping where the kernel likes.
    let page = unsafe { mmap_anonymous(core::ptr::null_mut(), bytes, rights, MapFlags::PRIVATE) }.ok()?;
    // SAFETY: the advice concerns children only, and in them a page that nobody uses yet.
    let wiped = unsafe { madvise(page, bytes, Advice::LinuxWipeOnFork) };
    if wiped.is_err() {
        // SAFETY: this mapping was just made, and nobody was told of it.
        let _ = unsafe { munmap(page, bytes) };
        return None;
    }
    Some(page.cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_of_one_process_agree() {
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(Guard::new)).collect();
        for thread in threads {
            let guard = thread.join().unwrap();
            assert!(!guard.is_forked() && guard.generation == Guard::new().generation);
        }
    }

    #[test]
    fn the_page_is_one_that_the_kernel_wipes() {
        let address = format!("{:x}-", core::ptr::from_ref(Guard::new().word) as usize);
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let ours = maps.lines().skip_while(|line| !line.starts_with(&address));
        let flags = ours.skip(1).find(|line| line.starts_with("VmFlags:")).unwrap();
        assert!(flags.split(' ').any(|flag| flag == "wf"), "{flags}");
    }
}
