//! Memory that another process writes at the worst moment: just before somebody loads it.
//!
//! A change is made when so many loads of the enemy's words were let pass. The rules about own words:
//!
//! * a call makes at most [`LOADS_MAX`] loads, whatever they find;
//! * a consumer's own words only grow, `head` never beyond the cursor, and never a ring apart;
//! * a producer's own words only grow, and what it published is never more than a ring ahead of a `head` that it was
//!   shown and that could be true: it writes over nothing that it was not given back.

use crate::case::Patch;
use crate::input::Reader;
use crate::stage::Surroundings;
use shm_core::Region;
use shm_core::header::HEADER_BYTES;
use shm_core::hostile::{Interloper, Touch};
use shm_ring::Role;
use shm_ring::layout::mpmc::COMMON_OFFSET;
use shm_ring::layout::spsc::{
    CONSUMER_REGION_BYTES, CONSUMER_REGION_OFFSET, CURSOR_OFFSET, DATA_OFFSET, HEAD_OFFSET,
    LEDGER_ENTRY_BYTES, PRODUCER_REGION_BYTES, PRODUCER_REGION_OFFSET, TAIL_OFFSET,
};
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

/// Loads in one call: far more than any call in these small rings needs, also one that spins for a while.
pub const LOADS_MAX: u64 = 1_000_000;
/// Changes while the steps are taken.
const CHANGES_MAX: usize = 32;
/// Patches before anybody comes.
pub const PATCHES_MAX: usize = 32;
/// How long somebody waits for what may never come.
const PATIENCE: Duration = Duration::from_micros(20);
/// Steps that are taken.
pub const STEPS_MAX: usize = 48;
/// Values that lie at some border.
const VALUES: [u64; 16] = [
    0,
    1,
    8,
    u64::MAX,
    1 << 62,
    (1 << 62) + 8,
    (1 << 62) - 8,
    1 << 63,
    (1 << 40) - 1,
    0x0000_0100_0000_0008,
    0x0000_0200_0000_0008,
    0x0000_01ff_ffff_ffff,
    0x4000_0000,
    0x8000_0000,
    0xffff_ffff,
    1 << 52,
];

/// Whose words are the interloper's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enemy {
    /// The handle is a consumer.
    Producer,
    /// The handle is a producer.
    Consumer,
    /// Somebody who writes in all of an SPSC ring.
    Vandal,
    /// Anybody at an MPMC ring.
    Anybody,
}

impl Enemy {
    /// Where it writes besides the header.
    pub fn writes(self, object_bytes: usize) -> [Range<usize>; 2] {
        match self {
            Self::Producer => {
                let words = PRODUCER_REGION_OFFSET..PRODUCER_REGION_OFFSET + PRODUCER_REGION_BYTES;
                [words, DATA_OFFSET..object_bytes]
            }
            Self::Consumer => [CONSUMER_REGION_OFFSET..CONSUMER_REGION_OFFSET + CONSUMER_REGION_BYTES, 0..0],
            Self::Vandal | Self::Anybody => [COMMON_OFFSET..object_bytes, 0..0],
        }
    }
}

/// What the interloper does when it is its turn.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Stores this where a load is about to be made,
    Here(u64),
    /// or a value beside the one that is there,
    Near(i8),
    /// or one with another bit,
    Bit(u8),
    /// or what stands somewhere else.
    Copied(u16),
    /// Stores somewhere else.
    There(u16, u64),
}

impl Change {
    fn parse(reader: &mut Reader<'_>) -> Self {
        match reader.below(6) {
            0 => Self::Here(reader.u64()),
            1 => Self::Near(reader.u8().cast_signed()),
            2 => Self::Bit(reader.u8()),
            3 => Self::Copied(reader.u16()),
            4 => Self::There(reader.u16(), reader.u64()),
            _ => Self::Here(VALUES[reader.below(VALUES.len())]),
        }
    }
}

