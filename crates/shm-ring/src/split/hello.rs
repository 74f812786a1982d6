//! What the two sides of a sealed ring tell each other when they meet, beside a descriptor.
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | 8 bytes | `SHMSEAL` and a newline |
//! | 8 | u32 | version: 1 |
//! | 12 | u32 | role: 1 producer, 2 consumer |
//! | 16 | u32 | kind, as in a ring's header |
//! | 20 | u32 | 0 |
//! | 24 | u64 | bytes in the object that comes with it |
//! | 32 | u64 | capacity; a consumer's is 0 |
//! | 40 | u64 | bytes in a value; 0 for messages of bytes |
//! | 48 | u64 | type fingerprint |

use crate::attach::Content;
use crate::error::{Error, Result, Role};
use crate::layout::{Geometry, Kind};
use shm_core::{Deadline, Object, pass};
use std::os::fd::BorrowedFd;

pub(super) const HELLO_BYTES: usize = 56;
const MAGIC: u64 = u64::from_le_bytes(*b"SHMSEAL\n");
const VERSION: u64 = 1;

/// A greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    role: u32,
    kind: u32,
    object_bytes: u64,
    capacity: u64,
    value_bytes: u64,
    fingerprint: u64,
}

impl Hello {
    pub(super) fn of(content: &Content, role: Role, object_bytes: u64) -> Self {
        let geometry = &content.geometry;
        Self {
            role: code(role),
            kind: geometry.kind.code(),
            object_bytes,
            capacity: if role.sends() { geometry.capacity } else { 0 },
            value_bytes: value_bytes(geometry),
            fingerprint: content.fingerprint,
        }
    }

    pub(super) fn send(self, socket: BorrowedFd<'_>, object: &Object, deadline: Deadline) -> Result<()> {
        Ok(pass::send(socket, &self.pack(), &[object.descriptor()], deadline)?)
    }

    /// Judges what came, for a side of `role` that wants `content`.
    pub(super) fn read(bytes: &[u8; HELLO_BYTES], content: &Content, role: Role) -> Result<Self> {
        let Some(hello) = Self::unpack(bytes) else {
            return Err(Error::Corrupt("what came over the socket is no greeting of a sealed ring"));
        };
        if hello.role != code(role.peer()) {
            return Err(Error::Corrupt("both ends of the socket want to be the same side of the ring"));
        }
        let wanted = &content.geometry;
        if hello.kind != wanted.kind.code() {
            let found =
                Kind::from_code(hello.kind).ok_or(Error::Corrupt("the peer's kind of ring is unknown"))?;
            return Err(Error::WrongKind { found, wanted: wanted.kind });
        }
        if hello.fingerprint != content.fingerprint || hello.value_bytes != value_bytes(wanted) {
            return Err(Error::WrongType { wanted: content.type_name });
        }
        Ok(hello)
    }

    /// The ring that a producer's greeting tells of.
    pub(super) fn geometry(&self, content: &Content) -> Result<Geometry> {
        let wanted = &content.geometry;
        let geometry = if wanted.kind.is_typed() {
            Geometry::slots(self.capacity, wanted.message_bytes)?
        } else {
            Geometry::bytes(self.capacity)?
        };
        if geometry.capacity != self.capacity || geometry.object_bytes != self.object_bytes {
            return Err(Error::Corrupt("the peer's sizes contradict each other"));
        }
        if geometry.capacity > wanted.capacity {
            return Err(Error::InvalidCapacity {
                reason: "the producer's ring is larger than this consumer accepts; give its builder as much capacity",
            });
        }
        Ok(geometry)
    }

    fn pack(self) -> [u8; HELLO_BYTES] {
        let words = [
            MAGIC,
            VERSION | u64::from(self.role) << 32,
            u64::from(self.kind),
            self.object_bytes,
            self.capacity,
            self.value_bytes,
            self.fingerprint,
        ];
        let mut bytes = [0; HELLO_BYTES];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    #[allow(clippy::cast_possible_truncation)] // halves of a word
    fn unpack(bytes: &[u8; HELLO_BYTES]) -> Option<Self> {
        let mut words = bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || words.next().unwrap_or(0);
        let (magic, versions, kinds) = (next(), next(), next());
        let known = magic == MAGIC && versions as u32 == VERSION as u32 && kinds >> 32 == 0;
        known.then(|| Self {
            role: (versions >> 32) as u32,
            kind: kinds as u32,
            object_bytes: next(),
            capacity: next(),
            value_bytes: next(),
            fingerprint: next(),
        })
    }
}

const fn code(role: Role) -> u32 {
    if role.sends() { 1 } else { 2 }
}

fn value_bytes(geometry: &Geometry) -> u64 {
    if geometry.kind.is_typed() { geometry.message_bytes } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(capacity: u64) -> Content {
        Content { geometry: Geometry::bytes(capacity).unwrap(), fingerprint: 7, type_name: "bytes" }
    }

    #[test]
    fn greetings_are_read_as_written_and_judged() {
        let producer = content(4096);
        let hello = Hello::of(&producer, Role::Producer, producer.geometry.object_bytes);
        let bytes = hello.pack();
        assert_eq!(Hello::unpack(&bytes), Some(hello));
        let consumer = content(8192);
        let read = Hello::read(&bytes, &consumer, Role::Consumer).unwrap();
        assert_eq!(read.geometry(&consumer).unwrap(), producer.geometry);
        // Each byte counts: none of the others is taken for it.
        for at in 0..HELLO_BYTES {
            for bit in 0..8 {
                let mut other = bytes;
                other[at] ^= 1 << bit;
                let judged = Hello::read(&other, &consumer, Role::Consumer);
                let geometry = judged.and_then(|hello| hello.geometry(&consumer));
                assert!(geometry.is_err(), "byte {at}, bit {bit}: {geometry:?}");
            }
        }
        assert!(Hello::read(&bytes, &producer, Role::Producer).is_err());
        assert!(read.geometry(&content(2048)).is_err(), "more than the consumer accepts");
        assert!(Hello { capacity: u64::MAX, ..hello }.geometry(&consumer).is_err());
        assert!(Hello { capacity: 0, ..hello }.geometry(&consumer).is_err());
    }

    /// As large as the consumer accepts is not larger.
    #[test]
    fn the_largest_ring_that_is_accepted_is_accepted() {
        let same = content(4096);
        let hello = Hello::of(&same, Role::Producer, same.geometry.object_bytes);
        let read = Hello::read(&hello.pack(), &same, Role::Consumer).unwrap();
        assert_eq!(read.geometry(&same).unwrap(), same.geometry);
    }

    /// Two types of one fingerprint that differ in their size are two types. A ring of bytes says 0.
    #[test]
    fn a_value_has_its_size() {
        let values = |bytes| Content { geometry: Geometry::slots(16, bytes).unwrap(), ..content(4096) };
        let greeting = |content: &Content| Hello::of(content, Role::Producer, content.geometry.object_bytes);
        let judged = Hello::read(&greeting(&values(8)).pack(), &values(16), Role::Consumer);
        assert!(matches!(judged, Err(Error::WrongType { .. })), "{judged:?}");
        assert!(Hello::read(&greeting(&values(8)).pack(), &values(8), Role::Consumer).is_ok());
        assert_eq!((greeting(&values(8)).value_bytes, greeting(&content(4096)).value_bytes), (8, 0));
    }
}
