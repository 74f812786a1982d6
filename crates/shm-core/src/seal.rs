//! Seals: what the kernel lets nobody do to a memfd any more, whoever asks.
//!
//! A peer who can shrink what we mapped can kill us with a signal; one who can punch holes into it, or write it,
//! changes what we own. Seals take these rights from everybody, for good, and whoever is sent a descriptor can
//! see them. So the *receiver* of a descriptor judges it, by an [`Expectation`], before mapping it:
//!
//! | seal | nobody can any more | without it a peer could |
//! |---|---|---|
//! | [`SHRINK`](Seals::SHRINK) | make it smaller | have us touch what is gone: SIGBUS |
//! | [`GROW`](Seals::GROW) | make it larger | use up our memory |
//! | [`FUTURE_WRITE`](Seals::FUTURE_WRITE) | write it, punch holes, map it writable anew | change it beside its owner |
//! | [`WRITE`](Seals::WRITE) | as above, and nobody has it mapped for writing now | change it at all |
//! | [`SEAL`](Seals::SEAL) | add a seal | seal its owner out |
//!
//! `SHRINK` and `GROW` alone are not enough: under both a peer can still punch holes, which zeroes live data. Under
//! `FUTURE_WRITE` mappings for writing that exist go on writing: so the owner maps first, seals, and only
//! then sends the descriptor.
//!
//! Only memory of a memfd can be sealed; named objects can not.

use crate::error::{Error, Result};
use crate::object;
use core::fmt;
use core::ops::BitOr;
use rustix::fs::{self, SealFlags};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// A set of seals.
///
/// ```
/// use shm_core::Seals;
/// let seals = Seals::SHRINK | Seals::GROW;
/// assert!(seals.contains(Seals::GROW) && !seals.contains(Seals::RECEIVER_SAFE));
/// assert_eq!(seals.to_string(), "SHRINK|GROW");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seals(SealFlags);

impl Seals {
    /// None.
    pub const NONE: Self = Self(SealFlags::empty());
    /// No seal can be added (`F_SEAL_SEAL`).
    pub const SEAL: Self = Self(SealFlags::SEAL);
    /// It can not shrink (`F_SEAL_SHRINK`).
    pub const SHRINK: Self = Self(SealFlags::SHRINK);
    /// It can not grow (`F_SEAL_GROW`).
    pub const GROW: Self = Self(SealFlags::GROW);
    /// It can not be written (`F_SEAL_WRITE`). Can not be applied while it is mapped for writing.
    pub const WRITE: Self = Self(SealFlags::WRITE);
    /// It can not be written but through mappings that exist (`F_SEAL_FUTURE_WRITE`).
    pub const FUTURE_WRITE: Self = Self(SealFlags::FUTURE_WRITE);
    /// It can not be made executable (`F_SEAL_EXEC`, Linux 6.3).
    pub const EXEC: Self = Self(SealFlags::EXEC);
    /// Those under which a descriptor is safe to send: its receivers can read it, and nothing else.
    pub const RECEIVER_SAFE: Self =
        Self(SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE));
    /// Those under which content stays as it is for ever.
    pub const FROZEN: Self =
        Self(SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE));

    /// Whether all of `others` are among these. [`WRITE`](Self::WRITE) forbids all that
    /// [`FUTURE_WRITE`](Self::FUTURE_WRITE) forbids, and counts as both.
    pub fn contains(self, others: Self) -> bool {
        self.missing_of(others) == Self::NONE
    }

    /// Those of `others` that are not among these.
    #[must_use]
    pub fn missing_of(self, others: Self) -> Self {
        let mut held = self.0;
        if held.contains(SealFlags::WRITE) {
            held |= SealFlags::FUTURE_WRITE;
        }
        Self(others.0.difference(held))
    }
}

impl BitOr for Seals {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0.union(other.0))
    }
}

impl fmt::Display for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("none") } else { names_of(self.0, f) }
    }
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seals({self})")
    }
}

fn names_of(flags: SealFlags, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let known = [
        (SealFlags::SHRINK, "SHRINK"),
        (SealFlags::GROW, "GROW"),
        (SealFlags::WRITE, "WRITE"),
        (SealFlags::FUTURE_WRITE, "FUTURE_WRITE"),
        (SealFlags::EXEC, "EXEC"),
        (SealFlags::SEAL, "SEAL"),
    ];
    let rest = known.iter().fold(flags, |rest, (flag, _)| rest.difference(*flag));
    let mut names: Vec<String> =
        known.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| (*name).to_owned()).collect();
    if !rest.is_empty() {
        names.push(format!("{:#x}", rest.bits()));
    }
    f.write_str(&names.join("|"))
}

