//! The ring of byte messages. A record's header publishes it, so a small message moves one cache line.
//!
//! # Space
//! The producer writes only where the consumer has released: pads, records and the 8 bytes of the next
//! header lie within `capacity - (position - head)`, checked before anything is written.
//!
//! # Publishing one message or many
//! 1. payloads, and all headers but the first (a pad's header is one);
//! 2. zero in the word behind the last record;
//! 3. the first header: R3. From here on the messages are sent;
//! 4. the ledger of the tail: R2.
//!
//! Killed before 3, nothing was sent, and what was written is garbage behind a zero header. Killed between
//! 3 and 4, the successor finds the published records by walking the headers from the stored tail. A
//! dropped reservation is a kill before 3.
//!
//! # Consuming
//! At most once: first the ledger of the cursor says that the messages are handed out, then they are;
//! `head` follows when they have been looked at. Killed in between, the successor starts behind them.
//! A look that is not to be the last (peek) leaves the ledger alone until it is taken.
//!
//! Whoever has taken everything withholds nothing: `head` is stored when the lag reaches an eighth of
//! the ring *or nothing more is published*, so that an empty ring takes the longest message. (Behind a
//! message that had to be waited for, it is stored without a look at what is published.)
//!
//! The rules and their kills are model-checked; see `docs/crash.md`.

#[cfg(all(test, loom))]
mod model;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use crate::error::{Error, Result};
use crate::ledger::POSITION_MAX;
use crate::record::{self, Found};
pub(crate) use reader::Reader;
use shm_core::Words;
use shm_core::sync::Ordering;
pub(crate) use writer::{Reserved, Writer};

/// What lies on one line moves from one processor to the other at a time: 64 bytes on most.
const CACHE_LINE_BYTES: u64 = 64;

/// Walks the published records from `position` on: where they end, and how many messages they hold.
/// Never more than one capacity of them.
pub(crate) fn walk(words: &Words, position: u64, capacity: u64) -> Result<(u64, u64)> {
    let (mut at, mut messages) = (position, 0);
    if position > POSITION_MAX {
        return Err(Error::Corrupt("a stored position is impossible"));
    }
    loop {
        let word = words.load(at, Ordering::Acquire); // A6 pairs with R3 F1
        match record::decode(word, at, capacity)? {
            Found::Nothing => return Ok((at, messages)),
            Found::Pad(next) => at = next,
            Found::Message(record) => (at, messages) = (record.end(), messages + 1),
        }
        if at - position > capacity {
            return Err(Error::Corrupt("published records run around the whole ring"));
        }
    }
}
