//! Who takes part in an MPMC ring.
//!
//! ```text
//!            claim: lock the seat's byte;    joins + 1            leave: state, then close
//!   (empty) -----------------------> joining --------> joined ------------------------> closed | dropped
//!      ^                                |                |                                 |
//!      |                                +-- killed: the kernel frees the lock              |
//!      |                                         |                                         |
//!      |        clean up: state, hand            v                                         |
//!      +--------- died <--------------- joined, lock free                                  |
//!      +---------------------------------------- next claim -------------------------------+
//! ```
//!
//! A seat is claimed by its lock and by nothing else; only then are its words written, and only by whoever holds
//! it. Nobody takes a lock to learn whether it is free: the kernel is asked.
//!
//! # Who is gone
//! `joins` counts those who have come, for each role, and never goes down; a tenure's number is what it was then. All
//! of a role are gone if each of its seats was left or has a free lock, and `joins` is the same before and after
//! the look: without that, one could join behind the look while another leaves before it.

use crate::error::{End, Error, Result, Role};
use crate::layout::mpmc::{
    JOINS_OFFSET, LAST_DIED_OFFSET, LAST_DROPPED_OFFSET, LEAVES_OFFSET, PID_OFFSET, Parts, RECEIVERS_OFFSET,
    SEAT_BYTES, SEATS_OFFSET, SENDERS_OFFSET, TENURE_DIED, TENURE_JOINING, TENURE_OFFSET, TENURE_RECEIVER,
    TOLD_OFFSET,
};
use crate::layout::{TENURE_CLOSED, TENURE_DROPPED, TENURE_JOINED, TENURE_STATE_BITS};
use shm_core::sync::{Ordering, fence};
use shm_core::{Object, Region, Word, lock};

/// Looks at all seats while newcomers come at every look.
const LOOKS: u32 = 100;
const STATE_MASK: u64 = TENURE_RECEIVER - 1;
/// So many never come: five hundred years of twice a microsecond.
pub(crate) const TENURE_NUMBER_MAX: u64 = 1 << 55;

/// Where a seat begins in the region of seats.
#[allow(clippy::cast_possible_truncation)] // seats lie in the mapping
pub(crate) const fn seat_offset(seat: u64) -> usize {
    (seat * SEAT_BYTES as u64) as usize
}

/// The byte of the object on which a seat's lock lies: its first.
pub(crate) const fn lock_byte(seat: u64) -> u64 {
    SEATS_OFFSET as u64 + seat * SEAT_BYTES as u64
}

/// What a seat's tenure word says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tenure {
    /// What `joins` of its role was when it had joined; 0 when nobody has come yet.
    pub(crate) number: u64,
    pub(crate) state: u64,
    pub(crate) receives: bool,
}

impl Tenure {
    pub(crate) fn unpack(word: u64) -> Result<Self> {
        let state = word & STATE_MASK;
        let tenure = Self { number: word >> TENURE_STATE_BITS, state, receives: word & TENURE_RECEIVER != 0 };
        match state {
            0 if word == 0 => Ok(tenure),
            TENURE_JOINED..=TENURE_JOINING
                if tenure.pack() == word && (1..=TENURE_NUMBER_MAX).contains(&tenure.number) =>
            {
                Ok(tenure)
            }
            _ => Err(Error::Corrupt("a seat's tenure is impossible")),
        }
    }

    pub(crate) fn pack(self) -> u64 {
        let role = if self.receives { TENURE_RECEIVER } else { 0 };
        self.number << TENURE_STATE_BITS | role | self.state
    }

    /// Sits, or died sitting.
    pub(crate) fn is_sitting(self) -> bool {
        matches!(self.state, TENURE_JOINED | TENURE_JOINING)
    }

    pub(crate) fn role(self) -> Role {
        if self.receives { Role::Receiver } else { Role::Sender }
    }
}

/// What is known of all participants of one role.
#[derive(Debug)]
pub(crate) struct RoleWords {
    pub(crate) joins: Word<u64>,
    pub(crate) leaves: Word<u64>,
    pub(crate) last_dropped: Word<u64>,
    pub(crate) last_died: Word<u64>,
    pub(crate) told: Word<u64>,
}

