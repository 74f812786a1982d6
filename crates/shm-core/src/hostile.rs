//! For fuzzing and for tests of deaths, and compiled only for them (`--cfg shmring_hostile`): somebody who is told of
//! every access to shared memory that this thread makes, just before it is made.
//!
//! * Told of a load, he may store whatever he likes into another mapping of the same memory: the load sees that. A
//!   buggy or hostile process can do no worse, and hardly ever meets the moment.
//! * Told of a store, he may have it left out. With all stores from one moment on left out, those of destructors too,
//!   memory is what a process leaves that was killed at that moment; locks go when descriptors are closed, as ever.
//!   Exchanges that are left out seem to succeed, so that nobody tries them again for ever.
//!
//! A copy counts as one access. While he is told, he is not told of his own accesses.

use std::cell::RefCell;

/// Somebody who is told of accesses.
pub trait Interloper {
    /// The calling thread is about to load.
    fn before_load(&mut self, touch: Touch) {
        let _ = touch;
    }

    /// The calling thread is about to store; whether it shall.
    fn before_store(&mut self, touch: Touch) -> bool {
        let _ = touch;
        true
    }
}

/// What is about to be accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Where it begins, from the beginning of the mapping.
    pub offset: usize,
    /// How many bytes it has.
    pub bytes: usize,
}

/// Mappings that are remembered; those beyond are taken to be gone.
const MAPPINGS_MAX: usize = 64;

thread_local! {
    static INTERLOPER: RefCell<Option<Box<dyn Interloper>>> = const { RefCell::new(None) };
    /// Address and length of the mappings that this thread made, the newest last.
    static MAPPINGS: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
}

/// Ends the telling when dropped.
#[derive(Debug)]
#[must_use = "nobody is told any more when it is dropped"]
pub struct Installed(());

/// Has `interloper` told of this thread's accesses, instead of whoever was before.
pub fn install(interloper: impl Interloper + 'static) -> Installed {
    INTERLOPER.set(Some(Box::new(interloper)));
    Installed(())
}

impl Drop for Installed {
    fn drop(&mut self) {
        // A thread that ends has nobody to tell any more.
        let _ = INTERLOPER.try_with(RefCell::take);
    }
}

/// A mapping of `bytes` bytes was made at `base`.
pub(crate) fn mapped(base: *const u8, bytes: usize) {
    let (base, end) = (base as usize, base as usize + bytes);
    let _ = MAPPINGS.try_with(|mappings| {
        let mut mappings = mappings.borrow_mut();
        // Where it lies, no other one is any more.
        mappings.retain(|&(start, length)| end <= start || start + length <= base);
        if mappings.len() == MAPPINGS_MAX {
            mappings.remove(0);
        }
        mappings.push((base, bytes));
    });
}

/// Tells of a load.
pub(crate) fn before_load(source: *const u8, bytes: usize) {
    tell(source, bytes, (), |interloper, touch| interloper.before_load(touch));
}

/// Tells of a store; whether it is to be made.
pub(crate) fn before_store(target: *const u8, bytes: usize) -> bool {
    tell(target, bytes, true, |interloper, touch| interloper.before_store(touch))
}

/// Tells of a load and a store in one; whether it is to be made.
pub(crate) fn before_exchange(cell: *const u8, bytes: usize) -> bool {
    before_load(cell, bytes);
    before_store(cell, bytes)
}

fn tell<R>(
    at: *const u8,
    bytes: usize,
    nobody: R,
    tell: impl FnOnce(&mut Box<dyn Interloper>, Touch) -> R,
) -> R {
    let Some(offset) = offset_of(at as usize) else { return nobody };
    // Taken out, so that nobody is told of what he does himself.
    let Ok(Some(mut interloper)) = INTERLOPER.try_with(RefCell::take) else { return nobody };
    let answer = tell(&mut interloper, Touch { offset, bytes });
    INTERLOPER.set(Some(interloper));
    answer
}

/// Where in its mapping an address lies, if it lies in one that this thread made.
fn offset_of(address: usize) -> Option<usize> {
    let find = |mappings: &RefCell<Vec<(usize, usize)>>| {
        let mappings = mappings.borrow();
        let (base, _) =
            mappings.iter().rev().find(|(base, bytes)| (*base..*base + *bytes).contains(&address))?;
        Some(address - base)
    };
    MAPPINGS.try_with(find).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::Region;
    use crate::sync::Ordering;
    use crate::word::Word;

    struct Scribbler(Word<u64>);

    impl Interloper for Scribbler {
        fn before_load(&mut self, touch: Touch) {
            if touch == (Touch { offset: 8, bytes: 8 }) {
                self.0.fetch_add(1, Ordering::Relaxed); // one thread
            }
        }
    }

    struct Death(usize);

    impl Interloper for Death {
        fn before_store(&mut self, _: Touch) -> bool {
            self.0 = self.0.saturating_sub(1);
            self.0 > 0
        }
    }

    #[test]
    fn loads_see_what_was_stored_just_before() {
        let region = Region::on_heap(64).unwrap();
        let word: Word<u64> = region.word(8).unwrap();
        let installed = install(Scribbler(region.word(8).unwrap()));
        assert_eq!((word.load(Ordering::Relaxed), word.load(Ordering::Relaxed)), (1, 2)); // one thread
        assert_eq!(word.fetch_or(0, Ordering::Relaxed), 3); // one thread
        assert_eq!(region.read_value::<u64>(8).unwrap(), 4);
        assert_eq!(region.read_value::<u64>(0).unwrap(), 0);
        drop(installed);
        assert_eq!(word.load(Ordering::Relaxed), 4); // one thread
    }

    #[test]
    fn stores_are_left_out() {
        let region = Region::on_heap(64).unwrap();
        let word: Word<u64> = region.word(0).unwrap();
        let installed = install(Death(2));
        word.store(1, Ordering::Relaxed); // one thread
        assert_eq!(word.compare_exchange(5, 2, Ordering::Relaxed, Ordering::Relaxed), Ok(5)); // one thread
        assert_eq!(word.fetch_add(3, Ordering::Relaxed), 1); // one thread
        region.copy_in(0, &[9]).unwrap();
        drop(installed);
        assert_eq!(word.load(Ordering::Relaxed), 1); // one thread
        word.store(7, Ordering::Relaxed); // one thread
        assert_eq!(region.read_value::<u64>(0).unwrap(), 7);
    }
}
