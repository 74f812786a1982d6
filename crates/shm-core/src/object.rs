//! Named shared memory objects: POSIX shared memory, which on Linux is a file in `/dev/shm`.
//!
//! # Birth
//!
//! An object is made without a name (`O_TMPFILE`), given its mode and all of its memory
//! (`fallocate`, so that a full file system is an error now and not a signal later), initialised, and
//! only then linked to its name. `linkat` never replaces: if somebody was faster, theirs stands. So
//! nobody ever opens a half-made object, and a creator that is killed anywhere leaves nothing.
//!
//! ```text
//!   O_TMPFILE -> fchmod -> fallocate -> initialise -> lock presence -> linkat -> named
//!       \____________ killed anywhere: nothing is left ____________/
//! ```
//!
//! On a file system without `O_TMPFILE` (and without `/proc`) the object gets a temporary name first;
//! see the `birth` part of this module for what a kill leaves there, and who cleans it up.
//!
//! # Opening
//!
//! Whoever opens a name wants this project's object and not what somebody else put there: symbolic
//! links, FIFOs, directories, hard links and foreign owners are refused before a byte is mapped.
//!
//! # Removal
//!
//! A name is unlinked only by whoever holds the removal lock of the very object the name refers to;
//! otherwise a slow remover could take the name of an object that was created meanwhile.

mod adopted;
mod birth;
mod directory;
mod handle;
mod mapping;
mod memory;
mod removal;
mod segment;
mod stat;

use crate::error::{Error, Result};
use crate::fork::Descriptor;
use crate::name::Name;
use crate::region::{Access, Region};
use crate::sysv::Key;
pub use directory::Directory;
use handle::Body;
pub use handle::Object;
pub use mapping::Remap;
pub(crate) use memory::without_locks;
pub(crate) use memory::{allocate, retry};
pub use removal::Removal;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
pub use stat::Stat;
pub(crate) use stat::{lives_in_memory, of as stat_of};

/// Whose objects are opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// Mine (my effective user's) or root's: nobody else can put theirs under a name I expect.
    #[default]
    MeOrRoot,
    /// This user's, mine or root's.
    User(u32),
    /// Anybody's. For looking, not for trusting.
    Anybody,
}

impl Owner {
    /// Whether what belongs to this user may be opened.
    pub(crate) fn trusts(self, owner_uid: u32) -> bool {
        let me_or_root = owner_uid == rustix::process::geteuid().as_raw() || owner_uid == 0;
        match self {
            Self::MeOrRoot => me_or_root,
            Self::User(user) => me_or_root || owner_uid == user,
            Self::Anybody => true,
        }
    }
}

/// How [`Options::open_or_create`] came by the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// This call created it.
    Created,
    /// It was there.
    Opened,
}

/// How to create or open an object. The last call says which.
///
/// ```
/// use shm_core::{Access, Birth, Name, Options};
/// # fn main() -> Result<(), shm_core::Error> {
/// let name = Name::new(&format!("options-doc-{}", std::process::id()))?;
/// let options = Options::new().mode(0o640);
/// let (object, birth) = options.open_or_create(&name, 8192)?;
/// assert_eq!(birth, Birth::Created);
/// assert_eq!(object.stat()?.mode, 0o640);
/// assert!(options.create(&name, 8192).is_err(), "exclusive");
/// options.unlink(&name)?;
/// assert!(object.map(Access::ReadWrite)?.copy_in(0, b"still mapped").is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    directory: Directory,
    mode: Option<u32>,
    owner: Owner,
    truncate: bool,
    temporary_name: bool,
    /// Objects lie in the System V segment of this key; the name is that of its companion.
    segment: Option<Key>,
}

impl Options {
    /// Objects in `/dev/shm`, mode 0600, owned by me or root.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the names live; `/dev/shm` unless said otherwise.
    #[must_use]
    pub fn directory(mut self, directory: Directory) -> Self {
        self.directory = directory;
        self
    }

