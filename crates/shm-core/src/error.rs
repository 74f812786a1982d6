//! What can go wrong with shared memory. Every message says what to do about it.

use std::fmt;
use std::io;

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

mod cause;
pub use cause::Cause;

/// An error of `shm-core`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The name can not name an object.
    InvalidName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No object has that name.
    NotFound {
        /// The object's path.
        object: String,
    },
    /// An object of that name exists, and it was to be created.
    AlreadyExists {
        /// The object's path.
        object: String,
    },
    /// What has that name is not a shared memory object.
    NotAnObject {
        /// The path.
        object: String,
        /// What it is instead.
        found: &'static str,
    },
    /// The object belongs to a user whom the opener did not ask for.
    ForeignOwner {
        /// The object's path.
        object: String,
        /// The user who owns it.
        owner_uid: u32,
    },
    /// The object's mode, or that of its directory, does not let this process do what it wants.
    Forbidden {
        /// The object's path.
        object: String,
    },
    /// The file system has not enough room for the object.
    OutOfSpace {
        /// The object's path.
        object: String,
        /// Bytes asked for; 0 where room for another file is what is missing.
        bytes: u64,
    },
    /// The object has lost its name: it was removed, and whoever opens the name now gets another object.
    Detached {
        /// The object's path.
        object: String,
    },
    /// Living participants use the object.
    InUse {
        /// The object's path.
        object: String,
    },
    /// Another process is in the middle of removing the object.
    Busy {
        /// The object's path.
        object: String,
    },
    /// The object was opened before a fork, and this is the child.
    Forked {
        /// The object's path.
        object: String,
    },
    /// The kernel refused memory that is no file, or something done to it.
    Refused {
        /// The call.
        call: &'static str,
        /// The memory: a segment's key or id, or what kind it is.
        object: String,
        /// How many bytes it was about; 0 where that plays no part.
        bytes: u64,
        /// Which limit or permission it was.
        cause: Cause,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It exists, and is not what was asked for.
    Conflict {
        /// What exists.
        object: String,
        /// What it was asked to have.
        asked: String,
        /// What it has.
        found: String,
    },
    /// None of the mechanisms that make such memory works.
    NoMechanism {
        /// What the memory was for.
        object: String,
        /// How many bytes were asked for.
        bytes: u64,
        /// What each mechanism answered, in the order in which they were tried.
        refusals: Vec<Error>,
    },
    /// A zero length where there must be something to map.
    ZeroLength {
        /// The object's path.
        object: String,
    },
    /// An offset that must lie on a page does not.
    Unaligned {
        /// The offset.
        offset: u64,
        /// What it must be a multiple of.
        alignment: u64,
    },
    /// An access outside of a region.
    OutOfBounds {
        /// Where the access begins.
        offset: usize,
        /// How many bytes it takes.
        length: usize,
        /// How many bytes there are.
        region_bytes: usize,
    },
    /// A write through a region mapped for reading.
    ReadOnly,
    /// The object does not begin with this project's magic number.
    Foreign {
        /// The object's path.
        object: String,
    },
    /// The object was laid out by a version of this library that this one no longer reads.
    OlderLayout {
        /// The object's path.
        object: String,
        /// The version it has.
        found: u32,
        /// The version this library reads.
        supported: u32,
    },
    /// The object was laid out by a newer version of this library.
    NewerLayout {
        /// The object's path.
        object: String,
        /// The version it has.
        found: u32,
        /// The version this library reads.
        supported: u32,
    },
    /// The object is shorter, or has less memory behind it, than its header says.
    Truncated {
        /// The object's path.
        object: String,
        /// Bytes its header speaks of.
        expected_bytes: u64,
        /// Bytes there are.
        found_bytes: u64,
    },
    /// A header that no version of this library writes.
    Damaged {
        /// The object's path.
        object: String,
        /// Which field.
        field: &'static str,
    },
    /// A system call failed.
    System {
        /// The call.
        call: &'static str,
        /// What it was made on.
        object: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// Wraps the kernel's answer to `call`.
    pub(crate) fn system(call: &'static str, object: impl fmt::Display, errno: rustix::io::Errno) -> Self {
        let object = object.to_string();
        match errno {
            rustix::io::Errno::ACCESS | rustix::io::Errno::PERM => Self::Forbidden { object },
            errno => Self::System { call, object, source: errno.into() },
        }
    }

    /// The text of those that tell of memory that is no named object; nothing for the others.
    fn fmt_refusal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { call, object, bytes: 0, cause, source } => {
                write!(f, "{call} failed on {object}: {source}: {cause}")
            }
            Self::Refused { call, object, bytes, cause, source } => {
                write!(f, "{call} failed on {object} of {bytes} bytes: {source}: {cause}")
            }
            Self::Conflict { object, asked, found } => write!(
                f,
                "{object} exists with {found}, and {asked} were asked for; ask for what it has, unlink it, or choose \
                 another name"
            ),
            Self::NoMechanism { object, bytes, refusals } => {
                write!(f, "nothing gives {object} its {bytes} bytes")?;
                refusals.iter().try_for_each(|refusal| write!(f, "; {refusal}"))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName { name, reason } => write!(f, "{name:?} can not name an object: {reason}"),
            Self::NotFound { object } => write!(f, "{object} does not exist; create it first"),
            Self::AlreadyExists { object } => {
                write!(f, "{object} exists already; open it, remove it, or choose another name")
            }
            Self::NotAnObject { object, found } => {
                write!(f, "{object} is {found}, not a shared memory object; choose another name or remove it")
            }
            Self::ForeignOwner { object, owner_uid } => write!(
                f,
                "{object} belongs to user {owner_uid}, who is neither you nor root; \
                 name that owner when opening it if you trust them"
            ),
            Self::Forbidden { object } => write!(
                f,
                "permission denied on {object}; ask its owner for a mode that lets you \
                 (shmring create --mode), or run as its owner"
            ),
            Self::OutOfSpace { object, bytes: 0 } => write!(
                f,
                "out of space: the file system of {object} has no room for another file; remove some"
            ),
            Self::OutOfSpace { object, bytes } => write!(
                f,
                "out of space: the file system can not hold {object} of {bytes} bytes; \
                 free some, enlarge it (mount -o remount,size=...), or ask for less"
            ),
            Self::Detached { object } => {
                write!(f, "{object} was removed while it was open; open the name again for its successor")
            }
            Self::InUse { object } => {
                write!(f, "{object} is in use; end the processes that use it first, or force the removal")
            }
            Self::Busy { object } => {
                write!(f, "{object} is being removed by another process right now; try again")
            }
            Self::Forked { object } => {
                write!(f, "{object} was opened before a fork and is the parent's; open it anew in the child")
            }
            Self::Refused { .. } | Self::Conflict { .. } | Self::NoMechanism { .. } => self.fmt_refusal(f),
            Self::ZeroLength { object } => {
                write!(f, "{object} has length zero and can not be mapped; give it a size first")
            }
            Self::Unaligned { offset, alignment } => {
                write!(f, "offset {offset} is not a multiple of {alignment}; round it down and map more")
            }
            Self::OutOfBounds { offset, length, region_bytes } => write!(
                f,
                "{length} bytes at offset {offset} do not lie within a region of {region_bytes} bytes"
            ),
            Self::ReadOnly => f.write_str("the region is mapped for reading only; map it for writing"),
            Self::Foreign { object } => write!(
                f,
                "{object} was not made by shmring (no magic number at its beginning); choose another name"
            ),
            Self::OlderLayout { object, found, supported } => write!(
                f,
                "{object} has layout version {found}, older than {supported}, which this program reads; \
                 drain it with the program that made it, remove it and create it anew"
            ),
            Self::NewerLayout { object, found, supported } => write!(
                f,
                "{object} has layout version {found}, newer than {supported}, which this program reads; \
                 upgrade this program"
            ),
            Self::Truncated { object, expected_bytes, found_bytes } => write!(
                f,
                "{object} is truncated: {found_bytes} of {expected_bytes} bytes are there; \
                 remove it and create it anew"
            ),
            Self::Damaged { object, field } => {
                write!(f, "{object} has a damaged header ({field}); remove it and create it anew")
            }
            Self::System { call, object, source } => write!(f, "{call} failed on {object}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { source, .. } | Self::Refused { source, .. } => Some(source),
            _ => None,
        }
    }
}
