//! One participant's place at an MPMC ring: its seat, its side of the exchanges, how it waits, and what it
//! knows of the others.

use crate::attach::{Content, Mapped, Mode, Settings};
use crate::blocking::Place;
use crate::error::{End, Error, Result, Role};
use crate::layout::mpmc::{DATA_WAIT_OFFSET, NOTICE_OFFSET, Parts, SPACE_WAIT_OFFSET};
use crate::layout::{Geometry, NOTICE_POISONED};
use crate::mpmc::block::Blocks;
use crate::mpmc::claim::{Claims, CleanUp, OwnSeat};
use crate::mpmc::exchange::Exchange;
use crate::mpmc::seat::raise;
use crate::restart::Flusher;
use crate::standing::Standing;
use crate::wait::WaitCounts;
use crate::wait::crowd::Crowd;
use crate::wait::patience::Patience;
use crate::wait::sparse::SparseLooks;
use crate::wait::vigil::Vigil;
use shm_core::sync::Ordering;
use shm_core::{Deadline, Identity, Life, Object, Word};

/// Calls of a sender without a look at the clock, at most.
const SKIPS_MAX: u32 = 15;

/// One participant's place. Dropping it leaves without closing.
#[derive(Debug)]
pub(crate) struct Seated {
    // Declared in the order in which they go: the seat's state is stored by `drop`, then the object closes,
    // which frees the seat's lock.
    pub(super) role: Role,
    pub(super) seat: OwnSeat,
    pub(super) claims: Claims,
    pub(super) exchange: Exchange,
    pub(super) blocks: Blocks,
    /// What we sleep on, and what those sleep on who wait for us.
    pub(super) ours: Crowd,
    pub(super) theirs: Crowd,
    pub(super) notice: Word<u32>,
    pub(super) patience: Patience,
    pub(super) counts: WaitCounts,
    // Before the object, whose page its word is on.
    pub(super) _life: Option<Life>,
    pub(super) object: Object,
    pub(super) flusher: Flusher,
    pub(super) geometry: Geometry,
    pub(super) instance: Identity,
    pub(super) settings: Settings,
    pub(super) content: Content,
    pub(super) standing: Standing,
    pub(super) closed: bool,
    /// Whether the other role's end concerns this participant.
    pub(super) tell_ends: bool,
    /// The other role's `joins` at the last end that this participant was told.
    pub(super) told: u64,
    /// The other role's comings and goings at the last look.
    pub(super) events: (u64, u64),
    /// Seat and block of a message that a dead receiver left, and we hand out again.
    pub(super) adopted: Option<(u64, u64)>,
    /// The message in our own hand was left there by a dead receiver, and is not read yet.
    pub(super) inherited: bool,
    /// A message was handed out and is not read yet.
    pub(super) handed_out: bool,
    pub(super) vigil: Vigil,
    /// The first of the seats whose turn it is when this participant cleans up.
    pub(super) turn: u64,
    /// When a sender that asks for its receivers' ends looks at the clock.
    pub(super) clock: SparseLooks,
    /// The comings and goings of the other role when those under vigil were looked up.
    pub(super) watched: Option<(u64, u64)>,
    pub(super) next_sample: u64,
    pub(super) waited_at: Option<u64>,
}

impl Seated {
    /// Opens or creates the ring and joins it.
    pub(crate) fn attach(
        settings: &Settings,
        mode: Mode,
        content: &Content,
        role: Role,
        deadline: Deadline,
    ) -> Result<Self> {
        Self::join(settings.map(mode, content, deadline)?, role, settings, content, deadline)
    }

