//! Objects whose memory is a System V segment.
//!
//! A segment has no descriptor, so it has no locks by which the kernel says who lives, and no birth in one step. A
//! small file beside it has both: its *companion*, `.shmring-sysv-KEY` in the directory of objects, made, opened and
//! removed as every object is. Whoever asks for the segment asks for the companion, which tells the segment's id; all
//! locks are the companion's. So
//!
//! * a segment is complete when its companion gets its name: nobody finds it half-made;
//! * who uses it, and who died, the kernel says by the companion's locks, as for every object;
//! * removing it removes the segment first, and then the companion's name.
//!
//! # What a kill leaves
//!
//! *A creator's*, between the segment and its companion's name: a segment without a companion, attached nowhere, with
//! the mark of one that is being born: the mode's bits `u+x` and `o+x` without `g+x`, which mean nothing to segments
//! and which nobody else sets, and which the creator takes away when the companion has its name. If the kernel says
//! that the process which created it is gone, whoever creates under the key next removes it. While its creator lives,
//! or may live (in another pid namespace), the key counts as taken, after a wait of ten seconds for the companion. A
//! segment without companion and mark is another program's, or of a ring in another directory, and is never touched.
//!
//! *A remover's*: a companion without a segment. So does `ipcrm`. Whoever opens it next removes it, and is told that
//! there is no such object.
//!
//! Processes that do not see the same directory of objects do not see each other's companions, and can not share a
//! ring in a segment. They are told so.

use super::{Body, Object, Options, Removal, birth, removal};
use crate::clock::Deadline;
use crate::error::{Cause, Error, Result};
use crate::name::Name;
use crate::region::{Access, MapOptions, Region};
use crate::system;
use crate::sysv::{self, Key, Segment};
use std::time::Duration;

/// What a companion begins with.
const COMPANION_MAGIC: [u8; 8] = *b"shmsysv\0";
const COMPANION_VERSION: u32 = 1;
/// magic 8, version 4, id 4, bytes of the segment 8, boot 16
const COMPANION_BYTES: usize = 40;
/// In the mode of a segment whose companion has no name yet.
const BEING_BORN: u32 = 0o101;
/// For how long somebody's unfinished creation is waited for: the kernel clears its memory meanwhile, which takes
/// seconds where there is much of it, and whoever creates may not run for a while where many others do.
const BIRTH: Duration = Duration::from_secs(10);
/// And for how long a segment that looks like no creation of ours, from when it is first seen so: one may have just
/// lost its mark.
const STRANGER: Duration = Duration::from_millis(200);

/// What the key counts as when they were waited for in vain.
const UNDER_WAY: &str = "a segment whose creator has not finished it for ten seconds (it stands still, or is in \
                         another pid namespace, where it may have died)";
const STRANGE: &str = "a segment without a companion in this directory (another program's, or of a ring in another \
                       SHMRING_DIR)";

/// Creates segment and companion.
pub(super) fn create(
    options: &Options,
    key: Key,
    bytes: u64,
    initialise: impl FnOnce(&Region) -> Result<()>,
) -> Result<Object> {
    let name = Name::companion(key);
    let taken = || Error::AlreadyExists { object: show(key) };
    if is_there(options, &name)? {
        return Err(taken());
    }
    let segment = claim(options, key, bytes)?;
    let mode = options.mode.unwrap_or(birth::MODE_DEFAULT);
    // Attached for as long as it has no companion: so it is seen that somebody is at it.
    let made = segment.attach(Access::ReadWrite).and_then(|region| {
        // The kernel has only promised the memory. Taken now, or an error now.
        region.settle(&MapOptions::new(Access::ReadWrite).populate(true))?;
        initialise(&region)?;
        let companion = Companion { id: segment.id(), bytes, boot: boot() };
        let file = birth::create_file(options, &name, COMPANION_BYTES as u64, |file| {
            file.copy_in(0, &companion.pack())
        })?;
        Ok((file, region))
    });
    match made {
        Ok((file, _region)) => {
            segment.set(None, None, Some(mode))?;
            Ok(Object { body: Body::Segment(segment), path: show(key), ..file })
        }
        Err(error) => {
            let _ = segment.remove(); // ours alone
            Err(error)
        }
    }
}

/// The object of an open companion.
pub(super) fn open(options: &Options, key: Key, file: Object) -> Result<Object> {
    let mut bytes = [0; COMPANION_BYTES];
    let read = file.read_at(0, &mut bytes)?;
    let Some(companion) = Companion::unpack(&bytes[..read]) else {
        return Err(Error::Damaged { object: file.path, field: "a companion of a System V segment" });
    };
    let segment = sysv::Options::new().owner(options.owner).from_id(companion.id);
    let fits = match segment.stat() {
        Ok(stat) => stat.bytes == companion.bytes && stat.key == Some(key) && !stat.marked_for_removal,
        Err(Error::Refused { cause: Cause::NoSuchSegment, .. }) => false,
        Err(error) => return Err(error),
    };
    if !fits || companion.boot != boot() {
        // Somebody removed the segment alone. The name goes unless it means another file by now.
        let inode = file.stat()?.inode;
        let gone = || Error::NotFound { object: show(key) };
        let companion_only = Options { segment: None, ..options.clone() };
        removal::remove::<Error>(&companion_only, &Name::companion(key), Removal::Always, |named| {
            if named.stat()?.inode == inode { Ok(()) } else { Err(gone()) }
        })?;
        return Err(gone());
    }
    Ok(Object { body: Body::Segment(segment), path: show(key), ..file })
}

