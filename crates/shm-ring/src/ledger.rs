//! A position and the number of messages up to it, which agree whenever their writer is killed.
//!
//! One word can not hold both, and two words are two stores. So there are two entries; the one with the
//! greater position counts. The writer fills the other one, count first, and its position last: killed
//! before that, the old entry still stands; killed after it, the new one does. Both lie on one line that
//! nobody polls, so this costs what a single store costs.

use crate::error::{Error, Result};
use crate::layout::spsc::{LEDGER_COUNT_OFFSET, LEDGER_ENTRY_BYTES, LEDGER_POSITION_OFFSET};
use shm_core::sync::{Ordering, compiler_fence};
use shm_core::{ReadWord, Region, Word};

#[cfg(all(test, loom))]
mod model;

/// What a ledger says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) position: u64,
    pub(crate) count: u64,
}

/// The writing side.
#[derive(Debug)]
pub(crate) struct Ledger {
    position: [Word<u64>; 2],
    count: [Word<u64>; 2],
    next: usize,
    balance: Balance,
}

impl Ledger {
    /// Takes the ledger at `offset` over from whoever wrote it before.
    pub(crate) fn resume(region: &Region, offset: usize) -> Result<Self> {
        let word = |entry, field| region.word(offset + entry * LEDGER_ENTRY_BYTES + field);
        let entries = [read_entry(region, offset, 0)?, read_entry(region, offset, 1)?];
        let current = current(entries);
        Ok(Self {
            position: [word(0, LEDGER_POSITION_OFFSET)?, word(1, LEDGER_POSITION_OFFSET)?],
            count: [word(0, LEDGER_COUNT_OFFSET)?, word(1, LEDGER_COUNT_OFFSET)?],
            next: 1 - current,
            balance: entries[current],
        })
    }

    #[inline(always)]
    pub(crate) fn balance(&self) -> Balance {
        self.balance
    }

    /// Moves on to `position`, `messages` further. `position` is greater than the present one.
    #[inline(always)]
    pub(crate) fn advance(&mut self, position: u64, messages: u64) {
        let balance = Balance { position, count: self.balance.count.wrapping_add(messages) };
        let next = self.next & 1; // it is 0 or 1; so the compiler knows, and neither checks nor panics
        if let (Some(count), Some(at)) = (self.count.get(next), self.position.get(next)) {
            count.store(balance.count, Ordering::Relaxed); // ordered by R2
            at.store(position, Ordering::Release); // R2 pairs with A2
        }
        self.next ^= 1;
        self.balance = balance;
        // A killed writer leaves a prefix of its compiled program: neither what follows from this entry (a
        // message that is handed out) nor the next entry's count may come before it.
        compiler_fence(Ordering::SeqCst); // F2 pairs with A2
    }
}

/// What the ledger at `offset` says now. While its writer works, the count may be one of a later position, by as much
/// as it does between the two loads. It is never one of an earlier.
pub(crate) fn read(region: &Region, offset: usize) -> Result<Balance> {
    let entries = [read_entry(region, offset, 0)?, read_entry(region, offset, 1)?];
    Ok(entries[current(entries)])
}

fn current(entries: [Balance; 2]) -> usize {
    usize::from(entries[1].position > entries[0].position)
}

fn read_entry(region: &Region, offset: usize, entry: usize) -> Result<Balance> {
    let at = offset + entry * LEDGER_ENTRY_BYTES;
    let position: ReadWord<u64> = region.read_word(at + LEDGER_POSITION_OFFSET)?;
    let count: ReadWord<u64> = region.read_word(at + LEDGER_COUNT_OFFSET)?;
    let position = position.load(Ordering::Acquire); // A2 pairs with R2 F2
    if !position.is_multiple_of(8) || position > POSITION_MAX {
        return Err(Error::Corrupt("a stored position is impossible"));
    }
    Ok(Balance { position, count: count.load(Ordering::Relaxed) }) // ordered by A2
}

/// Positions beyond this are garbage; sums of positions and sizes below it can not overflow.
pub(crate) const POSITION_MAX: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    /// Every prefix of the stores of a few advances, as a kill would leave it.
    #[test]
    fn position_and_count_agree_after_a_kill_between_any_two_stores() {
        for kill_after in 0..8 {
            let region = Region::on_heap(128).unwrap();
            let mut stores = 0;
            let mut ledger = Ledger::resume(&region, 0).unwrap();
            for step in 1..=4_u64 {
                let target = ledger.next * LEDGER_ENTRY_BYTES;
                if stores + 2 <= kill_after {
                    ledger.advance(step * 8, 1);
                } else if stores < kill_after {
                    region.write_value(target + LEDGER_COUNT_OFFSET, &step).unwrap();
                }
                stores += 2;
                if stores > kill_after {
                    break;
                }
            }
            let balance = read(&region, 0).unwrap();
            assert_eq!(balance.position, balance.count * 8, "killed after {kill_after} stores");
            assert_eq!(Ledger::resume(&region, 0).unwrap().balance(), balance);
        }
    }

    #[test]
    fn garbage_is_refused() {
        let region = Region::on_heap(128).unwrap();
        region.write_value(0, &1_u64).unwrap();
        assert!(Ledger::resume(&region, 0).is_err());
        region.write_value(0, &(u64::MAX - 7)).unwrap();
        assert!(read(&region, 0).is_err());
    }

    /// A reader at work at the same time sees some prefix of the stores, as a kill would leave it: never a
    /// position ahead of its count.
    #[test]
    fn the_count_is_stored_before_the_position() {
        let region = Region::on_heap(128).unwrap();
        let mut ledger = Ledger::resume(&region, 0).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let stopped = || stop.load(Ordering::Relaxed); // only ends the test
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stopped() {
                    let seen = read(&region, 0).unwrap();
                    assert!(seen.count * 8 >= seen.position, "{seen:?}");
                }
            });
            for step in 1..=1_000_000_u64 {
                ledger.advance(step * 8, 1);
            }
            stop.store(true, Ordering::Relaxed); // only ends the test
        });
    }
    #[test]
    fn a_position_is_believed_up_to_the_greatest() {
        for entry in 0..2 {
            for (position, possible) in [(POSITION_MAX, true), (POSITION_MAX + 8, false), (12, false)] {
                let region = Region::on_heap(128).unwrap();
                let at = 32 + entry * LEDGER_ENTRY_BYTES + LEDGER_POSITION_OFFSET;
                region.write_value(at, &position).unwrap();
                assert_eq!(
                    read(&region, 32).map(|balance| balance.position).ok(),
                    possible.then_some(position)
                );
                assert_eq!(Ledger::resume(&region, 32).is_ok(), possible);
            }
        }
    }

    /// Whoever takes over fills the entry that does not count.
    #[test]
    fn a_successor_goes_on_behind_the_newer_entry() {
        let region = Region::on_heap(128).unwrap();
        let mut ledger = Ledger::resume(&region, 32).unwrap();
        for (step, messages) in [(1, 3), (2, 0), (3, 5)] {
            let before = ledger.balance();
            ledger.advance(step * 64, messages);
            let now = Balance { position: step * 64, count: before.count + messages };
            assert_eq!((ledger.balance(), read(&region, 32).unwrap()), (now, now));
            let others = [0, 1].map(|entry| read_entry(&region, 32, entry).unwrap());
            assert!(others.contains(&before) && others.contains(&now));
            ledger = Ledger::resume(&region, 32).unwrap();
        }
    }
}
