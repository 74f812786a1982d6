//! Names that no other test uses, and that leave nothing behind.

#![allow(dead_code)] // each test binary uses its part

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A ring's name, removed with whatever has it when this goes out of scope, after a failure too.
pub(crate) struct Scratch(pub(crate) String);

impl Scratch {
    pub(crate) fn new(what: &str) -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed); // a unique number is all that is needed
        Self(format!("{}{what}-{count}", prefix()))
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        std::path::Path::new("/dev/shm").join(&self.0)
    }
}

impl Scratch {
    /// Writes into the ring as somebody does who must not.
    pub(crate) fn scribble(&self, offset: usize, bytes: &[u8]) {
        let file = std::fs::OpenOptions::new().write(true).open(self.path()).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, bytes, offset as u64).unwrap();
    }

    /// Reads what is in the ring.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        let file = std::fs::File::open(self.path()).unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&file, bytes, offset as u64).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

/// What all names of this process begin with. A process that survives us removes them, should we be killed.
fn prefix() -> &'static str {
    static PREFIX: OnceLock<(String, Child)> = OnceLock::new();
    let (prefix, _) = PREFIX.get_or_init(|| {
        let random = shm_core::Identity::random().unwrap();
        let prefix = format!("shm-ring-test-{}-{random}-", std::process::id());
        // It reads until the pipe to it closes, which happens when we end, however we end.
        let script = format!("trap '' INT TERM HUP; cat >/dev/null; rm -f /dev/shm/{prefix}*");
        let mut survivor = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        survivor.stdin.as_mut().unwrap().flush().unwrap();
        (prefix, survivor)
    });
    prefix
}
