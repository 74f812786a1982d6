//! How a ring is opened or created, and with what.

use crate::attach::{Content, Mode, Settings};
use crate::error::Result;
use crate::wait::WaitStrategy;
use shm_core::{Deadline, Directory, Owner, Unnamed};
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Capacity of a ring of bytes, unless said otherwise.
pub const DEFAULT_CAPACITY_BYTES: u64 = 1 << 20;
/// Capacity of a ring of typed slots, unless said otherwise.
pub const DEFAULT_CAPACITY_SLOTS: u64 = 1 << 14;
/// Capacity of an MPMC ring in messages, unless said otherwise.
pub const DEFAULT_CAPACITY_MESSAGES: u64 = 1 << 10;
/// The longest message of an MPMC ring, unless said otherwise.
pub const DEFAULT_MESSAGE_BYTES: u64 = 1 << 10;
/// How many may take part in an MPMC ring at once, unless said otherwise.
pub const DEFAULT_PARTICIPANTS: u64 = 64;
/// How long attaching tries, unless said otherwise.
pub const DEFAULT_ATTACH_TIMEOUT: Duration = Duration::from_millis(500);

/// A handle that a [`Builder`] makes: a producer or consumer of one kind of ring.
pub trait Handle: Sized + sealed::Sealed {}

/// A handle at a ring of two: a producer or consumer.
pub trait Paired: Handle {}

/// A handle at a ring that many may be at: a sender or receiver.
pub trait Crowded: Handle {}

pub(crate) mod sealed {
    use super::{Content, Deadline, Mode, Result, Settings};

    pub trait Sealed: Sized {
        const DEFAULT_CAPACITY: u64;
        #[doc(hidden)]
        #[allow(private_interfaces)]
        fn content(settings: &Settings) -> Result<Content>;
        #[doc(hidden)]
        #[allow(private_interfaces)]
        fn attach(settings: &Settings, mode: Mode, content: &Content, deadline: Deadline) -> Result<Self>;
    }
}

/// Options for one side of a ring. The last call opens or creates it and takes the seat.
///
/// ```
/// use shm_ring::{Consumer, Producer, WaitStrategy};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), shm_ring::Error> {
/// # let name = format!("builder-doc-{}", std::process::id());
/// let mut producer = Producer::builder(&name)
///     .capacity(64 << 10)
///     .mode(0o660)
///     .wait(WaitStrategy::Spin)
///     .create()?;
/// let mut consumer = Consumer::builder(&name).attach_timeout(Duration::from_secs(5)).open()?;
/// producer.send(b"tick")?;
/// assert_eq!(consumer.recv()?.to_vec(), b"tick");
/// # drop((producer, consumer));
/// # shm_ring::remove(&name)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Builder<H> {
    settings: Settings,
    _handle: PhantomData<fn() -> H>,
}

// Not derived: that would ask the handle, which can not be cloned, to be so.
impl<H> Clone for Builder<H> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), _handle: PhantomData }
    }
}

impl<H: Handle> Builder<H> {
    pub(crate) fn new(name: &str) -> Self {
        let settings = Settings {
            name: name.to_owned(),
            directory: Directory::posix(),
            memory: None,
            owner: Owner::MeOrRoot,
            mode: 0o600,
            capacity: H::DEFAULT_CAPACITY,
            message_bytes: DEFAULT_MESSAGE_BYTES,
            participants: DEFAULT_PARTICIPANTS,
            redelivery: false,
            wait: WaitStrategy::default(),
            attach_timeout: DEFAULT_ATTACH_TIMEOUT,
            require_peer: false,
            backstop: true,
            schema: String::new(),
            socket: None,
        };
        Self { settings, _handle: PhantomData }
    }

    /// Capacity of a new ring: bytes for messages with one producer and one consumer, and otherwise how many
    /// messages or values; rounded up to a power of two. A ring that exists keeps its own.
    ///
    /// Where it is bytes, each message takes 8 more than its length, rounded up to 8, and no message may be longer
    /// than half of the ring less those 8.
    #[must_use]
    pub fn capacity(mut self, capacity: u64) -> Self {
        self.settings.capacity = capacity;
        self
    }

