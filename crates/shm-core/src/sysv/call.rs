//! The four system calls of System V segments, and nothing else.

#![allow(unsafe_code)] // calls that rustix does not have, and what `shmat` maps

use crate::region::{Access, Held, Region};
use core::ptr::NonNull;
use libc::{c_int, c_void, shmid_ds};
use rustix::io::Errno;

/// Looks a segment up by its place, whatever its mode (Linux 4.17).
pub(super) const SHM_STAT_ANY: c_int = 15;
/// The same, of those that this user may read.
pub(super) const SHM_STAT: c_int = 13;
const SHM_INFO: c_int = 14;

/// What all segments together have, as `shmctl(SHM_INFO)` lays it out.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) segments: c_int,
    pub(super) pages: libc::c_ulong,
    resident_pages: libc::c_ulong,
    swapped_pages: libc::c_ulong,
    unused: [libc::c_ulong; 2],
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn answer(result: c_int) -> Result<c_int, Errno> {
    if result < 0 { Err(last_errno()) } else { Ok(result) }
}

/// `shmget`: the id of a segment.
pub(super) fn get(key: c_int, bytes: u64, flags: c_int) -> Result<c_int, Errno> {
    let bytes = usize::try_from(bytes).map_err(|_| Errno::INVAL)?;
    // SAFETY: it takes no pointers.
    answer(unsafe { libc::shmget(key, bytes, flags) })
}

/// `shmctl` with a command that takes no argument: `IPC_RMID`, `SHM_LOCK`, `SHM_UNLOCK`.
pub(super) fn control(id: c_int, command: c_int) -> Result<(), Errno> {
    // SAFETY: these commands look at no buffer.
    answer(unsafe { libc::shmctl(id, command, core::ptr::null_mut()) }).map(drop)
}

/// `shmctl` with a command that fills the description of a segment; with its id.
pub(super) fn stat(id_or_index: c_int, command: c_int) -> Result<(c_int, shmid_ds), Errno> {
    // SAFETY: integers only; all zeros are a value of each.
    let mut description: shmid_ds = unsafe { core::mem::zeroed() };
    // SAFETY: the buffer is the structure that the command fills.
    let result = answer(unsafe { libc::shmctl(id_or_index, command, &raw mut description) })?;
    // IPC_STAT answers 0, the others the id.
    Ok((if command == libc::IPC_STAT { id_or_index } else { result }, description))
}

/// `shmctl(IPC_SET)`: gives the segment the owner, group and mode of `description`.
pub(super) fn set(id: c_int, mut description: shmid_ds) -> Result<(), Errno> {
    // SAFETY: the buffer is the structure that the command reads.
    answer(unsafe { libc::shmctl(id, libc::IPC_SET, &raw mut description) }).map(drop)
}

/// A description for [`set`], of which nothing but these counts.
pub(super) fn description(user: u32, group: u32, mode: u32) -> shmid_ds {
    // SAFETY: integers only; all zeros are a value of each.
    let mut description: shmid_ds = unsafe { core::mem::zeroed() };
    description.shm_perm.uid = user;
    description.shm_perm.gid = group;
    set_mode(&mut description, mode);
    description
}

/// Of other bits than these the kernel takes none.
#[allow(clippy::cast_possible_truncation)] // the field's width differs between targets; nine bits fit each
pub(super) fn set_mode(description: &mut shmid_ds, mode: u32) {
    description.shm_perm.mode = (mode & 0o777) as _;
}

/// `shmctl(SHM_INFO)`: what there is in all, and the highest place that is taken.
pub(super) fn usage() -> Result<(c_int, Usage), Errno> {
    let mut usage = Usage::default();
    // SAFETY: the buffer is the structure that this command fills.
    let highest = answer(unsafe { libc::shmctl(0, SHM_INFO, (&raw mut usage).cast()) })?;
    Ok((highest, usage))
}

/// A segment that is attached to this process; detached when dropped. A forked child has an attachment of its own,
/// which its copy of this detaches.
pub(super) struct Attachment {
    address: NonNull<c_void>,
    id: c_int,
    access: Access,
}

// SAFETY: an address, which any thread may give back; the memory is reached as every region's is.
unsafe impl Send for Attachment {}
// SAFETY: as above.
unsafe impl Sync for Attachment {}

impl Attachment {
    /// `shmat`, where the kernel likes.
    pub(super) fn new(id: c_int, access: Access) -> Result<Self, Errno> {
        let flags = if access == Access::ReadOnly { libc::SHM_RDONLY } else { 0 };
        // SAFETY: no address is asked for, so nothing that is mapped is replaced.
        let address = unsafe { libc::shmat(id, core::ptr::null(), flags) };
        if address.addr() == usize::MAX {
            return Err(last_errno());
        }
        NonNull::new(address).map(|address| Self { address, id, access }).ok_or(Errno::NOMEM)
    }

    /// The region of all its bytes, and the segment's description, from which their number is.
    pub(super) fn into_region(self) -> Result<(Region, shmid_ds), Errno> {
        let (_, description) = stat(self.id, libc::IPC_STAT)?;
        let access = self.access;
        // SAFETY: while it is attached, its id can not come to mean another segment, and no segment changes its size:
        // so many bytes are attached at the address, with that access, until this is dropped.
        let region = unsafe { Region::from_held(Box::new(self), description.shm_segsz, access) };
        Ok((region.map_err(|_| Errno::INVAL)?, description))
    }
}

impl Held for Attachment {
    fn base(&self) -> *mut u8 {
        self.address.as_ptr().cast()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // SAFETY: `shmat` attached it there, and the region, words and events on it are gone. It can only fail if
        // nothing is attached there.
        unsafe { libc::shmdt(self.address.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use crate::sysv::Key;

    #[test]
    fn keys_of_paths_are_those_of_the_c_library() {
        for path in [c"/", c"/dev", c"/dev/null", c"/proc/self/exe", c"/etc/passwd", c"/tmp"] {
            for project in [1, b'T', 0x7f, 0x80, 0xff] {
                // SAFETY: the path is a string that ends with a zero byte.
                let theirs = unsafe { libc::ftok(path.as_ptr(), i32::from(project)) };
                let ours = Key::of_path(path.to_str().unwrap(), project).unwrap();
                assert_eq!(ours.as_raw(), theirs, "{path:?} {project}");
            }
        }
    }
}
