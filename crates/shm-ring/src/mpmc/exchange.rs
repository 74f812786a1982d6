//! Sending and receiving: one compare-and-exchange between a slot and a hand.
//!
//! ```text
//! send                                          receive
//!   fill the block in hand                        look at the slot at the cursor          A13
//!   look at the slot at the cursor     A13        full for this lap:
//!   empty for this lap, with block a:               hand = {mine, a, unread}              R18
//!     hand = {mine, a}                 R18          slot {s, a} -> {s + 1, mine}          X4
//!     slot {s, a} -> {s + 1, mine}     X4           hand = {a, none, unread}              R19
//!     hand = {a, none}                 R19          read a; then hand = {a, none}         R20
//!   of a later lap: others went on; so does the cursor, and looks again
//!   still of the lap before: full (send), or empty for this lap: empty (receive)
//!   of any lap before that: no correct participant leaves that
//! ```
//!
//! # Why this is a queue
//! A slot's sequence only grows, by one at each exchange. A cursor passes a slot only when it has seen that others
//! exchanged it, so sends happen in the order of positions, and receives do. No word but the slot decides between
//! full, empty and neither. A block is in one place: each exchange swaps two.
//!
//! # Why a kill anywhere harms nobody else
//! Crash order: the hand's intent stands above X4 (a release), and its settling below it (an acquire, and a
//! branch). Before X4 nothing that others look at has changed. X4 is the whole operation. After it only the hand word
//! waits to be settled; while it is not, it names both blocks that this participant may have, and whoever takes
//! the seat over finds out which (see [`reclaim`](crate::mpmc::reclaim)). A killed sender's message is sent or not,
//! whole; a killed receiver takes the one message with it.
//!
//! # Progress
//! Whoever fails at X4 failed because another one succeeded. A participant alone finds its place in a number of
//! looks that grows with the logarithm of the capacity. Nobody ever waits for one who is stopped or dead.
//!
//! The states of small rings were explored with kills between any two steps, and under release and acquire memory;
//! see `docs/crash.md`. The idea of exchanging whole blocks with one CAS, the seat words, and private cursors
//! instead of shared head and tail hints are this project's own; the sequence in each slot is Dmitry
//! Vyukov's bounded queue's.

use crate::error::{Error, Result};
use crate::layout::Geometry;
use crate::layout::mpmc::{HAND_OFFSET, Parts};
use crate::mpmc::hand::Hand;
use crate::mpmc::seat::seat_offset;
use crate::mpmc::slot::{Slot, SlotFormat};
use shm_core::sync::{Ordering, compiler_fence, fence};
use shm_core::{Region, Word, Words};

#[cfg(all(test, loom))]
mod model;
#[cfg(test)]
mod tests;

/// Slots that come with one cache line of 64 bytes.
const SLOTS_PER_LINE: u64 = 8;

/// One participant's side of all exchanges.
#[derive(Debug)]
pub(crate) struct Exchange {
    slots: Words,
    format: SlotFormat,
    hand: Word<u64>,
    /// The block in hand.
    mine: u64,
    /// At or before the position of the next operation of this role.
    cursor: u64,
    sends: bool,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The blocks are exchanged.
    Exchanged,
    /// Full, or empty.
    NotNow,
    /// There is a block, and it was refused; it stays where it is.
    Refused,
}

/// Lays the blocks out as they are at a ring's birth.
pub(crate) fn initialise(region: &Region, geometry: &Geometry) -> shm_core::Result<()> {
    lay_out(&Parts::of(region, geometry)?, geometry)
}

/// As [`initialise`], in parts that need not belong to one region.
pub(crate) fn lay_out(parts: &Parts, geometry: &Geometry) -> shm_core::Result<()> {
    let format = SlotFormat::new(geometry);
    let slots = parts.slots.words()?;
    for index in 0..format.capacity() {
        let word = format.pack(Slot { sequence: 0, block: index });
        slots.store(SlotFormat::byte_position(index), word, Ordering::Relaxed)?; // nobody else sees it yet
    }
    for seat in 0..geometry.participants {
        let hand = Hand::spare(format.capacity() + seat);
        parts.seats.write_value(seat_offset(seat) + HAND_OFFSET, &hand.pack())?;
    }
    Ok(())
}

