//! Taking a seat, and cleaning up behind whoever died on it.
//!
//! Everything here is done under the seat's lock, can be killed at any instruction, and is done again, with the same
//! result, by the next one who takes the lock. Two at once are two at different seats.

use crate::error::{Error, Result, Role};
use crate::layout::mpmc::{
    DROPPED_OFFSET, FULL_WAITS_OFFSET, HAND_OFFSET, HIGH_WATER_OFFSET, LIFE_OFFSET, LOST_OFFSET, PID_OFFSET,
    Parts, RECEIVED_OFFSET, SENT_OFFSET, TENURE_DIED, TENURE_JOINING, TENURE_OFFSET,
};
use crate::layout::{Geometry, TENURE_CLOSED, TENURE_DROPPED, TENURE_JOINED};
use crate::mpmc::hand::Hand;
use crate::mpmc::reclaim;
use crate::mpmc::seat::{RoleWords, Roster, TENURE_NUMBER_MAX, Tenure, lock_byte, raise, seat_offset};
use crate::mpmc::slot::SlotFormat;
use shm_core::lock::{self, Lock};
use shm_core::sync::{Ordering, fence};
use shm_core::{Deadline, Life, LifeState, Object, ReadWord, Word, life};
use std::time::Duration;

#[cfg(all(test, loom))]
mod model;
#[cfg(test)]
mod tests;

/// Between two attempts at seats that are all taken, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(2));

/// What stands behind all claims of one process at one ring.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) parts: Parts,
    pub(crate) format: SlotFormat,
    pub(crate) roster: Roster,
    pub(crate) senders: RoleWords,
    pub(crate) receivers: RoleWords,
    participants: u64,
    redelivery: bool,
}

/// A seat after it was cleaned up, still under its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CleanUp {
    /// Ready for the next participant.
    Ready,
    /// A dead receiver's message is in its hand, to be handed out again.
    Unread,
    /// It can not be told which block is in its hand, because others are in the middle of exchanges.
    Unclear,
}

impl Claims {
    pub(crate) fn new(parts: Parts, geometry: &Geometry) -> Result<Self> {
        let format = SlotFormat::new(geometry);
        Ok(Self {
            roster: Roster::of(&parts, geometry.participants),
            senders: RoleWords::of(&parts, Role::Sender)?,
            receivers: RoleWords::of(&parts, Role::Receiver)?,
            participants: geometry.participants,
            redelivery: geometry.redelivery,
            parts,
            format,
        })
    }

    pub(crate) fn words(&self, role: Role) -> &RoleWords {
        if role.sends() { &self.senders } else { &self.receivers }
    }