/// The seals on an open memfd. `label` stands for its name in errors.
///
/// # Errors
/// [`Error::WrongDescriptor`] when it is nothing that has seals.
pub fn of(file: impl AsFd, label: &str) -> Result<Seals> {
    match fs::fcntl_get_seals(file) {
        Ok(seals) => Ok(Seals(seals)),
        Err(Errno::INVAL) => Err(Error::WrongDescriptor {
            object: label.to_owned(),
            found: "not a memfd, and nothing else has seals".to_owned(),
        }),
        Err(errno) => Err(Error::system("fcntl(F_GET_SEALS)", label, errno)),
    }
}

/// Applies seals, for everybody and for good, and looks whether they are there. Those that are there already stay.
///
/// # Errors
/// [`Error::Sealing`] with the reason, [`Error::WrongDescriptor`]; no seal is applied then.
pub fn apply(file: impl AsFd, seals: Seals, label: &str) -> Result<()> {
    let held = of(&file, label)?;
    let refuse = |reason| Error::Sealing { object: label.to_owned(), seals: seals.to_string(), reason };
    match fs::fcntl_add_seals(&file, seals.0) {
        Ok(()) => {}
        // The kernel refuses even seals that are there.
        Err(Errno::PERM) if held.contains(Seals::SEAL | seals) => {}
        Err(Errno::PERM) if held.contains(Seals::SEAL) => {
            return Err(refuse("it is sealed against more seals (or a file that never takes any)"));
        }
        Err(Errno::PERM) => return Err(refuse("the descriptor is for reading only")),
        Err(Errno::BUSY) => {
            return Err(refuse("it is mapped for writing; unmap it first, or seal with FUTURE_WRITE"));
        }
        Err(Errno::INVAL) => return Err(refuse("this kernel does not know one of them")),
        Err(errno) => return Err(Error::system("fcntl(F_ADD_SEALS)", label, errno)),
    }
    if of(&file, label)?.contains(seals) { Ok(()) } else { Err(refuse("the kernel did not keep them")) }
}

/// What a descriptor must be before its receiver maps it. By default: the memory of a memfd, of just the agreed size,
/// all of it there, and sealed as [`Seals::RECEIVER_SAFE`] says.
///
/// ```
/// use shm_core::{Error, Memfd, seal::Expectation};
/// let object = Memfd::new("unsealed").create(4096).unwrap();
/// let refused = Expectation::new(4096).verify(&object, "what came").unwrap_err();
/// assert!(matches!(refused, Error::Unsealed { .. }));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    bytes: u64,
    seals: Seals,
}

impl Expectation {
    /// An object of `bytes` bytes under [`Seals::RECEIVER_SAFE`].
    pub const fn new(bytes: u64) -> Self {
        Self { bytes, seals: Seals::RECEIVER_SAFE }
    }

    /// Other seals; those that are there besides do no harm. Without [`Seals::SHRINK`] and [`Seals::SEAL`] what is
    /// found may not be true for long.
    #[must_use]
    pub const fn seals(self, seals: Seals) -> Self {
        Self { seals, ..self }
    }

