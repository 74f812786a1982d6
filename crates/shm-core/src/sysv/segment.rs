//! A segment: what can be asked of it and done to it.

use super::{Key, Options, Stat, call, refusal};
use crate::error::{Error, Result};
use crate::object::{Birth, Owner};
use crate::region::{Access, Region};
use rustix::io::Errno;

/// The call that locks, by which its refusals are told from those of others.
pub(super) const LOCK: &str = "shmctl(SHM_LOCK)";

/// A System V segment, known by its id.
///
/// It is a number and no more: it keeps nothing alive, dropping it changes nothing, and a forked child may use its
/// copy as well. The segment exists until it is [removed](Self::remove), or the machine (its IPC namespace) ends.
///
/// ```
/// use shm_core::Access;
/// use shm_core::sysv::Segment;
/// # fn main() -> Result<(), shm_core::Error> {
/// let segment = Segment::private(5000)?;
/// let region = segment.attach(Access::ReadWrite)?;
/// segment.remove()?; // at once: the memory stays until the last region on it is gone
/// region.copy_in(4995, b"hello")?;
/// let stat = segment.stat()?;
/// assert_eq!((stat.bytes, stat.attach_count, stat.marked_for_removal), (5000, 1, true));
/// drop(region);
/// assert!(segment.stat().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Segment {
    pub(super) id: i32,
    /// As it was created or opened by.
    pub(super) key: Option<Key>,
    /// What this handle asked for when it created or opened it; 0 if nothing. For errors.
    pub(super) bytes: u64,
    pub(super) page_bytes: Option<u64>,
    pub(super) owner: Owner,
}

impl Segment {
    /// Creates a segment of `bytes` zero bytes under `key`, mode 0600. See [`Options::create`].
    ///
    /// # Errors
    /// As there.
    pub fn create(key: Key, bytes: u64) -> Result<Self> {
        Options::new().create(key, bytes)
    }

    /// Creates a segment that nobody finds by a key, mode 0600. See [`Options::private`].
    ///
    /// # Errors
    /// As there.
    pub fn private(bytes: u64) -> Result<Self> {
        Options::new().private(bytes)
    }