    /// Takes a free seat for whoever holds `object`, trying until the deadline: the kernel frees a dead one's lock
    /// only when it has taken its memory down. Answers with a message that is to be handed out again first, if
    /// there is one on that seat; only a receiver gets such a seat.
    pub(crate) fn claim(&self, object: &Object, role: Role, deadline: Deadline) -> Result<(u64, CleanUp)> {
        let mut pause = RETRY.0;
        loop {
            let mut busy = None;
            // Those first on which nobody sits as far as one can see without the kernel.
            for sitting in [false, true] {
                for seat in self.roster.seats() {
                    if self.roster.tenure(seat)?.is_sitting() != sitting || !self.lock(object, seat)? {
                        continue;
                    }
                    match self.clean_up(seat)? {
                        CleanUp::Unclear => busy = Some(self.roster.pid(seat)?),
                        CleanUp::Unread if role.sends() => {}
                        cleaned => return Ok((seat, cleaned)),
                    }
                    lock::unlock(object, lock_byte(seat))?;
                }
            }
            if deadline.has_passed() {
                return Err(match busy {
                    Some(pid) => Error::Busy { pid },
                    None => Error::NoSeat { participants: self.participants },
                });
            }
            std::thread::sleep(pause.min(deadline.remaining()));
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// Has the kernel mark the seat's life word when we die. Where it does not do that, others learn of it at the end
    /// of a slice. The caller holds the seat's lock.
    pub(crate) fn register_life(&self, object: &Object, seat: u64) -> Result<Option<Life>> {
        let life = object.register_life(lock_byte(seat) + LIFE_OFFSET as u64).ok();
        if life.is_none() {
            self.clear_life(seat)?;
        }
        Ok(life)
    }

    /// The life words of all of a role who sit.
    pub(crate) fn lives_of(&self, role: Role) -> Vec<ReadWord<u32>> {
        let sits = |seat: &u64| {
            self.roster.tenure(*seat).is_ok_and(|tenure| tenure.is_sitting() && tenure.role() == role)
        };
        self.roster.seats().filter(sits).filter_map(|seat| self.life_word(seat).ok()).collect()
    }

    fn life_word(&self, seat: u64) -> Result<ReadWord<u32>> {
        Ok(self.parts.seats.read_word(seat_offset(seat) + LIFE_OFFSET)?)
    }

    /// Whether the kernel has marked anybody whose place was not cleaned up since.
    pub(crate) fn has_marks(&self) -> bool {
        let lives = [Role::Sender, Role::Receiver].map(|role| self.lives_of(role));
        lives.iter().flatten().any(|word| life::state(life::look(word)) == LifeState::Marked)
    }

    fn clear_life(&self, seat: u64) -> Result<()> {
        let word: Word<u32> = self.parts.seats.word(seat_offset(seat) + LIFE_OFFSET)?;
        word.store(0, Ordering::Relaxed); // a dead one's mark has been answered
        Ok(())
    }

    /// Takes the lock of a seat if it is free, and sees everything that its last holder did.
    pub(crate) fn lock(&self, object: &Object, seat: u64) -> Result<bool> {
        let locked = lock::try_lock(object, lock_byte(seat), Lock::Exclusive)?;
        fence(Ordering::Acquire); // F15 pairs with F14 R10 R11 R12 R13 R14
        Ok(locked)
    }

    /// Whether somebody died on this seat and nobody has cleaned up behind it. Asks the kernel, if it is this seat's
    /// turn, or the kernel would not have marked a death there, or has.
    pub(crate) fn is_left_behind(&self, object: &Object, seat: u64, in_turn: bool) -> Result<bool> {
        let tenure = self.roster.tenure(seat)?;
        if tenure.is_sitting() {
            let asked = in_turn || life::state(life::look(&self.life_word(seat)?)) != LifeState::Alive;
            return Ok(asked && self.roster.is_dead(object, seat, tenure)?);
        }
        // Somebody began to clean up, and could not tell which block it was, or was killed.
        let hand = reclaim::read(&self.parts, self.format, seat)?;
        Ok(hand.expected.is_some() || hand.unread && !self.redelivery)
    }

    /// Whether a message waits in the hand of a seat on which nobody sits, to be handed out again.
    pub(crate) fn has_message(&self, seat: u64) -> Result<bool> {
        let sitting = self.roster.tenure(seat)?.is_sitting();
        Ok(self.redelivery && !sitting && reclaim::read(&self.parts, self.format, seat)?.unread)
    }

    /// Settles what whoever sat here last left behind, if it died. The caller holds the seat's lock.
    pub(crate) fn clean_up(&self, seat: u64) -> Result<CleanUp> {
        let tenure = self.roster.tenure(seat)?;
        if tenure.is_sitting() {
            let words = self.words(tenure.role());
            // A number that was not reached was never given: it was killed before it had joined.
            let joins = words.joins.load(Ordering::Relaxed); // only grows
            if tenure.number <= joins {
                raise(&words.last_died, tenure.number);
            }
            // Before anything that may take time: whoever asks who is gone does not wait for us.
            let died = Tenure { state: TENURE_DIED, ..tenure };
            self.tenure_word(seat)?.store(died.pack(), Ordering::Release); // R11 pairs with F15 F16 F17 F20
            // After the state: whoever sees the count looks at all seats again. Killed in between, others see it
            // within a slice.
            words.leaves.fetch_add(1, Ordering::Release); // R15 pairs with A19
        }
        self.clear_life(seat)?;
        let word = self.hand_word(seat)?;
        let Some(hand) = reclaim::rule(&self.parts, self.format, self.participants, seat)? else {
            return Ok(CleanUp::Unclear);
        };
        if hand.unread && self.redelivery {
            // The lock's holder only; the next one is ordered by F15.
            word.store(hand.pack(), Ordering::Release); // R21 pairs with F18 F19
            return Ok(CleanUp::Unread);
        }
        word.store(Hand::spare(hand.block).pack(), Ordering::Release); // R22 pairs with F18 F19
        if hand.unread {
            add_one(&self.parts.seats.word(seat_offset(seat) + LOST_OFFSET)?);
        }
        Ok(CleanUp::Ready)
    }

    pub(crate) fn hand_word(&self, seat: u64) -> Result<Word<u64>> {
        Ok(self.parts.seats.word(seat_offset(seat) + HAND_OFFSET)?)
    }

    fn tenure_word(&self, seat: u64) -> Result<Word<u64>> {
        Ok(self.parts.seats.word(seat_offset(seat) + TENURE_OFFSET)?)
    }
}

/// The seat of a living participant.
#[derive(Debug)]
pub(crate) struct OwnSeat {
    pub(crate) index: u64,
    tenure: Tenure,
    word: Word<u64>,
    /// Messages sent in this tenure.
    pub(crate) sent: Word<u64>,
    /// Messages received in this tenure.
    pub(crate) received: Word<u64>,
    pub(crate) full_waits: Word<u64>,
    pub(crate) dropped: Word<u64>,
    pub(crate) high_water: Word<u64>,
}

impl OwnSeat {
    /// Sits down on a seat whose lock was claimed: from here on others may see us.
    pub(crate) fn sit(claims: &Claims, seat: u64, role: Role) -> Result<Self> {
        let counter = |offset| claims.parts.seats.word(seat_offset(seat) + offset);
        let words = claims.words(role);
        let word = claims.tenure_word(seat)?;
        let pid: Word<u32> = claims.parts.seats.word(seat_offset(seat) + PID_OFFSET)?;
        let mut own = Self {
            index: seat,
            tenure: Tenure { number: 0, state: TENURE_JOINING, receives: !role.sends() },
            word,
            sent: counter(SENT_OFFSET)?,
            received: counter(RECEIVED_OFFSET)?,
            full_waits: counter(FULL_WAITS_OFFSET)?,
            dropped: counter(DROPPED_OFFSET)?,
            high_water: counter(HIGH_WATER_OFFSET)?,
        };
        // Killed from here on, it died as a participant, with the number that it was about to get.
        let joins = words.joins.load(Ordering::Relaxed); // a guess, made true below
        if joins >= TENURE_NUMBER_MAX {
            return Err(Error::Corrupt("impossibly many have come to the ring"));
        }
        own.tenure.number = joins + 1;
        own.word.store(own.tenure.pack(), Ordering::Release); // R12 pairs with F15 F16 F17 F20
        pid.store(std::process::id(), Ordering::Relaxed); // shown to people
        own.sent.store(0, Ordering::Relaxed); // shown to people
        own.received.store(0, Ordering::Relaxed); // shown to people
        own.tenure.number = words.joins.fetch_add(1, Ordering::AcqRel).wrapping_add(1); // X6 pairs with A17 A20
        own.tenure.state = TENURE_JOINED;
        own.word.store(own.tenure.pack(), Ordering::Release); // R10 pairs with F15 F16 F17 F20
        Ok(own)
    }

    /// Says how we leave. Closing the object's descriptor afterwards frees the seat.
    pub(crate) fn leave(&self, words: &RoleWords, closed: bool) {
        if !closed {
            raise(&words.last_dropped, self.tenure.number);
        }
        let state = if closed { TENURE_CLOSED } else { TENURE_DROPPED };
        self.word.store(Tenure { state, ..self.tenure }.pack(), Ordering::Release); // R13 pairs with F15 F16 F17 F20
        words.leaves.fetch_add(1, Ordering::Release); // R16 pairs with A19
    }
}

/// Counts one more. Only one process writes the word at a time.
pub(crate) fn add_one(word: &Word<u64>) {
    word.store(word.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed); // own; shown to people
}
