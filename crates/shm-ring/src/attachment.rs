//! One side's place at a ring, whatever the ring carries: what it holds open, its seat, how it waits, and what it knows of
//! the other side.

use crate::attach::{Ground, Mapped, Settings, wait_words};
use crate::blocking::Place;
use crate::error::{End, Error, Result, Role};
use crate::layout::spsc::{CONSUMER_REGION_OFFSET, LIFE_OFFSET, PRODUCER_REGION_OFFSET, Parts};
use crate::layout::{Geometry, NOTICE_POISONED, NOTICE_REMOVED};
use crate::restart::Flusher;
use crate::seat::{OwnSeat, Presence, Seat, Start, Witness};
use crate::split::{Joined, Link};
use crate::wait::WaitCounts;
use crate::wait::pair::{Armed, Waiter};
use crate::wait::patience::Patience;
use crate::wait::vigil::Vigil;
use shm_core::sync::Ordering;
use shm_core::{Deadline, Guard, Life, Object, ReadWord, Region, Word};

/// Nobody takes a seat of a sealed ring over.
const SEALED_TENURE: u64 = 1;

/// What keeps a ring together.
#[derive(Debug)]
enum Home {
    /// An object that anybody may open who has the right to.
    Named { object: Object, flusher: Flusher },
    /// Memory that two processes have sealed for each other, and the socket between them. Nobody else ever comes.
    Sealed(Link),
}

impl Home {
    fn witness(&self) -> Witness<'_> {
        match self {
            Self::Named { object, .. } => Witness::Lock(object),
            Self::Sealed(link) => Witness::Socket(link),
        }
    }

    fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed(_))
    }
}

/// One side's place at a ring. Dropping it leaves without closing.
#[derive(Debug)]
pub(crate) struct Attachment {
    // Declared in the order in which they go: the seat's state is stored by `drop`, then the object closes,
    // which frees the seat's lock.
    role: Role,
    seat: OwnSeat,
    peer: Seat,
    waiter: Waiter,
    patience: Patience,
    vigil: Vigil,
    /// The tenure of the other side that is under vigil.
    watched: Option<u64>,
    peer_life: ReadWord<u32>,
    // Before the object, whose page its word is on.
    _life: Option<Life>,
    home: Home,
    geometry: Geometry,
    guard: Guard,
    closed: bool,
    corrupt: Option<&'static str>,
    /// The end was told, and nobody comes after it.
    over: bool,
    /// Whether the other side's end concerns this side.
    tell_ends: bool,
    /// The other side's newest tenure that this side has met.
    entered: u64,
    /// The other side's last tenure whose end this side was told.
    told: u64,
}

