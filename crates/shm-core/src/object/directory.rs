//! Where named objects live.

use super::stat;
use crate::error::{Error, Result};
use crate::name::{COMPANION_PREFIX, Name};
use crate::place::Place;
use crate::sysv::Key;
use rustix::fs::{self, Mode, OFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The directory of named objects: `/dev/shm`, where `shm_open` looks, or another one.
///
/// Another one may be any file system that can be mapped shared; only on tmpfs (and ramfs, hugetlbfs)
/// does nothing ever get written to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    path: PathBuf,
}

impl Default for Directory {
    fn default() -> Self {
        Self::posix()
    }
}

impl Directory {
    /// `/dev/shm`.
    pub fn posix() -> Self {
        Self::at("/dev/shm")
    }

    /// The directory at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the regular files in it, sorted: candidates only, most programs keep objects there.
    ///
    /// # Errors
    /// When it can not be read.
    pub fn names(&self) -> Result<Vec<Name>> {
        let path = self.path.display().to_string();
        let failed = |errno| Error::system("readdir", &path, errno);
        let mut names = Vec::new();
        let directory = self.open()?;
        for entry in fs::Dir::read_from(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(name) = entry.file_name().to_str().ok().and_then(|name| Name::new(name).ok()) else {
                continue;
            };
            let found = fs::statat(&directory, name.as_str(), fs::AtFlags::SYMLINK_NOFOLLOW);
            if found.is_ok_and(|found| stat::not_a_regular_file(found.st_mode).is_none()) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The [places](Place) in it, sorted: of [names](Self::names), and of System V segments whose companions are here.
    ///
    /// # Errors
    /// When it can not be read.
    pub fn places(&self) -> Result<Vec<Place>> {
        let mut places: Vec<Place> = self.names()?.into_iter().map(Place::Posix).collect();
        let failed = |errno| Error::system("readdir", self.path.display(), errno);
        let entries = fs::Dir::read_from(self.open()?).map_err(failed)?;
        let mut keys: Vec<Key> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str().ok()?.strip_prefix(COMPANION_PREFIX)?.parse().ok())
            .collect();
        keys.sort_unstable();
        places.extend(keys.into_iter().map(Place::Sysv));
        Ok(places)
    }

    pub(super) fn open(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::open(&self.path, flags, Mode::empty())
            .map_err(|errno| Error::system("open", self.path.display(), errno))
    }

    pub(super) fn show(&self, name: &Name) -> String {
        self.path.join(name.as_str()).display().to_string()
    }
}
