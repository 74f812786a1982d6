//! The ways between the two processes, each used as its documentation advises.

mod bare;
mod descriptors;
mod in_place;
mod lane;
mod queues;
mod rings;
mod sockets;

use crate::cores::{self, Placement};
use crate::pair::{Extent, Measured, Pair, histogram};
use crate::peer::{Opening, Other};
use crate::serve::Serve;
use crate::{Link, Result};
use serde::{Deserialize, Serialize};
use shm_ring::WaitStrategy;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Bytes in a ring, or in the slots of bare memory, unless messages are so long that four of them need more.
pub const RING_BYTES: u64 = 1 << 20;
/// Messages in an MPMC ring.
pub const RING_MESSAGES: u64 = 1 << 10;
/// Messages that are handed over, for which a ring has room at least: in a ring of four, every other message finds it
/// full as far as its producer knows, and looks at how much was released.
const HANDOVER_MESSAGES: u64 = 16;
/// Messages in a batch.
pub const BATCH: usize = 64;

/// How a ring's blocking calls wait. What else there is waits as it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Looks again and again.
    Spin,
    /// Looks for a while, then sleeps: the default of rings.
    #[default]
    Adaptive,
    /// Sleeps at once.
    Sleep,
}

impl Wait {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Spin, Self::Adaptive, Self::Sleep];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Adaptive => "adaptive",
            Self::Sleep => "sleep",
        }
    }

    /// The way of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|wait| wait.name() == name).ok_or_else(|| "an unknown way to wait".into())
    }

    pub(crate) const fn strategy(self) -> WaitStrategy {
        match self {
            Self::Spin => WaitStrategy::Spin,
            Self::Adaptive => WaitStrategy::Adaptive,
            Self::Sleep => WaitStrategy::Sleep,
        }
    }
}

macro_rules! transports {
    ($($variant:ident $name:literal $text:literal)*) => {
        /// A way for messages, there and back.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Transport {
            $(#[doc = $text] $variant,)*
        }

        impl Transport {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in tables, and to programs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

transports! {
    Spsc "spsc" "An SPSC ring of bytes, a message per call."
    SpscBatch "spsc-batch" "An SPSC ring of bytes, messages sent and received by the batch."
    SpscInPlace "spsc-in-place" "An SPSC ring of bytes, messages written and read where they lie."
    SpscHandover "spsc-handover" "An SPSC ring of bytes, whose space is handed over with only a number written."
    Typed "typed" "An SPSC ring of 8-byte values, a value per call."
    TypedBatch "typed-batch" "An SPSC ring of 8-byte values, many per call."
    Mpmc "mpmc" "An MPMC ring of bytes, a message per call."
    Pipe "pipe" "A pipe."
    Fifo "fifo" "A FIFO."
    UnixStream "unix-stream" "A Unix stream socket."
    UnixDatagram "unix-datagram" "A Unix datagram socket."
    UnixSeqpacket "unix-seqpacket" "A Unix socket of sequenced packets."
    Tcp "tcp" "TCP over the loopback interface."
    PosixQueue "posix-queue" "A POSIX message queue."
    SysvQueue "sysv-queue" "A System V message queue."
    EventFd "eventfd" "Slots in shared memory, each message told of by an eventfd."
    Memory "memory" "Slots in shared memory and nothing else: copied in, copied out, both sides spinning."
    Lines "lines" "Cache lines in shared memory, each with a stamp of its own: 56 bytes."
    Words "words" "Words in shared memory, each with a stamp in itself: 8 bytes."
    Bounce "bounce" "One cache line there and one back, a word in each: 8 bytes."
    Futex "futex" "A word there and one back, on which both sleep: 8 bytes."
}

impl Transport {
    /// The transport of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|transport| transport.name() == name)
    }

    /// The shortest and the longest message that it takes, without an administrator's help.
    pub fn lengths(self) -> (usize, usize) {
        let longest = match self {
            Self::Typed | Self::TypedBatch | Self::Words | Self::Bounce | Self::Futex => 8,
            Self::Lines => return (lane::LINE_PAYLOAD_BYTES, lane::LINE_PAYLOAD_BYTES),
            Self::UnixDatagram | Self::UnixSeqpacket => sockets::packet_bytes_max(),
            Self::PosixQueue => queues::posix_bytes_max(),
            Self::SysvQueue => queues::sysv_bytes_max(),
            _ => 1 << 30,
        };
        (8, longest)
    }

    /// Whether it takes messages of that length.
    pub fn takes(self, length: usize) -> bool {
        let (shortest, longest) = self.lengths();
        (shortest..=longest).contains(&length)
    }
}

/// A way, and how it is made.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The way.
    pub transport: Transport,
    /// The longest message.
    pub length: usize,
    /// How a ring's calls wait.
    pub wait: Wait,
}

/// Our end of a way, and what the other process needs for its own.
pub(crate) struct Ours<L> {
    link: L,
    words: Vec<String>,
    descriptors: Vec<OwnedFd>,
}

impl<L: Link + 'static> Ours<L> {
    fn start(self, setup: &Setup, placement: Placement) -> Result<Box<dyn Measured>> {
        let (ours, theirs) = placement.processors();
        if let Some(ours) = ours {
            cores::pin_to(ours)?;
        }
        let mut words = vec![setup.length.to_string(), setup.wait.name().to_owned()];
        words.extend(self.words);
        let opening = Opening {
            transport: setup.transport.name().to_owned(),
            processor: theirs,
            descriptors: 0,
            words,
        };
        let descriptors: Vec<BorrowedFd<'_>> =
            self.descriptors.iter().map(std::os::fd::AsFd::as_fd).collect();
        let other = Other::process(opening, &descriptors)?;
        let mut pair: Box<dyn Measured> = Box::new(Pair::new(setup.transport.name(), self.link, other));
        setup.warm_up(pair.as_mut())?;
        Ok(pair)
    }
}