/// The memory, seen from the outside.
struct World {
    /// What the enemy has mapped for writing.
    region: Region,
    /// Where the handle's own words are: the same, or memory of its own, which nobody knows before it has joined.
    own_region: Option<Region>,
    enemy: Enemy,
    typed: bool,
    /// Where the enemy writes.
    writes: Vec<Range<usize>>,
    /// What stands there, and in the header, if nobody else wrote.
    expected: Vec<u8>,
    /// How many loads of its words to let go, and what comes then. The last is next.
    changes: Vec<(u8, Change)>,
    loads: u64,
    /// The greatest `head` that a producer was shown when it could be true.
    given_back: u64,
    own: Own,
    /// Of the handle, in the unit of its positions.
    capacity: u64,
}

/// A side's own words: head and cursor, or tail.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    first: u64,
    second: u64,
}

impl World {
    fn new(region: Region, own_region: Option<Region>, enemy: Enemy, typed: bool) -> Self {
        let object_bytes = region.bytes();
        let mut expected = vec![0; object_bytes];
        region.copy_out(0, &mut expected).expect("all of the ring");
        Self {
            region,
            own_region,
            enemy,
            typed,
            writes: std::iter::once(0..HEADER_BYTES).chain(enemy.writes(object_bytes)).collect(),
            expected,
            changes: Vec::new(),
            loads: 0,
            given_back: 0,
            own: Own::default(),
            capacity: u64::MAX,
        }
    }

    /// A word that the handle writes.
    fn word(&self, offset: usize) -> u64 {
        let region = self.own_region.as_ref();
        region.map_or(0, |region| region.read_value(offset).expect("a word of the ring"))
    }

    fn ledger(&self, offset: usize) -> u64 {
        self.word(offset).max(self.word(offset + LEDGER_ENTRY_BYTES))
    }

    fn tail(&self) -> u64 {
        let at = PRODUCER_REGION_OFFSET + TAIL_OFFSET;
        if self.typed { self.word(at) } else { self.ledger(at) }
    }

    /// A place of the enemy's, for each number.
    fn place(&self, number: u16) -> usize {
        let total: usize = self.writes.iter().map(Range::len).sum();
        let mut at = usize::from(number) % total.max(1);
        for range in &self.writes {
            if at < range.len() {
                return range.start + at;
            }
            at -= range.len();
        }
        0
    }

    /// The enemy stores, as far as it is its to store.
    fn store(&mut self, offset: usize, bytes: &[u8]) {
        for (at, byte) in (offset..).zip(bytes) {
            if self.writes.iter().any(|range| range.contains(&at)) {
                self.region.copy_in(at, &[*byte]).expect("a place in the ring");
                self.expected[at] = *byte;
            }
        }
    }

    fn change(&mut self, change: Change, touch: Touch) {
        let word = touch.offset & !7;
        let old = self.region.read_value::<u64>(word.min(self.region.bytes() - 8)).unwrap_or(0);
        let (at, new) = match change {
            Change::Here(value) => (touch.offset, value),
            Change::Near(by) => (word, old.wrapping_add_signed(by.into())),
            Change::Bit(bit) => (word, old ^ 1 << (bit % 64)),
            Change::Copied(from) => {
                let from = self.place(from).min(self.region.bytes() - 8);
                (touch.offset, self.region.read_value(from).unwrap_or(0))
            }
            Change::There(number, value) => (self.place(number), value),
        };
        self.store(at, &new.to_le_bytes());
    }

    /// The rules about own words.
    fn check(&mut self) {
        let capacity = self.capacity;
        let now = match self.enemy {
            Enemy::Producer => {
                let head = self.word(CONSUMER_REGION_OFFSET + HEAD_OFFSET);
                let cursor = self.ledger(CONSUMER_REGION_OFFSET + CURSOR_OFFSET);
                let cursor = if self.typed { head } else { cursor };
                assert!(head <= cursor && cursor - head <= capacity, "head {head}, cursor {cursor}");
                Own { first: head, second: cursor }
            }
            Enemy::Consumer => {
                let tail = self.tail();
                assert!(
                    tail.saturating_sub(self.given_back) <= capacity,
                    "{tail} published, {} given back",
                    self.given_back
                );
                Own { first: tail, second: 0 }
            }
            Enemy::Vandal | Enemy::Anybody => return,
        };
        assert!(now.first >= self.own.first && now.second >= self.own.second, "{now:?} after {:?}", self.own);
        self.own = now;
    }

