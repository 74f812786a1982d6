//! Who takes part: one seat for each side, held by a lock that the kernel takes back at death.
//!
//! ```text
//!            claim: lock the seat's byte          leave: state, then close
//!   (empty) --------------------------> joined ------------------------------> closed | dropped
//!      ^                                  |                                        |
//!      |                                  | killed, exec: the kernel frees the lock|
//!      |                                  v                                        |
//!      +--------- next claim -------- joined, lock free = died <-------------------+ next claim
//! ```
//!
//! Only the holder of the lock reads or writes the seat's words as their owner; others look. Nothing here
//! judges by pid or by time: a seat whose word says *joined* and whose lock is free is a death, and
//! nothing else is.
//!
//! Tenures are numbered. An end is told once: the side that was told keeps the number of the last tenure
//! whose end it knows. How a past tenure ended is kept in two bit maps over the last 64 of them.

use crate::error::{End, Error, Result, Role};
use crate::layout::spsc::{
    BEGAN_COUNT_OFFSET, BEGAN_OFFSET, CONSUMER_REGION_OFFSET, CONSUMER_SEAT_OFFSET, DIED_BITS_OFFSET,
    DROPPED_BITS_OFFSET, PID_OFFSET, PRODUCER_REGION_OFFSET, PRODUCER_SEAT_OFFSET, Parts, TENURE_OFFSET,
    TOLD_OFFSET,
};
use crate::layout::{TENURE_CLOSED, TENURE_DROPPED, TENURE_JOINED, TENURE_STATE_BITS};
use crate::split::Link;
use shm_core::lock::{self, Lock};
use shm_core::sync::{Ordering, fence};
use shm_core::{Deadline, Object, ReadWord, Region, Word};
use std::time::Duration;

#[cfg(all(test, loom))]
mod model;

/// Between two attempts at a lock that is still held, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(2));
/// Looks at a seat whose tenure changes at every look.
const PRESENCE_LOOKS: u32 = 100;
const TENURE_NUMBER_MAX: u64 = u64::MAX >> TENURE_STATE_BITS >> 1;
const STATE_MASK: u64 = (1 << TENURE_STATE_BITS) - 1;

/// What a tenure word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenure {
    /// From 1; 0 when nobody has come yet.
    pub(crate) number: u64,
    state: u64,
}

impl Tenure {
    fn of(word: u64) -> Result<Self> {
        let tenure = Self { number: word >> TENURE_STATE_BITS, state: word & STATE_MASK };
        match (tenure.number, tenure.state) {
            (0, 0) | (1..=TENURE_NUMBER_MAX, TENURE_JOINED | TENURE_CLOSED | TENURE_DROPPED) => Ok(tenure),
            _ => Err(Error::Corrupt("a seat's tenure is impossible")),
        }
    }

    fn word(self) -> u64 {
        self.number << TENURE_STATE_BITS | self.state
    }
}

/// What can be said of a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Nobody has come yet.
    NeverCame,
    /// Somebody sits there, or as far as was asked may do so: the number of the tenure.
    Sits(u64),
    /// The last one has gone: the number of the tenure, and how it ended.
    Gone(u64, End),
}

/// Who can say whether somebody who sits is dead.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Witness<'a> {
    /// The lock on the seat's byte of this object is free then.
    Lock(&'a Object),
    /// The other end of this socket is closed then.
    Socket(&'a Link),
}

impl Witness<'_> {
    fn saw_the_end_of(self, role: Role) -> Result<bool> {
        match self {
            Self::Lock(object) => Ok(lock::is_free(object, lock_byte(role))?),
            Self::Socket(link) => link.has_ended(),
        }
    }
}

/// Which byte of the object a seat's lock lies on: its first.
pub(crate) const fn lock_byte(role: Role) -> u64 {
    if role.sends() {
        (PRODUCER_REGION_OFFSET + PRODUCER_SEAT_OFFSET) as u64
    } else {
        (CONSUMER_REGION_OFFSET + CONSUMER_SEAT_OFFSET) as u64
    }
}

/// A seat as everybody sees it.
#[derive(Debug)]
pub(crate) struct Seat {
    role: Role,
    tenure: ReadWord<u64>,
    pid: ReadWord<u32>,
    began_count: ReadWord<u64>,
    dropped: ReadWord<u64>,
    died: ReadWord<u64>,
}

