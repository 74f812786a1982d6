//! The first 256 bytes of every object: what it is, who may read it, and which instance it is.
//!
//! The header is complete before the object has a name and never changes afterwards, so it is read
//! once, by copy, checked, and kept privately. All numbers are little-endian.
//!
//! | byte | field |
//! |---|---|
//! | 0 | magic, the bytes `SHMRING\n` |
//! | 8 | layout version, u32 |
//! | 12 | kind, u32; its meaning belongs to who lays the object out |
//! | 16 | bytes in the whole object, u64 |
//! | 24 | instance, 16 random bytes |
//! | 40 | type fingerprint, u64; 0 where the content has no type |
//! | 48 | creation time, nanoseconds since 1970, u64 |
//! | 56 | flags, u64; a bit that a reader does not know makes the object unreadable for it |
//! | 64 | geometry, eight u64; their meaning belongs to the kind |
//! | 128 | zeros, room to grow |

use crate::error::{Error, Result};
use crate::region::Region;
use rustix::time::{ClockId, clock_gettime};

/// Bytes 0 to 7 of every object.
pub const MAGIC: [u8; 8] = *b"SHMRING\n";
/// The layout version that this library writes and reads.
pub const LAYOUT_VERSION: u32 = 1;
/// Bytes in the header.
pub const HEADER_BYTES: usize = 256;
/// Words of geometry.
pub const GEOMETRY_WORDS: usize = 8;

/// Offset of the magic number.
pub const MAGIC_OFFSET: usize = 0;
/// Offset of the layout version.
pub const VERSION_OFFSET: usize = 8;
/// Offset of the kind.
pub const KIND_OFFSET: usize = 12;
/// Offset of the object's size.
pub const OBJECT_BYTES_OFFSET: usize = 16;
/// Offset of the instance.
pub const INSTANCE_OFFSET: usize = 24;
/// Offset of the type fingerprint.
pub const FINGERPRINT_OFFSET: usize = 40;
/// Offset of the creation time.
pub const CREATED_OFFSET: usize = 48;
/// Offset of the flags.
pub const FLAGS_OFFSET: usize = 56;
/// Offset of the geometry.
pub const GEOMETRY_OFFSET: usize = 64;
/// Offset of the bytes that are still free; they are zero.
pub const SPARE_OFFSET: usize = 128;

/// What tells one object from another of the same name: 16 random bytes from its birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 16]);

impl Identity {
    /// A new identity from the kernel's random numbers.
    ///
    /// # Errors
    /// When the kernel has none to give.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        let mut filled = 0;
        while filled < bytes.len() {
            match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Error::system("getrandom", "a new identity", errno)),
            }
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A header, as a private value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What is laid out behind the header.
    pub kind: u32,
    /// Bytes in the whole object.
    pub object_bytes: u64,
    /// Which object this is.
    pub instance: Identity,
    /// What the content's type looks like; 0 where it has none.
    pub fingerprint: u64,
    /// When it was created, in nanoseconds since 1970.
    pub created_unix_ns: u64,
    /// Properties that a reader must know of.
    pub flags: u64,
    /// Sizes, by kind.
    pub geometry: [u64; GEOMETRY_WORDS],
}

impl Header {
    /// The header of a new object: fresh identity, created now, no type, no flags.
    ///
    /// # Errors
    /// When the kernel has no random numbers to give.
    pub fn new(kind: u32, object_bytes: u64, geometry: [u64; GEOMETRY_WORDS]) -> Result<Self> {
        let now = clock_gettime(ClockId::Realtime);
        let nanos = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
        Ok(Self {
            kind,
            object_bytes,
            instance: Identity::random()?,
            fingerprint: 0,
            created_unix_ns: u64::try_from(nanos).unwrap_or(0),
            flags: 0,
            geometry,
        })
    }

    /// Writes the header at the beginning of a region.
    ///
    /// # Errors
    /// When the region is too small or read-only.
    pub fn write(&self, region: &Region) -> Result<()> {
        region.copy_in(0, &self.encode())
    }

    /// Reads and checks the header at the beginning of a region, once. `object` names it in errors,
    /// `known_flags` are those the caller understands.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::OlderLayout`], [`Error::NewerLayout`], [`Error::Truncated`] or
    /// [`Error::Damaged`], whichever is true first.
    pub fn read(region: &Region, object: &str, known_flags: u64) -> Result<Self> {
        let available = region.bytes().min(HEADER_BYTES);
        let mut bytes = [0; HEADER_BYTES];
        region.copy_out(0, &mut bytes[..available])?;
        Self::decode(&bytes[..available], region.bytes() as u64, object, known_flags)
    }

