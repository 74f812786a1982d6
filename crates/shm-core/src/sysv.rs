//! System V segments: shared memory that is found by a number, not by a name in the file system.
//!
//! The oldest kind, for peers that speak nothing else (databases, X11's MIT-SHM), and for machines without
//! `/dev/shm`. Where there is a choice, take [`crate::object`]: keys collide, a segment has no descriptor and so
//! no locks, and what a killed program left is told from what is in use by guesswork only ([`Stat::is_stale`]).
//!
//! # Life
//!
//! ```text
//!   shmget -> exists -> shmat -> attached -> shmdt (or exec, or the end of the process) -> exists
//!                \                   \
//!              IPC_RMID            IPC_RMID -> attached, no key -> last shmdt
//!                  \                                                   \
//!                  gone                                                gone
//! ```
//!
//! A segment is born full of zeros, whole in one call; but who opens it may be faster than its creator, who has
//! yet to fill it. It outlives its creator, killed or not, until somebody removes it or the IPC namespace
//! ends. (With `kernel.shm_rmid_forced` set it goes with the last process that has it attached.) One that
//! is marked for removal right after it was attached goes with the processes; see [`crate::zone`].
//!
//! `/proc/PID/maps` shows every attached segment as `/SYSV` with its key and `(deleted)` behind it. That does not mean
//! that it was removed: the kernel keeps it as a file without a name from the beginning. Whether it is marked for
//! removal, [`Stat::marked_for_removal`] tells.
//!
//! # Memory
//!
//! No file system's size limits segments, but `/proc/sys/kernel/shmmax` (bytes in one), `shmall` (pages in all) and
//! `shmmni` (how many). Space is promised at creation as far as `/proc/sys/vm/overcommit_memory` demands, and taken
//! page by page at the first touch. By default the kernel promises more than it has: then a touch may end this or
//! another process as out of memory. Huge pages are set aside when the segment is created.
//!
//! # Permission
//!
//! Opening asks for no right, so that an owner can remove what he can not read; attaching and looking do. Anybody
//! may create a segment under a key that you expect, and let you in: whose segments are attached, [`Options::owner`]
//! says; mine and root's unless said otherwise.
//!
//! ```no_run
//! use shm_core::Access;
//! use shm_core::sysv::{Key, Segment};
//! # fn main() -> Result<(), shm_core::Error> {
//! let key = Key::of_path("/etc/hostname", b'T')?;
//! let (segment, _) = Segment::open_or_create(key, 1 << 20)?;
//! segment.attach(Access::ReadWrite)?.copy_in(0, b"hello")?;
//! # Ok(())
//! # }
//! ```

mod call;
mod key;
mod list;
mod refusal;
mod segment;
mod stat;

use crate::error::{Error, Result};
use crate::huge::HugePages;
use crate::object::{Birth, Owner};
use crate::system::page_bytes;
pub use key::Key;
pub use list::list;
use refusal::Get;
use rustix::io::Errno;
pub use segment::Segment;
pub use stat::Stat;

const MODE_DEFAULT: u32 = 0o600;

/// How to create or open a segment. The last call says which.
#[derive(Clone, Debug, Default)]
pub struct Options {
    mode: Option<u32>,
    owner: Owner,
    huge_pages: Option<HugePages>,
}

impl Options {
    /// Segments of ordinary pages with mode 0600; those attached belong to me or root.
    pub fn new() -> Self {
        Self::default()
    }