impl Setup {
    /// Starts the other process. Its program is this one, which must call [`play`](crate::play) first. Both touch all
    /// memory of the link before this returns or they are ordered anything.
    ///
    /// # Errors
    /// When messages are too long for the way, or it can not be made.
    pub fn start(&self, placement: Placement) -> Result<Box<dyn Measured>> {
        if !self.transport.takes(self.length) {
            let (shortest, longest) = self.transport.lengths();
            let (name, length) = (self.transport.name(), self.length);
            return Err(format!("{name} takes {shortest} to {longest} bytes, not {length}").into());
        }
        match self.transport {
            Transport::Spsc => rings::make::<rings::Single>(self)?.start(self, placement),
            Transport::SpscBatch => rings::make::<rings::Batched>(self)?.start(self, placement),
            Transport::SpscInPlace => rings::make::<in_place::InPlace>(self)?.start(self, placement),
            Transport::SpscHandover => rings::make::<in_place::Handover>(self)?.start(self, placement),
            Transport::Typed => rings::make::<rings::Typed<false>>(self)?.start(self, placement),
            Transport::TypedBatch => rings::make::<rings::Typed<true>>(self)?.start(self, placement),
            Transport::Mpmc => rings::make::<rings::Crowded>(self)?.start(self, placement),
            Transport::Pipe => sockets::pipe()?.start(self, placement),
            Transport::Fifo => sockets::fifo()?.start(self, placement),
            Transport::UnixStream => sockets::unix_stream()?.start(self, placement),
            Transport::UnixDatagram | Transport::UnixSeqpacket => {
                sockets::unix_packets(self.transport)?.start(self, placement)
            }
            Transport::Tcp => sockets::tcp()?.start(self, placement),
            Transport::PosixQueue => queues::posix(self)?.start(self, placement),
            Transport::SysvQueue => queues::sysv()?.start(self, placement),
            Transport::EventFd => bare::make::<bare::Signalled>(self)?.start(self, placement),
            Transport::Memory => bare::make::<bare::Slots>(self)?.start(self, placement),
            Transport::Lines => bare::make::<bare::Lines>(self)?.start(self, placement),
            Transport::Words => bare::make::<bare::Stamped>(self)?.start(self, placement),
            Transport::Bounce => bare::make::<bare::Bounce>(self)?.start(self, placement),
            Transport::Futex => bare::make::<bare::Futex>(self)?.start(self, placement),
        }
    }

