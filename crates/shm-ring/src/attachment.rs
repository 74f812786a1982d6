//! One side's place at a ring, whatever the ring carries: the object it holds open, its seat, how it waits,
//! and what it knows of the other side.

use crate::attach::{Mapped, Settings, wait_words};
use crate::error::{End, Error, Result, Role};
use crate::layout::{NOTICE_POISONED, NOTICE_REMOVED, Parts};
use crate::seat::{OwnSeat, Presence, Seat};
use crate::wait::{SLICE, WaitCounts, Waiter};
use shm_core::sync::Ordering;
use shm_core::{Deadline, Object};

/// Looks of a spinning side at the ring, between two looks at the clock and at the other side.
const SPINS_PER_CHECK: u32 = 4096;

/// One side's place at a ring. Dropping it leaves without closing.
#[derive(Debug)]
pub(crate) struct Attachment {
    // Declared in the order in which they go: the seat's state is stored by `drop`, then the object closes,
    // which frees the seat's lock.
    role: Role,
    seat: OwnSeat,
    peer: Seat,
    waiter: Waiter,
    object: Object,
    pid: u32,
    closed: bool,
    corrupt: Option<&'static str>,
    /// Whether the other side's end concerns this side.
    tell_ends: bool,
    /// The other side's newest tenure that this side has met.
    entered: u64,
    /// The other side's last tenure whose end this side was told.
    told: u64,
    next_probe: Deadline,
}

/// What a handle gives to be waited with.
pub(crate) trait Attached {
    fn attachment(&mut self) -> &mut Attachment;

    /// Messages that went through this handle's side, to see how many did between two waits.
    fn progress(&self) -> u64;
}

impl Attachment {
    /// Claims the seat of `role`, lets `resume` take over where its last holder was (it is given the number
    /// of the new tenure and answers with its position), and sits down.
    pub(crate) fn new<A>(
        mapped: Mapped,
        role: Role,
        settings: &Settings,
        deadline: Deadline,
        resume: impl FnOnce(&Parts, u64) -> Result<(A, u64)>,
    ) -> Result<(Self, A)> {
        let Mapped { object, region, geometry } = mapped;
        let parts = Parts::of(&region, &geometry)?;
        let seat = OwnSeat::claim(&object, &parts, role, deadline)?;
        let [own, other] = wait_words(&parts, role);
        let waiter = Waiter::new(own, other, settings.wait, settings.backstop)?;
        let resumed = resume(&parts, seat.number());
        if let Err(Error::Corrupt(_)) = resumed {
            waiter.leave_notice(NOTICE_POISONED);
        }
        let (algorithm, position) = resumed?;
        let peer = Seat::of(&parts, role.peer())?;
        // For a consumer, the producers up to now are one stream; an end of theirs may still be to be told.
        // A producer only cares for consumers that it has met.
        let (entered, gone) = match peer.presence(Some(&object))? {
            Presence::NeverCame => (0, false),
            Presence::Sits(number) => (number, false),
            Presence::Gone(number, _) => (number, true),
        };
        let told = match role {
            Role::Consumer => seat.told.load(Ordering::Relaxed), // own, or a predecessor's whose lock we hold
            Role::Producer => entered - u64::from(entered > 0 && !gone),
        };
        if told > entered {
            waiter.leave_notice(NOTICE_POISONED);
            return Err(Error::Corrupt("a side was told of a tenure that is still to come"));
        }
        // Last: whoever fails before it has never been there.
        seat.sit(position);
        let mut attachment = Self {
            role,
            seat,
            peer,
            waiter,
            object,
            pid: std::process::id(),
            closed: false,
            corrupt: None,
            tell_ends: role == Role::Consumer || settings.require_peer,
            entered,
            told,
            next_probe: if settings.backstop { Deadline::now().plus(SLICE) } else { Deadline::NEVER },
        };
        attachment.waiter.wake();
        Ok((attachment, algorithm))
    }

    /// What stands against any further call: a notice, or garbage found before.
    #[inline(always)]
    pub(crate) fn ready(&mut self) -> Result<()> {
        if self.waiter.peer_notice() == 0 && self.corrupt.is_none() { Ok(()) } else { self.not_ready() }
    }