    /// Permission bits of a new segment, exactly these: the umask has no say in them. The bits to execute mean
    /// nothing to regions.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode & 0o777);
        self
    }

    /// Whose segments [`Segment::attach`] attaches: both owner and creator must be trusted.
    #[must_use]
    pub fn owner(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    /// A new segment is to have huge pages. They are set aside at once, so that no touch can fail later.
    #[must_use]
    pub fn huge_pages(mut self, huge_pages: HugePages) -> Self {
        self.huge_pages = Some(huge_pages);
        self
    }

    /// Creates a segment of `bytes` zero bytes under `key`. Never opens one that exists.
    ///
    /// # Errors
    /// [`Error::ZeroLength`]; [`Error::Refused`] with what stands against it: the key is taken, a limit of the machine,
    /// the pool of huge pages.
    pub fn create(&self, key: Key, bytes: u64) -> Result<Segment> {
        self.make(Some(key), bytes)
    }

    /// Creates a segment of `bytes` zero bytes without a key (`IPC_PRIVATE`): others get it by its id, or by a fork.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn private(&self, bytes: u64) -> Result<Segment> {
        self.make(None, bytes)
    }

    /// Opens the segment of `key`, which must have at least `bytes` bytes; with 0, any.
    ///
    /// # Errors
    /// [`Error::Refused`]: there is none, or it is smaller.
    pub fn open(&self, key: Key, bytes: u64) -> Result<Segment> {
        let get = Get { key: Some(key), bytes, creating: false, huge: None };
        let id = call::get(key.as_raw(), bytes, 0).map_err(|errno| get.refused(errno))?;
        Ok(self.segment(id, Some(key), bytes, None))
    }

    /// Opens the segment of `key`, which must have at least `bytes` bytes, or creates it with just these. One that
    /// exists keeps its mode and pages.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`open`](Self::open), except that neither presence nor absence of the
    /// segment is one.
    pub fn open_or_create(&self, key: Key, bytes: u64) -> Result<(Segment, Birth)> {
        // Not in one call: `shmget` without IPC_EXCL does not tell who created it.
        loop {
            match self.create(key, bytes) {
                Err(Error::Refused { source, .. }) if is(&source, Errno::EXIST) => {}
                other => return other.map(|segment| (segment, Birth::Created)),
            }
            match self.open(key, bytes) {
                Err(Error::Refused { source, .. }) if is(&source, Errno::NOENT) => {} // removed meanwhile
                other => return other.map(|segment| (segment, Birth::Opened)),
            }
        }
    }

    /// The segment of that id; see [`Segment::from_id`].
    pub fn from_id(&self, id: i32) -> Segment {
        self.segment(id, None, 0, None)
    }

    fn make(&self, key: Option<Key>, bytes: u64) -> Result<Segment> {
        if bytes == 0 {
            let object = key.map_or_else(|| "a private System V segment".to_owned(), refusal::show_key);
            return Err(Error::ZeroLength { object });
        }
        let raw = key.map_or(libc::IPC_PRIVATE, Key::as_raw);
        let mode = self.mode.unwrap_or(MODE_DEFAULT).cast_signed();
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | mode;
        let ordinary = Get { key, bytes, creating: true, huge: None };
        if let Some(wanted) = self.huge_pages {
            // Of sizes that are none there are no pages: the kernel's own answer for those.
            let size = wanted.size_flag().map(|flag| flag.cast_signed() | libc::SHM_HUGETLB | flags);
            match size.map_or(Err(Errno::INVAL), |flags| call::get(raw, bytes, flags)) {
                Ok(id) => return Ok(self.segment(id, key, bytes, Some(wanted.page_bytes()))),
                // What ordinary pages are no cure for.
                Err(errno) if !wanted.falls_back() || errno == Errno::EXIST => {
                    return Err(Get { huge: Some(wanted), ..ordinary }.refused(errno));
                }
                Err(_) => {}
            }
        }
        let id = call::get(raw, bytes, flags).map_err(|errno| ordinary.refused(errno))?;
        Ok(self.segment(id, key, bytes, Some(page_bytes() as u64)))
    }

    fn segment(&self, id: i32, key: Option<Key>, bytes: u64, page_bytes: Option<u64>) -> Segment {
        Segment { id, key, bytes, page_bytes, owner: self.owner }
    }
}

fn is(source: &std::io::Error, errno: Errno) -> bool {
    source.raw_os_error() == Some(errno.raw_os_error())
}
