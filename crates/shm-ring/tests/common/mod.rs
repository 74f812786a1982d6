//! Names that no other test uses, and that leave nothing behind.

#![allow(dead_code)] // each test binary uses its part

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A ring's name, removed with whatever has it when this goes out of scope, after a failure too.
pub(crate) struct Scratch(pub(crate) String);

impl Scratch {
    pub(crate) fn new(what: &str) -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed); // a unique number is all that is needed
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        Self(format!("shm-ring-test-{what}-{}-{nanos:x}-{count}", std::process::id()))
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        std::path::Path::new("/dev/shm").join(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}
