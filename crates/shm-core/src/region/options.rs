//! How an object is mapped, where [`Object::map`](crate::Object::map) is not enough.

use super::Access;

/// How to map an object; see [`Object::map_with`](crate::Object::map_with).
///
/// ```
/// use shm_core::{Access, Advice, MapOptions, Memfd};
/// # fn main() -> Result<(), shm_core::Error> {
/// let object = Memfd::new("options").create(3 * 4096)?;
/// let options = MapOptions::new(Access::ReadWrite).part(4096, 100).populate(true).advice(Advice::Random);
/// let region = object.map_with(&options)?;
/// assert_eq!(region.bytes(), 100);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MapOptions {
    pub(crate) access: Access,
    /// Offset and length; all of the object if there is none.
    pub(crate) part: Option<(u64, u64)>,
    pub(crate) private: bool,
    pub(crate) populate: bool,
    pub(crate) lock: bool,
    pub(crate) advice: Option<Advice>,
    pub(crate) inheritance: Inheritance,
    pub(crate) holes: Holes,
}

impl MapOptions {
    /// All of an object, shared, inherited by forked children, and not a byte of it touched before it is asked for.
    pub const fn new(access: Access) -> Self {
        Self {
            access,
            part: None,
            private: false,
            populate: false,
            lock: false,
            advice: None,
            inheritance: Inheritance::Inherit,
            holes: Holes::Refuse,
        }
    }

    /// Only `bytes` bytes at `offset`, a multiple of the [object's page size](crate::Object::page_bytes).
    #[must_use]
    pub const fn part(self, offset: u64, bytes: u64) -> Self {
        Self { part: Some((offset, bytes)), ..self }
    }

    /// Changes stay in this process (`MAP_PRIVATE`): the object is not written, and need not be writable.
    ///
    /// A page becomes a copy when this process first writes it; until then it may or may not show what others
    /// write. A picture of one moment needs [`populate`](Self::populate) besides, which copies all pages at
    /// once (if the region is mapped for writing), and nobody who writes meanwhile.
    #[must_use]
    pub const fn private(self, private: bool) -> Self {
        Self { private, ..self }
    }

    /// Look all pages up now, for what the region is mapped for, so that later touches cost nothing. Since Linux 5.14
    /// a page that can not be had is an error here; before, it shows when it is touched.
    #[must_use]
    pub const fn populate(self, populate: bool) -> Self {
        Self { populate, ..self }
    }

    /// Keep all pages in memory (`mlock`), for as long as they are mapped. Ordinary users may lock as much as
    /// `RLIMIT_MEMLOCK` says, often 8 MiB.
    #[must_use]
    pub const fn lock(self, lock: bool) -> Self {
        Self { lock, ..self }
    }

    /// What the kernel is told about the use of the region; see [`Region::advise`](crate::Region::advise).
    #[must_use]
    pub const fn advice(self, advice: Advice) -> Self {
        Self { advice: Some(advice), ..self }
    }

    /// What a forked child gets of it.
    #[must_use]
    pub const fn inheritance(self, inheritance: Inheritance) -> Self {
        Self { inheritance, ..self }
    }

    /// What becomes of holes: ranges of the object that have no memory behind them.
    #[must_use]
    pub const fn holes(self, holes: Holes) -> Self {
        Self { holes, ..self }
    }
}

/// How a region is going to be used. None of it changes what is read; see `madvise(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// In no particular way.
    Normal,
    /// Here and there: reading ahead is of no use.
    Random,
    /// From front to back: read far ahead, and let go soon.
    Sequential,
    /// Soon: begin to read.
    WillNeed,
    /// With huge pages, where the kernel makes them of ordinary ones. Whether it does so for shared memory, is up to
    /// `/sys/kernel/mm/transparent_hugepage/shmem_enabled`.
    HugePage,
    /// With ordinary pages only.
    NoHugePage,
    /// Not soon: this process's page tables may forget the pages. What is in them is kept by the object, which is why
    /// this is refused for private regions, whose changes nobody else has, and for locked ones.
    DontNeed,
}

/// What a forked child gets of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inheritance {
    /// The same memory.
    #[default]
    Inherit,
    /// Nothing. In the child every call on the region, its parts and copies is
    /// [`Error::Forked`](crate::Error::Forked). Words and events, which look at nothing but their word, fault there:
    /// the addresses are kept free of anything else. (After a fork by a bare system call they are not: there
    /// they must not be touched.)
    Nothing,
    /// Zeros. The kernel does that for private anonymous memory only, so for a mapping of an object it is
    /// [`Error::Unsupported`](crate::Error::Unsupported).
    Zeros,
}

/// What becomes of ranges that have no memory behind them. The kernel finds some at the first touch, and if
/// there is none left, the answer is SIGBUS, which kills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holes {
    /// Refuse to map an object with holes, as rings want it.
    #[default]
    Refuse,
    /// Give the mapped range memory first (`fallocate`). Wants a descriptor for writing, and room.
    Allocate,
    /// Map it as it is, holes and all. **Any touch of a hole can be a SIGBUS**, a read too, when the file
    /// system is full by then: for files that nobody can fill, or programs that handle the signal.
    Allow,
}