    /// The longest message of a new MPMC ring, in bytes; 1 KiB unless said otherwise. Each place in the ring takes as
    /// much. A ring that exists keeps its own.
    #[must_use]
    pub fn max_message(mut self, bytes: u64) -> Self
    where
        H: Crowded,
    {
        self.settings.message_bytes = bytes;
        self
    }

    /// How many handles may be at a new MPMC ring at once, senders and receivers together; 64 unless said
    /// otherwise. Each takes a message's room. A ring that exists keeps its own.
    #[must_use]
    pub fn participants(mut self, participants: u64) -> Self
    where
        H: Crowded,
    {
        self.settings.participants = participants;
        self
    }

    /// Whether a message that a receiver of a new MPMC ring has in hand when it dies is handed out again: to the next
    /// receiver on its seat or to one that waits, out of order, and
    /// [marked](crate::Delivery::is_redelivered). Otherwise it is gone. A ring that exists keeps its own way.
    ///
    /// It is in hand while its [`Delivery`](crate::Delivery) lives. What was copied out (by
    /// [`recv_into`](crate::Receiver::recv_into), an iterator, or a [`TypedReceiver`](crate::TypedReceiver)) counts as
    /// read when the call returns.
    #[must_use]
    pub fn redelivery(mut self, redelivery: bool) -> Self
    where
        H: Crowded,
    {
        self.settings.redelivery = redelivery;
        self
    }

