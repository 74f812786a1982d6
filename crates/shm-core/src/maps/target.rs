//! By what an object's mappings are known.

use super::text::{self, Line};
use crate::error::{Cause, Error, Result};
use crate::huge;
use crate::memfd::Memfd;
use crate::name::Name;
use crate::object::{Directory, Object, stat_of, without_locks};
use crate::place::Place;
use crate::region::{Access, Holes, MapOptions};
use crate::sysv::{self, Segment};
use rustix::fs::{self, Mode, OFlags};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// A device as `/proc` shows it: major and minor number.
type Device = (u32, u32);

/// By what an object's mappings are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A file, with or without a name.
    File { device: Device, inode: u64 },
    /// A System V segment.
    Segment {
        /// Those on which the kernel keeps segments: one for ordinary pages, and one for each size of huge ones.
        devices: Vec<Device>,
        id: u64,
        /// If it has one that is known.
        key: Option<u32>,
        /// The IPC namespace in which this is its id; `None` where `/proc` does not tell.
        namespace: Option<PathBuf>,
    },
}

impl Target {
    pub(super) fn of_place(place: &Place, directory: &Directory) -> Result<Self> {
        match place {
            Place::Sysv(key) => Self::of_segment(&sysv::Options::new().open(*key, 0)?),
            Place::SysvId(id) => Self::of_segment(&Segment::from_id(*id)),
            Place::Posix(_) | Place::File(_) => {
                let (options, name) = place.locate(directory)?;
                Self::of_name(options.location(), &name)
            }
        }
    }

    /// Looked at without the right to read it.
    fn of_name(directory: &Directory, name: &Name) -> Result<Self> {
        let path = directory.path().join(name.as_str());
        let object = path.display().to_string();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::open(&path, flags, Mode::empty()) {
            Ok(file) => Self::of_file(file.as_fd(), &object),
            Err(rustix::io::Errno::NOENT) => Err(Error::NotFound { object }),
            Err(errno) => Err(Error::system("open", object, errno)),
        }
    }

    pub(super) fn of_object(object: &Object) -> Result<Self> {
        // Also an error in a forked child, where the descriptor is nothing.
        object.stat()?;
        match object.segment() {
            Some(segment) => Self::of_segment(segment),
            None => Self::of_file(object.descriptor(), object.path()),
        }
    }

    fn of_file(file: BorrowedFd<'_>, path: &str) -> Result<Self> {
        let stat = stat_of(file, path)?;
        if let Some(found) = stat.not_a_regular_file {
            return Err(Error::NotAnObject { object: path.to_owned(), found });
        }
        let (device, inode) =
            shown(file, path).unwrap_or(((fs::major(stat.inode.0), fs::minor(stat.inode.0)), stat.inode.1));
        Ok(Self::File { device, inode })
    }

    pub(super) fn of_segment(segment: &Segment) -> Result<Self> {
        let key = match segment.stat() {
            Ok(stat) => stat.key,
            // It is there.
            Err(Error::Refused { cause: Cause::Mode, .. }) => segment.key(),
            Err(error) => return Err(error),
        };
        Ok(Self::Segment {
            devices: devices_of_segments()?,
            id: u64::from(segment.id().cast_unsigned()),
            key: key.map(|key| key.as_raw().cast_unsigned()),
            namespace: std::fs::read_link("/proc/self/ns/ipc").ok(),
        })
    }

    /// Whether this is a mapping of it.
    pub(super) fn is_mapped_by(&self, line: &Line<'_>) -> bool {
        match self {
            Self::File { device, inode } => line.device == *device && line.inode == *inode,
            Self::Segment { devices, id, key, .. } => {
                line.inode == *id
                    && devices.contains(&line.device)
                    && line.segment_key().is_some_and(|found| key.is_none_or(|key| key == found))
            }
        }
    }
}