    /// As [`ready`](Self::ready), for a side that first receives what was sent: only garbage stands against that.
    #[inline(always)]
    pub(crate) fn sound(&mut self) -> Result<()> {
        let poisoned = self.waiter.peer_notice() & NOTICE_POISONED != 0;
        if !poisoned && self.corrupt.is_none() { Ok(()) } else { self.not_ready() }
    }

    #[cold]
    fn not_ready(&mut self) -> Result<()> {
        let notices = self.waiter.notices();
        if self.corrupt.is_none() && notices & NOTICE_POISONED != 0 {
            self.corrupt = Some("the other side has found it so"); // for good, whatever becomes of the word
        }
        if let Some(what) = self.corrupt {
            Err(Error::Corrupt(what))
        } else if notices & NOTICE_REMOVED != 0 {
            Err(Error::Detached)
        } else {
            Ok(())
        }
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
        if self.tell_ends && self.next_probe.has_about_passed() { self.watch_now() } else { Ok(()) }
    }

    #[cold]
    fn watch_now(&mut self) -> Result<()> {
        self.next_probe = Deadline::now().plus(SLICE);
        self.check()
    }

    /// After publishing: wakes the other side if it sleeps.
    #[inline(always)]
    pub(crate) fn notify(&mut self) {
        self.waiter.notify();
    }

    /// Passes an error of the algorithm on; garbage stops this side for good, and the other one as well.
    #[cold]
    pub(crate) fn judge(&mut self, error: Error) -> Error {
        if let Error::Corrupt(what) = error
            && self.corrupt.is_none()
        {
            self.corrupt = Some(what);
            self.waiter.leave_notice(NOTICE_POISONED);
            self.waiter.wake();
        }
        error
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
        if number > self.peer.tenure()?.number {
            return Err(Error::Corrupt("a tenure has begun that is still to come"));
        }
        if self.tell_ends && self.told + 1 < number {
            let end = self.peer.worst_end(self.told, number - 1);
            return Err(self.tell(number - 1, end));
        }
        self.entered = number;
        Ok(())
    }