impl Attachment {
    /// Takes the seat of `role`, and lets `resume` take over where its last holder was: it is given the number of the new
    /// tenure and answers with where it begins.
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
        let home = Home::Named { object, flusher };
        let mut attachment =
            Self::at(home, geometry, role, settings, seat, peer, waiter, (life, peer_life), (entered, told));
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
        let attachment = Self::at(
            home,
            geometry,
            role,
            settings,
            seat,
            peer,
            waiter,
            (life, peer_life),
            (SEALED_TENURE, 0),
        );
        Ok((attachment, algorithm))
    }

    #[allow(clippy::too_many_arguments)] // the fields that differ
    fn at(
        home: Home,
        geometry: Geometry,
        role: Role,
        settings: &Settings,
        seat: OwnSeat,
        peer: Seat,
        waiter: Waiter,
        (life, peer_life): (Option<Life>, ReadWord<u32>),
        (entered, told): (u64, u64),
    ) -> Self {
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
            guard: Guard::new(),
            closed: false,
            corrupt: None,
            over: false,
            entered,
            told,
        }
    }

    /// What stands against any further call: a notice, or garbage found before.
    #[inline(always)]
    pub(crate) fn ready(&mut self) -> Result<()> {
        let fine = self.waiter.peer_notice() == 0 && self.corrupt.is_none() && !self.over;
        let fine = fine && !self.guard.is_forked();
        if fine { Ok(()) } else { self.not_ready() }
    }

    /// As [`ready`](Self::ready), for a side that first receives what was sent: only garbage stands against that.
    #[inline(always)]
    pub(crate) fn sound(&mut self) -> Result<()> {
        let poisoned = self.waiter.peer_notice() & NOTICE_POISONED != 0;
        let fine = !poisoned && self.corrupt.is_none() && !self.guard.is_forked();
        if fine { Ok(()) } else { self.not_ready() }
    }

    /// What stands against any further call, the other side's end included, as far as the kernel can say now.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.not_ready()?;
        match self.unheard_end(true).map_err(|error| self.judge(error))? {
            Some((number, end)) => Err(self.tell(number, end)),
            None => Ok(()),
        }
    }

    /// For a producer that is to be told of its consumers' ends while there is space as well: asks now and then.
    #[inline(always)]
    pub(crate) fn watch(&mut self) -> Result<()> {
        if self.tell_ends && self.vigil.next_probe().has_about_passed() { self.watch_now() } else { Ok(()) }
    }

    #[cold]
    fn watch_now(&mut self) -> Result<()> {
        self.vigil.probed();
        self.check()
    }

    /// After publishing: wakes the other side if it sleeps.
    #[inline(always)]
    pub(crate) fn notify(&mut self) {
        self.waiter.notify();
    }

    /// Whether the tenure that a message says it begins is one whose predecessor's end is to be told first.
    /// Enters it otherwise.
    #[cold]
    pub(crate) fn enter_tenure(&mut self, number_modulo_64: u8) -> Result<()> {
        let newest = self.peer.tenure()?.number;
        let steps = u64::from(number_modulo_64).wrapping_sub(self.entered) & 63;
        // What was published before we came counts as entered: its number lies behind, not ahead.
        self.enter(if steps <= newest.saturating_sub(self.entered) {
            self.entered + steps
        } else {
            self.entered
        })
    }

    /// Enters the other side's tenure `number`, unless an end before it is to be told first.
    pub(crate) fn enter(&mut self, number: u64) -> Result<()> {
        if number <= self.entered {
            return Ok(());
        }
        if number > self.peer.tenure()?.number || self.home.is_sealed() {
            return Err(Error::Corrupt("a tenure has begun that is still to come"));
        }
        if self.tell_ends && self.told + 1 < number {
            let end = self.peer.worst_end(self.told, number - 1);
            return Err(self.tell(number - 1, end));
        }
        self.entered = number;
        Ok(())
    }

    /// Whether the other side has gone, as far as the kernel can say now.
    pub(crate) fn peers_have_gone(&self) -> Result<bool> {
        self.ours()?;
        Ok(matches!(self.presence(true)?, Presence::Gone(..)))
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// See the handles' `flush`.
    pub(crate) fn flush(&self, deadline: Deadline) -> Result<()> {
        self.ours()?;
        match &self.home {
            Home::Named { object, flusher } => flusher.flush(object, deadline),
            Home::Sealed(_) => Ok(()),
        }
    }

    pub(crate) fn counts(&self) -> WaitCounts {
        self.waiter.counts()
    }

    /// Whether this handle is this process's own, and not the copy that a fork made in a child.
    #[inline(always)]
    pub(crate) fn ours(&self) -> Result<()> {
        if self.guard.is_forked() { Err(Error::Forked) } else { Ok(()) }
    }

    /// Whether this is the copy of a handle that a fork made in a child. The seat is the parent's.
    pub(crate) fn is_forked_copy(&self) -> bool {
        self.guard.is_forked()
    }

    /// Leaves, having said all there was to say.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Who is at the other side, as far as the kernel can say now if it is asked.
    fn presence(&self, kernel: bool) -> Result<Presence> {
        let presence = self.peer.presence(kernel.then(|| self.home.witness()))?;
        match (&self.home, presence) {
            (Home::Named { .. }, _)
            | (_, Presence::Sits(SEALED_TENURE) | Presence::Gone(SEALED_TENURE, _)) => Ok(presence),
            _ => Err(Error::Corrupt("a sealed ring has one tenure on each side")),
        }
    }

    /// Says at which position we stop, and wakes the other side, so that it learns of our end.
    fn leave(&mut self) {
        self.seat.leave(self.closed);
        self.waiter.wake();
    }
}

impl Place for Attachment {
    type Armed = Armed;

