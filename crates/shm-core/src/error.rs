//! What can go wrong with shared memory. Every message says what to do about it.

mod text;

use std::fmt;
use std::io;

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

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
    /// The pool of huge pages of this size has too few free ones.
    OutOfHugePages {
        /// What was to be made of them.
        object: String,
        /// Bytes in one of the pages.
        page_bytes: u64,
        /// Bytes asked for.
        bytes: u64,
        /// Pages of this size that are free.
        free_pages: u64,
    },
    /// This machine has no huge pages of that size.
    NoSuchPageSize {
        /// What was to be made of them.
        object: String,
        /// The size asked for, in bytes.
        page_bytes: u64,
        /// The sizes there are, as text.
        offered: String,
    },
    /// More memory was to be kept from being paged out than this process may.
    LockLimit {
        /// What was to be locked.
        object: String,
        /// Bytes to lock.
        bytes: u64,
        /// `RLIMIT_MEMLOCK`, in bytes.
        limit_bytes: u64,
    },
    /// Seals can not be applied.
    Sealing {
        /// The object.
        object: String,
        /// The seals, as text.
        seals: String,
        /// Why not.
        reason: &'static str,
    },
    /// A descriptor is not sealed as it must be before it can be trusted.
    Unsealed {
        /// What it was taken for.
        object: String,
        /// The missing seals, as text.
        missing: String,
    },
    /// A descriptor that is not what it must be.
    WrongDescriptor {
        /// What it was taken for.
        object: String,
        /// What it is instead.
        found: String,
    },
    /// An object of another size than agreed.
    WrongSize {
        /// The object.
        object: String,
        /// Bytes that were agreed.
        expected_bytes: u64,
        /// Bytes there are.
        found_bytes: u64,
    },
    /// The locks on the object's descriptor would be somebody else's as well.
    SharedLocks {
        /// The object.
        object: String,
    },
    /// The deadline passed.
    TimedOut {
        /// What was waited for.
        awaited: &'static str,
    },
    /// The other end of the socket is closed.
    PeerClosed,
    /// What came over the socket is not what was agreed. Nothing of it was kept.
    WrongMessage {
        /// What there was another count of.
        what: &'static str,
        /// How many were agreed.
        expected: usize,
        /// How many came.
        found: usize,
    },
    /// The kernel cut descriptors off a message. Nothing of it was kept.
    DescriptorsCut,
    /// Other regions, words or events use the mapping.
    RegionInUse {
        /// How many of them.
        others: usize,
    },
    /// An access to a region that nothing may be done with for now.
    NoAccess,
    /// Something that this kind of memory can not do.
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// Why it can not be.
        reason: &'static str,
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
            Self::Foreign { .. }
            | Self::OlderLayout { .. }
            | Self::NewerLayout { .. }
            | Self::Truncated { .. }
            | Self::Damaged { .. } => text::of_content(self, f),
            Self::OutOfHugePages { .. }
            | Self::NoSuchPageSize { .. }
            | Self::LockLimit { .. }
            | Self::RegionInUse { .. }
            | Self::NoAccess
            | Self::Unsupported { .. } => text::of_mappings(self, f),
            Self::Sealing { .. }
            | Self::Unsealed { .. }
            | Self::WrongDescriptor { .. }
            | Self::WrongSize { .. }
            | Self::SharedLocks { .. }
            | Self::TimedOut { .. }
            | Self::PeerClosed
            | Self::WrongMessage { .. }
            | Self::DescriptorsCut => text::of_descriptors(self, f),
            Self::System { call, object, source } => write!(f, "{call} failed on {object}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}
