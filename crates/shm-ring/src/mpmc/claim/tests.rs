//! What a newcomer makes of what a dead one left at its seat. All seats' words are set; nobody holds a lock.

use super::*;
use crate::layout::Kind;
use crate::mpmc::exchange::initialise;
use shm_core::{Memfd, Region};

const SEATS: u64 = 4;

struct Room {
    claims: Claims,
    object: Object,
}

impl Room {
    fn new(redelivery: bool) -> Self {
        let geometry = Geometry::mpmc(Kind::MpmcBytes, 2, 8, SEATS, redelivery).unwrap();
        let region = Region::on_heap(usize::try_from(geometry.object_bytes).unwrap()).unwrap();
        initialise(&region, &geometry).unwrap();
        let claims = Claims::new(Parts::of(&region, &geometry).unwrap(), &geometry).unwrap();
        Self { claims, object: Memfd::new("claim").create(8192).unwrap() }
    }

    fn set(&self, seat: u64, number: u64, state: u64, receives: bool) {
        let word = Tenure { number, state, receives }.pack();
        self.claims.tenure_word(seat).unwrap().store(word, Ordering::Relaxed); // one thread
    }

    fn set_hand(&self, seat: u64, hand: Hand) {
        self.claims.hand_word(seat).unwrap().store(hand.pack(), Ordering::Relaxed); // one thread
    }

    fn hand(&self, seat: u64) -> Hand {
        reclaim::read(&self.claims.parts, self.claims.format, seat).unwrap()
    }

    fn lost(&self, seat: u64) -> u64 {
        self.claims.parts.seats.read_value(seat_offset(seat) + LOST_OFFSET).unwrap()
    }

    fn died(&self, role: Role) -> u64 {
        self.claims.words(role).last_died.load(Ordering::Relaxed) // one thread
    }

    fn leaves(&self, role: Role) -> u64 {
        self.claims.words(role).leaves.load(Ordering::Relaxed) // one thread
    }

    fn claim(&self, role: Role) -> Result<(u64, CleanUp)> {
        self.claims.claim(&self.object, role, Deadline::now())
    }
}

#[test]
fn a_death_is_noted_once_and_for_the_role_that_it_was() {
    for (role, other) in [(Role::Sender, Role::Receiver), (Role::Receiver, Role::Sender)] {
        let room = Room::new(false);
        room.claims.words(role).joins.store(5, Ordering::Relaxed); // one thread
        room.set(1, 5, TENURE_JOINED, !role.sends());
        assert!(room.claims.is_left_behind(&room.object, 1, true).unwrap());
        for _ in 0..2 {
            assert_eq!(room.claims.clean_up(1).unwrap(), CleanUp::Ready);
            let tenure = room.claims.roster.tenure(1).unwrap();
            assert_eq!(tenure, Tenure { number: 5, state: TENURE_DIED, receives: !role.sends() });
            assert_eq!((room.died(role), room.leaves(role)), (5, 1));
            assert_eq!((room.died(other), room.leaves(other)), (0, 0));
        }
        assert!(!room.claims.is_left_behind(&room.object, 1, true).unwrap());
    }
}

/// The kernel is asked about a seat if it would have marked no death there, or has, and otherwise in turn.
#[test]
fn a_seat_without_a_mark_is_asked_about_in_turn() {
    for (life, out_of_turn) in [(0_u32, true), (0xC000_0000, true), (0x8000_0001, false)] {
        let room = Room::new(false);
        room.set(1, 5, TENURE_JOINED, true);
        room.claims.parts.seats.write_value(seat_offset(1) + LIFE_OFFSET, &life).unwrap();
        let behind = |in_turn| room.claims.is_left_behind(&room.object, 1, in_turn).unwrap();
        assert_eq!((behind(true), behind(false)), (true, out_of_turn), "{life:x}");
    }
}

/// Killed before it had joined, it has the number that the next one gets: that one is not dead.
#[test]
fn a_number_that_was_never_given_is_nobodys_death() {
    for (joins, died) in [(4, 0), (5, 5), (6, 5)] {
        let room = Room::new(false);
        room.claims.words(Role::Sender).joins.store(joins, Ordering::Relaxed); // one thread
        room.set(1, 5, TENURE_JOINING, false);
        room.claims.clean_up(1).unwrap();
        assert_eq!((room.died(Role::Sender), room.leaves(Role::Sender)), (died, 1), "{joins}");
    }
}

