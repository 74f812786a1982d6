//! One side's place at a ring, whatever the ring carries: what it holds open, its seat, how it waits, and what it
//! knows of the other side.

mod arrive;

use crate::blocking::Place;
use crate::error::{End, Error, Result, Role};
use crate::layout::{Geometry, NOTICE_POISONED};
use crate::restart::Flusher;
use crate::seat::{OwnSeat, Presence, Seat, Witness};
use crate::split::Link;
use crate::standing::Standing;
use crate::wait::WaitCounts;
use crate::wait::pair::{Armed, Waiter};
use crate::wait::patience::Patience;
use crate::wait::sparse::SparseLooks;
use crate::wait::vigil::Vigil;
use shm_core::sync::Ordering;
use shm_core::{Deadline, Life, LifeState, Object, ReadWord, life};

/// Nobody takes a seat of a sealed ring over.
const SEALED_TENURE: u64 = 1;

/// What keeps a ring together.
#[derive(Debug)]
enum Home {
    /// An object that anybody may open who has the right to.
    Named(Box<Named>),
    /// Memory that two processes have sealed for each other, and the socket between them. Nobody else ever comes.
    Sealed(Link),
}

#[derive(Debug)]
struct Named {
    object: Object,
    flusher: Flusher,
}

impl Home {
    fn witness(&self) -> Witness<'_> {
        match self {
            Self::Named(named) => Witness::Lock(&named.object),
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
    standing: Standing,
    closed: bool,
    /// The end was told, and nobody comes after it.
    over: bool,
    /// Whether the other side's end concerns this side.
    tell_ends: bool,
    /// The other side's life word when it was last looked at for [`is_calm`](Self::is_calm), and when to look at the
    /// clock in any case: a death may not be marked, and the next one's life word may look like the last one's.
    calm_life: u32,
    clock: SparseLooks,
    /// The other side's newest tenure that this side has met.
    entered: u64,
    /// The other side's last tenure whose end this side was told.
    told: u64,
}

impl Attachment {
    /// Whether nothing stands against any further call: no notice, and no garbage found before.
    #[inline(always)]
    pub(crate) fn is_ready(&self) -> bool {
        self.standing.is_ready(self.waiter.peer_notice()) && !self.over
    }

    /// What stands against any further call.
    #[inline(always)]
    pub(crate) fn ready(&mut self) -> Result<()> {
        if self.is_ready() { Ok(()) } else { self.not_ready() }
    }

    /// As [`is_ready`](Self::is_ready), for a side that first receives what was sent: only garbage stands against that.
    #[inline(always)]
    pub(crate) fn is_sound(&self) -> bool {
        self.standing.is_sound(self.waiter.peer_notice())
    }

    /// What stands against receiving what was sent.
    #[inline(always)]
    pub(crate) fn sound(&mut self) -> Result<()> {
        if self.is_sound() { Ok(()) } else { self.not_ready() }
    }

    /// For a producer that is to be told of its consumers' ends while there is space as well: whether nothing suggests
    /// that there is one. Who leaves changes its life word, and so does the kernel when it dies.
    #[inline(always)]
    pub(crate) fn is_calm(&mut self) -> bool {
        !self.tell_ends || self.clock.skip() && life::look(&self.peer_life) == self.calm_life
    }

    /// Asks the kernel for the other side's end, if something suggests that there is one, or it is time to.
    #[inline(always)]
    pub(crate) fn watch(&mut self) -> Result<()> {
        if self.is_calm() { Ok(()) } else { self.watch_now() }
    }

    #[cold]
    fn watch_now(&mut self) -> Result<()> {
        let life = life::look(&self.peer_life);
        let state = life::state(life);
        if life != self.calm_life {
            self.calm_life = life;
            self.vigil.look_soon(state == LifeState::Marked);
        }
        // Where nobody is registered, and until a mark has become a verdict, the clock says when.
        if state == LifeState::Alive {
            self.clock.looked();
        } else {
            self.clock.look_next();
        }
        if self.vigil.next_probe().has_about_passed() {
            self.vigil.probed();
            self.check()?;
        }
        Ok(())
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
    pub(crate) fn flush(&mut self, deadline: Deadline) -> Result<()> {
        self.ours()?;
        match &mut self.home {
            Home::Named(named) => named.flusher.flush(&named.object, deadline),
            Home::Sealed(_) => Ok(()),
        }
    }

    pub(crate) fn counts(&self) -> WaitCounts {
        self.waiter.counts()
    }

    /// Whether this handle is this process's own, and not the copy that a fork made in a child.
    #[inline(always)]
    pub(crate) fn ours(&self) -> Result<()> {
        self.standing.ours()
    }

    /// Whether this is the copy of a handle that a fork made in a child. The seat is the parent's.
    pub(crate) fn is_forked_copy(&self) -> bool {
        self.standing.is_forked_copy()
    }

    /// Leaves, having said all there was to say.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Who is at the other side, as far as the kernel can say now if it is asked.
    fn presence(&self, kernel: bool) -> Result<Presence> {
        let presence = self.peer.presence(kernel.then(|| self.home.witness()))?;
        match (&self.home, presence) {
            (Home::Named(_), _) | (_, Presence::Sits(SEALED_TENURE) | Presence::Gone(SEALED_TENURE, _)) => {
                Ok(presence)
            }
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
        // Somebody sits there whose end is to be told before this matters, if it has ended: spares a system call.
        if self.tell_ends && matches!(self.presence(false)?, Presence::Sits(number) if number > self.told) {
            return Ok(false);
        }
        let nobody_comes = match &self.home {
            Home::Named(named) => {
                matches!(named.object.still_named(), Err(shm_core::Error::Detached { .. }))
            }
            Home::Sealed(_) => true,
        };
        Ok(nobody_comes && !matches!(self.presence(true)?, Presence::Sits(_)))
    }

    #[cold]
    fn not_ready(&mut self) -> Result<()> {
        self.standing.not_ready(self.waiter.notices(), "the other side has found it so")?;
        if self.over { Err(Error::Detached) } else { Ok(()) }
    }

    /// Passes an error of the algorithm on; garbage stops this side for good, and the other one as well.
    #[cold]
    fn judge(&mut self, error: Error) -> Error {
        if self.standing.finds_garbage(&error) {
            self.waiter.leave_notice(NOTICE_POISONED);
            self.waiter.wake();
        }
        error
    }

    /// Nothing: whoever comes next takes a dead one's seat over.
    fn tend(&mut self, _: bool) -> Result<bool> {
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
