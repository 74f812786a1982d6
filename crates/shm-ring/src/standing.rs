//! What stands against any further call of a handle: what is noted in the ring, garbage that was found, a fork.

use crate::error::{Error, Result};
use crate::layout::{NOTICE_POISONED, NOTICE_REMOVED};
use shm_core::Guard;

/// What a handle knows of it beside the ring's notices.
#[derive(Debug)]
pub(crate) struct Standing {
    guard: Guard,
    corrupt: Option<&'static str>,
}

impl Standing {
    /// Of a handle that is made in this process.
    pub(crate) fn new() -> Self {
        Self { guard: Guard::new(), corrupt: None }
    }

    /// Whether nothing stands against any further call.
    #[inline(always)]
    pub(crate) fn is_ready(&self, notices: u32) -> bool {
        notices == 0 && self.corrupt.is_none() && !self.is_forked_copy()
    }

    /// As [`is_ready`](Self::is_ready), for a side that first receives what was sent: only garbage stands against that.
    #[inline(always)]
    pub(crate) fn is_sound(&self, notices: u32) -> bool {
        notices & NOTICE_POISONED == 0 && self.corrupt.is_none() && !self.is_forked_copy()
    }

    /// What stands against any further call. `by` is who else may have found garbage.
    #[cold]
    pub(crate) fn not_ready(&mut self, notices: u32, by: &'static str) -> Result<()> {
        self.ours()?;
        if self.corrupt.is_none() && notices & NOTICE_POISONED != 0 {
            self.corrupt = Some(by); // for good, whatever becomes of the word
        }
        if let Some(what) = self.corrupt {
            Err(Error::Corrupt(what))
        } else if notices & NOTICE_REMOVED != 0 {
            Err(Error::Detached)
        } else {
            Ok(())
        }
    }

    /// Notes garbage, for good. Whether the error tells of it and none was known: others are to be told then.
    pub(crate) fn finds_garbage(&mut self, error: &Error) -> bool {
        match *error {
            Error::Corrupt(what) if self.corrupt.is_none() => {
                self.corrupt = Some(what);
                true
            }
            _ => false,
        }
    }

    /// Whether this handle is this process's own, and not the copy that a fork made in a child.
    #[inline(always)]
    pub(crate) fn ours(&self) -> Result<()> {
        if self.is_forked_copy() { Err(Error::Forked) } else { Ok(()) }
    }

    /// Whether this is the copy of a handle that a fork made in a child. The seat is the parent's.
    #[inline(always)]
    pub(crate) fn is_forked_copy(&self) -> bool {
        self.guard.is_forked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_remembered_and_told_to_others_once() {
        let mut standing = Standing::new();
        assert!(
            standing.is_ready(0) && standing.is_sound(NOTICE_REMOVED) && !standing.is_ready(NOTICE_REMOVED)
        );
        assert!(matches!(standing.not_ready(NOTICE_REMOVED, "another"), Err(Error::Detached)));
        assert!(!standing.finds_garbage(&Error::Full));
        assert!(standing.not_ready(0, "another").is_ok());
        assert!(standing.finds_garbage(&Error::Corrupt("first")));
        assert!(!standing.finds_garbage(&Error::Corrupt("second")));
        assert!(!standing.is_ready(0) && !standing.is_sound(0));
        assert!(matches!(standing.not_ready(NOTICE_REMOVED, "another"), Err(Error::Corrupt("first"))));
    }

    #[test]
    fn a_poisoned_ring_stays_so_whatever_becomes_of_the_notice() {
        let mut standing = Standing::new();
        assert!(!standing.is_sound(NOTICE_POISONED | NOTICE_REMOVED) && !standing.is_ready(NOTICE_POISONED));
        assert!(standing.is_ready(0), "a look notes nothing");
        for notices in [NOTICE_POISONED, 0] {
            assert!(matches!(standing.not_ready(notices, "another"), Err(Error::Corrupt("another"))));
        }
    }
}
