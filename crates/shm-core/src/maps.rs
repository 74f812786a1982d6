//! Who maps an object, as `/proc` tells.
//!
//! Looking changes nothing but the time of the last access, and nobody who is looked at notices. What is
//! told was true of each process at the moment when it was read; by the time it is told it may have changed.
//!
//! A file is found by its device and inode, so under any name, and when it was unlinked. A System V segment is found
//! by its id, which is the inode of its mappings; all of them are named `/SYSV`, the key it was created with, and
//! `(deleted)`, which does not mean that it was removed.
//!
//! What is not found:
//!
//! * Mappings of processes that are in no pid namespace which this `/proc` shows, or that it hides (`hidepid`).
//! * Mappings of processes that this user may not read, mostly those of other users. They are
//!   [counted](Maps::unreadable_processes).
//! * A segment in processes that have changed their IPC namespace since they attached it. Another namespace may have
//!   a segment of the same id, so only processes in the caller's are looked at.
//! * Those who have the object open and do not map it.
//!
//! On file systems where files of several volumes share a device, such as btrfs, a file of another
//! volume with the same inode number is told as well.
//!
//! ```
//! use shm_core::{Access, Memfd, maps};
//! # fn main() -> Result<(), shm_core::Error> {
//! let object = Memfd::new("mapped").create(3 * 4096)?;
//! let region = object.map_part(Access::ReadOnly, 4096, 8192)?;
//! let found = maps::of_object(&object)?;
//! let [mapping] = &found.mappings[..] else { panic!("one process maps it, once") };
//! assert_eq!((mapping.pid, mapping.address), (std::process::id(), region.address() as u64));
//! assert_eq!((mapping.offset, mapping.bytes), (4096, 8192));
//! assert_eq!(mapping.rights.to_string(), "r--s");
//! # Ok(())
//! # }
//! ```

mod process;
mod target;
mod text;

use crate::error::{Error, Result};
use crate::object::{Directory, Object};
use crate::place::Place;
use crate::sysv::Segment;
use process::Found;
use std::fmt;
use target::Target;

/// Who maps an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Maps {
    /// The mappings, by process and address.
    pub mappings: Vec<Mapping>,
    /// How many processes may not be read: whether they map the object is not known. Root
    /// may read most, or all.
    pub unreadable_processes: usize,
}

/// A range of a process's addresses at which an object is mapped. A process has several of one object when it mapped
/// it more than once, or changed the rights of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mapping {
    /// The process.
    pub pid: u32,
    /// What it runs, as `ps -o comm` shows it: at most 15 bytes, of its own choice. Any characters may be in it.
    pub command: String,
    /// The first address.
    pub address: u64,
    /// How many bytes are mapped: whole pages.
    pub bytes: u64,
    /// Where in the object the first of them is.
    pub offset: u64,
    /// What may be done there.
    pub rights: Rights,
    /// How many of the bytes this process has in memory; pages that it never touched do not count. `None` where the
    /// kernel does not tell (it has no `smaps`).
    pub resident_bytes: Option<u64>,
}

/// What a process may do with a mapping. Shown as `/proc/PID/maps` shows it: `rw-s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Load from it.
    pub read: bool,
    /// Store into it.
    pub write: bool,
    /// Execute it.
    pub execute: bool,
    /// Stores reach the object and all who share it (`MAP_SHARED`); otherwise they stay in the process.
    pub shared: bool,
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |is: bool, letter: char| if is { letter } else { '-' };
        let [read, write, execute] =
            [letter(self.read, 'r'), letter(self.write, 'w'), letter(self.execute, 'x')];
        write!(f, "{read}{write}{execute}{}", if self.shared { 's' } else { 'p' })
    }
}

/// Who maps what is at a place. `directory` is where POSIX objects are. It need be no ring, and need not be
/// readable for this user.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::Refused`] for a segment, when there is nothing; [`Error::NotAnObject`] when it is a
/// directory, a link or the like; [`Error::Unsupported`] where there is no `/proc`; or what the system says.
pub fn of_place(place: &Place, directory: &Directory) -> Result<Maps> {
    look_for(&Target::of_place(place, directory)?)
}

/// Who maps an object, this process included. It may have lost its name, or never had one.
///
/// # Errors
/// [`Error::Forked`] in a forked child; [`Error::Unsupported`] where there is no `/proc`; or what the system says.
pub fn of_object(object: &Object) -> Result<Maps> {
    look_for(&Target::of_object(object)?)
}

/// Who has attached a System V segment, this process included. It may be marked for removal, and is found then by its
/// id alone.
///
/// # Errors
/// [`Error::Refused`] when there is no such segment; [`Error::Unsupported`] where there is no `/proc`; or what the
/// system says.
pub fn of_segment(segment: &Segment) -> Result<Maps> {
    look_for(&Target::of_segment(segment)?)
}

fn look_for(target: &Target) -> Result<Maps> {
    let mut maps = Maps::default();
    for pid in process::all()? {
        match process::look(pid, target)? {
            Found::Mappings(mappings) => maps.mappings.extend(mappings),
            Found::Unreadable => maps.unreadable_processes += 1,
            Found::Ended => {}
        }
    }
    Ok(maps)
}

/// That there is no `/proc` to be asked.
fn no_proc() -> Error {
    Error::Unsupported { what: "telling who maps an object", reason: "/proc is not mounted here" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_shown_as_proc_shows_them() {
        let rights = Rights { read: true, write: false, execute: true, shared: true };
        assert_eq!(rights.to_string(), "r-xs");
        let rights = Rights { read: false, write: true, execute: false, shared: false };
        assert_eq!(rights.to_string(), "-w-p");
    }
}