    /// Whether a region begins with the magic number.
    pub fn has_magic(region: &Region) -> bool {
        region.read_value::<[u8; 8]>(MAGIC_OFFSET).is_ok_and(|magic| magic == MAGIC)
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put =
            |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
        put(MAGIC_OFFSET, &MAGIC);
        put(VERSION_OFFSET, &LAYOUT_VERSION.to_le_bytes());
        put(KIND_OFFSET, &self.kind.to_le_bytes());
        put(OBJECT_BYTES_OFFSET, &self.object_bytes.to_le_bytes());
        put(INSTANCE_OFFSET, &self.instance.0);
        put(FINGERPRINT_OFFSET, &self.fingerprint.to_le_bytes());
        put(CREATED_OFFSET, &self.created_unix_ns.to_le_bytes());
        put(FLAGS_OFFSET, &self.flags.to_le_bytes());
        for (word, offset) in self.geometry.iter().zip((GEOMETRY_OFFSET..).step_by(8)) {
            put(offset, &word.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8], region_bytes: u64, object: &str, known_flags: u64) -> Result<Self> {
        let object = || object.to_owned();
        if !bytes.starts_with(&MAGIC) {
            return Err(Error::Foreign { object: object() });
        }
        let truncated = Error::Truncated {
            object: object(),
            expected_bytes: HEADER_BYTES as u64,
            found_bytes: region_bytes,
        };
        // A future version may have a shorter header: its number is told before its length is judged.
        let Some(version) = bytes.get(VERSION_OFFSET..).and_then(|rest| rest.first_chunk()) else {
            return Err(truncated);
        };
        let found = u32::from_le_bytes(*version);
        if found < LAYOUT_VERSION {
            return Err(Error::OlderLayout { object: object(), found, supported: LAYOUT_VERSION });
        }
        if found > LAYOUT_VERSION {
            return Err(Error::NewerLayout { object: object(), found, supported: LAYOUT_VERSION });
        }
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(truncated);
        };
        let u64_at = |offset: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[offset..offset + 8]);
            u64::from_le_bytes(field)
        };
        let mut instance = [0; 16];
        instance.copy_from_slice(&bytes[INSTANCE_OFFSET..INSTANCE_OFFSET + 16]);
        let mut kind = [0; 4];
        kind.copy_from_slice(&bytes[KIND_OFFSET..KIND_OFFSET + 4]);
        let mut geometry = [0; GEOMETRY_WORDS];
        for (word, offset) in geometry.iter_mut().zip((GEOMETRY_OFFSET..).step_by(8)) {
            *word = u64_at(offset);
        }
        let header = Self {
            kind: u32::from_le_bytes(kind),
            object_bytes: u64_at(OBJECT_BYTES_OFFSET),
            instance: Identity(instance),
            fingerprint: u64_at(FINGERPRINT_OFFSET),
            created_unix_ns: u64_at(CREATED_OFFSET),
            flags: u64_at(FLAGS_OFFSET),
            geometry,
        };
        if header.object_bytes > region_bytes {
            return Err(Error::Truncated {
                object: object(),
                expected_bytes: header.object_bytes,
                found_bytes: region_bytes,
            });
        }
        let damaged = |field| Err(Error::Damaged { object: object(), field });
        if header.object_bytes < HEADER_BYTES as u64 {
            return damaged("object size");
        }
        if header.flags & !known_flags != 0 {
            return damaged("flags");
        }
        if bytes[SPARE_OFFSET..].iter().any(|&byte| byte != 0) {
            return damaged("spare bytes");
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Header, Region) {
        let region = Region::on_heap(4096).unwrap();
        let mut header = Header::new(7, 4096, [1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        header.flags = 1;
        header.write(&region).unwrap();
        (header, region)
    }

    #[test]
    fn what_is_written_is_read() {
        let (header, region) = sample();
        assert_eq!(Header::read(&region, "x", 1).unwrap(), header);
        assert!(Header::has_magic(&region));
    }

    #[test]
    fn each_fault_has_its_own_error() {
        let read = |change: &dyn Fn(&Region)| {
            let (_, region) = sample();
            change(&region);
            Header::read(&region, "x", 1).unwrap_err()
        };
        assert!(matches!(read(&|r| r.copy_in(0, b"x").unwrap()), Error::Foreign { .. }));
        assert!(matches!(read(&|r| r.copy_in(8, &[0]).unwrap()), Error::OlderLayout { found: 0, .. }));
        assert!(matches!(read(&|r| r.copy_in(8, &[2]).unwrap()), Error::NewerLayout { found: 2, .. }));
        assert!(matches!(read(&|r| r.copy_in(18, &[1]).unwrap()), Error::Truncated { .. }));
        assert!(matches!(read(&|r| r.copy_in(16, &[0, 0]).unwrap()), Error::Damaged { .. }));
        assert!(matches!(read(&|r| r.copy_in(56, &[2]).unwrap()), Error::Damaged { field: "flags", .. }));
        assert!(matches!(read(&|r| r.copy_in(255, &[2]).unwrap()), Error::Damaged { .. }));
        for bytes in 1..HEADER_BYTES {
            let (_, region) = sample();
            let short = region.part(crate::Span::new(0, bytes)).unwrap();
            let error = Header::read(&short, "x", 1).unwrap_err();
            let expected = if bytes < 8 { "not made by" } else { "truncated" };
            assert!(error.to_string().contains(expected), "{bytes}: {error}");
        }
    }
}
