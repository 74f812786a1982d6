//! Tests of one process, some of which start others. Whatever they start has, until it executes its program, copies of
//! all descriptors that other threads have open, with the locks on them.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static STARTING: RwLock<()> = RwLock::new(());

/// Held while a process is started.
pub(crate) fn starting() -> RwLockWriteGuard<'static, ()> {
    STARTING.write().unwrap_or_else(PoisonError::into_inner)
}

/// Held by those for whom what they close must be closed: nobody starts a process meanwhile.
pub(crate) fn nobody_starts() -> RwLockReadGuard<'static, ()> {
    STARTING.read().unwrap_or_else(PoisonError::into_inner)
}