    /// Nobody else wrote in the header, or where only the enemy writes.
    fn check_rest(&self) {
        let mut found = vec![0; self.region.bytes()];
        self.region.copy_out(0, &mut found).expect("all of the ring");
        let has_own = matches!(self.enemy, Enemy::Producer | Enemy::Consumer);
        let others = if has_own { 0..found.len() } else { 0..0 };
        for at in (0..HEADER_BYTES).chain(others) {
            if self.writes.iter().any(|range| range.contains(&at)) {
                assert_eq!(found[at], self.expected[at], "written at {at}");
            }
        }
    }
}

/// The world as the interloper, and the stage, know it.
#[derive(Clone)]
pub struct Shared(Rc<RefCell<World>>);

impl Shared {
    /// A ring at which everybody has mapped the same memory: this.
    pub fn of_ring(region: Region, enemy: Enemy, typed: bool) -> Self {
        let own = Some(region.clone());
        Self(Rc::new(RefCell::new(World::new(region, own, enemy, typed))))
    }

    /// A ring of which the enemy can write only this.
    pub fn of_half(region: Region, enemy: Enemy, typed: bool) -> Self {
        Self(Rc::new(RefCell::new(World::new(region, None, enemy, typed))))
    }

    /// The other half is this.
    pub fn joined(&self, own: Region) {
        self.0.borrow_mut().own_region = Some(own);
    }

    /// Takes from an input what the enemy does meanwhile; whether it is anything.
    pub fn plan(&self, reader: &mut Reader<'_>) -> bool {
        let count = reader.below(CHANGES_MAX + 1);
        let mut changes: Vec<_> = (0..count).map(|_| (reader.u8() % 64, Change::parse(reader))).collect();
        changes.reverse();
        self.0.borrow_mut().changes = changes;
        count > 0
    }

    /// Fails if anything was written in the header, or where only the enemy writes.
    pub fn check_rest(&self) {
        self.0.borrow().check_rest();
    }
}

impl Interloper for Shared {
    fn before_load(&mut self, touch: Touch) {
        // Borrowed: that is the world looking at itself.
        let Ok(mut world) = self.0.try_borrow_mut() else { return };
        world.loads += 1;
        assert!(world.loads <= LOADS_MAX, "a call that does not end");
        if world.writes.iter().any(|range| range.contains(&touch.offset)) {
            match world.changes.last_mut() {
                Some((0, change)) => {
                    let change = *change;
                    world.changes.pop();
                    world.change(change, touch);
                }
                Some((after, _)) => *after -= 1,
                None => {}
            }
        }
        if world.enemy == Enemy::Consumer && touch.offset == CONSUMER_REGION_OFFSET + HEAD_OFFSET {
            let head = world.region.read_value(touch.offset).expect("a word of the ring");
            if head <= world.tail() {
                world.given_back = world.given_back.max(head);
            }
        }
    }
}

impl Surroundings for Shared {
    fn patch(&mut self, patch: &Patch) {
        let mut world = self.0.borrow_mut();
        let at = world.place(patch.offset);
        world.store(at, &patch.bytes);
    }

    fn attaches(&mut self, _: Role) {
        // The header is the enemy's as well: what the handle takes it for is known when it has attached.
        self.0.borrow_mut().capacity = u64::MAX;
        self.calls();
    }

    fn attached(&mut self, _: Role, capacity: u64) {
        self.0.borrow_mut().capacity = capacity;
    }

    fn calls(&mut self) {
        self.0.borrow_mut().loads = 0;
    }

    /// They go to sleep, beside words that may say anything, and wake up again.
    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn called(&mut self) {
        self.0.borrow_mut().check();
    }
}