impl RoleWords {
    pub(crate) fn of(parts: &Parts, role: Role) -> Result<Self> {
        let at = if role.sends() { SENDERS_OFFSET } else { RECEIVERS_OFFSET };
        Ok(Self {
            joins: parts.common.word(at + JOINS_OFFSET)?,
            leaves: parts.common.word(at + LEAVES_OFFSET)?,
            last_dropped: parts.common.word(at + LAST_DROPPED_OFFSET)?,
            last_died: parts.common.word(at + LAST_DIED_OFFSET)?,
            told: parts.common.word(at + TOLD_OFFSET)?,
        })
    }

    /// The greatest number of a tenure whose end was told to this role's other side.
    pub(crate) fn already_told(&self) -> Result<u64> {
        // Whoever raised it had counted those who came: behind an acquire the count is not older than that.
        let told = self.told.load(Ordering::Acquire); // A18 pairs with X5
        let joins = self.joins.load(Ordering::Relaxed); // ordered by A18
        if told > joins {
            return Err(Error::Corrupt("an end was told that is still to come"));
        }
        Ok(told)
    }

    /// Changes whenever somebody of the role comes or leaves, or is cleaned up behind; not when one dies.
    pub(crate) fn events(&self) -> (u64, u64) {
        let joins = self.joins.load(Ordering::Acquire); // A20 pairs with X6
        (joins, self.leaves.load(Ordering::Acquire)) // A19 pairs with R15 R16
    }
}