    /// Claims a seat and sits down.
    fn join(
        mapped: Mapped,
        role: Role,
        settings: &Settings,
        content: &Content,
        deadline: Deadline,
    ) -> Result<Self> {
        let Mapped { object, region, geometry, instance } = mapped;
        let parts = Parts::of(&region, &geometry)?;
        let claims = Claims::new(parts.clone(), &geometry)?;
        let notice: Word<u32> = parts.common.word(NOTICE_OFFSET)?;
        let poison = |error: Error| {
            if matches!(error, Error::Corrupt(_)) {
                notice.fetch_or(NOTICE_POISONED, Ordering::Relaxed); // a hint, see `is_ready`
            }
            error
        };
        let (seat, cleaned) = claims.claim(&object, role, deadline).map_err(poison)?;
        let exchange = Exchange::new(&parts, claims.format, seat, role.sends()).map_err(poison)?;
        let peers = claims.words(role.peer());
        let events = peers.events();
        let absence = claims.roster.absence(peers, role.peer(), 0, Some(&object)).map_err(poison)?;
        // For a receiver, the senders up to now are one stream; their end may still be to be told. A sender only
        // cares for receivers that it has met.
        let told = match (role.sends(), absence) {
            (false, _) => peers.already_told().map_err(poison)?,
            (true, Some(absence)) => absence.joins,
            (true, None) => events.0.saturating_sub(1),
        };
        let (ours, theirs) = if role.sends() {
            (SPACE_WAIT_OFFSET, DATA_WAIT_OFFSET)
        } else {
            (DATA_WAIT_OFFSET, SPACE_WAIT_OFFSET)
        };
        let life = claims.register_life(&object, seat)?;
        let flusher = Flusher::new(&object, region.clone(), geometry, instance)?;
        let seated = Self {
            role,
            seat: OwnSeat::sit(&claims, seat, role)?,
            exchange,
            blocks: Blocks::new(&parts, &geometry),
            ours: Crowd::new(&parts.common, ours)?,
            theirs: Crowd::new(&parts.common, theirs)?,
            notice,
            patience: Patience::new(settings.wait),
            counts: WaitCounts::default(),
            _life: life,
            object,
            geometry,
            flusher,
            instance,
            settings: settings.clone(),
            content: *content,
            standing: Standing::new(),
            closed: false,
            tell_ends: !role.sends() || settings.require_peer,
            told,
            events,
            adopted: None,
            inherited: cleaned == CleanUp::Unread,
            handed_out: false,
            vigil: Vigil::new(settings.backstop),
            turn: 0,
            watched: None,
            clock: SparseLooks::new(SKIPS_MAX),
            next_sample: 0,
            waited_at: None,
            claims,
        };
        // Those who wait for our side look again, and see that we are there; and all see who died on our seat.
        seated.theirs.announce();
        seated.ours.announce();
        Ok(seated)
    }

