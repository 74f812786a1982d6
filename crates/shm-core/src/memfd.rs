//! Memory without a name: it is handed from process to process as a descriptor (see [`crate::pass`]), goes
//! when the last descriptor and mapping of it go, and can be [sealed](crate::seal) against those it is handed to.
//!
//! ```
//! use shm_core::{Access, Memfd, Seals, seal};
//! # fn main() -> Result<(), shm_core::Error> {
//! let object = Memfd::new("frames").create(8192)?;
//! let region = object.map(Access::ReadWrite)?; // before the seals: later nobody can any more
//! seal::apply(&object, Seals::RECEIVER_SAFE, object.path())?;
//! region.copy_in(0, b"its maker still writes")?;
//!
//! // Whoever is given the descriptor judges it before mapping it.
//! seal::Expectation::new(8192).verify(&object, "what was sent")?;
//! assert!(object.map(Access::ReadWrite).is_err());
//! assert_eq!(&object.map(Access::ReadOnly)?.read_value::<[u8; 3]>(0)?, b"its");
//! # Ok(())
//! # }
//! ```

use crate::error::{Error, Result};
use crate::fork::Descriptor;
use crate::huge::{self, HugePages};
use crate::object::{Object, allocate};
use crate::region::{Access, Region};
use rustix::fs::{self, MemfdFlags};
use rustix::io::Errno;

/// The longest label the kernel takes, in bytes.
pub const LABEL_BYTES_MAX: usize = 249;
/// The mode that the kernel gives is 0777, for everybody who reaches the descriptor through `/proc`.
const MODE_DEFAULT: u32 = 0o600;

/// How to make memory without a name. The last call makes it.
#[derive(Clone, Debug)]
pub struct Memfd {
    label: String,
    mode: u32,
    huge: Option<HugePages>,
}

impl Memfd {
    /// Memory of ordinary pages, mode 0600. The label is shown by `/proc/PID/maps` and in errors; it names nothing, and
    /// any number of objects may have the same.
    pub fn new(label: &str) -> Self {
        Self { label: label.to_owned(), mode: MODE_DEFAULT, huge: None }
    }

