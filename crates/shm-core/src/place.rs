//! Where a shared object is, as people and programs write it.

use crate::error::{Error, Result};
use crate::name::Name;
use crate::object::{Directory, Options};
use crate::sysv::{Key, Segment};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where a shared object is.
///
/// | written | is |
/// |---|---|
/// | `NAME`, `posix:NAME` | the POSIX object of that [name](Name), in `/dev/shm` or another directory of objects |
/// | `file:PATH` | a file, which persists |
/// | `sysv:KEY` | the System V segment of that [key](Key), in decimal or with `0x` in hexadecimal |
/// | `sysv-id:ID` | the System V segment of that id, if it has a key |
///
/// ```
/// use shm_core::Place;
/// # fn main() -> Result<(), shm_core::Error> {
/// let place: Place = "file:/var/lib/feed/ticks".parse()?;
/// assert_eq!(place.kind(), "file");
/// assert_eq!("ticks".parse::<Place>()?, "posix:/ticks".parse()?);
/// assert_eq!("sysv:4660".parse::<Place>()?.to_string(), "sysv:0x00001234");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A POSIX object.
    Posix(Name),
    /// A file. Its last component is a name; the rest is a directory.
    File(PathBuf),
    /// A System V segment, by its key. Whoever creates one while another process is at it waits until that has finished
    /// or died, for ten seconds at most.
    Sysv(Key),
    /// A System V segment, by its id.
    SysvId(i32),
}

impl Place {
    /// What the programs call this kind of memory: `posix`, `file` or `sysv`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Posix(_) => "posix",
            Self::File(_) => "file",
            Self::Sysv(_) | Self::SysvId(_) => "sysv",
        }
    }

    /// How to create and open it: options, and the name to give to them. `directory` is where POSIX objects are, and
    /// the companions of System V segments.
    ///
    /// # Errors
    /// [`Error::InvalidName`] for a path without a last component; for an id, [`Error::Refused`] when there is no
    /// such segment, and [`Error::NotAnObject`] when it has no key.
    pub fn locate(&self, directory: &Directory) -> Result<(Options, Name)> {
        let options = Options::new().directory(directory.clone());
        match self {
            Self::Posix(name) => Ok((options, name.clone())),
            Self::File(path) => {
                let reason = "a file's path ends with its name, which is text";
                let invalid = || Error::InvalidName { name: path.display().to_string(), reason };
                let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(invalid)?;
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let directory = Directory::at(parent.unwrap_or(Path::new(".")));
                Ok((Options::new().directory(directory), Name::new(name)?))
            }
            Self::Sysv(key) => Ok((options.segment(*key), Name::companion(*key))),
            Self::SysvId(id) => match Segment::from_id(*id).stat()?.key {
                Some(key) => Self::Sysv(key).locate(directory),
                None => Err(Error::NotAnObject {
                    object: self.to_string(),
                    found: "a segment without a key, or one that was removed",
                }),
            },
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Written so that it is read as the same.
            Self::Posix(name) if name.as_str().contains(':') => write!(f, "posix:{name}"),
            Self::Posix(name) => name.fmt(f),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Sysv(key) => write!(f, "sysv:{key}"),
            Self::SysvId(id) => write!(f, "sysv-id:{id}"),
        }
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("posix", name)) => Ok(Self::Posix(Name::new(name)?)),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            Some(("sysv", key)) => Ok(Self::Sysv(key.parse()?)),
            Some(("sysv-id", id)) => {
                let reason = "a segment's id is a number, as ipcs -m shows it";
                let invalid = || Error::InvalidName { name: text.to_owned(), reason };
                let id = id.parse().ok().filter(|&id: &i32| id >= 0);
                Ok(Self::SysvId(id.ok_or_else(invalid)?))
            }
            _ => Ok(Self::Posix(Name::new(text)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_shown() {
        for text in [
            "ticks",
            "posix:a:b",
            "file:x",
            "file:/a/b c",
            "sysv:0x0000cafe",
            "sysv:0xffffffff",
            "sysv-id:17",
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        assert_eq!("posix:ticks".parse::<Place>().unwrap().to_string(), "ticks");
        for text in ["", "posix:", "posix:a/b", "sysv:", "sysv:0", "sysv:x", "sysv-id:", "sysv-id:-1", "a/b"]
        {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
        for text in ["file:/", "file:..", "file:a/.."] {
            assert!(text.parse::<Place>().unwrap().locate(&Directory::posix()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_s_directory_is_its_own() {
        let located = |text: &str| text.parse::<Place>().unwrap().locate(&Directory::posix()).unwrap();
        let (options, name) = located("file:/var/tmp/ring");
        assert_eq!((options.location().path(), name.as_str()), (Path::new("/var/tmp"), "ring"));
        assert_eq!(located("file:ring").0.location().path(), Path::new("."));
        assert_eq!(located("ring").0.location().path(), Path::new("/dev/shm"));
    }
}