    /// Opens the segment of that key, whatever its size. See [`Options::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(key: Key) -> Result<Self> {
        Options::new().open(key, 0)
    }

    /// Opens the segment of that key, or creates it. See [`Options::open_or_create`].
    ///
    /// # Errors
    /// As there.
    pub fn open_or_create(key: Key, bytes: u64) -> Result<(Self, Birth)> {
        Options::new().open_or_create(key, bytes)
    }

    /// The segment of that id, as another process's [`id`](Self::id) told it. Nothing is asked of the kernel: if there
    /// is no such segment, every call says so.
    pub fn from_id(id: i32) -> Self {
        Options::new().from_id(id)
    }

    /// Its id, by which any process in this IPC namespace may mean it.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// The key it was created or opened by. [`stat`](Self::stat) tells the one it has now.
    pub fn key(&self) -> Option<Key> {
        self.key
    }

    /// Bytes in each of its pages, if this handle created it: whether it got huge pages, where
    /// [ordinary ones](crate::HugePages::or_ordinary) would do. `None` if it was opened: the kernel does not tell.
    pub fn page_bytes(&self) -> Option<u64> {
        self.page_bytes
    }

    /// Size, owner, mode, users and times, as they are now.
    ///
    /// # Errors
    /// [`Error::Refused`]: there is no such segment, or this user may not read it.
    pub fn stat(&self) -> Result<Stat> {
        let (id, raw) =
            call::stat(self.id, libc::IPC_STAT).map_err(|errno| self.refused("shmctl(IPC_STAT)", errno))?;
        Ok(Stat::new(id, &raw, self.page_bytes))
    }

    /// Sets owner, group and permission bits; `None` leaves one as it is. Who is attached stays attached.
    ///
    /// With all three nothing is read first, so that an owner who took the right to read from himself can have
    /// it back; otherwise somebody else's change in the same moment may be undone.
    ///
    /// # Errors
    /// [`Error::Refused`]: only the owner, the creator and root may.
    pub fn set(&self, owner: Option<u32>, group: Option<u32>, mode: Option<u32>) -> Result<()> {
        let description = match (owner, group, mode) {
            (Some(owner), Some(group), Some(mode)) => call::description(owner, group, mode),
            _ => {
                let now = self.stat()?;
                let (owner, group) = (owner.unwrap_or(now.owner_uid), group.unwrap_or(now.owner_gid));
                call::description(owner, group, mode.unwrap_or(now.mode))
            }
        };
        call::set(self.id, description).map_err(|errno| self.refused("shmctl(IPC_SET)", errno))
    }

    /// Removes it: nobody finds it by its key any more, and its memory goes when the last process has detached it,
    /// now if it is attached nowhere. Those attached keep it and are not told. Removing it again is no error as long
    /// as somebody is attached.
    ///
    /// # Errors
    /// [`Error::Refused`]: only the owner, the creator and root may; there is no such segment.
    pub fn remove(&self) -> Result<()> {
        self.control("shmctl(IPC_RMID)", libc::IPC_RMID)
    }

    /// Attaches it to this process, at an address of the kernel's choice. It is detached when the last region, word
    /// or event on it goes; by exec; and at the end of the process, however it ends. A forked child has it
    /// attached as well, on its own account.
    ///
    /// With [`Access::ReadOnly`] it is attached so (`SHM_RDONLY`): the processor refuses stores. That needs the right
    /// to read, the other both rights.
    ///
    /// The region has the segment's size in bytes as it was asked for, not rounded to pages. A segment never changes
    /// its size, so no access to the region faults for that.
    ///
    /// # Errors
    /// [`Error::ForeignOwner`]; [`Error::Refused`]: its mode does not allow it, it was removed, or there is no address
    /// space left.
    pub fn attach(&self, access: Access) -> Result<Region> {
        if access == Access::Nothing {
            let reason = "a segment is attached for reading, or for reading and writing";
            return Err(Error::Unsupported { what: "attaching without access", reason });
        }
        let attachment =
            call::Attachment::new(self.id, access).map_err(|errno| self.refused("shmat", errno))?;
        let (region, raw) =
            attachment.into_region().map_err(|errno| self.refused("shmctl(IPC_STAT)", errno))?;
        let stat = Stat::new(self.id, &raw, self.page_bytes);
        // The creator can take the ownership back, and so counts as an owner.
        let strangers = [stat.owner_uid, stat.creator_uid].into_iter().find(|&uid| !self.owner.trusts(uid));
        match strangers {
            Some(owner_uid) => Err(Error::ForeignOwner { object: self.show(), owner_uid }),
            None => Ok(region),
        }
    }

    /// Keeps its pages in memory (`SHM_LOCK`): those that are there, and others from when they are first touched.
    /// Stays so until [`unlock`](Self::unlock), whatever becomes of this process.
    ///
    /// # Errors
    /// [`Error::Refused`]: it takes more than `RLIMIT_MEMLOCK` allows, or this is neither its owner nor its creator.
    pub fn lock(&self) -> Result<()> {
        self.control(LOCK, libc::SHM_LOCK)
    }

    /// Lets its pages be swapped out again (`SHM_UNLOCK`).
    ///
    /// # Errors
    /// [`Error::Refused`]: this is neither its owner nor its creator.
    pub fn unlock(&self) -> Result<()> {
        self.control("shmctl(SHM_UNLOCK)", libc::SHM_UNLOCK)
    }

    fn control(&self, name: &'static str, command: i32) -> Result<()> {
        call::control(self.id, command).map_err(|errno| self.refused(name, errno))
    }

    fn refused(&self, call: &'static str, errno: Errno) -> Error {
        refusal::on_segment(call, self.show(), self.bytes, errno)
    }

    fn show(&self) -> String {
        match self.key {
            Some(key) => format!("{} (id {})", refusal::show_key(key), self.id),
            None => format!("the System V segment of id {}", self.id),
        }
    }
}