    /// Permission bits. They say who may open it anew through `/proc/PID/fd`; whoever is handed the descriptor has
    /// what the descriptor allows.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o666;
        self
    }

    /// Make it of huge pages. Its size is rounded up to whole ones.
    #[must_use]
    pub fn huge_pages(mut self, huge: HugePages) -> Self {
        self.huge = Some(huge);
        self
    }

    /// Makes an object of `bytes` zero bytes, all of them backed by memory: no later touch fails for want of any.
    /// It can be sealed, and never executed where the kernel can forbid that (Linux 6.3).
    ///
    /// # Errors
    /// [`Error::ZeroLength`], [`Error::InvalidName`] for a label that is too long or holds a NUL byte,
    /// [`Error::OutOfSpace`], [`Error::OutOfHugePages`], [`Error::NoSuchPageSize`], or what the system says.
    pub fn create(&self, bytes: u64) -> Result<Object> {
        self.create_with(bytes, |_| Ok(()))
    }

    /// Makes an object and lets `initialise` fill it.
    ///
    /// # Errors
    /// As [`create`](Self::create), or what `initialise` returns.
    pub fn create_with(&self, bytes: u64, initialise: impl FnOnce(&Region) -> Result<()>) -> Result<Object> {
        self.check_label()?;
        if bytes == 0 {
            return Err(Error::ZeroLength { object: self.path() });
        }
        let object = match self.huge {
            None => self.of_ordinary_pages(bytes)?,
            Some(huge) => match self.of_huge_pages(huge, bytes) {
                Err(Error::OutOfHugePages { .. } | Error::NoSuchPageSize { .. }) if huge.falls_back() => {
                    self.of_ordinary_pages(bytes)?
                }
                made => made?,
            },
        };
        initialise(&object.map(Access::ReadWrite)?)?;
        Ok(object)
    }

    fn path(&self) -> String {
        format!("memfd:{}", self.label)
    }

    fn check_label(&self) -> Result<()> {
        let refuse = |reason| Err(Error::InvalidName { name: self.label.clone(), reason });
        match &self.label {
            label if label.len() > LABEL_BYTES_MAX => refuse("it is longer than 249 bytes"),
            label if label.contains('\0') => refuse("it contains a NUL byte"),
            _ => Ok(()),
        }
    }

    fn of_ordinary_pages(&self, bytes: u64) -> Result<Object> {
        let object = self.empty(MemfdFlags::empty()).map_err(|errno| self.refused(errno))?;
        allocate(object.descriptor(), 0, bytes, object.path())?;
        Ok(object)
    }

    /// One of no length, which takes no page from anybody. For looking at what the kernel makes memfds of.
    pub(crate) fn without_pages(&self, huge: Option<HugePages>) -> Result<Object> {
        let flags = match huge {
            None => MemfdFlags::empty(),
            Some(huge) => {
                let no_such_size = || huge::no_such_size(&self.path(), huge.page_bytes());
                MemfdFlags::HUGETLB | MemfdFlags::from_bits_retain(huge.size_flag().ok_or_else(no_such_size)?)
            }
        };
        self.empty(flags).map_err(|errno| self.refused(errno))
    }

    fn of_huge_pages(&self, huge: HugePages, bytes: u64) -> Result<Object> {
        let page_bytes = huge.page_bytes();
        let no_such_size = || huge::no_such_size(&self.path(), page_bytes);
        let size = huge.size_flag().ok_or_else(no_such_size)?;
        let bytes = bytes
            .checked_next_multiple_of(page_bytes)
            .ok_or_else(|| Error::OutOfSpace { object: self.path(), bytes })?;
        let object = match self.empty(MemfdFlags::HUGETLB | MemfdFlags::from_bits_retain(size)) {
            // Not this size, or (the last two) no huge pages in this kernel at all.
            Err(Errno::NODEV | Errno::NOENT | Errno::INVAL | Errno::NOSYS) => return Err(no_such_size()),
            made => made.map_err(|errno| self.refused(errno))?,
        };
        match allocate(object.descriptor(), 0, bytes, object.path()) {
            // The pool's `ENOSPC`, or its `ENOMEM` where a control group sets the limit.
            Err(Error::OutOfSpace { .. }) => Err(huge::out_of(&self.path(), page_bytes, bytes)),
            Err(Error::System { source, .. })
                if source.raw_os_error() == Some(Errno::NOMEM.raw_os_error()) =>
            {
                Err(huge::out_of(&self.path(), page_bytes, bytes))
            }
            allocated => allocated.map(|()| object),
        }
    }

    /// One of no length yet, with its mode.
    fn empty(&self, flags: MemfdFlags) -> std::result::Result<Object, Errno> {
        let flags = flags | MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let make = |flags| Descriptor::open(|| fs::memfd_create(self.label.as_str(), flags));
        let descriptor = match make(flags | MemfdFlags::NOEXEC_SEAL) {
            Err(Errno::INVAL) => make(flags)?, // a kernel before 6.3 does not know that flag
            made => made?,
        };
        fs::fchmod(&descriptor, fs::Mode::from_raw_mode(self.mode))?;
        Ok(Object::without_name(descriptor, self.path()))
    }

    fn refused(&self, errno: Errno) -> Error {
        Error::system("memfd_create", self.path(), errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{self, Seals};
    use crate::system::page_bytes;

    #[test]
    fn an_object_is_zero_and_whole() {
        let object = Memfd::new("whole").create(5000).unwrap();
        let stat = object.stat().unwrap();
        let page_bytes = page_bytes() as u64;
        let allocated_bytes = 5000_u64.next_multiple_of(page_bytes);
        assert_eq!((stat.bytes, stat.allocated_bytes), (5000, allocated_bytes));
        assert_eq!((stat.mode, stat.links), (0o600, 0));
        assert_eq!(object.page_bytes().unwrap(), page_bytes);
        object.still_named().unwrap();
        object.attend().unwrap();
        let mut bytes = [9; 5000];
        object.map(Access::ReadOnly).unwrap().copy_out(0, &mut bytes).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 0));
        let flags = rustix::io::fcntl_getfd(object.descriptor()).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        assert_eq!(Memfd::new("mode").mode(0o4775).create(1).unwrap().stat().unwrap().mode, 0o664);
    }

    #[test]
    fn nothing_but_the_kernels_own_seal_is_on_it() {
        let object = Memfd::new("unsealed").create(1).unwrap();
        let seals = seal::of(&object, object.path()).unwrap();
        assert!(seals == Seals::NONE || seals == Seals::EXEC, "{seals}");
    }

    #[test]
    fn what_can_not_be_made_says_why() {
        let refused = |memfd: &Memfd, bytes| memfd.create(bytes).unwrap_err();
        assert!(matches!(refused(&Memfd::new("none"), 0), Error::ZeroLength { .. }));
        assert!(matches!(refused(&Memfd::new("a\0b"), 1), Error::InvalidName { .. }));
        assert!(matches!(refused(&Memfd::new(&"x".repeat(250)), 1), Error::InvalidName { .. }));
        Memfd::new(&"x".repeat(249)).create(1).unwrap();
        assert!(matches!(
            Memfd::new("").create_with(1, |region| region.copy_in(1, b"x")),
            Err(Error::OutOfBounds { .. })
        ));
    }

    #[test]
    fn a_size_that_there_is_not_is_an_error_or_ordinary() {
        let odd = HugePages::of(4 << 20);
        assert!(huge::pools().iter().all(|pool| pool.page_bytes != odd.page_bytes()), "choose another size");
        let error = Memfd::new("odd").huge_pages(odd).create(1).unwrap_err();
        assert!(matches!(error, Error::NoSuchPageSize { page_bytes: 4_194_304, .. }), "{error}");
        let object = Memfd::new("odd").huge_pages(odd.or_ordinary()).create(1).unwrap();
        assert_eq!((object.page_bytes().unwrap(), object.stat().unwrap().bytes), (page_bytes() as u64, 1));
    }

    /// More than there are, however many that is.
    #[test]
    fn too_few_huge_pages_are_an_error_or_ordinary() {
        let Some(pool) = huge::pools().first().copied() else { return };
        let (huge, bytes) = (HugePages::of(pool.page_bytes), (pool.pages + 1) * pool.page_bytes);
        let error = Memfd::new("huge").huge_pages(huge).create(bytes).unwrap_err();
        assert!(matches!(error, Error::OutOfHugePages { bytes: told, .. } if told == bytes), "{error}");
        if bytes > 16 * pool.page_bytes {
            return; // as much of ordinary pages would be a lot
        }
        let object = Memfd::new("huge").huge_pages(huge.or_ordinary()).create(bytes).unwrap();
        assert_eq!(
            (object.page_bytes().unwrap(), object.stat().unwrap().bytes),
            (page_bytes() as u64, bytes)
        );
    }
}