#[test]
fn whoever_left_is_not_cleaned_up_behind() {
    for state in [TENURE_CLOSED, TENURE_DROPPED] {
        let room = Room::new(false);
        room.set(1, 5, state, false);
        assert!(!room.claims.is_left_behind(&room.object, 1, true).unwrap());
        assert_eq!(room.claims.clean_up(1).unwrap(), CleanUp::Ready);
        assert_eq!(room.claims.roster.tenure(1).unwrap().state, state);
        assert_eq!((room.died(Role::Sender), room.leaves(Role::Sender)), (0, 0));
    }
}

/// A message in a dead receiver's hand is lost, and counted, or kept for the next one.
#[test]
fn a_message_in_a_dead_hand_is_counted_or_kept() {
    for redelivery in [false, true] {
        let room = Room::new(redelivery);
        room.set(1, 1, TENURE_JOINED, true);
        room.set_hand(1, Hand::message(3));
        assert!(!room.claims.has_message(1).unwrap(), "it sits");
        let (answer, hand, lost) = if redelivery {
            (CleanUp::Unread, Hand::message(3), 0)
        } else {
            (CleanUp::Ready, Hand::spare(3), 1)
        };
        for _ in 0..2 {
            assert_eq!(room.claims.clean_up(1).unwrap(), answer);
            assert_eq!((room.hand(1), room.lost(1)), (hand, lost));
            assert_eq!(room.claims.has_message(1).unwrap(), redelivery);
            assert!(!room.claims.is_left_behind(&room.object, 1, true).unwrap());
        }
    }
}

/// Cleaning up that was killed after it had noted the death is taken up again.
#[test]
fn a_clean_up_that_was_not_finished_is_seen() {
    for (hand, behind, behind_with_redelivery) in [
        (Hand::spare(3), false, false),
        (Hand::message(3), true, false),
        (Hand::intent(3, 0, false), true, true),
        (Hand::intent(3, 0, true), true, true),
    ] {
        for (redelivery, expected) in [(false, behind), (true, behind_with_redelivery)] {
            let room = Room::new(redelivery);
            room.set(1, 1, TENURE_DIED, true);
            room.set_hand(1, hand);
            assert_eq!(room.claims.is_left_behind(&room.object, 1, true).unwrap(), expected, "{hand:?}");
            assert_eq!(room.claims.has_message(1).unwrap(), redelivery && hand.unread);
        }
    }
}

/// Seats on which nobody sits are taken first, in their order; a message waits for a receiver.
#[test]
fn the_first_seat_that_is_free_is_taken() {
    let room = Room::new(true);
    assert_eq!(room.claim(Role::Sender).unwrap(), (0, CleanUp::Ready));
    room.set(0, 1, TENURE_JOINED, false);
    assert_eq!(room.claim(Role::Sender).unwrap(), (1, CleanUp::Ready));
    room.set(1, 1, TENURE_DIED, true);
    room.set_hand(1, Hand::message(3));
    assert_eq!(room.claim(Role::Sender).unwrap(), (2, CleanUp::Ready));
    assert_eq!(room.claim(Role::Receiver).unwrap(), (1, CleanUp::Unread));
    // Where all sit, those whose locks are free are dead.
    for seat in 0..SEATS {
        room.set(seat, 1 + seat, TENURE_JOINED, false);
        room.set_hand(seat, Hand::spare(2 + seat));
    }
    assert_eq!(room.claim(Role::Sender).unwrap(), (0, CleanUp::Ready));
    assert_eq!(room.claims.roster.tenure(0).unwrap().state, TENURE_DIED);
}

/// Two hands that each speak of the other's block: nobody can tell who has which.
#[test]
fn a_seat_that_can_not_be_ruled_on_is_busy() {
    let room = Room::new(false);
    room.set(0, 1, TENURE_JOINED, false);
    room.claims.parts.seats.write_value(seat_offset(0) + PID_OFFSET, &77_u32).unwrap();
    for seat in 0..SEATS {
        // In a circle: each hand's two blocks are in the hands of its neighbours, and in no slot.
        room.set_hand(seat, Hand::intent(2 + seat, 2 + (seat + 1) % SEATS, false));
    }
    assert_eq!(room.claims.clean_up(0).unwrap(), CleanUp::Unclear);
    assert!(matches!(room.claim(Role::Sender), Err(Error::Busy { .. })));
}

