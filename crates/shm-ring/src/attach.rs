//! How a process comes to a ring: the object is opened or born, its header checked, its presence
//! declared, its seat claimed.

use crate::error::{Error, Result, Role};
use crate::layout::mpmc;
use crate::layout::spsc::Parts;
use crate::layout::spsc::{CONSUMER_WAIT_OFFSET, NOTICE_OFFSET, PRODUCER_WAIT_OFFSET};
use crate::layout::{FLAG_REDELIVERY, Geometry, NOTICE_POISONED, NOTICE_REMOVED};
use crate::mpmc::exchange;
use crate::restart;
use crate::split::{self, Joined};
use crate::wait::WaitStrategy;
use shm_core::sync::Ordering;
use shm_core::{
    Access, Deadline, Directory, Header, Identity, Name, Object, Options, Owner, Place, ReadWord, Region,
    Removal, Unnamed,
};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Flags in a header that this library understands.
pub(crate) const KNOWN_FLAGS: u64 = FLAG_REDELIVERY;
/// Between two attempts to open a ring that is just being removed.
const RETRY: Duration = Duration::from_millis(1);

/// What a builder collects.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) directory: Directory,
    /// The ring is here, and its name is only for people.
    pub(crate) memory: Option<Unnamed>,
    pub(crate) owner: Owner,
    pub(crate) mode: u32,
    pub(crate) capacity: u64,
    pub(crate) message_bytes: u64,
    pub(crate) participants: u64,
    pub(crate) redelivery: bool,
    pub(crate) wait: WaitStrategy,
    pub(crate) attach_timeout: Duration,
    pub(crate) require_peer: bool,
    pub(crate) backstop: bool,
    pub(crate) schema: String,
    /// A sealed ring is made over this.
    pub(crate) socket: Option<Arc<Mutex<Option<OwnedFd>>>>,
}

/// What the ring is to carry, and what an existing one must carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    pub(crate) geometry: Geometry,
    pub(crate) fingerprint: u64,
    pub(crate) type_name: &'static str,
}

/// Whether the ring must, may, or must not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Create,
    Open,
    OpenOrCreate,
}

/// A ring that this process has mapped and attends; nobody removes it as unused.
#[derive(Debug)]
pub(crate) struct Mapped {
    pub(crate) object: Object,
    pub(crate) region: Region,
    pub(crate) geometry: Geometry,
    pub(crate) instance: Identity,
}

impl Mapped {
    /// Checks that the object, which is attended, holds a ring that carries the content. `gone` answers for one that
    /// is marked as removed.
    fn of(
        object: Object,
        content: &Content,
        deadline: Deadline,
        gone: impl FnOnce(&Object) -> Result<Error>,
    ) -> Result<Self> {
        let (region, header, geometry) = read(&object, Access::ReadWrite)?;
        let wanted = &content.geometry;
        if geometry.kind != wanted.kind {
            return Err(Error::WrongKind { found: geometry.kind, wanted: wanted.kind });
        }
        let other_slots = geometry.kind.is_typed() && geometry.message_bytes != wanted.message_bytes;
        if header.fingerprint != content.fingerprint || other_slots {
            return Err(Error::WrongType { wanted: content.type_name });
        }
        let notices = notices(&region, &geometry)?;
        if notices & NOTICE_REMOVED != 0 {
            return Err(gone(&object)?);
        }
        if notices & NOTICE_POISONED != 0 {
            return Err(Error::Corrupt("a participant has found it so"));
        }
        if restart::is_from_another_run(&object, &region)? {
            restart::recover(&object, &region, header.instance, &geometry, deadline)?;
        }
        Ok(Mapped { object, region, geometry, instance: header.instance })
    }
}

/// A ring of one producer and one consumer, before this side has its place there.
pub(crate) enum Ground {
    Named(Mapped),
    Sealed(Joined),
}

impl Ground {
    pub(crate) fn geometry(&self) -> Geometry {
        match self {
            Self::Named(mapped) => mapped.geometry,
            Self::Sealed(joined) => joined.geometry,
        }
    }
}