impl Seat {
    /// The seat of `role`.
    pub(crate) fn of(parts: &Parts, role: Role) -> Result<Self> {
        let (region, seat) = place(parts, role);
        Ok(Self {
            role,
            tenure: region.read_word(seat + TENURE_OFFSET)?,
            pid: region.read_word(seat + PID_OFFSET)?,
            began_count: region.read_word(seat + BEGAN_COUNT_OFFSET)?,
            dropped: region.read_word(seat + DROPPED_BITS_OFFSET)?,
            died: region.read_word(seat + DIED_BITS_OFFSET)?,
        })
    }

    /// Who sat down last, as that process numbers itself.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed) // shown to people
    }

    /// Messages of this side when its present tenure began.
    pub(crate) fn began_count(&self) -> u64 {
        self.began_count.load(Ordering::Relaxed) // shown to people
    }

    /// The present tenure.
    #[inline]
    pub(crate) fn tenure(&self) -> Result<Tenure> {
        Tenure::of(self.tenure.load(Ordering::Acquire)) // A11 pairs with R8 R9
    }

    /// Who is there. Without `kernel` a dead one still sits; with it, one system call finds out.
    ///
    /// It is a statement about a moment: somebody may come right after.
    pub(crate) fn presence(&self, kernel: Option<Witness<'_>>) -> Result<Presence> {
        for _ in 0..PRESENCE_LOOKS {
            let tenure = self.tenure()?;
            let end = match tenure.state {
                TENURE_JOINED => match kernel {
                    Some(witness) if witness.saw_the_end_of(self.role)? => End::Died,
                    _ => return Ok(Presence::Sits(tenure.number)),
                },
                TENURE_CLOSED => End::Closed,
                TENURE_DROPPED => End::Dropped,
                _ => return Ok(Presence::NeverCame),
            };
            // The lock was free: whoever held it has stored its last, and this makes us see it.
            fence(Ordering::Acquire); // F4 pairs with R8 R9
            if self.tenure()? == tenure {
                return Ok(Presence::Gone(tenure.number, end));
            }
        }
        // They come and go faster than can be looked: somebody is there.
        Ok(Presence::Sits(self.tenure()?.number))
    }

    /// The worst end of the tenures after `after` up to `last`, all of which have successors.
    pub(crate) fn worst_end(&self, after: u64, last: u64) -> End {
        let mask = match last.saturating_sub(after) {
            count @ 0..64 => ((1_u64 << count) - 1).rotate_left(((after + 1) & 63) as u32),
            _ => u64::MAX,
        };
        // Written before the tenure word that makes us ask.
        let died = self.died.load(Ordering::Relaxed); // ordered by A11
        let dropped = self.dropped.load(Ordering::Relaxed); // ordered by A11
        if died & mask != 0 {
            End::Died
        } else if dropped & mask != 0 {
            End::Dropped
        } else {
            End::Closed
        }
    }
}

/// Where a tenure begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) position: u64,
    /// Messages of this side up to there.
    pub(crate) count: u64,
}

/// A seat that is ours: its lock is on our object's descriptor.
#[derive(Debug)]
pub(crate) struct OwnSeat {
    tenure: Word<u64>,
    began: Word<u64>,
    began_count: Word<u64>,
    dropped: Word<u64>,
    died: Word<u64>,
    /// The other side's last tenure whose end this side was told.
    pub(crate) told: Word<u64>,
    previous: Tenure,
}

impl OwnSeat {
    /// Claims the seat of `role` for whoever holds `object`, trying until the deadline: the kernel frees a
    /// dead one's lock only when it has taken its memory down.
    pub(crate) fn claim(object: &Object, parts: &Parts, role: Role, deadline: Deadline) -> Result<Self> {
        let mut pause = RETRY.0;
        while !lock::try_lock(object, lock_byte(role), Lock::Exclusive)? {
            if deadline.has_passed() {
                return Err(Error::SeatTaken { role, pid: Seat::of(parts, role)?.pid() });
            }
            std::thread::sleep(pause.min(deadline.remaining()));
            pause = (pause * 2).min(RETRY.1);
        }
        fence(Ordering::Acquire); // F5 pairs with R8 R9
        let (region, seat) = place(parts, role);
        Self::of(region, seat)
    }

    /// The seat of `role` in memory that nobody else knows yet, or can write.
    pub(crate) fn fresh(region: &Region, role: Role) -> Result<Self> {
        Self::of(region, offset_in_region(role))
    }

