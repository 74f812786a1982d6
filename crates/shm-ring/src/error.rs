//! What a ring answers when it can not do what it was asked. Every message says what to do about it.

use crate::layout::Kind;
use std::fmt;

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Which side of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The side of an SPSC ring that sends.
    Producer,
    /// The side of an SPSC ring that receives.
    Consumer,
    /// One of those who send into an MPMC ring.
    Sender,
    /// One of those who receive from an MPMC ring.
    Receiver,
}

impl Role {
    /// The other side.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Producer => Self::Consumer,
            Self::Consumer => Self::Producer,
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }

    /// Whether it sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::Producer | Self::Sender)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Sender => "sender",
            Self::Receiver => "receiver",
        })
    }
}

/// How the other side's time at the ring ended. Where several ends are told at once, the worst of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It called `close`: everything it wanted to say is said.
    Closed,
    /// It left without closing: its handle was dropped.
    Dropped,
    /// Its process died (the kernel says so) or let go of the ring by exec.
    Died,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Dropped => "left without closing",
            Self::Died => "died",
        })
    }
}

/// Somebody who sits at a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Participant {
    /// On which side.
    pub role: Role,
    /// Which tenure of that side or role this is, counted from 1 at the ring's birth.
    pub tenure: u64,
    /// The process, as it numbers itself. For people: in another pid namespace it means nothing.
    pub pid: u32,
    /// Whether the kernel says that it lives.
    pub alive: bool,
    /// Messages it sent since it sat down. May be one less than it did if it was killed.
    pub sent: u64,
    /// Messages it received since it sat down. May be one less than it did if it was killed.
    pub received: u64,
    /// Messages it has in hand: received, and not read yet. Always 0 in an SPSC ring, where they are received as they
    /// are handed out.
    pub holding: u64,
}

/// An error of `shm-ring`.
#[derive(Debug)]
#[non_exhaustive]
#[repr(u64)]
pub enum Error {
    /// No space for the message at present. Nothing was sent.
    Full,
    /// No message at present.
    Empty,
    /// The deadline passed first. Nothing was sent or received.
    TimedOut,
    /// All that was sent is received, and the other side has gone. Told once for each end; the next call
    /// waits for the other side's successor.
    Disconnected(End),
    /// The ring was removed, and whoever opens its name gets another ring; or it is a sealed one, and the peer's end
    /// was told.
    Detached,
    /// The shared state is one that no correct participant leaves. The ring is marked; nobody goes on.
    Corrupt(&'static str),
    /// The message is longer than the ring can ever take.
    TooLarge {
        /// Bytes in the message.
        length: usize,
        /// Most bytes in any message.
        max: usize,
    },
    /// The next message does not fit the buffer; it stays in the ring.
    BufferTooSmall {
        /// Bytes in the message.
        length: usize,
    },
    /// The seat is taken by a process that lives.
    SeatTaken {
        /// The seat.
        role: Role,
        /// Who sits there, as it numbers itself.
        pid: u32,
    },
    /// All seats of an MPMC ring are taken by processes that live.
    NoSeat {
        /// How many there are.
        participants: u64,
    },
    /// The only seats that are free were left by dead processes in the middle of an operation, and which block they
    /// held can not be told while others are in the middle of theirs.
    Busy {
        /// Who died there, as it numbered itself.
        pid: u32,
    },
    /// The capacity can not be had.
    InvalidCapacity {
        /// Why.
        reason: &'static str,
    },
    /// The object is of this project, but not a ring that this library knows.
    NotARing {
        /// Its path.
        object: Box<str>,
    },
    /// The ring carries something else.
    WrongKind {
        /// What it carries.
        found: Kind,
        /// What the handle is for.
        wanted: Kind,
    },
    /// The ring carries values of another type.
    WrongType {
        /// The type as this side knows it.
        wanted: &'static str,
    },
    /// Living participants stand against the removal.
    InUse(Box<[Participant]>),
    /// A handle from before a fork was used in the child.
    Forked,
    /// The memory below said no.
    Memory(Box<shm_core::Error>),
}

impl Error {
    /// Whether the object that was looked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Memory(error) if matches!(**error, shm_core::Error::NotFound { .. }))
    }
}

impl From<shm_core::Error> for Error {
    #[cold]
    fn from(error: shm_core::Error) -> Self {
        match error {
            shm_core::Error::Detached { .. } => Self::Detached,
            error => Self::Memory(Box::new(error)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => {
                f.write_str("the ring is full; try again, wait for space, or give it more capacity")
            }
            Self::Empty => f.write_str("the ring is empty; try again or wait for a message"),
            Self::TimedOut => f.write_str("timed out; the other side was too slow or is not there"),
            Self::Disconnected(end) => write!(f, "the other side {end}; wait for a successor or stop"),
            Self::Detached => f.write_str(
                "the ring was removed, or is over; open its name, or connect, again for another one",
            ),
            Self::Corrupt(what) => write!(
                f,
                "the ring is corrupt ({what}): some process wrote where it must not, or its memory failed; \
                 stop its participants, remove it and create it anew"
            ),
            Self::TooLarge { length, max } => write!(
                f,
                "a message of {length} bytes exceeds this ring's limit of {max}; \
                 split it, or create a ring with more capacity"
            ),
            Self::BufferTooSmall { length } => {
                write!(f, "the next message has {length} bytes; receive it with a buffer of that size")
            }
            Self::SeatTaken { role, pid } => {
                write!(f, "the ring has its {role} already: process {pid}; end that one or use another ring")
            }
            Self::NoSeat { participants } => write!(
                f,
                "all {participants} seats of the ring are taken; end a participant, or create a ring for more"
            ),
            Self::Busy { pid } => write!(
                f,
                "the place of process {pid}, which died, can not be cleared yet; try again in a moment"
            ),
            Self::InvalidCapacity { reason } => write!(f, "that capacity can not be had: {reason}"),
            Self::NotARing { object } => write!(
                f,
                "{object} is not a ring that this version knows; choose another name or upgrade this program"
            ),
            Self::WrongKind { found, wanted } => {
                write!(
                    f,
                    "the ring is {}, not {}; open it as what it is",
                    found.describe(),
                    wanted.describe()
                )
            }
            Self::WrongType { wanted } => write!(
                f,
                "the ring carries values of another type than {wanted} (name, size, alignment or schema differ); \
                 use the type it was created with, or create it anew"
            ),
            Self::InUse(participants) => {
                f.write_str("the ring is in use by ")?;
                for (index, who) in participants.iter().enumerate() {
                    write!(f, "{}{} {}", if index > 0 { ", " } else { "" }, who.role, who.pid)?;
                }
                if participants.is_empty() {
                    f.write_str("a process that is just joining")?;
                }
                f.write_str("; end them first, or force the removal")
            }
            Self::Forked => {
                f.write_str("this handle was made before a fork; open the ring anew in the child")
            }
            Self::Memory(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Memory(error) => error.source(),
            _ => None,
        }
    }
}

const _: () = assert!(size_of::<Error>() <= 24, "results of the hot path carry it");
