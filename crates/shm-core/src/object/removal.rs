//! Taking an object's name away, and never another's.

use super::{Object, Options, stat};
use crate::error::{Error, Result};
use crate::lock::{self, Lock};
use crate::name::Name;
use crate::region::Access;
use rustix::fs::{self, AtFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Whether living users stand against a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Only if nobody [attends](Object::attend) the object.
    IfUnused,
    /// Whoever uses it.
    Always,
}

pub(super) fn remove<E: From<Error>>(
    options: &Options,
    name: &Name,
    removal: Removal,
    check: impl FnOnce(&Object) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let object = options.open_named(name, Access::ReadWrite)?;
    let directory = claim(options, name, removal, &object)?;
    check(&object)?;
    // Before the name: a segment that is gone is found to be by its companion, but not the other way round.
    object.remove_segment()?;
    // Everybody who unlinks holds the lock we hold, on the object that the name was just seen to
    // mean; so between the look and this call the name means the same.
    fs::unlinkat(directory, name.as_str(), AtFlags::empty())
        .map_err(|errno| Error::system("unlink", object.path(), errno))?;
    Ok(())
}

fn claim(options: &Options, name: &Name, removal: Removal, object: &Object) -> Result<OwnedFd> {
    if !lock::try_lock(object, lock::REMOVAL_BYTE, Lock::Exclusive)? {
        return Err(Error::Busy { object: object.path().to_owned() });
    }
    if removal == Removal::IfUnused && !lock::try_lock(object, lock::PRESENCE_BYTE, Lock::Exclusive)? {
        return Err(Error::InUse { object: object.path().to_owned() });
    }
    let directory = options.directory.open()?;
    let not_found = || Error::NotFound { object: object.path().to_owned() };
    let named = match fs::statat(&directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => stat::from_raw(&named),
        Err(Errno::NOENT) => return Err(not_found()),
        Err(errno) => return Err(Error::system("stat", object.path(), errno)),
    };
    if named.inode == object.stat()?.inode { Ok(directory) } else { Err(not_found()) }
}
