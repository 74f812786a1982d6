//! Memory that processes on one Linux machine share: named objects, their mappings, and the few
//! primitives that everything above is built from.
//!
//! Data flows one way through this crate, and a file uses only what stands before it:
//!
//! [`name`] → [`object`] → [`region`] → [`header`], with [`word`], [`values`], [`event`], [`lock`], [`life`],
//! [`offset`], [`mod@line`] and [`mod@fork`] beside them. Objects without a name come from [`memfd`], are made safe to
//! hand out by [`seal`], and go from process to process by [`pass`]. [`sysv`], [`anonymous`] and [`zone`] make
//! regions of memory that is no file; [`place`] reads where an object is, [`maps`] who maps it, and [`unnamed`] is
//! what a ring without a name is made in.
//!
//! Three rules hold everywhere:
//!
//! * **No reference into shared memory.** Bytes that another process may write are reached through
//!   raw pointers, atomics and copies only; all of that happens in one file, `access`.
//! * **No pointer in shared memory.** What is stored are offsets, checked against the mapping they
//!   are used with. `MAP_FIXED` is not offered: a fixed address can silently replace a mapping that
//!   somebody else owns, and nothing here needs two processes to agree on an address. (`life` uses it, within
//!   a reservation of its own.)
//! * **A half-made object is never visible.** Objects are completed before they get their name; see
//!   [`object`].
//!
//! ```
//! use shm_core::{Access, Name, Options};
//!
//! # fn main() -> Result<(), shm_core::Error> {
//! let name = Name::new(&format!("shm-core-doc-{}", std::process::id()))?;
//! let object = Options::new().create(&name, 4096)?;
//! let region = object.map(Access::ReadWrite)?;
//! region.copy_in(100, b"hello")?;
//!
//! // Another process would do this; here a second mapping plays its part.
//! let peer = Options::new().open(&name, Access::ReadOnly)?.map(Access::ReadOnly)?;
//! let mut bytes = [0; 5];
//! peer.copy_out(100, &mut bytes)?;
//! assert_eq!(&bytes, b"hello");
//! Options::new().unlink(&name)
//! # }
//! ```

// A model uses but a part of the library.
#![cfg_attr(loom, allow(dead_code, unreachable_code, unused_imports, unused_variables))]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("shm-core needs 64-bit atomics and addresses");

mod access;
pub mod anonymous;
pub mod clock;
mod copy;
pub mod error;
pub mod event;
pub mod fork;
pub mod header;
#[cfg(shmring_hostile)]
pub mod hostile;
pub mod huge;
pub mod life;
pub mod line;
pub mod lock;
pub mod maps;
pub mod memfd;
#[cfg(loom)]
pub mod model;
pub mod name;
pub mod object;
pub mod offset;
pub mod pass;
pub mod place;
mod prefetch;
pub mod region;
pub mod seal;
pub mod sync;
pub mod system;
pub mod sysv;
pub mod unnamed;
pub mod values;
pub mod word;
pub mod zone;

pub use clock::Deadline;
pub use error::{Error, Result};
pub use event::{Event, Listener, Woken, wait_any};
pub use fork::{Descriptor, Guard};
pub use header::{Header, Identity};
pub use huge::HugePages;
pub use life::{Life, LifeState};
pub use line::Line;
pub use memfd::Memfd;
pub use name::Name;
pub use object::{Birth, Directory, Object, Options, Owner, Remap, Removal, Stat};
pub use offset::Span;
pub use place::Place;
pub use region::{Access, Advice, Flush, Holes, Inheritance, MapOptions, Protection, Region};
pub use seal::Seals;
pub use unnamed::Unnamed;
pub use values::{ReadValues, Values};
pub use word::{ReadWord, Word, Words};
pub use zone::Zone;
