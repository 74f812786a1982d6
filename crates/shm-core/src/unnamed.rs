//! Shared memory without a name, which is reached by whoever was handed it: a memfd by its descriptor, anonymous
//! memory by being a forked child.
//!
//! Anonymous memory has no descriptor, and so no locks by which the kernel says who lives. An empty memfd beside
//! it, its *companion*, has: every [`open`](Unnamed::open), in the parent and in its children, opens that once more and
//! holds locks of its own. It has no name either, so nothing is ever left of it.
//!
//! There is no half-made memory to be met: it is handed on when it is complete.

use crate::anonymous;
use crate::error::{Error, Result};
use crate::memfd::Memfd;
use crate::object::{Object, without_locks};
use crate::region::{Access, MapOptions, Region};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

/// Shared memory without a name. Nothing is allocated until it is [created](Self::create_with).
///
/// Cloning it gives another handle on the same memory. It is valid in forked children, which is what it is for: make
/// the ring, then fork, then have each process open it.
///
/// ```
/// use shm_core::{Access, Unnamed};
/// # fn main() -> Result<(), shm_core::Error> {
/// let memory = Unnamed::anonymous("scratch");
/// memory.create_with(4096, |region| region.copy_in(0, b"hello"))?;
/// let mut bytes = [0; 5];
/// memory.open()?.map(Access::ReadOnly)?.copy_out(0, &mut bytes)?; // here, or in a forked child
/// assert_eq!(&bytes, b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Unnamed {
    label: String,
    how: How,
    made: Arc<OnceLock<Made>>,
}

#[derive(Clone, Debug)]
enum How {
    Memfd(Memfd),
    Anonymous,
    DevZero,
}

/// What there is.
#[derive(Debug)]
struct Made {
    /// The memfd, or the companion. Inherited, and handed on: so never locked.
    file: OwnedFd,
    /// The memory, if it is not the file's.
    memory: Option<Region>,
}

impl Unnamed {
    /// A memfd as `memfd` says. `label` is for errors.
    pub fn memfd(label: &str, memfd: Memfd) -> Self {
        Self { label: label.to_owned(), how: How::Memfd(memfd), made: Arc::default() }
    }

    /// Anonymous memory (`MAP_ANONYMOUS`), for this process and the children that it forks after its creation.
    pub fn anonymous(label: &str) -> Self {
        Self { label: label.to_owned(), how: How::Anonymous, made: Arc::default() }
    }

    /// The same by `/dev/zero`, for systems that refuse `MAP_ANONYMOUS`.
    pub fn dev_zero(label: &str) -> Self {
        Self { label: label.to_owned(), how: How::DevZero, made: Arc::default() }
    }

    /// A memfd, or a file, that another process handed on; see [`crate::pass`], and [`crate::seal`] for what to look at
    /// before. It must be open for what is to be done with it.
    pub fn from_descriptor(label: &str, descriptor: OwnedFd) -> Self {
        let made = OnceLock::from(Made { file: descriptor, memory: None });
        Self { label: label.to_owned(), how: How::Memfd(Memfd::new(label)), made: Arc::new(made) }
    }

