//! Keys: how unrelated processes find the same segment.

use crate::error::{Error, Result};
use std::fmt;
use std::path::Path;

/// The key of a System V segment: a number that all who want it agree on. Never `IPC_PRIVATE` (0), by which
/// nobody finds a segment; see [`Options::private`](super::Options::private) for those.
///
/// Keys are one flat space of 32 bits for all programs of an IPC namespace: two that choose the same one by chance
/// meet in one segment.
///
/// ```
/// use shm_core::sysv::Key;
/// # fn main() -> Result<(), shm_core::Error> {
/// assert_eq!("0x1234".parse::<Key>()?, Key::new(0x1234)?);
/// assert_eq!("4660".parse::<Key>()?.to_string(), "0x00001234");
/// assert!(Key::new(0).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(i32);

impl Key {
    /// Checks `key`.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when it is 0, which is `IPC_PRIVATE`.
    pub fn new(key: i32) -> Result<Self> {
        Self::checked(key).ok_or_else(|| Error::InvalidName {
            name: key.to_string(),
            reason: "key 0 is IPC_PRIVATE, by which nobody finds a segment; choose another, or make a private one",
        })
    }

    /// `None` for `IPC_PRIVATE`.
    pub(super) fn checked(key: i32) -> Option<Self> {
        (key != libc::IPC_PRIVATE).then_some(Self(key))
    }

    /// A key made of a file that exists and a number, the same that the C library's `ftok` makes: from the
    /// highest to the lowest bits the project (8), the file's device number (8), and its inode number (16), each
    /// cut to its lowest bits. Symbolic links are followed.
    ///
    /// Two files may have the same key, and a file that was removed and created again (as many editors do) has
    /// another one: a key that both sides have written down is safer. 0 as the project is not portable.
    ///
    /// # Errors
    /// [`Error::System`] with the call `stat` when the file can not be looked at; [`Error::InvalidName`] when the key
    /// happens to be 0.
    pub fn of_path(path: impl AsRef<Path>, project: u8) -> Result<Self> {
        let path = path.as_ref();
        let stat = rustix::fs::stat(path).map_err(|errno| Error::System {
            call: "stat",
            object: path.display().to_string(),
            source: errno.into(),
        })?;
        #[allow(clippy::unnecessary_cast)] // field widths differ between targets
        let (inode, device) = (stat.st_ino as u64, stat.st_dev as u64);
        let [inode_0, inode_1, ..] = inode.to_le_bytes();
        let [device_0, ..] = device.to_le_bytes();
        Self::new(i32::from_le_bytes([inode_0, inode_1, device_0, project]))
    }

    /// The number, as `shmget` takes it.
    pub fn as_raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Key {
    /// As `ipcs` shows it: 0x and eight hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

impl std::str::FromStr for Key {
    type Err = Error;

    /// Decimal, negative or up to 4294967295 (the same 32 bits without a sign), or hexadecimal after `0x`.
    fn from_str(text: &str) -> Result<Self> {
        let bits = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            // `from_str_radix` takes a sign.
            Some(digits) if digits.starts_with(['+', '-']) => None,
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse::<u32>().ok().or_else(|| text.parse::<i32>().ok().map(i32::cast_unsigned)),
        };
        let bits = bits.ok_or_else(|| Error::InvalidName {
            name: text.to_owned(),
            reason: "a key is a number of 32 bits; write it like 4660 or 0x1234",
        })?;
        Self::new(bits.cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_shown() {
        let parse = |text: &str| text.parse::<Key>();
        for (text, number) in [
            ("1", 1),
            ("-1", -1),
            ("4294967295", -1),
            ("0xffffffff", -1),
            ("0X10", 16),
            ("-2147483648", i32::MIN),
        ] {
            let key = parse(text).unwrap();
            assert_eq!(key.as_raw(), number, "{text}");
            assert_eq!(parse(&key.to_string()).unwrap(), key);
        }
        for bad in
            ["", "0", "0x0", "0x", "0x+1", "0x-1", "4294967296", "-2147483649", "0x100000000", "key", " 1"]
        {
            assert!(matches!(parse(bad), Err(Error::InvalidName { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let error = Key::of_path("/nowhere/at/all", 1).unwrap_err().to_string();
        assert!(error.contains("stat failed on /nowhere/at/all: No such file"), "{error}");
    }
}