impl Settings {
    /// Opens or creates the ring of one producer and one consumer, or makes it with whoever is at the other end of the
    /// socket.
    pub(crate) fn ground(
        &self,
        mode: Mode,
        content: &Content,
        role: Role,
        deadline: Deadline,
    ) -> Result<Ground> {
        let Some(socket) = &self.socket else {
            return self.map(mode, content, deadline).map(Ground::Named);
        };
        // Moved and not copied: a copy would follow into a forked child.
        let socket = socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        let socket = socket.ok_or(Error::Detached)?;
        split::join(self, content, role, socket, deadline).map(Ground::Sealed)
    }

    fn locate(&self) -> Result<(Options, Name)> {
        let (options, name) = locate(&self.directory, &self.name)?;
        Ok((options.owner(self.owner).mode(self.mode), name))
    }

    /// Opens or creates the ring, as `mode` says, before the deadline.
    pub(crate) fn map(&self, mode: Mode, content: &Content, deadline: Deadline) -> Result<Mapped> {
        if let Some(memory) = &self.memory {
            return map_unnamed(memory, mode, content, deadline);
        }
        let (options, name) = self.locate()?;
        loop {
            if mode != Mode::Create {
                match Self::open(&options, &name, content, deadline) {
                    Err(error) if error.is_not_found() && mode == Mode::OpenOrCreate => {}
                    Err(error) if passes(&error) && !deadline.has_passed() => {
                        std::thread::sleep(RETRY.min(deadline.remaining()));
                        continue;
                    }
                    other => return other,
                }
            }
            match Self::create(&options, &name, content) {
                Err(error) if mode == Mode::OpenOrCreate && is_taken(&error) => {} // open theirs
                other => return other,
            }
        }
    }

    fn create(options: &Options, name: &Name, content: &Content) -> Result<Mapped> {
        create_by(content, |bytes, initialise| options.create_with(name, bytes, initialise))
    }

    fn open(options: &Options, name: &Name, content: &Content, deadline: Deadline) -> Result<Mapped> {
        let object = options.open(name, Access::ReadWrite)?;
        // Before anything is mapped: nobody shrinks an object that is attended.
        object.attend().map_err(|error| match error {
            // Removed since we opened it: for whoever asks for the name now, it does not exist.
            shm_core::Error::Detached { object } => shm_core::Error::NotFound { object },
            error => error,
        })?;
        let gone = |object: &Object| finish_removal(options, name, object);
        Mapped::of(object, content, deadline, gone)
    }

    /// Opens a ring once more that this process has open, on a description of its own.
    pub(crate) fn map_again(&self, instance: Identity, content: &Content) -> Result<Mapped> {
        let deadline = Deadline::after(self.attach_timeout);
        let opened = match &self.memory {
            Some(memory) => map_unnamed(memory, Mode::Open, content, deadline),
            None => self.locate().and_then(|(options, name)| Self::open(&options, &name, content, deadline)),
        };
        match opened {
            Ok(mapped) if mapped.instance == instance => Ok(mapped),
            Ok(_) => Err(Error::Detached),
            Err(error) if error.is_not_found() => Err(Error::Detached),
            Err(error) => Err(error),
        }
    }
}

/// Makes a ring by what creates its object.
fn create_by(
    content: &Content,
    create: impl FnOnce(u64, &dyn Fn(&Region) -> shm_core::Result<()>) -> shm_core::Result<Object>,
) -> Result<Mapped> {
    let geometry = content.geometry;
    let header = geometry.header(content.fingerprint)?;
    let object = create(geometry.object_bytes, &|region| {
        header.write(region)?;
        restart::initialise(region, &header)?;
        if geometry.kind.is_mpmc() { exchange::initialise(region, &geometry) } else { Ok(()) }
    })?;
    let region = object.map(Access::ReadWrite)?;
    Ok(Mapped { object, region, geometry, instance: header.instance })
}

