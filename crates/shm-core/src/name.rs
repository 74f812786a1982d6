//! Validated names of shared memory objects.

use crate::error::{Error, Result};
use crate::sysv::Key;
use std::fmt;

/// The longest name the kernel takes, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Objects under construction on a file system without `O_TMPFILE` carry this prefix for a moment
/// (see [`crate::object`]); no object may be named so.
pub(crate) const BIRTH_PREFIX: &str = ".shmring-birth-";

/// The companions of System V segments carry this prefix (see [`crate::place`]); no other object may be named so.
pub(crate) const COMPANION_PREFIX: &str = ".shmring-sysv-";

/// The name of an object, as `shm_open` takes it.
///
/// `"ticks"` and `"/ticks"` are the same name, and become the file `ticks` in the directory of
/// objects (`/dev/shm`), so that any program's `shm_open("/ticks")` opens it.
///
/// ```
/// use shm_core::Name;
/// assert_eq!(Name::new("/ticks").unwrap(), Name::new("ticks").unwrap());
/// assert!(Name::new("a/b").is_err());
/// assert!(Name::new("..").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks `name`.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when it is empty, longer than 255 bytes, `.` or `..`, or holds a slash
    /// (one leading slash is allowed) or a NUL byte.
    pub fn new(name: &str) -> Result<Self> {
        let bare = name.strip_prefix('/').unwrap_or(name);
        let refuse = |reason| Err(Error::InvalidName { name: name.to_owned(), reason });
        match bare {
            "" => refuse("it is empty; give the object a name such as \"ticks\""),
            "." | ".." => refuse("it names a directory; choose another"),
            _ if bare.contains('/') => refuse("it contains a slash; only one leading slash is allowed"),
            _ if bare.contains('\0') => refuse("it contains a NUL byte"),
            _ if bare.len() > NAME_BYTES_MAX => refuse("it is longer than 255 bytes"),
            _ if bare.starts_with(BIRTH_PREFIX) => {
                refuse("names that begin with \".shmring-birth-\" belong to objects under construction")
            }
            _ if bare.starts_with(COMPANION_PREFIX) => refuse(
                "names that begin with \".shmring-sysv-\" belong to System V segments; name the segment by its key",
            ),
            _ => Ok(Self(bare.to_owned())),
        }
    }

    /// The name of the companion of the System V segment of that key.
    pub(crate) fn companion(key: Key) -> Self {
        Self(format!("{COMPANION_PREFIX}{key}"))
    }

    /// The name without the leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Name {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_shm_open_takes() {
        for good in ["ticks", "/ticks", "a", "a b", "..a", ".hidden", &"x".repeat(255)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "//ticks",
            "a/b",
            "a/",
            ".",
            "..",
            "/..",
            "a\0b",
            &"x".repeat(256),
            ".shmring-birth-1",
            ".shmring-sysv-1",
        ] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }
}
