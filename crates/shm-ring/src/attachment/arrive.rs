//! How one side comes to its place: at a ring that anybody may open, or at one that was made for it.

use super::{Attachment, Home, Named, SEALED_TENURE};
use crate::attach::{Ground, Mapped, Settings, wait_words};
use crate::error::{Error, Result, Role};
use crate::layout::spsc::{LIFE_OFFSET, Parts, life_offset};
use crate::layout::{Geometry, NOTICE_POISONED};
use crate::restart::Flusher;
use crate::seat::{OwnSeat, Presence, Seat, Start, Witness};
use crate::split::Joined;
use crate::standing::Standing;
use crate::wait::pair::Waiter;
use crate::wait::patience::Patience;
use crate::wait::sparse::SparseLooks;
use crate::wait::vigil::Vigil;
use shm_core::sync::Ordering;
use shm_core::{Deadline, Life, Object, ReadWord, Region, Word};

/// Calls of a producer without a look at the clock, at most: its consumer's life word says more than the clock.
const SKIPS_MAX: u32 = 63;

/// What an attachment is made of, however it came to be.
struct Arrived {
    home: Home,
    geometry: Geometry,
    seat: OwnSeat,
    peer: Seat,
    waiter: Waiter,
    life: Option<Life>,
    peer_life: ReadWord<u32>,
    /// The other side's newest tenure that this side has met.
    entered: u64,
    /// Its last tenure whose end this side was told.
    told: u64,
}

impl Attachment {
    /// Takes the seat of `role`, and lets `resume` take over where its last holder was: it is given the number of the
    /// new tenure and answers with where it begins.
    pub(crate) fn new<A>(
        ground: Ground,
        role: Role,
        settings: &Settings,
        deadline: Deadline,
        resume: impl FnOnce(&Parts, u64) -> Result<(A, Start)>,
    ) -> Result<(Self, A)> {
        match ground {
            Ground::Named(mapped) => Self::named(mapped, role, settings, deadline, resume),
            Ground::Sealed(joined) => Self::sealed(joined, role, settings, resume),
        }
    }

    fn named<A>(
        mapped: Mapped,
        role: Role,
        settings: &Settings,
        deadline: Deadline,
        resume: impl FnOnce(&Parts, u64) -> Result<(A, Start)>,
    ) -> Result<(Self, A)> {
        let Mapped { object, region, geometry, instance } = mapped;
        let parts = Parts::of(&region, &geometry)?;
        let seat = OwnSeat::claim(&object, &parts, role, deadline)?;
        let [own, other] = wait_words(&parts, role);
        let waiter = Waiter::new(own, other)?;
        let resumed = resume(&parts, seat.number());
        if let Err(Error::Corrupt(_)) = resumed {
            waiter.leave_notice(NOTICE_POISONED);
        }
        let (algorithm, start) = resumed?;
        let peer = Seat::of(&parts, role.peer())?;
        // For a consumer, the producers up to now are one stream; an end of theirs may still be to be told.
        // A producer only cares for consumers that it has met.
        let (entered, gone) = match peer.presence(Some(Witness::Lock(&object)))? {
            Presence::NeverCame => (0, false),
            Presence::Sits(number) => (number, false),
            Presence::Gone(number, _) => (number, true),
        };
        let told = if role.sends() {
            entered - u64::from(entered > 0 && !gone)
        } else {
            seat.told.load(Ordering::Relaxed) // own, or a predecessor's whose lock we hold
        };
        if told > entered {
            waiter.leave_notice(NOTICE_POISONED);
            return Err(Error::Corrupt("a side was told of a tenure that is still to come"));
        }
        let life = register(&object, own, role)?;
        let flusher = Flusher::new(&object, region.clone(), geometry, instance)?;
        let peer_life = other.0.read_word(other.1 + LIFE_OFFSET)?;
        // Last: whoever fails before it has never been there.
        seat.sit(start);
        let home = Home::Named(Box::new(Named { object, flusher }));
        let mut attachment = Self::at(
            Arrived { home, geometry, seat, peer, waiter, life, peer_life, entered, told },
            role,
            settings,
        );
        attachment.waiter.wake();
        Ok((attachment, algorithm))
    }

    /// At a ring that was made for this side, which sits there already.
    fn sealed<A>(
        joined: Joined,
        role: Role,
        settings: &Settings,
        resume: impl FnOnce(&Parts, u64) -> Result<(A, Start)>,
    ) -> Result<(Self, A)> {
        let Joined { parts, geometry, link, seat, life } = joined;
        let [own, other] = wait_words(&parts, role);
        let waiter = Waiter::new(own, other)?;
        let (algorithm, _) = resume(&parts, SEALED_TENURE)?;
        let peer = Seat::of(&parts, role.peer())?;
        let peer_life = other.0.read_word(other.1 + LIFE_OFFSET)?;
        let home = Home::Sealed(link);
        let (entered, told) = (SEALED_TENURE, 0);
        let arrived = Arrived { home, geometry, seat, peer, waiter, life, peer_life, entered, told };
        let attachment = Self::at(arrived, role, settings);
        Ok((attachment, algorithm))
    }

    fn at(arrived: Arrived, role: Role, settings: &Settings) -> Self {
        let Arrived { home, geometry, seat, peer, waiter, life, peer_life, entered, told } = arrived;
        Self {
            role,
            seat,
            peer,
            waiter,
            patience: Patience::new(settings.wait),
            vigil: Vigil::new(settings.backstop),
            watched: None,
            peer_life,
            _life: life,
            tell_ends: !role.sends() || settings.require_peer || home.is_sealed(),
            home,
            geometry,
            standing: Standing::new(),
            calm_life: 0,
            clock: SparseLooks::new(SKIPS_MAX),
            closed: false,
            over: false,
            entered,
            told,
        }
    }
}

/// Has the kernel mark our life word when we die. Where it does not do that, others learn of it at the end of a slice.
fn register(object: &Object, own: (&Region, usize), role: Role) -> Result<Option<Life>> {
    let life = object.register_life(life_offset(role)).ok();
    if life.is_none() {
        let word: Word<u32> = own.0.word(own.1 + LIFE_OFFSET)?;
        word.store(0, Ordering::Relaxed); // a predecessor's mark is not ours
    }
    Ok(life)
}