impl Exchange {
    /// The side of whoever holds the seat's lock and has ruled on its hand, which is settled.
    pub(crate) fn new(parts: &Parts, format: SlotFormat, seat: u64, sends: bool) -> Result<Self> {
        let hand: Word<u64> = parts.seats.word(seat_offset(seat) + HAND_OFFSET)?;
        let settled = Hand::unpack(hand.load(Ordering::Relaxed), format.blocks()); // own
        let mine = match settled {
            Some(Hand { block, expected: None, .. }) => block,
            _ => return Err(Error::Corrupt("a hand holds an impossible block")),
        };
        Ok(Self { slots: parts.slots.words()?, format, hand, mine, cursor: 0, sends })
    }

    /// The block in hand.
    #[inline(always)]
    pub(crate) fn block(&self) -> u64 {
        self.mine
    }

    /// Exchanges the block in hand, if the cursor stands at the next position, the block there is accepted, and
    /// nobody is faster. Otherwise nothing is done, and what is the case [`attempt_if`](Self::attempt_if) says.
    #[inline(always)]
    pub(crate) fn exchange_plainly(&mut self, accept: impl FnOnce(u64) -> bool) -> bool {
        let (at, word) = self.slot_at_cursor();
        let slot = self.format.unpack(word);
        let possible = slot.sequence == self.wanted() && self.is_possible(slot.block);
        possible && accept(slot.block) && self.exchange(at, word, slot)
    }

    #[inline(always)]
    fn slot_at_cursor(&self) -> (u64, u64) {
        let at = SlotFormat::byte_position(self.cursor);
        (at, self.slots.load(at, Ordering::Acquire)) // A13 pairs with X4
    }

    /// Whether the slot at the cursor was ready for an exchange a moment ago.
    pub(crate) fn is_possible_now(&self) -> bool {
        let word = self.slots.load(SlotFormat::byte_position(self.cursor), Ordering::Relaxed); // a hint
        self.format.unpack(word).sequence == self.wanted()
    }

    /// Whether a slot may hold this block while we hold ours.
    #[inline(always)]
    fn is_possible(&self, block: u64) -> bool {
        block < self.format.blocks() && block != self.mine
    }

    /// Exchanges the block in hand at the next position.
    ///
    /// The answer that there is none may be older than this participant's last operation; look again behind
    /// [`settle_view`](Self::settle_view) where it must not be.
    #[inline]
    pub(crate) fn attempt(&mut self) -> Result<Attempt> {
        self.attempt_if(|_| true)
    }

    /// As [`attempt`](Self::attempt), if the block in the slot is accepted. It is looked at before it is anybody's:
    /// what is seen may be of a later message, in which case it does not count.
    #[inline]
    pub(crate) fn attempt_if(&mut self, mut accept: impl FnMut(u64) -> bool) -> Result<Attempt> {
        loop {
            let (at, word) = self.slot_at_cursor();
            let slot = self.format.unpack(word);
            let wanted = self.wanted();
            if slot.sequence != wanted {
                if slot.sequence < wanted {
                    return not_now(slot.sequence, wanted);
                }
                self.catch_up(slot.sequence)?;
                continue;
            }
            if !self.is_possible(slot.block) {
                return Err(Error::Corrupt("a slot holds an impossible block"));
            }
            if !accept(slot.block) {
                // An exchange for itself, and no load: what was seen in the block may have been written by somebody who
                // got it through many hands, and tells this participant nothing of the slot. But if X4 took the
                // block out after this, it knows that the block was looked at before.
                let (success, failure) = (Ordering::Release, Ordering::Relaxed); // X7 pairs with X4
                if self.slots.compare_exchange(at, word, word, success, failure).is_ok() {
                    return Ok(Attempt::Refused);
                }
                continue;
            }
            if self.exchange(at, word, slot) {
                return Ok(Attempt::Exchanged);
            }
        }
    }

    #[inline(always)]
    fn exchange(&mut self, at: u64, word: u64, slot: Slot) -> bool {
        let ours = self.format.pack(Slot { sequence: slot.sequence + 1, block: self.mine });
        let intent = Hand::intent(self.mine, slot.block, !self.sends);
        // A ruling on another seat that sees this sees how `mine` came here, and not where it was before.
        self.hand.store(intent.pack(), Ordering::Release); // R18 pairs with F18 F19; X4 keeps it above
        let success = Ordering::AcqRel; // X4 pairs with A13 A14 A21 A24 F13 F18 F19 X7 X8
        let failure = Ordering::Relaxed; // nothing happened
        let exchanged = self.slots.compare_exchange(at, word, ours, success, failure).is_ok();
        if exchanged {
            self.mine = slot.block;
            self.cursor += 1;
        }
        let received = exchanged && !self.sends;
        let settled = if received { Hand::message(self.mine) } else { Hand::spare(self.mine) };
        // X4 keeps it below, or the branch if it failed.
        self.hand.store(settled.pack(), Ordering::Release); // R19 pairs with F18 F19
        exchanged
    }

