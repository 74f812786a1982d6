//! Handles beside a process that writes whatever it likes, at the worst moment: just before they load it.
//!
//! An input is: which ring (a [template](crate::template)) and which handles; the number of changes before anybody
//! comes, and these (see [`Patch`]); the number of changes made meanwhile, and these (see [`plan`](Shared::plan)); and
//! the steps.
//!
//! The rules, beside those of [`stage`](crate::stage) and [`world`](crate::world): nobody writes where he has nothing
//! to write, and nobody in the header.

use crate::case::{Patch, Step};
use crate::handles::{Receives, Sends};
use crate::input::Reader;
use crate::object::{NAME, Scratch};
use crate::stage::{Stage, Surroundings};
use crate::template;
pub use crate::world::Enemy;
use crate::world::{PATCHES_MAX, STEPS_MAX, Shared};
use shm_core::header::KIND_OFFSET;
use shm_core::hostile::install;
use shm_core::{Access, Name, Options, Region};
use shm_ring::{
    Consumer, Producer, Receiver, Role, Sender, TypedConsumer, TypedProducer, TypedReceiver, TypedSender,
};
use std::cell::RefCell;
use std::collections::HashMap;

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
        let mut shared = Shared::of_ring(region, enemy, kind == 2 || kind == 4);
        for _ in 0..reader.below(PATCHES_MAX + 1) {
            shared.patch(&Patch::parse(&mut reader));
        }
        shared.plan(&mut reader);
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
        shared.check_rest();
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