    fn patience(&mut self) -> &mut Patience {
        &mut self.patience
    }

    fn arm(&mut self) -> Armed {
        // Each tenure has a life of its own, and all marks look alike.
        let newest = self.peer.tenure().map_or(0, |tenure| tenure.number);
        if self.watched.replace(newest) != Some(newest) {
            self.vigil.watch([self.peer_life.clone()]);
        }
        self.waiter.arm()
    }

    fn sleep(&mut self, armed: Armed, until: Deadline) -> Result<()> {
        self.waiter.sleep(armed, until, &mut self.vigil)?;
        if !self.tell_ends {
            self.vigil.calm(); // it looks for space once more, and who died does not matter
        }
        Ok(())
    }

    fn disarm(&mut self) {
        self.waiter.disarm();
    }

    fn next_probe(&self) -> Deadline {
        self.vigil.next_probe()
    }

    fn probed(&mut self) {
        self.vigil.probed();
    }

    fn unheard_end(&mut self, kernel: bool) -> Result<Option<(u64, End)>> {
        if !self.tell_ends {
            return Ok(None);
        }
        let unheard = match self.presence(kernel)? {
            Presence::Gone(number, end) if number > self.told => {
                Some((number, end.max(self.peer.worst_end(self.told, number - 1))))
            }
            // Its predecessor left while we were here, and it has not published anything yet.
            Presence::Sits(number) if number > self.entered && self.told + 1 < number => {
                Some((number - 1, self.peer.worst_end(self.told, number - 1)))
            }
            _ => None,
        };
        Ok(unheard)
    }

    fn tell(&mut self, number: u64, end: End) -> Error {
        self.told = number;
        self.over = self.home.is_sealed();
        self.vigil.calm();
        if !self.role.sends() {
            self.seat.told.store(number, Ordering::Relaxed); // own: read by successors, who hold our lock
        }
        Error::Disconnected(end)
    }

    fn alone_for_good(&self) -> Result<bool> {
        let nobody_comes = match &self.home {
            Home::Named { object, .. } => {
                matches!(object.still_named(), Err(shm_core::Error::Detached { .. }))
            }
            Home::Sealed(_) => true,
        };
        Ok(nobody_comes && !matches!(self.presence(true)?, Presence::Sits(_)))
    }

    #[cold]
    fn not_ready(&mut self) -> Result<()> {
        self.ours()?;
        let notices = self.waiter.notices();
        if self.corrupt.is_none() && notices & NOTICE_POISONED != 0 {
            self.corrupt = Some("the other side has found it so"); // for good, whatever becomes of the word
        }
        if let Some(what) = self.corrupt {
            Err(Error::Corrupt(what))
        } else if notices & NOTICE_REMOVED != 0 || self.over {
            Err(Error::Detached)
        } else {
            Ok(())
        }
    }

    /// Passes an error of the algorithm on; garbage stops this side for good, and the other one as well.
    #[cold]
    fn judge(&mut self, error: Error) -> Error {
        if let Error::Corrupt(what) = error
            && self.corrupt.is_none()
        {
            self.corrupt = Some(what);
            self.waiter.leave_notice(NOTICE_POISONED);
            self.waiter.wake();
        }
        error
    }

    /// Nothing: whoever comes next takes a dead one's seat over.
    fn tend(&mut self) -> Result<bool> {
        Ok(false)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // In a forked child this is a copy: the seat is the parent's. Closing our copy of its descriptor is
        // all that may happen here.
        if !self.is_forked_copy() {
            self.leave();
        }
    }
}

/// Has the kernel mark our life word when we die. Where it does not do that, others learn of it at the end of a slice.
fn register(object: &Object, own: (&Region, usize), role: Role) -> Result<Option<Life>> {
    let region = if role.sends() { PRODUCER_REGION_OFFSET } else { CONSUMER_REGION_OFFSET };
    let life = object.register_life((region + own.1 + LIFE_OFFSET) as u64).ok();
    if life.is_none() {
        let word: Word<u32> = own.0.word(own.1 + LIFE_OFFSET)?;
        word.store(0, Ordering::Relaxed); // a predecessor's mark is not ours
    }
    Ok(life)
}