/// Raises a word to a value, unless it is greater already.
pub(crate) fn raise(word: &Word<u64>, value: u64) {
    let mut seen = word.load(Ordering::Relaxed); // ordered by the exchange below
    while seen < value {
        let (success, failure) = (Ordering::Release, Ordering::Relaxed); // X5 pairs with A16 A18
        match word.compare_exchange(seen, value, success, failure) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

/// That all of a role are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    /// How many had ever come.
    pub(crate) joins: u64,
    /// The worst end among those that were asked for.
    pub(crate) end: End,
}

/// All seats, as everybody sees them.
#[derive(Debug)]
pub(crate) struct Roster {
    seats: Region,
    participants: u64,
}

impl Roster {
    pub(crate) fn of(parts: &Parts, participants: u64) -> Self {
        Self { seats: parts.seats.clone(), participants }
    }

    pub(crate) fn seats(&self) -> std::ops::Range<u64> {
        0..self.participants
    }

    /// Who sits on a seat, or did last.
    pub(crate) fn tenure(&self, seat: u64) -> Result<Tenure> {
        let word: u64 = self.seats.read_value(seat_offset(seat) + TENURE_OFFSET)?;
        fence(Ordering::Acquire); // F16 pairs with R10 R11 R12 R13
        Tenure::unpack(word)
    }

    /// Who sat down there last, as that process numbers itself.
    pub(crate) fn pid(&self, seat: u64) -> Result<u32> {
        Ok(self.seats.read_value(seat_offset(seat) + PID_OFFSET)?)
    }

    /// Whether somebody who sat on the seat when its tenure was read has died: asks the kernel.
    pub(crate) fn is_dead(&self, object: &Object, seat: u64, tenure: Tenure) -> Result<bool> {
        if !tenure.is_sitting() || !lock::is_free(object, lock_byte(seat))? {
            return Ok(false);
        }
        // The lock was free: whoever held it has stored its last, and this makes us see it. Who left in good order
        // since the tenure was read is not dead.
        fence(Ordering::Acquire); // F20 pairs with R10 R11 R12 R13
        Ok(self.tenure(seat)? == tenure)
    }

    /// Whether all of `role` are gone, and how those ended whose tenures are numbered above `after`. Without
    /// `kernel` a dead one still sits. It is a statement about a moment: somebody may come right after.
    pub(crate) fn absence(
        &self,
        words: &RoleWords,
        role: Role,
        after: u64,
        kernel: Option<&Object>,
    ) -> Result<Option<Absence>> {
        for _ in 0..LOOKS {
            let joins = words.joins.load(Ordering::Acquire); // A17 pairs with X6
            let Some(mut end) = self.worst_end(role, after, joins, kernel)? else {
                return Ok(None);
            };
            // Raised before the seats that it speaks of were taken over.
            let last_died = words.last_died.load(Ordering::Acquire); // A16 pairs with X5
            let last_dropped = words.last_dropped.load(Ordering::Relaxed); // as above
            if last_died > after {
                end = End::Died;
            } else if last_dropped > after {
                end = end.max(End::Dropped);
            }
            fence(Ordering::Acquire); // F17 pairs with R10 R11 R12 R13
            let joins_now = words.joins.load(Ordering::Relaxed); // ordered by F17
            if joins_now == joins {
                return Ok(Some(Absence { joins, end }));
            }
        }
        Ok(None) // they come faster than can be looked: somebody is there
    }

    /// The worst end of the tenures above `after` that had begun when `joins` was read. Whoever was killed before it
    /// had joined has a number that is still to come: it is told of with that one.
    fn worst_end(&self, role: Role, after: u64, joins: u64, kernel: Option<&Object>) -> Result<Option<End>> {
        let mut worst = End::Closed;
        for seat in self.seats() {
            let tenure = self.tenure(seat)?;
            if tenure.state == 0 || tenure.role() != role {
                continue;
            }
            let end = match tenure.state {
                TENURE_CLOSED => End::Closed,
                TENURE_DROPPED => End::Dropped,
                TENURE_DIED => End::Died,
                _ => match kernel {
                    Some(object) if self.is_dead(object, seat, tenure)? => End::Died,
                    _ => return Ok(None),
                },
            };
            if tenure.number > after && tenure.number <= joins {
                worst = worst.max(end);
            }
        }
        Ok(Some(worst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Geometry, Kind};

    #[test]
    fn tenures_are_unpacked_as_they_were_packed_and_garbage_is_refused() {
        for receives in [false, true] {
            for state in TENURE_JOINED..=TENURE_JOINING {
                let tenure = Tenure { number: 7, state, receives };
                assert_eq!(Tenure::unpack(tenure.pack()).unwrap(), tenure);
            }
        }
        assert_eq!(Tenure::unpack(0).unwrap(), Tenure::default());
        for word in [1, 16, 256, 256 + 6, 256 + 32 + 1, u64::MAX] {
            assert!(Tenure::unpack(word).is_err(), "{word}");
        }
    }
    #[test]
    fn a_tenure_has_a_number_and_says_whether_somebody_sits() {
        for number in [1, TENURE_NUMBER_MAX] {
            let tenure = Tenure { number, state: TENURE_JOINED, receives: true };
            assert_eq!(Tenure::unpack(tenure.pack()).unwrap(), tenure);
        }
        for number in [0, TENURE_NUMBER_MAX + 1] {
            assert!(Tenure::unpack(Tenure { number, state: TENURE_JOINED, receives: false }.pack()).is_err());
        }
        assert!(Tenure::unpack(TENURE_RECEIVER).is_err());
        let sits = |state| Tenure { number: 1, state, receives: false }.is_sitting();
        assert_eq!([0, TENURE_JOINED, TENURE_JOINING].map(sits), [false, true, true]);
        assert_eq!([TENURE_CLOSED, TENURE_DROPPED, TENURE_DIED].map(sits), [false; 3]);
    }

    const SEATS: u64 = 4;

    struct Room {
        parts: Parts,
        roster: Roster,
        senders: RoleWords,
    }

    impl Room {
        fn new() -> Self {
            let geometry = Geometry::mpmc(Kind::MpmcBytes, 2, 8, SEATS, false).unwrap();
            let region = Region::on_heap(usize::try_from(geometry.object_bytes).unwrap()).unwrap();
            let parts = Parts::of(&region, &geometry).unwrap();
            let senders = RoleWords::of(&parts, Role::Sender).unwrap();
            Self { roster: Roster::of(&parts, SEATS), senders, parts }
        }

        fn set(&self, seat: u64, number: u64, state: u64, receives: bool) {
            let word = Tenure { number, state, receives }.pack();
            self.parts.seats.write_value(seat_offset(seat) + TENURE_OFFSET, &word).unwrap();
        }

        fn end(&self, after: u64) -> Option<End> {
            let absence = self.roster.absence(&self.senders, Role::Sender, after, None).unwrap();
            let joins = self.senders.joins.load(Ordering::Relaxed); // one thread
            assert!(absence.is_none_or(|absence| absence.joins == joins));
            absence.map(|absence| absence.end)
        }
    }

    #[test]
    fn the_worst_end_among_those_that_are_asked_for_is_told() {
        let room = Room::new();
        assert_eq!(room.end(0), Some(End::Closed), "nobody has come");
        room.senders.joins.store(7, Ordering::Relaxed); // one thread
        room.set(3, 9, TENURE_JOINED, true); // a receiver
        room.set(0, 5, TENURE_CLOSED, false);
        assert_eq!(room.end(0), Some(End::Closed));
        room.set(1, 6, TENURE_DROPPED, false);
        assert_eq!((room.end(5), room.end(6)), (Some(End::Dropped), Some(End::Closed)));
        room.set(2, 7, TENURE_DIED, false);
        assert_eq!(
            (room.end(0), room.end(6), room.end(7)),
            (Some(End::Died), Some(End::Died), Some(End::Closed))
        );
        for state in [TENURE_JOINED, TENURE_JOINING] {
            room.set(2, 7, state, false);
            assert_eq!(room.end(0), None, "one sits");
        }
    }

    /// How those ended whose seats were taken over since.
    #[test]
    fn ends_of_earlier_tenures_are_told_as_well() {
        let room = Room::new();
        room.senders.joins.store(9, Ordering::Relaxed); // one thread
        room.set(0, 9, TENURE_CLOSED, false);
        room.senders.last_dropped.store(5, Ordering::Relaxed); // one thread
        assert_eq!((room.end(4), room.end(5)), (Some(End::Dropped), Some(End::Closed)));
        room.senders.last_died.store(4, Ordering::Relaxed); // one thread
        assert_eq!(
            (room.end(3), room.end(4), room.end(5)),
            (Some(End::Died), Some(End::Dropped), Some(End::Closed))
        );
        room.set(1, 8, TENURE_DIED, false);
        room.senders.last_died.store(0, Ordering::Relaxed); // one thread
        assert_eq!(room.end(4), Some(End::Died), "a drop does not hide a death");
        // Nor is a death told of twice: with those who had joined before it could, and with those after it.
        room.senders.joins.store(7, Ordering::Relaxed); // one thread
        room.senders.last_dropped.store(0, Ordering::Relaxed); // one thread
        assert_eq!(room.end(4), Some(End::Closed), "it has not joined");
        room.senders.joins.store(8, Ordering::Relaxed); // one thread
        assert_eq!(room.end(7), Some(End::Died));
    }

    #[test]
    fn an_end_that_is_still_to_come_was_not_told() {
        let room = Room::new();
        room.senders.joins.store(3, Ordering::Relaxed); // one thread
        for (told, possible) in [(0, true), (3, true), (4, false)] {
            room.senders.told.store(told, Ordering::Relaxed); // one thread
            assert_eq!(room.senders.already_told().ok(), possible.then_some(told));
        }
    }

    #[test]
    fn whoever_comes_or_leaves_is_an_event() {
        let room = Room::new();
        assert_eq!(room.senders.events(), (0, 0));
        room.senders.joins.store(3, Ordering::Relaxed); // one thread
        room.senders.leaves.store(2, Ordering::Relaxed); // one thread
        assert_eq!(room.senders.events(), (3, 2));
        let receivers = RoleWords::of(&room.parts, Role::Receiver).unwrap();
        assert_eq!(receivers.events(), (0, 0));
    }

    #[test]
    fn words_are_only_raised() {
        let room = Room::new();
        let word = &room.senders.told;
        for (value, now) in [(5, 5), (3, 5), (5, 5), (6, 6)] {
            raise(word, value);
            assert_eq!(word.load(Ordering::Relaxed), now); // one thread
        }
    }
    /// Where each word of a role lies.
    #[test]
    fn words_of_a_role_lie_where_the_layout_says() {
        let room = Room::new();
        for (role, at) in [(Role::Sender, 256), (Role::Receiver, 296)] {
            for (word, value) in (at..at + 40).step_by(8).zip(at as u64..) {
                room.parts.common.write_value(word, &value).unwrap();
            }
            let words = RoleWords::of(&room.parts, role).unwrap();
            let RoleWords { joins, leaves, last_dropped, last_died, told } = &words;
            let found =
                [joins, leaves, last_dropped, last_died, told].map(|word| word.load(Ordering::Relaxed)); // one thread
            assert_eq!(found, [0, 1, 2, 3, 4].map(|index| at as u64 + index));
        }
    }
}
