//! What a region, a futex, a lock and a kill are in a model that loom explores (`--cfg loom`).
//!
//! The rings' own code runs in the models; only what lies beneath it is another: [`memory`] takes the place of the
//! bytes of [`Region::on_heap`](crate::Region::on_heap) and of the futexes on them, [`kernel`] that of record locks and
//! of membarrier, and [`mortal`] kills a thread before a store of its own. See `docs/memory-model.md`.

pub mod kernel;
pub(crate) mod memory;
pub mod mortal;
pub(crate) mod weaken;

use crate::error::Result;
use crate::region::Region;

/// Memory for payload: as [`Region::on_heap`], but every copy that is not ordered with a store to the same word ends
/// the model as a data race, and so does a store to a word that somebody may still be copying.
///
/// # Errors
/// [`Error::ZeroLength`](crate::Error::ZeroLength) when `bytes` is zero.
pub fn payload(bytes: usize) -> Result<Region> {
    Region::from_heap(memory::Memory::checked(bytes), bytes)
}
