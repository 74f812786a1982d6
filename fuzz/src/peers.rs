//! Handles beside a process that writes whatever it likes, at the worst moment: just before they load it.
//!
//! An input is: which ring (a [template](crate::template)) and which handles; the number of changes before anybody
//! comes, and these (see [`Patch`]); the number of changes made meanwhile, and these (see [`Change`]); and the steps.
//!
//! The rules, beside those of [`stage`](crate::stage):
//!
//! * a call makes at most [`LOADS_MAX`] loads, whatever they find;
//! * nobody writes where he has nothing to write, and nobody in the header;
//! * a consumer's own words only grow, `head` never beyond the cursor, and never a ring apart;
//! * a producer's own words only grow, and what it published is never more than a ring ahead of a `head` that it was
//!   shown and that could be true: it writes over nothing that it was not given back.

use crate::case::{Patch, Step};
use crate::handles::{Receives, Sends};
use crate::input::Reader;
use crate::object::{NAME, Scratch};
use crate::stage::{Stage, Surroundings};
use crate::template;
use shm_core::header::{HEADER_BYTES, KIND_OFFSET};
use shm_core::hostile::{Interloper, Touch, install};
use shm_core::{Access, Name, Options, Region};
use shm_ring::layout::mpmc::COMMON_OFFSET;
use shm_ring::layout::spsc::{
    CONSUMER_REGION_BYTES, CONSUMER_REGION_OFFSET, CURSOR_OFFSET, DATA_OFFSET, HEAD_OFFSET,
    LEDGER_ENTRY_BYTES, PRODUCER_REGION_BYTES, PRODUCER_REGION_OFFSET, TAIL_OFFSET,
};
use shm_ring::{
    Consumer, Producer, Receiver, Role, Sender, TypedConsumer, TypedProducer, TypedReceiver, TypedSender,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

/// Loads in one call: far more than any call in these small rings needs, also one that spins for a while.
const LOADS_MAX: u64 = 1_000_000;
/// Changes while the steps are taken.
const CHANGES_MAX: usize = 32;
/// Patches before anybody comes.
const PATCHES_MAX: usize = 32;
/// How long somebody waits for what may never come.
const PATIENCE: Duration = Duration::from_micros(20);
const STEPS_MAX: usize = 48;
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
    fn writes(self, object_bytes: usize) -> [Range<usize>; 2] {
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
    region: Region,
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
    fn word(&self, offset: usize) -> u64 {
        self.region.read_value(offset).expect("a word of the ring")
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
struct Shared(Rc<RefCell<World>>);

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
            let head = world.word(touch.offset);
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

/// Rings that lie ready, one for each template, so that an input need not make one.
struct Rings {
    scratches: HashMap<usize, (Scratch, Region)>,
}

thread_local! {
    static RINGS: RefCell<Rings> = RefCell::new(Rings { scratches: HashMap::new() });
}

impl Rings {
    /// The ring of a template as it is in the template.
    fn ready(&mut self, template: usize) -> (&Scratch, Region) {
        let bytes = template::of(template);
        // Who is told that the ring is removed helps to remove it.
        if self.scratches.get(&template).is_some_and(|(scratch, _)| !scratch.object().exists()) {
            self.scratches.remove(&template);
        }
        let (scratch, region) = self.scratches.entry(template).or_insert_with(|| {
            let scratch = Scratch::new();
            drop(scratch.put(bytes, 0));
            let name = Name::new(NAME).expect("a name");
            let options = Options::new().directory(scratch.directory());
            let object = options.open(&name, Access::ReadWrite).expect("the object just made");
            let region = object.map(Access::ReadWrite).expect("the object just made");
            (scratch, region)
        });
        region.copy_in(0, bytes).expect("as long as its template");
        (scratch, region.clone())
    }
}

/// Plays an input against handles whose enemy is this one.
pub fn play(enemy: Enemy, input: &[u8]) {
    let mut reader = Reader::new(input);
    let candidates = template::of_enemy(enemy);
    let template = candidates[reader.below(candidates.len())];
    let who = usize::from(reader.u8());
    RINGS.with_borrow_mut(|rings| {
        let (scratch, region) = rings.ready(template);
        let kind = template::of(template)[KIND_OFFSET];
        let object_bytes = region.bytes();
        let writes = std::iter::once(0..HEADER_BYTES).chain(enemy.writes(object_bytes)).collect();
        let mut expected = vec![0; object_bytes];
        region.copy_out(0, &mut expected).expect("all of the ring");
        let world = World {
            region,
            enemy,
            typed: kind == 2 || kind == 4,
            writes,
            expected,
            changes: Vec::new(),
            loads: 0,
            given_back: 0,
            own: Own::default(),
            capacity: u64::MAX,
        };
        let mut shared = Shared(Rc::new(RefCell::new(world)));
        for _ in 0..reader.below(PATCHES_MAX + 1) {
            shared.patch(&Patch::parse(&mut reader));
        }
        let mut changes: Vec<_> = (0..reader.below(CHANGES_MAX + 1))
            .map(|_| (reader.u8() % 64, Change::parse(&mut reader)))
            .collect();
        changes.reverse();
        shared.0.borrow_mut().changes = changes;
        let installed = install(shared.clone());
        let roles = match enemy {
            Enemy::Producer => &[Role::Consumer],
            Enemy::Consumer => &[Role::Producer],
            Enemy::Vandal => PAIRS[who % PAIRS.len()],
            Enemy::Anybody => CROWDS[who % CROWDS.len()],
        };
        match kind {
            1 => run::<Producer, Consumer>(scratch, &mut shared, roles, reader),
            2 if template == template::CHARACTERS => {
                run::<TypedProducer<char>, TypedConsumer<char>>(scratch, &mut shared, roles, reader);
            }
            2 => run::<TypedProducer<u64>, TypedConsumer<u64>>(scratch, &mut shared, roles, reader),
            3 => run::<Sender, Receiver>(scratch, &mut shared, roles, reader),
            _ => run::<TypedSender<u64>, TypedReceiver<u64>>(scratch, &mut shared, roles, reader),
        }
        drop(installed);
        shared.0.borrow().check_rest();
    });
}

/// Who comes to an SPSC ring whose enemy is neither,
const PAIRS: [&[Role]; 3] = [&[Role::Producer], &[Role::Consumer], &[Role::Producer, Role::Consumer]];
/// and who to an MPMC ring.
const CROWDS: [&[Role]; 4] =
    [&[Role::Sender], &[Role::Receiver], &[Role::Sender, Role::Receiver], &[Role::Receiver, Role::Sender]];

fn run<P: Sends, C: Receives>(
    scratch: &Scratch,
    shared: &mut Shared,
    roles: &[Role],
    mut reader: Reader<'_>,
) {
    let mut stage = Stage::<P, C>::new(scratch, roles, shared);
    if !stage.is_open() {
        return;
    }
    for _ in 0..STEPS_MAX {
        if reader.is_empty() {
            break;
        }
        stage.take(&Step::parse(&mut reader), shared);
    }
    shared.calls();
    drop(stage);
    shared.called();
}