/// Device and inode of a file as `/proc` shows them for its mappings, which on some file systems (btrfs, overlays)
/// are not those that `fstat` tells. Seen on a mapping of our own, which is gone afterwards; `None` where this user may
/// not read the file, or it is empty.
fn shown(file: BorrowedFd<'_>, path: &str) -> Option<(Device, u64)> {
    let object = Object::from_descriptor(without_locks(file, Access::ReadOnly)?, path).ok()?;
    let options = MapOptions::new(Access::ReadOnly).part(0, 1).holes(Holes::Allow);
    let region = object.map_with(&options).ok()?;
    let address = region.address() as u64;
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let maps = String::from_utf8_lossy(&maps);
    let mut mappings = text::mappings(&maps).into_iter();
    mappings
        .find_map(|(line, _)| (line.start..line.end).contains(&address).then_some((line.device, line.inode)))
}

/// The kernel keeps segments on the file systems that no directory shows, of which it also makes memfds.
fn devices_of_segments() -> Result<Vec<Device>> {
    let device = |memfd: Object| {
        let (device, _) = memfd.stat()?.inode;
        Ok((fs::major(device), fs::minor(device)))
    };
    let probe = Memfd::new("maps");
    let mut devices = vec![device(probe.without_pages(None)?)?];
    for pool in huge::pools() {
        // Where there are no memfds of huge pages, there are no segments of them either.
        if let Ok(memfd) = probe.without_pages(Some(huge::HugePages::of(pool.page_bytes))) {
            devices.push(device(memfd)?);
        }
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(target: &Target, line: &str) -> bool {
        target.is_mapped_by(&Line::parse(line).unwrap())
    }

    #[test]
    fn a_file_is_seen_as_it_is_shown() {
        let object = Memfd::new("shown").create(1).unwrap();
        let (device, inode) = object.stat().unwrap().inode;
        let expected = ((fs::major(device), fs::minor(device)), inode);
        assert_eq!(shown(object.descriptor(), "it"), Some(expected), "where both are the same");
        let empty = Memfd::new("empty").without_pages(None).unwrap();
        assert_eq!(shown(empty.descriptor(), "it"), None);
    }

    #[test]
    fn files_are_told_apart_by_device_and_inode() {
        let target = Target::File { device: (8, 0x1a), inode: 77 };
        assert!(mapped(&target, "1000-2000 r--p 00000000 08:1a 77   /dev/shm/any name (deleted)"));
        assert!(!mapped(&target, "1000-2000 r--p 00000000 08:1b 77   /dev/shm/a"));
        assert!(!mapped(&target, "1000-2000 r--p 00000000 09:1a 77   /dev/shm/a"));
        assert!(!mapped(&target, "1000-2000 r--p 00000000 08:1a 78   /dev/shm/a"));
    }

    #[test]
    fn segments_are_told_apart_by_id_device_and_key() {
        let target = |key| Target::Segment { devices: vec![(0, 1), (0, 15)], id: 9, key, namespace: None };
        let ours = "1000-2000 rw-s 00000000 00:01 9   /SYSV0000cafe (deleted)";
        let huge = "1000-2000 rw-s 00000000 00:0f 9   /SYSV0000cafe (deleted)";
        for line in [ours, huge] {
            assert!(mapped(&target(Some(0xcafe)), line) && mapped(&target(None), line), "{line}");
            assert!(!mapped(&target(Some(0xcaff)), line), "{line}");
        }
        for line in [
            "1000-2000 rw-s 00000000 00:02 9   /SYSV0000cafe (deleted)",
            "1000-2000 rw-s 00000000 00:01 8   /SYSV0000cafe (deleted)",
            "1000-2000 rw-s 00000000 00:01 9   /memfd:ring (deleted)",
            "1000-2000 rw-s 00000000 00:01 9   /dev/zero (deleted)",
        ] {
            assert!(!mapped(&target(Some(0xcafe)), line) && !mapped(&target(None), line), "{line}");
        }
    }
}