    /// Permission bits of a new ring, exactly these; 0600 unless said otherwise. Whoever may write a
    /// ring can garble it (never more than the ring): give rights to those you trust with its content.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.settings.mode = mode;
        self
    }

    /// Whose rings are opened; mine and root's unless said otherwise.
    #[must_use]
    pub fn owner(mut self, owner: Owner) -> Self {
        self.settings.owner = owner;
        self
    }

    /// Where the ring's name lives; `/dev/shm` unless said otherwise.
    #[must_use]
    pub fn directory(mut self, directory: Directory) -> Self {
        self.settings.directory = directory;
        self
    }

    /// The ring is made in this memory, which has no name, or is there already; the builder's name stands for it in
    /// errors, and mode, owner and directory mean nothing. For forked children, and for processes that were handed
    /// a descriptor.
    ///
    /// ```
    /// use shm_ring::{Consumer, Producer, Unnamed};
    /// # fn main() -> Result<(), shm_ring::Error> {
    /// let memory = Unnamed::anonymous("ticks");
    /// let mut producer = Producer::builder("ticks").memory(&memory).create()?;
    /// // A forked child would do this:
    /// let mut consumer = Consumer::builder("ticks").memory(&memory).open()?;
    /// producer.send(b"hello")?;
    /// assert_eq!(consumer.recv()?.to_vec(), b"hello");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn memory(mut self, memory: &Unnamed) -> Self {
        self.settings.memory = Some(memory.clone());
        self
    }

    /// How blocking calls of this handle wait.
    #[must_use]
    pub fn wait(mut self, strategy: WaitStrategy) -> Self {
        self.settings.wait = strategy;
        self
    }

    /// How long attaching tries while the seat is taken. A process that was killed holds its seat until
    /// the kernel has taken its memory down (50 ms at 2 GiB), which its successor waits for; a process that
    /// lives holds it until then as well, and is told of as the reason.
    #[must_use]
    pub fn attach_timeout(mut self, timeout: Duration) -> Self {
        self.settings.attach_timeout = timeout;
        self
    }

    /// For a producer: whether it is an error ([`Disconnected`](crate::Error::Disconnected), told once for
    /// each) when a consumer that it has met is gone. Without it a producer sends until the ring is full and
    /// then waits for the next consumer. A consumer is always told of its producer's end.
    ///
    /// Such a producer is also told while there is space that the ring has lost its name and no consumer is there
    /// ([`Detached`](crate::Error::Detached)); others are when they find no space, or [ask](crate::Producer::check).
    #[must_use]
    pub fn require_peer(mut self, require: bool) -> Self {
        self.settings.require_peer = require;
        self
    }

    /// Whether sleeps are bounded by slices, after which this side looks again and asks who lives. Without it a
    /// wake-up that is lost is lost for good: for tests of just that.
    #[doc(hidden)]
    #[must_use]
    pub fn backstop(mut self, backstop: bool) -> Self {
        self.settings.backstop = backstop;
        self
    }

    /// A name or version of what the content means, checked when the ring is opened. For typed rings it adds
    /// to the fingerprint of the type, which does not see its fields.
    #[must_use]
    pub fn schema(mut self, schema: &str) -> Self {
        schema.clone_into(&mut self.settings.schema);
        self
    }

    /// Creates the ring and takes the seat.
    ///
    /// # Errors
    /// [`InvalidCapacity`](crate::Error::InvalidCapacity), or [`Memory`](crate::Error::Memory) when the name
    /// exists, is invalid, or the file system is full. Nothing is left behind then.
    pub fn create(self) -> Result<H> {
        self.attach(Mode::Create)
    }

    /// Opens the ring and takes the seat, going on where its last holder stopped.
    ///
    /// # Errors
    /// [`SeatTaken`](crate::Error::SeatTaken), [`WrongKind`](crate::Error::WrongKind),
    /// [`WrongType`](crate::Error::WrongType), [`Corrupt`](crate::Error::Corrupt), or
    /// [`Memory`](crate::Error::Memory) when there is no such ring or it is not one that can be trusted.
    pub fn open(self) -> Result<H> {
        self.attach(Mode::Open)
    }

    /// Opens the ring, or creates it if it does not exist, and takes the seat. Any number of processes may do
    /// this at once: one creates, and nobody sees a half-made ring.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`open`](Self::open), except that neither presence nor absence of the
    /// ring is one.
    pub fn open_or_create(self) -> Result<H> {
        self.attach(Mode::OpenOrCreate)
    }

    /// Makes a sealed ring with whoever does the same, from the other side, at the other end of a connected Unix
    /// socket.
    ///
    /// Neither needs to trust the other: each writes only memory of its own, which the other can read, and which the
    /// kernel guards from being written, shortened or taken away by anybody else. What a hostile peer can do is to send
    /// garbage, to be silent, and to wake for nothing. The producer's capacity counts, and a consumer's is the most
    /// that it accepts; name, mode, owner and directory mean nothing, but the name stands for the ring in errors.
    ///
    /// The socket stays open as long as the handle, and is not to be used for anything else: its end is how each
    /// learns that the other is gone (a socket of datagrams does not tell, and is refused). That is final: everything
    /// sent is received, the end is told as [`Disconnected`](crate::Error::Disconnected), to a producer as well, and
    /// further calls are [`Detached`](crate::Error::Detached). Connect again for a new ring. Who is there, and with
    /// what right, is for the application to find out beforehand ([`shm_core::pass::peer`]).
    ///
    /// Waits for the peer at most the [attach timeout](Self::attach_timeout).
    ///
    /// ```
    /// use shm_ring::{Consumer, End, Error, Producer};
    /// use std::os::unix::net::UnixStream;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let other_process = std::thread::spawn(|| Consumer::builder("ticks").connect(theirs));
    /// let mut producer = Producer::builder("ticks").capacity(1 << 16).connect(ours)?;
    /// let mut consumer = other_process.join().expect("no panic")?;
    /// producer.send(b"tick")?;
    /// producer.close();
    /// assert_eq!(consumer.recv()?.to_vec(), b"tick");
    /// assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Closed))));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt) when the peer does not speak this protocol,
    /// [`WrongKind`](crate::Error::WrongKind), [`WrongType`](crate::Error::WrongType), or
    /// [`Memory`](crate::Error::Memory) with the reason why what it sent is refused: not a memfd, seals that are
    /// missing, another size, holes; when it did not answer in time, or has gone.
    pub fn connect(mut self, socket: impl Into<OwnedFd>) -> Result<H>
    where
        H: Paired,
    {
        self.settings.socket = Some(Arc::new(Mutex::new(Some(socket.into()))));
        self.attach(Mode::Open)
    }

    /// Creates the ring and takes no seat: it waits for its participants as it is.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_ring(self) -> Result<()> {
        let content = H::content(&self.settings)?;
        let deadline = Deadline::after(self.settings.attach_timeout);
        self.settings.map(Mode::Create, &content, deadline).map(drop)
    }

    fn attach(self, mode: Mode) -> Result<H> {
        let content = H::content(&self.settings)?;
        let deadline = Deadline::after(self.settings.attach_timeout);
        H::attach(&self.settings, mode, &content, deadline)
    }
}