    fn of(region: &Region, seat: usize) -> Result<Self> {
        let tenure: Word<u64> = region.word(seat + TENURE_OFFSET)?;
        let previous = Tenure::of(tenure.load(Ordering::Relaxed))?; // ordered by F5
        if previous.number >= TENURE_NUMBER_MAX {
            return Err(Error::Corrupt("a seat's tenure is impossible"));
        }
        let pid: Word<u32> = region.word(seat + PID_OFFSET)?;
        pid.store(std::process::id(), Ordering::Relaxed); // shown to people who find the seat taken
        Ok(Self {
            tenure,
            began: region.word(seat + BEGAN_OFFSET)?,
            began_count: region.word(seat + BEGAN_COUNT_OFFSET)?,
            dropped: region.word(seat + DROPPED_BITS_OFFSET)?,
            died: region.word(seat + DIED_BITS_OFFSET)?,
            told: region.word(seat + TOLD_OFFSET)?,
            previous,
        })
    }

    /// The number of our tenure.
    pub(crate) fn number(&self) -> u64 {
        self.previous.number + 1
    }

    /// Sits down: from here on the other side may see us. Killed before the last store, the claim leaves no
    /// trace that the next one does not overwrite with the same.
    pub(crate) fn sit(&self, start: Start) {
        let bit = 1_u64 << (self.previous.number & 63);
        let set = |word: &Word<u64>, ended_so: bool| {
            let bits = word.load(Ordering::Relaxed); // own
            word.store(if ended_so { bits | bit } else { bits & !bit }, Ordering::Relaxed); // ordered by R8
        };
        set(&self.died, self.previous.state == TENURE_JOINED);
        set(&self.dropped, self.previous.state == TENURE_DROPPED);
        self.began.store(start.position, Ordering::Relaxed); // ordered by R8
        self.began_count.store(start.count, Ordering::Relaxed); // ordered by R8
        let joined = Tenure { number: self.number(), state: TENURE_JOINED };
        self.tenure.store(joined.word(), Ordering::Release); // R8 pairs with A10 A11 F4 F5
    }

    /// Says how we leave. Closing the object's descriptor afterwards frees the seat.
    pub(crate) fn leave(&self, closed: bool) {
        let state = if closed { TENURE_CLOSED } else { TENURE_DROPPED };
        let left = Tenure { number: self.number(), state };
        self.tenure.store(left.word(), Ordering::Release); // R9 pairs with A11 F4 F5
    }
}

fn place(parts: &Parts, role: Role) -> (&Region, usize) {
    let region = if role.sends() { &parts.producer } else { &parts.consumer };
    (region, offset_in_region(role))
}