    /// Goes once around all memory of the link, both ways, so that no page is touched for the first time later.
    fn warm_up(&self, pair: &mut dyn Measured) -> Result<()> {
        let mut times = histogram()?;
        // Of long messages a few go around.
        let long = usize::try_from(self.ring_bytes() / 4)?;
        match self.transport {
            Transport::Spsc | Transport::SpscBatch | Transport::SpscInPlace => {
                pair.round_trips(long, Extent::Messages(6), &mut times)?;
            }
            Transport::SpscHandover => {
                pair.round_trips(8, Extent::Messages(3 * HANDOVER_MESSAGES), &mut times)?;
            }
            Transport::Typed | Transport::TypedBatch => {
                pair.stream(8, Extent::Messages(self.ring_bytes() / 8 + 1))?;
            }
            Transport::Mpmc => {
                pair.round_trips(self.length, Extent::Messages(RING_MESSAGES + 100), &mut times)?;
            }
            _ => {
                pair.round_trips(self.length, Extent::Messages(10), &mut times)?;
            }
        }
        Ok(())
    }

    /// Bytes in a ring for its messages.
    pub(crate) fn ring_bytes(&self) -> u64 {
        let messages = if self.transport == Transport::SpscHandover { HANDOVER_MESSAGES } else { 4 };
        RING_BYTES.max((messages * self.length as u64).next_power_of_two())
    }

    fn of(opening: &Opening) -> Result<Self> {
        let transport = Transport::of_name(&opening.transport).ok_or("an unknown transport")?;
        Ok(Self { transport, length: opening.word(0)?.parse()?, wait: Wait::of_name(opening.word(1)?)? })
    }
}

/// In the other process: its end.
pub(crate) fn open(opening: &Opening, descriptors: Vec<OwnedFd>) -> Result<Box<dyn Serve>> {
    if opening.transport == crate::crowd::ROLE {
        return crate::crowd::open(opening, descriptors);
    }
    let setup = Setup::of(opening)?;
    Ok(match setup.transport {
        Transport::Spsc => Box::new(rings::open::<rings::Single>(&setup, descriptors)?),
        Transport::SpscBatch => Box::new(rings::open::<rings::Batched>(&setup, descriptors)?),
        Transport::SpscInPlace => Box::new(rings::open::<in_place::InPlace>(&setup, descriptors)?),
        Transport::SpscHandover => Box::new(rings::open::<in_place::Handover>(&setup, descriptors)?),
        Transport::Typed => Box::new(rings::open::<rings::Typed<false>>(&setup, descriptors)?),
        Transport::TypedBatch => Box::new(rings::open::<rings::Typed<true>>(&setup, descriptors)?),
        Transport::Mpmc => Box::new(rings::open::<rings::Crowded>(&setup, descriptors)?),
        Transport::Pipe | Transport::Fifo | Transport::UnixStream | Transport::Tcp => {
            Box::new(sockets::open_stream(descriptors)?)
        }
        Transport::UnixDatagram | Transport::UnixSeqpacket => Box::new(sockets::open_packets(descriptors)?),
        Transport::PosixQueue => Box::new(queues::open_posix(&setup, descriptors)?),
        Transport::SysvQueue => Box::new(queues::open_sysv(opening.word(2)?, opening.word(3)?)?),
        Transport::EventFd => Box::new(bare::open::<bare::Signalled>(&setup, descriptors)?),
        Transport::Memory => Box::new(bare::open::<bare::Slots>(&setup, descriptors)?),
        Transport::Lines => Box::new(bare::open::<bare::Lines>(&setup, descriptors)?),
        Transport::Words => Box::new(bare::open::<bare::Stamped>(&setup, descriptors)?),
        Transport::Bounce => Box::new(bare::open::<bare::Bounce>(&setup, descriptors)?),
        Transport::Futex => Box::new(bare::open::<bare::Futex>(&setup, descriptors)?),
    })
}

/// Takes away what would outlive this process: called before it ends early.
pub(crate) fn clean() {
    queues::remove_all();
}
