//! Deaths between two stores.

use proptest::prelude::*;
use shm_core::hostile::{Interloper, Touch, install};
use std::cell::Cell;
use std::rc::Rc;

/// After how many stores somebody dies, if he does.
pub(crate) type Fate = Option<u32>;

/// Of one operation in four. No operation makes more stores than that, but some attachments.
pub(crate) fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![3 => Just(None), 1 => (0..24_u32).prop_map(Some)]
}

/// Lets so many stores through.
struct Death(Rc<Cell<u32>>);

impl Interloper for Death {
    fn before_store(&mut self, _: Touch) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

/// Does something that ends with a death after so many stores, or when it is done: what it made, which is gone, told
/// only where it was done before.
pub(crate) fn dies<H, R>(after: u32, does: impl FnOnce() -> (H, R)) -> Option<R> {
    let left = Rc::new(Cell::new(after));
    let installed = install(Death(left.clone()));
    let (handle, result) = does();
    let done = left.get() > 0;
    // What destructors store is lost as well.
    left.set(0);
    drop(handle);
    drop(installed);
    done.then_some(result)
}
