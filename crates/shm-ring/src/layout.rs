//! Where everything lies in a ring object. `docs/layout.md` says the same for readers in other languages.
//!
//! All rings begin with a [header](shm_core::header) that never changes after birth; what follows is
//! the business of their kind: [`spsc`], [`mpmc`]; in between lies what a [`restart`] of the machine needs. Here stands
//! what they have in common: the numbers of the kinds and the sizes in the header.

pub mod geometry;
pub mod mpmc;
pub mod restart;
pub mod spsc;

pub use geometry::{Geometry, Kind};

/// `kind` of a single-producer single-consumer ring of byte messages.
pub const KIND_SPSC_BYTES: u32 = 1;
/// `kind` of a single-producer single-consumer ring of typed slots.
pub const KIND_SPSC_TYPED: u32 = 2;
/// `kind` of a multi-producer multi-consumer ring of byte messages.
pub const KIND_MPMC_BYTES: u32 = 3;
/// `kind` of a multi-producer multi-consumer ring of typed values.
pub const KIND_MPMC_TYPED: u32 = 4;

/// Header flag of an MPMC ring: what a receiver had in hand when it died is handed out again.
pub const FLAG_REDELIVERY: u64 = 1;

/// Header geometry: capacity, in bytes, slots or messages.
pub const GEOMETRY_CAPACITY: usize = 0;
/// Header geometry: longest message in bytes, or bytes in a value.
pub const GEOMETRY_MESSAGE_BYTES: usize = 1;
/// Header geometry: where the data begins.
pub const GEOMETRY_DATA_OFFSET: usize = 2;
/// Header geometry: bytes of data.
pub const GEOMETRY_DATA_BYTES: usize = 3;
/// Header geometry, MPMC: how many may take part at once.
pub const GEOMETRY_PARTICIPANTS: usize = 4;
/// Header geometry, MPMC: where the slots begin.
pub const GEOMETRY_SLOTS_OFFSET: usize = 5;
/// Header geometry, MPMC: bytes in a block.
pub const GEOMETRY_BLOCK_BYTES: usize = 6;

/// Low bits of a tenure word that hold its state; the rest is its number.
pub const TENURE_STATE_BITS: u32 = 8;
/// Tenure state: sits, or died sitting: the lock on the seat's first byte tells which.
pub const TENURE_JOINED: u64 = 1;
/// Tenure state: closed.
pub const TENURE_CLOSED: u64 = 2;
/// Tenure state: left without closing.
pub const TENURE_DROPPED: u64 = 3;

/// Notice: the ring was removed.
pub const NOTICE_REMOVED: u32 = 1;
/// Notice: a participant found state that no correct participant leaves.
pub const NOTICE_POISONED: u32 = 2;

/// Objects are a multiple of this long.
pub const OBJECT_UNIT_BYTES: usize = 4096;