    /// Permission bits of a new object, exactly these: the process's umask does not cut them.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode & 0o777);
        self
    }

    /// Whose objects are opened.
    #[must_use]
    pub fn owner(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    /// On opening for writing, discard the content: the object has length 0 then, or with
    /// [`open_or_create`](Self::open_or_create) the given length in zeros. Refused while anybody uses
    /// the object (see [`Object::attend`]), because their mappings would fault.
    #[must_use]
    pub fn truncate(mut self, truncate: bool) -> Self {
        self.truncate = truncate;
        self
    }

    /// Create by way of a temporary name even where `O_TMPFILE` works. For file systems whose
    /// `O_TMPFILE` is faulty, and for tests.
    #[must_use]
    pub fn temporary_name(mut self, temporary_name: bool) -> Self {
        self.temporary_name = temporary_name;
        self
    }

    /// Objects in the System V segment of that key; see [`Place`](crate::Place).
    pub(crate) fn segment(self, key: Key) -> Self {
        Self { segment: Some(key), ..self }
    }

    /// Creates an object of `bytes` zero bytes, all of them backed by memory. Never replaces one.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::OutOfSpace`], [`Error::ZeroLength`], or what the system says.
    pub fn create(&self, name: &Name, bytes: u64) -> Result<Object> {
        self.create_with(name, bytes, |_| Ok(()))
    }

    /// Creates an object and lets `initialise` fill it before anybody can see it. The creator
    /// [attends](Object::attend) it from before it has its name.
    ///
    /// # Errors
    /// As [`create`](Self::create), or what `initialise` returns; nothing is left behind then.
    pub fn create_with(
        &self,
        name: &Name,
        bytes: u64,
        initialise: impl FnOnce(&Region) -> Result<()>,
    ) -> Result<Object> {
        match self.segment {
            None => birth::create_file(self, name, bytes, initialise),
            Some(key) => segment::create(self, key, bytes, initialise),
        }
    }

    /// Opens an object that exists.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAnObject`], [`Error::ForeignOwner`], [`Error::InUse`] when it was
    /// to be truncated, or what the system says.
    pub fn open(&self, name: &Name, access: Access) -> Result<Object> {
        let object = self.open_named(name, access)?;
        if self.truncate && access == Access::ReadWrite {
            object.resize(0)?;
        }
        Ok(object)
    }

    /// Opens the object, or creates it with `bytes` zero bytes. An object that exists keeps its size,
    /// unless [`truncate`](Self::truncate) was asked for.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`open`](Self::open), except that neither presence nor absence of
    /// the name is one.
    pub fn open_or_create(&self, name: &Name, bytes: u64) -> Result<(Object, Birth)> {
        loop {
            match self.open(name, Access::ReadWrite) {
                Err(Error::NotFound { .. }) => {}
                Ok(object) if self.truncate => {
                    object.resize(bytes)?;
                    return Ok((object, Birth::Opened));
                }
                other => return other.map(|object| (object, Birth::Opened)),
            }
            match self.create(name, bytes) {
                Err(Error::AlreadyExists { .. }) => {} // somebody was faster, or removed it again: open theirs
                other => return other.map(|object| (object, Birth::Created)),
            }
        }
    }

    /// Removes the name, whoever uses the object: their mappings stay valid, and whoever opens the name
    /// afterwards does not find them. A ring is better removed by the ring library, which tells its users.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAnObject`], [`Error::ForeignOwner`], [`Error::Busy`].
    pub fn unlink(&self, name: &Name) -> Result<()> {
        self.remove(name, Removal::Always, |_| Ok(()))
    }

    /// Removes the name if `removal` allows it and `check`, which sees the object under the removal
    /// lock, agrees.
    ///
    /// # Errors
    /// As [`unlink`](Self::unlink), [`Error::InUse`] when living users stand against it, or what `check`
    /// returns.
    pub fn remove<E: From<Error>>(
        &self,
        name: &Name,
        removal: Removal,
        check: impl FnOnce(&Object) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        removal::remove(self, name, removal, check)
    }

    /// Where the names live.
    pub fn location(&self) -> &Directory {
        &self.directory
    }

    fn open_named(&self, name: &Name, access: Access) -> Result<Object> {
        let path = self.directory.show(name);
        let rights = if access == Access::ReadWrite { OFlags::RDWR } else { OFlags::RDONLY };
        // O_NONBLOCK: a FIFO under the name must not make us wait for its other end.
        let flags = rights | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let directory = self.directory.open()?;
        let opened = Descriptor::open(|| fs::openat(&directory, name.as_str(), flags, Mode::empty()));
        let descriptor = match opened {
            Ok(descriptor) => descriptor,
            Err(Errno::NOENT) => return Err(Error::NotFound { object: path }),
            Err(errno) => return Err(self.why_not_opened(name, path, errno)),
        };
        let object = Object::named(descriptor, path);
        self.inspect(name, &object)?;
        match self.segment {
            None => Ok(object),
            Some(key) => segment::open(self, key, object),
        }
    }

    /// A symbolic link, a directory or a socket is told as what it is, not as the errno it causes.
    fn why_not_opened(&self, name: &Name, path: String, errno: Errno) -> Error {
        let found = self.directory.open().ok().and_then(|directory| {
            let stat = fs::statat(directory, name.as_str(), fs::AtFlags::SYMLINK_NOFOLLOW).ok()?;
            stat::not_a_regular_file(stat.st_mode)
        });
        match found {
            Some(found) => Error::NotAnObject { object: path, found },
            None => Error::system("open", path, errno),
        }
    }

    fn inspect(&self, name: &Name, object: &Object) -> Result<()> {
        let mut stat = object.stat()?;
        if let Some(found) = stat.not_a_regular_file {
            return Err(Error::NotAnObject { object: object.path.clone(), found });
        }
        if stat.links > 1 {
            // A creator by temporary name may have been killed between linking and unlinking.
            birth::sweep(&self.directory)?;
            stat = object.stat()?;
        }
        match stat.links {
            0 => return Err(Error::NotFound { object: object.path.clone() }), // removed since we opened it
            1 => {}
            _ => {
                let found = "a file with several names (hard links)";
                return Err(Error::NotAnObject { object: self.directory.show(name), found });
            }
        }
        if self.owner.trusts(stat.owner_uid) {
            Ok(())
        } else {
            Err(Error::ForeignOwner { object: object.path.clone(), owner_uid: stat.owner_uid })
        }
    }
}