    /// Which kind of memory it is: `memfd`, `anonymous` or `dev-zero`.
    pub fn kind(&self) -> &'static str {
        match self.how {
            How::Memfd(_) => "memfd",
            How::Anonymous => "anonymous",
            How::DevZero => "dev-zero",
        }
    }

    /// What stands for a name in errors.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The descriptor to hand on; `None` before the creation, and for anonymous memory, which can not be.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.made.get().filter(|made| made.memory.is_none()).map(|made| made.file.as_fd())
    }

    /// Creates it with `bytes` zero bytes, all of them taken now, and lets `initialise` fill it before anybody else
    /// can see it. The object that is returned attends it.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::SharedLocks`] where there is no `/proc`, as the kind of memory has
    /// it ([`Error::OutOfSpace`], [`Error::Refused`]), or what `initialise` returns.
    pub fn create_with(&self, bytes: u64, initialise: impl FnOnce(&Region) -> Result<()>) -> Result<Object> {
        let taken = || Error::AlreadyExists { object: self.label.clone() };
        if self.made.get().is_some() {
            return Err(taken());
        }
        let (file, memory) = match &self.how {
            How::Memfd(memfd) => (memfd.create_with(bytes, initialise)?, None),
            How::Anonymous => (self.companion()?, Some(self.filled(anonymous::map(bytes)?, initialise)?)),
            How::DevZero => (self.companion()?, Some(self.filled(anonymous::dev_zero(bytes)?, initialise)?)),
        };
        let shared = || Error::SharedLocks { object: self.label.clone() };
        let unlocked = without_locks(file.descriptor(), Access::ReadWrite).ok_or_else(shared)?;
        let object = Object::unnamed(file, &self.label, memory.clone());
        object.attend()?;
        self.made.set(Made { file: unlocked, memory }).map_err(|_| taken())?;
        Ok(object)
    }

    /// Opens it: an object with locks of its own, each time.
    ///
    /// # Errors
    /// [`Error::NotFound`] before its creation, [`Error::SharedLocks`] when it may not be opened once more, and as
    /// [`Object::from_descriptor`].
    pub fn open(&self) -> Result<Object> {
        let Some(made) = self.made.get() else {
            return Err(Error::NotFound { object: self.label.clone() });
        };
        let copy = made.file.try_clone().map_err(|source| Error::System {
            call: "fcntl(F_DUPFD_CLOEXEC)",
            object: self.label.clone(),
            source,
        })?;
        let file = Object::from_descriptor(copy, &self.label)?;
        if !file.has_own_locks() {
            return Err(Error::SharedLocks { object: self.label.clone() });
        }
        Ok(Object::unnamed(file, &self.label, made.memory.clone()))
    }

    fn companion(&self) -> Result<Object> {
        Memfd::new("shmring-companion").create(1)
    }

    fn filled(&self, region: Region, initialise: impl FnOnce(&Region) -> Result<()>) -> Result<Region> {
        // The kernel has only promised the memory. Taken now, or an error now.
        region.settle(&MapOptions::new(Access::ReadWrite).populate(true))?;
        initialise(&region)?;
        Ok(region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::{self, Lock};

    fn kinds() -> [Unnamed; 3] {
        [Unnamed::memfd("m", Memfd::new("m")), Unnamed::anonymous("a"), Unnamed::dev_zero("z")]
    }

    #[test]
    fn it_is_created_once_and_opened_often() {
        let _closed = crate::fork::alone::nobody_starts();
        for memory in kinds() {
            assert!(matches!(memory.open(), Err(Error::NotFound { .. })));
            let object = memory.create_with(5000, |region| region.copy_in(4999, b"x")).unwrap();
            assert!(matches!(memory.create_with(5000, |_| Ok(())), Err(Error::AlreadyExists { .. })));
            let again = memory.clone().open().unwrap();
            assert_eq!((again.stat().unwrap().bytes, again.path()), (5000, memory.label()));
            let (one, other) = (object.map(Access::ReadWrite).unwrap(), again.map(Access::ReadOnly).unwrap());
            assert_eq!((one.bytes(), other.read_value::<u8>(4999).unwrap()), (5000, b'x'));
            one.write_value(7, &1_u8).unwrap();
            assert_eq!(other.read_value::<u8>(7).unwrap(), 1);
            assert!(other.write_value(7, &2_u8).is_err());
            assert!(lock::try_lock(&object, 100, Lock::Exclusive).unwrap());
            assert!(!lock::is_free(&again, 100).unwrap(), "{}: locks are each one's own", memory.kind());
            drop((object, one));
            assert!(lock::is_free(&again, 100).unwrap(), "{}", memory.kind());
            again.still_named().unwrap();
        }
    }

    #[test]
    fn a_failed_creation_may_be_tried_again() {
        for memory in kinds() {
            let refused = memory.create_with(4096, |_| Err(Error::ReadOnly));
            assert!(matches!(refused, Err(Error::ReadOnly)));
            memory.create_with(4096, |_| Ok(())).unwrap();
        }
    }

    #[test]
    fn only_a_memfd_can_be_handed_on() {
        for memory in kinds() {
            assert!(memory.descriptor().is_none());
            drop(memory.create_with(4096, |_| Ok(())).unwrap());
            let Some(descriptor) = memory.descriptor() else {
                assert_ne!(memory.kind(), "memfd");
                continue;
            };
            let there = Unnamed::from_descriptor("there", descriptor.try_clone_to_owned().unwrap());
            assert_eq!(there.open().unwrap().stat().unwrap().bytes, 4096);
        }
    }
}