/// Whether there is an object of that companion's name. Clears one up that has no segment any more.
fn is_there(options: &Options, name: &Name) -> Result<bool> {
    match options.open(name, Access::ReadWrite) {
        Ok(_) => Ok(true),
        Err(Error::NotFound { .. }) => Ok(false),
        Err(Error::Refused { cause: Cause::Mode, .. } | Error::Forbidden { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// A new segment under the key; one that a dead creator left makes way.
fn claim(options: &Options, key: Key, bytes: u64) -> Result<Segment> {
    let mode = options.mode.unwrap_or(birth::MODE_DEFAULT) | BEING_BORN;
    let asked = sysv::Options::new().owner(options.owner).mode(mode);
    let under_way = Deadline::after(BIRTH);
    let mut stranger = (None, under_way);
    loop {
        match asked.create(key, bytes) {
            Err(Error::Refused { cause: Cause::Exists, .. }) => {}
            other => return other,
        }
        let found = match asked.open(key, 0) {
            Ok(found) => found,
            Err(Error::Refused { cause: Cause::NoSuchSegment, .. }) => continue, // removed meanwhile
            Err(error) => return Err(error),
        };
        let (deadline, what) = match judge(&found)? {
            Found::Gone => continue,
            Found::Abandoned => match found.remove() {
                Ok(()) | Err(Error::Refused { cause: Cause::NoSuchSegment, .. }) => continue,
                Err(error) => return Err(error),
            },
            Found::UnderWay => (under_way, UNDER_WAY),
            Found::Strange => {
                if stranger.0 != Some(found.id()) {
                    stranger = (Some(found.id()), Deadline::after(STRANGER));
                }
                (stranger.1, STRANGE)
            }
        };
        if is_there(options, &Name::companion(key))? {
            return Err(Error::AlreadyExists { object: show(key) });
        }
        if deadline.has_passed() {
            return Err(Error::NotAnObject { object: show(key), found: what });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a segment without a companion is.
#[derive(Clone, Copy, Debug)]
enum Found {
    Gone,
    /// A dead creator left it.
    Abandoned,
    /// Its creator lives, or may live.
    UnderWay,
    /// None that is being born.
    Strange,
}

fn judge(segment: &Segment) -> Result<Found> {
    let stat = match segment.stat() {
        Ok(stat) => stat,
        Err(Error::Refused { cause: Cause::NoSuchSegment, .. }) => return Ok(Found::Gone),
        Err(error) => return Err(error),
    };
    Ok(match (stat.mode & 0o111 == BEING_BORN, stat.is_stale()) {
        (true, true) => Found::Abandoned,
        (true, false) => Found::UnderWay,
        (false, _) => Found::Strange,
    })
}

fn show(key: Key) -> String {
    format!("sysv:{key}")
}

/// What a companion says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Companion {
    id: i32,
    bytes: u64,
    /// Ids begin anew when the machine starts, while a directory of objects on a disk stays.
    boot: [u8; 16],
}

impl Companion {
    fn pack(self) -> [u8; COMPANION_BYTES] {
        let mut bytes = [0; COMPANION_BYTES];
        bytes[..8].copy_from_slice(&COMPANION_MAGIC);
        bytes[8..12].copy_from_slice(&COMPANION_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[24..].copy_from_slice(&self.boot);
        bytes
    }

    fn unpack(bytes: &[u8]) -> Option<Self> {
        let field = |at: usize| bytes.get(at..)?.first_chunk::<4>().copied();
        let known = bytes.starts_with(&COMPANION_MAGIC)
            && u32::from_le_bytes(field(8)?) == COMPANION_VERSION
            && bytes.len() == COMPANION_BYTES;
        known.then_some(())?;
        Some(Self {
            id: i32::from_le_bytes(field(12)?),
            bytes: u64::from_le_bytes(*bytes.get(16..)?.first_chunk()?),
            boot: *bytes.get(24..)?.first_chunk()?,
        })
    }
}

/// What tells this start of the machine from all others; zeros where there is no `/proc`.
fn boot() -> [u8; 16] {
    system::boot_id().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companions_are_read_as_written() {
        let companion = Companion { id: -7, bytes: 1 << 33, boot: boot() };
        let packed = companion.pack();
        assert_eq!(Companion::unpack(&packed), Some(companion));
        for cut in 0..COMPANION_BYTES {
            assert_eq!(Companion::unpack(&packed[..cut]), None);
        }
        for at in 0..12 {
            let mut wrong = packed;
            wrong[at] ^= 1;
            assert_eq!(Companion::unpack(&wrong), None);
        }
    }
}