/// Opens or creates a ring that has no name.
fn map_unnamed(memory: &Unnamed, mode: Mode, content: &Content, deadline: Deadline) -> Result<Mapped> {
    loop {
        if mode != Mode::Create {
            match memory.open() {
                Err(shm_core::Error::NotFound { .. }) if mode == Mode::OpenOrCreate => {}
                Err(error) => return Err(error.into()),
                Ok(object) => {
                    object.attend()?;
                    return Mapped::of(object, content, deadline, |_| Ok(Error::Detached));
                }
            }
        }
        match create_by(content, |bytes, initialise| memory.create_with(bytes, initialise)) {
            Err(error) if mode == Mode::OpenOrCreate && is_taken(&error) => {} // open theirs
            other => return other,
        }
    }
}

/// A ring is marked as removed and still has its name: its remover was killed in between, or is about to
/// unlink it. Helps, and says what is true then: that there is no ring of that name.
fn finish_removal(options: &Options, name: &Name, marked: &Object) -> Result<Error> {
    let gone = || Error::from(shm_core::Error::NotFound { object: marked.path().to_owned() });
    // The name may mean another ring by now: only the one that was seen marked loses it. We hold that one
    // open, so its inode can not be another's.
    let inode = marked.stat()?.inode;
    options.remove::<Error>(name, Removal::Always, |named| {
        if named.stat()?.inode == inode { Ok(()) } else { Err(gone()) }
    })?;
    Ok(gone())
}

/// How to open the ring `name`, which may be any [`Place`](shm_core::Place).
pub(crate) fn locate(directory: &Directory, name: &str) -> Result<(Options, Name)> {
    Ok(name.parse::<Place>()?.locate(directory)?)
}

/// Maps an object and reads its header, which must be that of a ring.
pub(crate) fn read(object: &Object, access: Access) -> Result<(Region, Header, Geometry)> {
    if object.stat()?.bytes == 0 {
        return Err(shm_core::Error::Foreign { object: object.path().to_owned() }.into());
    }
    let region = match object.map(access) {
        // Shorter than its length in memory: if the header is ours it can say more.
        Err(error @ shm_core::Error::Truncated { .. }) => return Err(foreign_or(object, error)),
        other => other?,
    };
    let header = Header::read(&region, object.path(), KNOWN_FLAGS)?;
    let geometry = Geometry::from_header(&header, object.path())?;
    Ok((region, header, geometry))
}

/// A file with holes that does not begin with the magic number was never ours.
fn foreign_or(object: &Object, error: shm_core::Error) -> Error {
    let mut magic = [0; shm_core::header::MAGIC.len()];
    match object.read_at(0, &mut magic) {
        Ok(read) if read == magic.len() && magic == shm_core::header::MAGIC => error.into(),
        _ => shm_core::Error::Foreign { object: object.path().to_owned() }.into(),
    }
}

/// All notices that stand in a ring.
pub(crate) fn notices(region: &Region, geometry: &Geometry) -> Result<u32> {
    if geometry.kind.is_mpmc() {
        let all: ReadWord<u32> = mpmc::Parts::of(region, geometry)?.common.read_word(mpmc::NOTICE_OFFSET)?;
        return Ok(all.load(Ordering::Relaxed)); // a hint, looked at again later
    }
    let parts = Parts::of(region, geometry)?;
    let producer: ReadWord<u32> = parts.producer.read_word(PRODUCER_WAIT_OFFSET + NOTICE_OFFSET)?;
    let consumer: ReadWord<u32> = parts.consumer.read_word(CONSUMER_WAIT_OFFSET + NOTICE_OFFSET)?;
    Ok(producer.load(Ordering::Relaxed) | consumer.load(Ordering::Relaxed)) // hints, looked at again later
}

/// The wait words of both sides, `role`'s first.
pub(crate) fn wait_words(parts: &Parts, role: Role) -> [(&Region, usize); 2] {
    let producer = (&parts.producer, PRODUCER_WAIT_OFFSET);
    let consumer = (&parts.consumer, CONSUMER_WAIT_OFFSET);
    if role.sends() { [producer, consumer] } else { [consumer, producer] }
}

/// Whether somebody else was faster.
fn is_taken(error: &Error) -> bool {
    matches!(error, Error::Memory(error) if matches!(**error, shm_core::Error::AlreadyExists { .. }))
}

/// Whether an error will be another one in a moment.
fn passes(error: &Error) -> bool {
    matches!(error, Error::Memory(error) if matches!(**error, shm_core::Error::Busy { .. }))
}