    /// Judges a descriptor, mapping nothing. `label` stands for its name in errors.
    ///
    /// # Errors
    /// [`Error::WrongDescriptor`] when it is not the memory of a memfd, [`Error::Unsealed`] with the seals that are
    /// missing, [`Error::WrongSize`], [`Error::Truncated`] when it has holes, whose touch could fail.
    pub fn verify(self, file: impl AsFd, label: &str) -> Result<()> {
        let wrong =
            |found: &str| Error::WrongDescriptor { object: label.to_owned(), found: found.to_owned() };
        // First of all: this asks no file system, which could belong to the sender and never answer.
        let missing = of(&file, label)?.missing_of(self.seals);
        let kind = object::stat_of(&file, label)?;
        if let Some(found) = kind.not_a_regular_file {
            return Err(wrong(found));
        }
        // Seals of another file system could mean anything.
        if !object::lives_in_memory(&file, label)? {
            return Err(wrong("a file that is not in memory (neither tmpfs nor hugetlbfs)"));
        }
        if missing != Seals::NONE {
            return Err(Error::Unsealed { object: label.to_owned(), missing: missing.to_string() });
        }
        // Looked at under the seals: from now on it stays so.
        let stat = object::stat_of(&file, label)?;
        if stat.bytes != self.bytes {
            let object = label.to_owned();
            return Err(Error::WrongSize { object, expected_bytes: self.bytes, found_bytes: stat.bytes });
        }
        if stat.allocated_bytes < stat.bytes {
            return Err(Error::Truncated {
                object: label.to_owned(),
                expected_bytes: stat.bytes,
                found_bytes: stat.allocated_bytes,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Memfd, Name, Options};

    #[test]
    fn half_the_seals_are_told_as_missing() {
        let all = [Seals::SHRINK, Seals::GROW, Seals::FUTURE_WRITE, Seals::SEAL];
        for left_out in all {
            let object = Memfd::new("half").create(4096).unwrap();
            for seals in all.into_iter().filter(|seals| *seals != left_out) {
                // SEAL comes last of those applied, and keeps the others.
                apply(&object, seals, "half").unwrap();
            }
            let error = Expectation::new(4096).verify(&object, "half").unwrap_err();
            assert!(
                matches!(&error, Error::Unsealed { missing, .. } if *missing == left_out.to_string()),
                "{error}"
            );
        }
    }

    #[test]
    fn sizes_and_holes_are_told() {
        let sealed = |object: &crate::Object| apply(object, Seals::RECEIVER_SAFE, "it").unwrap();
        let object = Memfd::new("size").create(4096).unwrap();
        sealed(&object);
        Expectation::new(4096).verify(&object, "it").unwrap();
        for bytes in [0, 4095, 4097, 8192] {
            let error = Expectation::new(bytes).verify(&object, "it").unwrap_err();
            assert!(matches!(error, Error::WrongSize { found_bytes: 4096, .. }), "{error}");
        }
        let page_bytes = crate::system::page_bytes() as u64;
        let holes = Memfd::new("holes").create(1).unwrap();
        fs::ftruncate(&holes, 2 * page_bytes).unwrap();
        sealed(&holes);
        let error = Expectation::new(2 * page_bytes).verify(&holes, "it").unwrap_err();
        assert!(
            matches!(error, Error::Truncated { found_bytes, .. } if found_bytes == page_bytes),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_memfd_is_told() {
        let judge = |file: &dyn AsFd| Expectation::new(4096).verify(file.as_fd(), "it").unwrap_err();
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let socket = std::os::unix::net::UnixStream::pair().unwrap().0;
        for file in [&file as &dyn AsFd, &socket] {
            let error = judge(file);
            assert!(
                matches!(&error, Error::WrongDescriptor { found, .. } if found.contains("not a memfd")),
                "{error}"
            );
        }
        // A named object looks like a memfd that was sealed against seals.
        let name = Name::new(&format!("shm-core-named-{}", std::process::id())).unwrap();
        let object = Options::new().create(&name, 4096).unwrap();
        Options::new().unlink(&name).unwrap();
        let error = judge(&object);
        assert!(
            matches!(&error, Error::Unsealed { missing, .. } if missing == "SHRINK|GROW|FUTURE_WRITE"),
            "{error}"
        );
        let error = apply(&object, Seals::GROW, "it").unwrap_err();
        assert!(matches!(error, Error::Sealing { .. }), "{error}");
    }

    #[test]
    fn seals_that_can_not_be_say_why() {
        let object = Memfd::new("busy").create(4096).unwrap();
        let region = object.map(Access::ReadWrite).unwrap();
        let error = apply(&object, Seals::WRITE, "busy").unwrap_err();
        assert!(error.to_string().contains("mapped for writing"), "{error}");
        drop(region);
        apply(&object, Seals::FROZEN, "busy").unwrap();
        apply(&object, Seals::FROZEN, "busy").unwrap(); // again, which the kernel refuses
        Expectation::new(4096).verify(&object, "busy").unwrap(); // WRITE says more than FUTURE_WRITE
        let error = apply(&object, Seals::FUTURE_WRITE, "busy");
        assert!(error.is_ok(), "contained in WRITE: {error:?}");
    }
}