    /// The other side's end, if it has gone and this side was not told yet. `kernel`: also ask whether it died.
    fn unheard_end(&self, kernel: bool) -> Result<Option<(u64, End)>> {
        if !self.tell_ends {
            return Ok(None);
        }
        let unheard = match self.peer.presence(kernel.then_some(&self.object))? {
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
        if self.role == Role::Consumer {
            self.seat.told.store(number, Ordering::Relaxed); // own: read by successors, who hold our lock
        }
        Error::Disconnected(end)
    }

    /// Whether the other side has gone, as far as the kernel can say now.
    pub(crate) fn peer_has_gone(&self) -> Result<bool> {
        Ok(matches!(self.peer.presence(Some(&self.object))?, Presence::Gone(..)))
    }

    /// Whether nobody can come any more, because the name is gone, and nobody is there.
    fn alone_for_good(&self) -> Result<bool> {
        let detached = matches!(self.object.still_named(), Err(shm_core::Error::Detached { .. }));
        Ok(detached && !matches!(self.peer.presence(Some(&self.object))?, Presence::Sits(_)))
    }

    pub(crate) fn counts(&self) -> WaitCounts {
        self.waiter.counts()
    }

    /// Whether this is the copy of a handle that a fork made in a child. The seat is the parent's.
    pub(crate) fn is_forked_copy(&self) -> bool {
        self.pid != std::process::id()
    }

    /// Leaves, having said all there was to say.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Says at which position we stop, and wakes the other side, so that it learns of our end.
    fn leave(&mut self) {
        self.seat.leave(self.closed);
        self.waiter.wake();
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

/// For calls that do not wait: `attempt` once, then whether there is a reason beyond "not now".
pub(crate) fn try_now<H: Attached, R>(
    handle: &mut H,
    mut attempt: impl FnMut(&mut H) -> Result<Option<R>>,
) -> Result<Option<R>> {
    if let Some(found) = attempt(handle)? {
        return Ok(Some(found));
    }
    let probe = handle.attachment().next_probe.has_about_passed();
    reason(handle, probe, &mut attempt)
}

/// Attempts until it succeeds, there is a reason why it never will, or the deadline passes.
pub(crate) fn wait<H: Attached, R>(
    handle: &mut H,
    deadline: Deadline,
    mut attempt: impl FnMut(&mut H) -> Result<Option<R>>,
) -> Result<R> {
    let progress = handle.progress();
    let pause = handle.attachment().waiter.pause(progress);
    loop {
        if deadline.has_passed() {
            return look_before_sleep(handle, deadline, &mut attempt)?.ok_or(Error::TimedOut);
        }
        let spins = handle.attachment().waiter.spins();
        for spin in 0..spins.unwrap_or(SPINS_PER_CHECK) {
            if let Some(found) = attempt(handle)? {
                if spin > 0 {
                    handle.attachment().waiter.spinning_paid(spin);
                }
                return Ok(found);
            }
            (0..pause).for_each(|_| core::hint::spin_loop());
        }
        let armed = spins.is_some().then(|| {
            let waiter = &mut handle.attachment().waiter;
            waiter.spinning_did_not_pay();
            waiter.arm()
        });
        let result = look_before_sleep(handle, deadline, &mut attempt);
        match (result, armed) {
            (Ok(None), Some(armed)) => {
                let place = handle.attachment();
                let until = deadline.min(place.next_probe);
                place.waiter.sleep(armed, until)?;
                place.waiter.disarm();
            }
            (Ok(None), None) => {}
            (done, armed) => {
                if armed.is_some() {
                    handle.attachment().waiter.disarm();
                }
                return done.and_then(|found| found.ok_or(Error::TimedOut));
            }
        }
    }
}

fn look_before_sleep<H: Attached, R>(
    handle: &mut H,
    deadline: Deadline,
    attempt: &mut impl FnMut(&mut H) -> Result<Option<R>>,
) -> Result<Option<R>> {
    if let Some(found) = attempt(handle)? {
        return Ok(Some(found));
    }
    let probe = handle.attachment().next_probe.has_passed();
    let found = reason(handle, probe, attempt)?;
    if found.is_none() && deadline.has_passed() { Err(Error::TimedOut) } else { Ok(found) }
}

/// After an attempt that found nothing: the reason, if it is not just early. An end is only believed when
/// the attempt fails once more after it was seen; what was sent before it comes first.
fn reason<H: Attached, R>(
    handle: &mut H,
    probe: bool,
    attempt: &mut impl FnMut(&mut H) -> Result<Option<R>>,
) -> Result<Option<R>> {
    let place = handle.attachment();
    let end = place.unheard_end(probe).map_err(|error| place.judge(error))?;
    let alone = if probe {
        place.next_probe = Deadline::now().plus(SLICE);
        place.alone_for_good()?
    } else {
        false
    };
    let notice = place.not_ready();
    if end.is_none() && !alone && notice.is_ok() {
        return Ok(None);
    }
    if let Some(found) = attempt(handle)? {
        return Ok(Some(found));
    }
    // Garbage first; then how the other side ended, which nobody else will be told; then that the ring is gone.
    match (notice, end) {
        (Err(Error::Corrupt(what)), _) => Err(Error::Corrupt(what)),
        (_, Some((number, end))) => Err(handle.attachment().tell(number, end)),
        _ => Err(Error::Detached),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Consumer, Producer};

    /// What was sent between the look and the end comes before the end.
    #[test]
    fn an_end_is_believed_only_after_another_look() {
        let name = format!("shm-ring-attachment-{}", std::process::id());
        let mut producer = Some(Producer::create(&name).unwrap());
        let mut consumer = Consumer::open(&name).unwrap();
        std::fs::remove_file(format!("/dev/shm/{name}")).unwrap(); // nothing stays behind, whatever comes now
        let found = try_now(&mut consumer, |consumer| {
            let found = consumer.attempt();
            if let Some(mut producer) = producer.take() {
                producer.send(b"last").unwrap();
                producer.close();
            }
            found
        });
        assert_eq!(found.unwrap().unwrap().length, 4);
    }
}