    /// Another place at the same ring, with a seat of its own.
    pub(crate) fn another(&self) -> Result<Self> {
        self.ours()?;
        let deadline = Deadline::after(self.settings.attach_timeout);
        let mapped = self.settings.map_again(self.instance, &self.content)?;
        Self::join(mapped, self.role, &self.settings, &self.content, deadline)
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    pub(crate) fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The block in our hand.
    #[inline(always)]
    pub(crate) fn block(&self) -> u64 {
        self.exchange.block()
    }

    /// Whether nothing stands against any further call: no notice, and no garbage found before.
    #[inline(always)]
    pub(crate) fn is_ready(&self) -> bool {
        // A hint: whoever leaves a notice wakes us as well.
        self.standing.is_ready(self.notice.load(Ordering::Relaxed)) // as just said
    }

    /// What stands against any further call.
    #[inline(always)]
    pub(crate) fn ready(&mut self) -> Result<()> {
        if self.is_ready() { Ok(()) } else { self.not_ready() }
    }

    /// As [`is_ready`](Self::is_ready), for a side that first receives what was sent: only garbage stands against that.
    #[inline(always)]
    pub(crate) fn is_sound(&self) -> bool {
        self.standing.is_sound(self.notice.load(Ordering::Relaxed)) // a hint, as in `is_ready`
    }

    /// What stands against receiving what was sent.
    #[inline(always)]
    pub(crate) fn sound(&mut self) -> Result<()> {
        if self.is_sound() { Ok(()) } else { self.not_ready() }
    }

    /// For a sender that is to be told of its receivers' ends while there is space as well: whether it is not time to
    /// ask for one.
    #[inline(always)]
    pub(super) fn is_calm(&mut self) -> bool {
        !self.tell_ends || !self.role.sends() || self.clock.skip()
    }

    /// Asks for an end now and then.
    #[inline(always)]
    pub(super) fn watch(&mut self) -> Result<()> {
        if self.is_calm() { Ok(()) } else { self.watch_now() }
    }

    #[cold]
    fn watch_now(&mut self) -> Result<()> {
        self.clock.looked();
        if self.vigil.next_probe().has_about_passed() {
            self.probed();
            self.check()?;
        }
        Ok(())
    }

    /// A sender's call had sent something when it was told of an end, and says how much: the next call tells the end,
    /// unless a receiver has come meanwhile. `told` is the end that was told last before that.
    #[cold]
    pub(super) fn tell_again(&mut self, told: u64) {
        if self.told != told {
            self.told = told;
            self.clock.look_next();
            self.vigil.look_soon(false);
        }
    }

    /// Whether somebody of the other role was there, and none is.
    pub(crate) fn peers_have_gone(&self) -> Result<bool> {
        self.ours()?;
        let (words, role) = (self.claims.words(self.role.peer()), self.role.peer());
        let absence = self.claims.roster.absence(words, role, 0, Some(&self.object))?;
        Ok(absence.is_some_and(|absence| absence.joins > 0))
    }

    pub(crate) fn counts(&self) -> WaitCounts {
        self.counts
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
}

impl Place for Seated {
    type Armed = u32;

    fn patience(&mut self) -> &mut Patience {
        &mut self.patience
    }

    fn arm(&mut self) -> u32 {
        self.keep_vigil();
        self.ours.arm()
    }

    fn sleep(&mut self, armed: u32, until: Deadline) -> Result<()> {
        self.counts.sleeps += 1;
        self.ours.sleep(armed, until, &mut self.vigil)
    }

    /// Nobody takes an arming back: others may rely on it.
    fn disarm(&mut self) {}

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
        let role = self.role.peer();
        let words = self.claims.words(role);
        let events = words.events();
        if !kernel && events == self.events {
            return Ok(None);
        }
        let absence = self.claims.roster.absence(words, role, self.told, kernel.then_some(&self.object))?;
        if absence.is_none() {
            self.events = events; // until somebody comes or goes, or the kernel is asked, this stays so
        }
        Ok(absence.filter(|absence| absence.joins > self.told).map(|absence| (absence.joins, absence.end)))
    }

    fn tell(&mut self, number: u64, end: End) -> Error {
        self.told = number;
        if !self.role.sends() {
            raise(&self.claims.words(Role::Sender).told, number);
        }
        Error::Disconnected(end)
    }

    fn alone_for_good(&self) -> Result<bool> {
        let (words, role) = (self.claims.words(self.role.peer()), self.role.peer());
        let absence = |kernel| self.claims.roster.absence(words, role, 0, kernel);
        // Somebody sits there whose end is to be told before this matters, if it has ended: spares a system call.
        if self.tell_ends && words.events().0 > self.told && absence(None)?.is_none() {
            return Ok(false);
        }
        let detached = matches!(self.object.still_named(), Err(shm_core::Error::Detached { .. }));
        Ok(detached && absence(Some(&self.object))?.is_some())
    }

    #[cold]
    fn not_ready(&mut self) -> Result<()> {
        let notices = self.notice.load(Ordering::Relaxed); // a hint, see `is_ready`
        self.standing.not_ready(notices, "a participant has found it so")
    }

    #[cold]
    fn judge(&mut self, error: Error) -> Error {
        if self.standing.finds_garbage(&error) {
            self.notice.fetch_or(NOTICE_POISONED, Ordering::Relaxed); // a hint, see `is_ready`
            self.theirs.announce();
            self.ours.announce();
        }
        error
    }

    fn tend(&mut self, all: bool) -> Result<bool> {
        self.clean_up(all)
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        // In a forked child this is a copy: the seat is the parent's. Closing our copy of its descriptor is
        // all that may happen here.
        if self.is_forked_copy() {
            return;
        }
        // A view that was forgotten instead of dropped was handed out all the same.
        if self.handed_out {
            self.let_go();
        }
        self.seat.leave(self.claims.words(self.role), self.closed);
        self.theirs.announce();
        // A wake-up that reached us and nobody else is passed on.
        self.ours.announce();
    }
}