    /// Whether the cursor has just come to the first slot of a line.
    #[inline(always)]
    pub(crate) fn begins_line(&self) -> bool {
        self.cursor.is_multiple_of(SLOTS_PER_LINE)
    }

    /// Tells of the blocks that are now in those slots of the next line that are ready for this role. Others may be
    /// faster. Has the line behind it fetched, so that the next look need not wait.
    #[inline(always)]
    pub(crate) fn look_ahead(&self, mut tell: impl FnMut(u64)) {
        let first = self.cursor + SLOTS_PER_LINE;
        self.slots.will_write(SlotFormat::byte_position(first + SLOTS_PER_LINE));
        for position in first..first + SLOTS_PER_LINE {
            let word = self.slots.load(SlotFormat::byte_position(position), Ordering::Relaxed); // a hint
            let slot = self.format.unpack(word);
            if slot.sequence == self.wanted_at(position) && self.is_possible(slot.block) {
                tell(slot.block);
            }
        }
    }

    /// Orders what this participant did before what it looks at next, so that no answer is older than its own
    /// last operation. (On weakly ordered processors a load may be satisfied before an earlier exchange is seen.)
    pub(crate) fn settle_view() {
        fence(Ordering::SeqCst); // F13 pairs with X4
    }

    /// The message in hand is read.
    #[inline]
    pub(crate) fn let_go(&self) {
        // Crash order: what was read of the message was read before it counts as read.
        compiler_fence(Ordering::SeqCst); // F14 pairs with F15
        self.hand.store(Hand::spare(self.mine).pack(), Ordering::Release); // R20 pairs with F18 F19
    }

    /// Messages sent, if this is a sender's, or received, as far as this participant knows.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// What the slot at the cursor must say for an operation to be possible.
    #[inline(always)]
    fn wanted(&self) -> u64 {
        self.wanted_at(self.cursor)
    }

    #[inline(always)]
    fn wanted_at(&self, position: u64) -> u64 {
        self.format.wanted_sequence(position, self.sends)
    }

    /// Others went on: finds the first position that they have not passed. Jumps by what each slot tells, in steps
    /// that double until they are too far, then halves the rest. Whatever the slots hold, a sequence beyond the wanted
    /// one tells of a later position, and each slot is passed at most twice before it is behind: garbage keeps nobody
    /// here.
    #[inline(never)]
    fn catch_up(&mut self, sequence: u64) -> Result<()> {
        let mut low = self.format.next_after(self.cursor, sequence, self.sends);
        let mut step = 1;
        let mut high = loop {
            let probe = low + step - 1;
            if probe > self.format.position_max() {
                return Err(Error::Corrupt("a slot's sequence is too great"));
            }
            let sequence = look(&self.slots, self.format, probe);
            if sequence <= self.wanted_at(probe) {
                break probe;
            }
            low = self.format.next_after(probe, sequence, self.sends);
            step = (step * 2).min(self.format.capacity());
        };
        while low < high {
            let middle = low + (high - low) / 2;
            if look(&self.slots, self.format, middle) > self.wanted_at(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.cursor = low;
        Ok(())
    }
}

#[cold]
fn not_now(sequence: u64, wanted: u64) -> Result<Attempt> {
    // Everything before the cursor was passed, so its slot has seen the lap before.
    if sequence + 1 == wanted {
        Ok(Attempt::NotNow)
    } else {
        Err(Error::Corrupt("a slot's sequence went back"))
    }
}

/// The sequence in a position's slot. It only grows: above the one that is wanted, the position is passed for good.
///
/// Whoever passed it had seen all earlier positions passed. As an acquire this look sees that too: no later look at
/// another slot finds a lap that is too old, which would be taken for garbage.
fn look(slots: &Words, format: SlotFormat, position: u64) -> u64 {
    let word = slots.load(SlotFormat::byte_position(position), Ordering::Acquire); // A21 pairs with X4
    format.unpack(word).sequence
}

/// Messages ever sent and ever received, found by looking at the slots. While participants work, both may be late.
pub(crate) fn totals(slots: &Region, format: SlotFormat) -> Result<(u64, u64)> {
    let slots = slots.words()?;
    let find = |sends: bool| {
        let first = look(&slots, format, 0);
        let mut low = format.next_after(0, first, sends);
        let mut high = low.saturating_add(format.capacity());
        while low < high {
            let middle = low + (high - low) / 2;
            if look(&slots, format, middle) > format.wanted_sequence(middle, sends) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    };
    let received = find(false);
    Ok((find(true).max(received), received))
}