#[test]
fn a_full_room_is_told_so() {
    let room = Room::new(true);
    for seat in 0..SEATS {
        room.set(seat, 1, TENURE_DIED, true);
        room.set_hand(seat, Hand::message(2 + seat));
    }
    assert!(matches!(room.claim(Role::Sender), Err(Error::NoSeat { participants: SEATS })));
    assert_eq!(room.claim(Role::Receiver).unwrap(), (0, CleanUp::Unread));
}

#[test]
fn whoever_sits_down_is_numbered_and_counts_anew() {
    let room = Room::new(false);
    for (role, number) in [(Role::Sender, 1), (Role::Receiver, 1), (Role::Sender, 2)] {
        room.claims.parts.seats.write_value(seat_offset(2) + SENT_OFFSET, &9_u64).unwrap();
        room.claims.parts.seats.write_value(seat_offset(2) + RECEIVED_OFFSET, &9_u64).unwrap();
        let own = OwnSeat::sit(&room.claims, 2, role).unwrap();
        let tenure = Tenure { number, state: TENURE_JOINED, receives: !role.sends() };
        assert_eq!((own.index, own.tenure, room.claims.roster.tenure(2).unwrap()), (2, tenure, tenure));
        assert_eq!(room.claims.roster.pid(2).unwrap(), std::process::id());
        let counts = [&own.sent, &own.received].map(|count| count.load(Ordering::Relaxed)); // one thread
        assert_eq!(counts, [0, 0]);
        assert_eq!(room.claims.words(role).joins.load(Ordering::Relaxed), number); // one thread
        let dropped = || room.claims.words(role).last_dropped.load(Ordering::Relaxed); // one thread
        let before = dropped();
        own.leave(room.claims.words(role), true);
        assert_eq!((dropped(), room.claims.roster.tenure(2).unwrap().state), (before, TENURE_CLOSED));
        own.leave(room.claims.words(role), false);
        assert_eq!((dropped(), room.claims.roster.tenure(2).unwrap().state), (number, TENURE_DROPPED));
        assert_eq!(room.leaves(role), 2 * number);
    }
    let joins = &room.claims.words(Role::Sender).joins;
    joins.store(TENURE_NUMBER_MAX, Ordering::Relaxed); // one thread
    assert!(matches!(OwnSeat::sit(&room.claims, 0, Role::Sender), Err(Error::Corrupt(_))));
    joins.store(TENURE_NUMBER_MAX - 1, Ordering::Relaxed); // one thread
    assert!(OwnSeat::sit(&room.claims, 0, Role::Sender).is_ok());
}

#[test]
fn a_count_is_one_more() {
    let region = Region::on_heap(64).unwrap();
    let word = region.word(0).unwrap();
    for expected in 1..4 {
        add_one(&word);
        assert_eq!(word.load(Ordering::Relaxed), expected); // one thread
    }
}

/// Life words of those who sit in a role, and of nobody else.
#[test]
fn those_who_sit_are_watched_over() {
    let room = Room::new(false);
    let mark = |seat: u64, value: u32| {
        room.claims.parts.seats.write_value(seat_offset(seat) + LIFE_OFFSET, &value).unwrap();
    };
    room.set(0, 1, TENURE_JOINED, false);
    room.set(1, 1, TENURE_JOINED, true);
    room.set(2, 2, TENURE_JOINING, true);
    room.set(3, 2, TENURE_DROPPED, false);
    for (seat, life) in (0..SEATS).zip(0x8000_0000..) {
        mark(seat, life);
    }
    let lives = |role| -> Vec<u32> {
        room.claims.lives_of(role).iter().map(|word| life::look(word) & 0xFF).collect()
    };
    assert_eq!((lives(Role::Sender), lives(Role::Receiver)), (vec![0], vec![1, 2]));
    assert!(!room.claims.has_marks());
    mark(3, 0xC000_0000);
    assert!(!room.claims.has_marks(), "it has left");
    for seat in [0, 2] {
        mark(seat, 0xC000_0000);
        assert!(room.claims.has_marks());
        room.claims.clean_up(seat).unwrap();
        assert!(!room.claims.has_marks());
        assert_eq!(room.claims.parts.seats.read_value::<u32>(seat_offset(seat) + LIFE_OFFSET).unwrap(), 0);
    }
}
