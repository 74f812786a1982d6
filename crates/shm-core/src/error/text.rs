//! What errors say, where there is much to say: of content, mappings and descriptors.

use super::Error;
use std::fmt;

pub(super) fn of_mappings(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        Error::OutOfHugePages { object, page_bytes, bytes, free_pages } => write!(
            f,
            "out of huge pages: {object} takes {bytes} bytes of them, and {free_pages} pages of {page_bytes} \
                 bytes are free; reserve more (sysctl vm.nr_hugepages), or allow ordinary pages instead"
        ),
        Error::NoSuchPageSize { object, page_bytes, offered } => write!(
            f,
            "{object} can not be made of pages of {page_bytes} bytes; this machine has huge pages of {offered}"
        ),
        Error::LockLimit { object, bytes, limit_bytes } => write!(
            f,
            "mlock failed on {object}: {bytes} more bytes, and RLIMIT_MEMLOCK is {limit_bytes}; raise it \
                 (ulimit -l, LimitMEMLOCK=), lock less, or give the process CAP_IPC_LOCK"
        ),
        Error::RegionInUse { others } => write!(
            f,
            "{others} other regions, parts, words or events use this mapping; drop them first, \
                 or map the object anew beside it"
        ),
        Error::NoAccess => f.write_str("the region is protected from all access; protect it otherwise first"),
        Error::Unsupported { what, reason } => write!(f, "{what} is not possible: {reason}"),
        other => write!(f, "{other:?}"), // none; the callers name their variants
    }
}

pub(super) fn of_descriptors(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        Error::Sealing { object, seals, reason } => {
            write!(f, "{object} can not be sealed with {seals}: {reason}")
        }
        Error::Unsealed { object, missing } => write!(
            f,
            "{object} lacks the seals {missing}, so its sender could still change it under us; \
                 have it sealed before it is sent"
        ),
        Error::WrongDescriptor { object, found } => {
            write!(f, "{object} is {found}; have a descriptor of the right kind sent")
        }
        Error::WrongSize { object, expected_bytes, found_bytes } => write!(
            f,
            "{object} has {found_bytes} bytes where {expected_bytes} were agreed; \
                 have both sides agree on the size"
        ),
        Error::SharedLocks { object } => write!(
            f,
            "{object} could not be opened once more, so locks on it would be its sender's as well; \
                 have its mode let this user open it, and /proc mounted"
        ),
        Error::TimedOut { awaited } => {
            write!(f, "the deadline passed before {awaited}; try again or give up")
        }
        Error::PeerClosed => f.write_str("the other end of the socket is closed; connect anew"),
        Error::WrongMessage { what, expected, found } => write!(
            f,
            "the message has {found} {what} where {expected} were agreed; \
                 close the socket, and have both sides agree"
        ),
        Error::DescriptorsCut => f.write_str(
            "the kernel cut descriptors off the message: more came than were agreed, or this process has too \
                 many open (RLIMIT_NOFILE); close the socket",
        ),
        other => write!(f, "{other:?}"), // none, as above
    }
}

pub(super) fn of_content(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        Error::Foreign { object } => write!(
            f,
            "{object} was not made by shmring (no magic number at its beginning); choose another name"
        ),
        Error::OlderLayout { object, found, supported } => write!(
            f,
            "{object} has layout version {found}, older than {supported}, which this program reads; \
                 drain it with the program that made it, remove it and create it anew"
        ),
        Error::NewerLayout { object, found, supported } => write!(
            f,
            "{object} has layout version {found}, newer than {supported}, which this program reads; \
                 upgrade this program"
        ),
        Error::Truncated { object, expected_bytes, found_bytes } => write!(
            f,
            "{object} is truncated: {found_bytes} of {expected_bytes} bytes are there; \
                 remove it and create it anew"
        ),
        Error::Damaged { object, field } => {
            write!(f, "{object} has a damaged header ({field}); remove it and create it anew")
        }
        other => write!(f, "{other:?}"), // none, as above
    }
}
