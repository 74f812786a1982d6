//! Names that no other test uses, and that leave nothing behind.

#![allow(dead_code)] // each test binary uses its part

use shm_core::{Access, Directory, Name, Object, Options, Place};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// After this long what has not happened is taken to happen never.
pub(crate) const FUSE: Duration = Duration::from_secs(300);

/// A ring's name, removed with whatever has it when this goes out of scope, after a failure too. In which kind of
/// memory the ring is, `SHMRING_TEST_MEMORY` says: `posix` (the default), `file` or `sysv`.
pub(crate) struct Scratch(pub(crate) String);

impl Scratch {
    pub(crate) fn new(what: &str) -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed); // a unique number is all that is needed
        let Process { prefix, keys, .. } = process();
        Self(match memory() {
            Memory::Posix => format!("{prefix}{what}-{count}"),
            Memory::File => format!("file:{}/{prefix}{what}-{count}", std::env::temp_dir().display()),
            Memory::Sysv => format!("sysv:{keys}{count:03x}"),
        })
    }

    fn locate(&self) -> (Options, Name) {
        self.0.parse::<Place>().unwrap().locate(&Directory::posix()).unwrap()
    }

    pub(crate) fn open(&self, access: Access) -> shm_core::Result<Object> {
        let (options, name) = self.locate();
        options.open(&name, access)
    }

    /// Takes the name away, without a word to those who use the ring.
    pub(crate) fn take_away(&self) -> shm_core::Result<()> {
        let (options, name) = self.locate();
        options.unlink(&name)
    }

    /// Writes into the ring as somebody does who must not.
    pub(crate) fn scribble(&self, offset: usize, bytes: &[u8]) {
        let region = self.open(Access::ReadWrite).unwrap().map(Access::ReadWrite).unwrap();
        region.copy_in(offset, bytes).unwrap();
    }

    /// Reads what is in the ring.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        let region = self.open(Access::ReadOnly).unwrap().map(Access::ReadOnly).unwrap();
        region.copy_out(offset, bytes).unwrap();
    }

    /// All of its bytes.
    pub(crate) fn read_all(&self) -> Vec<u8> {
        let region = self.open(Access::ReadOnly).unwrap().map(Access::ReadOnly).unwrap();
        let mut bytes = vec![0; region.bytes()];
        region.copy_out(0, &mut bytes).unwrap();
        bytes
    }

    /// Which ring has the name.
    pub(crate) fn inode(&self) -> Option<(u64, u64)> {
        Some(self.open(Access::ReadOnly).ok()?.stat().unwrap().inode)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.take_away();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    Posix,
    File,
    Sysv,
}

pub(crate) fn memory() -> Memory {
    match std::env::var("SHMRING_TEST_MEMORY").as_deref() {
        Err(_) | Ok("posix") => Memory::Posix,
        Ok("file") => Memory::File,
        Ok("sysv") => Memory::Sysv,
        Ok(other) => panic!("SHMRING_TEST_MEMORY={other}: posix, file or sysv"),
    }
}

struct Process {
    /// What all names of this process begin with,
    prefix: String,
    /// and all keys.
    keys: String,
    /// A process that survives us removes what has them, should we be killed.
    _survivor: Child,
}

fn process() -> &'static Process {
    static PROCESS: OnceLock<Process> = OnceLock::new();
    PROCESS.get_or_init(|| {
        let random = shm_core::Identity::random().unwrap().to_string();
        let prefix = format!("shm-ring-test-{}-{random}-", std::process::id());
        let keys = format!("0x{}", &random[..5]);
        let temporary = std::env::temp_dir();
        // It reads until the pipe to it closes, which happens when we end, however we end.
        let script = format!(
            "trap '' INT TERM HUP; cat >/dev/null; rm -f /dev/shm/{prefix}* {}/{prefix}*; \
             for companion in /dev/shm/.shmring-sysv-{keys}*; do \
             [ -e $companion ] && ipcrm -M ${{companion#*sysv-}} && rm -f $companion; done",
            temporary.display()
        );
        let mut survivor = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        survivor.stdin.as_mut().unwrap().flush().unwrap();
        Process { prefix, keys, _survivor: survivor }
    })
}