const fn offset_in_region(role: Role) -> usize {
    if role.sends() { PRODUCER_SEAT_OFFSET } else { CONSUMER_SEAT_OFFSET }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Geometry;

    #[test]
    fn the_worst_end_of_a_range_of_tenures_is_found_across_the_bit_maps_wrap() {
        let geometry = Geometry::bytes(64).unwrap();
        let region = Region::on_heap(8192).unwrap();
        let parts = Parts::of(&region, &geometry).unwrap();
        let seat = Seat::of(&parts, Role::Producer).unwrap();
        let bits = |died: u64, dropped: u64| {
            parts.producer.write_value(PRODUCER_SEAT_OFFSET + DIED_BITS_OFFSET, &died).unwrap();
            parts.producer.write_value(PRODUCER_SEAT_OFFSET + DROPPED_BITS_OFFSET, &dropped).unwrap();
        };
        bits(1 << 1, 1 << 63);
        assert_eq!(seat.worst_end(62, 63), End::Dropped); // tenure 63
        assert_eq!(seat.worst_end(63, 64), End::Closed); // tenure 64 is bit 0
        assert_eq!(seat.worst_end(62, 65), End::Died); // tenures 63, 64, 65
        assert_eq!(seat.worst_end(1, 62), End::Closed);
        assert_eq!(seat.worst_end(0, 1), End::Died);
        assert_eq!(seat.worst_end(5, 5), End::Closed);
        assert_eq!(seat.worst_end(0, 1000), End::Died);
    }

    #[test]
    fn impossible_tenures_are_refused() {
        for word in [1, 255, 256, 256 + 4, u64::MAX] {
            assert!(Tenure::of(word).is_err(), "{word}");
        }
        assert_eq!(Tenure::of(257).unwrap().word(), 257);
    }
    fn ring() -> Parts {
        Parts::of(&Region::on_heap(8192).unwrap(), &Geometry::bytes(64).unwrap()).unwrap()
    }

    fn set(parts: &Parts, word: u64) {
        parts.producer.write_value(PRODUCER_SEAT_OFFSET + TENURE_OFFSET, &word).unwrap();
    }

    fn word(parts: &Parts, field: usize) -> u64 {
        parts.producer.read_value(PRODUCER_SEAT_OFFSET + field).unwrap()
    }

    #[test]
    fn tenures_are_numbered_up_to_a_limit() {
        for (number, possible) in [(TENURE_NUMBER_MAX, true), (TENURE_NUMBER_MAX + 1, false), (0, false)] {
            for state in [TENURE_JOINED, TENURE_CLOSED, TENURE_DROPPED] {
                let tenure = Tenure { number, state };
                assert_eq!(Tenure::of(tenure.word()).ok(), possible.then_some(tenure));
            }
        }
        let parts = ring();
        for (number, possible) in [(TENURE_NUMBER_MAX - 1, true), (TENURE_NUMBER_MAX, false)] {
            set(&parts, Tenure { number, state: TENURE_CLOSED }.word());
            let own = OwnSeat::fresh(&parts.producer, Role::Producer);
            assert_eq!(own.map(|own| own.number()).ok(), possible.then_some(number + 1));
        }
    }

    #[test]
    fn a_word_and_a_lock_say_who_is_there() {
        let (parts, object) = (ring(), shm_core::Memfd::new("seat").create(4096).unwrap());
        let seat = Seat::of(&parts, Role::Producer).unwrap();
        let kernel = Some(Witness::Lock(&object)); // on which nobody has a lock
        for (word, told, asked) in [
            (0, Presence::NeverCame, Presence::NeverCame),
            (5 << 8 | TENURE_JOINED, Presence::Sits(5), Presence::Gone(5, End::Died)),
            (5 << 8 | TENURE_CLOSED, Presence::Gone(5, End::Closed), Presence::Gone(5, End::Closed)),
            (5 << 8 | TENURE_DROPPED, Presence::Gone(5, End::Dropped), Presence::Gone(5, End::Dropped)),
        ] {
            set(&parts, word);
            assert_eq!((seat.presence(None).unwrap(), seat.presence(kernel).unwrap()), (told, asked));
        }
    }

    /// How the last tenure ended is noted by the next one, over what its predecessor 64 tenures ago left.
    #[test]
    fn whoever_sits_down_notes_how_the_last_one_ended() {
        for (state, died, dropped) in
            [(TENURE_JOINED, true, false), (TENURE_DROPPED, false, true), (TENURE_CLOSED, false, false)]
        {
            for (before, bit) in [(0, 1 << 6), (u64::MAX, 1 << 6)] {
                let parts = ring();
                set(&parts, 70 << 8 | state);
                for field in [DIED_BITS_OFFSET, DROPPED_BITS_OFFSET] {
                    parts.producer.write_value(PRODUCER_SEAT_OFFSET + field, &before).unwrap();
                }
                let own = OwnSeat::fresh(&parts.producer, Role::Producer).unwrap();
                own.sit(Start { position: 640, count: 7 });
                let bits = |set| if set { before | bit } else { before & !bit };
                assert_eq!(word(&parts, DIED_BITS_OFFSET), bits(died));
                assert_eq!(word(&parts, DROPPED_BITS_OFFSET), bits(dropped));
                assert_eq!(word(&parts, TENURE_OFFSET), 71 << 8 | TENURE_JOINED);
                assert_eq!((word(&parts, BEGAN_OFFSET), word(&parts, BEGAN_COUNT_OFFSET)), (640, 7));
                let seat = Seat::of(&parts, Role::Producer).unwrap();
                assert_eq!((seat.pid(), seat.began_count()), (std::process::id(), 7));
                own.leave(false);
                assert_eq!(word(&parts, TENURE_OFFSET), 71 << 8 | TENURE_DROPPED);
                own.leave(true);
                assert_eq!(word(&parts, TENURE_OFFSET), 71 << 8 | TENURE_CLOSED);
            }
        }
    }

    /// Of more than 64 tenures all bits count; of fewer, each its own.
    #[test]
    fn each_tenure_has_a_bit() {
        let parts = ring();
        let seat = Seat::of(&parts, Role::Producer).unwrap();
        for tenure in 1..=130_u64 {
            let bit = 1_u64 << (tenure % 64);
            parts.producer.write_value(PRODUCER_SEAT_OFFSET + DIED_BITS_OFFSET, &bit).unwrap();
            assert_eq!(seat.worst_end(tenure - 1, tenure), End::Died, "{tenure}");
            assert_eq!(seat.worst_end(tenure, tenure + 63), End::Closed, "{tenure}");
            assert_eq!(seat.worst_end(tenure, tenure + 64), End::Died, "{tenure}");
        }
    }
}
