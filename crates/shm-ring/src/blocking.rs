//! Calls that wait: attempt, look for a while, sleep, and say why when waiting has no end. The same for every
//! kind of ring.

use crate::error::{End, Error, Result};
use crate::wait::patience::{Patience, YIELD_MAX};
use shm_core::Deadline;
use std::thread::yield_now;

/// Looks of a side that only spins at the ring, between two looks at the clock and at the other side.
const SPINS_PER_CHECK: u32 = 4096;
/// Looks between two looks at the clock of whoever has a deadline: all looks of one round may take milliseconds.
const SPINS_PER_DEADLINE: u32 = 64;

/// What a handle gives to be waited with.
pub(crate) trait Attached {
    /// Its place at the ring.
    type Place: Place;

    fn place(&mut self) -> &mut Self::Place;

    /// Messages that went through this handle, to see how many did between two waits.
    fn progress(&self) -> u64;

    /// Whether another attempt may find more than the last one did: a hint, for those whose attempts touch more than
    /// the one word that tells. While that stands still only this is asked.
    fn has_news(&self) -> bool {
        true
    }
}

/// A place at a ring, as far as waiting is concerned.
pub(crate) trait Place {
    /// A promise to sleep only if nothing has happened since.
    type Armed: Copy;

    fn patience(&mut self) -> &mut Patience;

    /// Says that we are about to sleep. Look again before [`sleep`](Self::sleep), and [`disarm`](Self::disarm)
    /// afterwards, or when something was there.
    fn arm(&mut self) -> Self::Armed;
    fn sleep(&mut self, armed: Self::Armed, until: Deadline) -> Result<()>;
    fn disarm(&mut self);

    /// When the kernel is to be asked next who lives.
    fn next_probe(&self) -> Deadline;
    /// It was asked.
    fn probed(&mut self);

    /// The end of the other side, if it is one and this side was not told: its number, and how it ended.
    /// `kernel`: also ask whether it died.
    fn unheard_end(&mut self, kernel: bool) -> Result<Option<(u64, End)>>;
    /// Notes that the end is told, and makes the error that tells it.
    fn tell(&mut self, number: u64, end: End) -> Error;
    /// Whether nobody can come any more, because the name is gone, and nobody is there.
    fn alone_for_good(&self) -> Result<bool>;
    /// What else stands against any further call.
    fn not_ready(&mut self) -> Result<()>;
    /// Marks the ring if the error says that it is corrupt.
    fn judge(&mut self, error: Error) -> Error;
    /// Cleans up behind the dead, all of them or those whose turn it is. Whether there may be something to receive now.
    fn tend(&mut self, all: bool) -> Result<bool>;

    /// What stands against any further call, the other side's end included, as far as the kernel can say now. As much
    /// as who waits asks for: a sender that asks this now and then leaves no moment for that.
    fn check(&mut self) -> Result<()> {
        self.not_ready()?;
        if let Some((number, end)) = self.unheard_end(true).map_err(|error| self.judge(error))? {
            return Err(self.tell(number, end));
        }
        if self.alone_for_good().map_err(|error| self.judge(error))? { Err(Error::Detached) } else { Ok(()) }
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
    let probe = handle.place().next_probe().has_about_passed();
    reason(handle, probe, &mut attempt)
}

/// Attempts until it succeeds, there is a reason why it never will, or the deadline passes.
pub(crate) fn wait<H: Attached, R>(
    handle: &mut H,
    deadline: Deadline,
    mut attempt: impl FnMut(&mut H) -> Result<Option<R>>,
) -> Result<R> {
    let progress = handle.progress();
    let pause = handle.place().patience().pause(progress);
    loop {
        if deadline.has_passed() {
            return look_before_sleep(handle, deadline, &mut attempt)?.ok_or(Error::TimedOut);
        }
        let looks = handle.place().patience().looks(pause);
        for look in 0..looks.unwrap_or(SPINS_PER_CHECK) {
            let worth_it = look == 0 || handle.has_news();
            if worth_it && let Some(found) = attempt(handle)? {
                if look > 0 {
                    handle.place().patience().spinning_paid(look, pause);
                }
                return Ok(found);
            }
            (0..pause).for_each(|_| core::hint::spin_loop());
            if look % SPINS_PER_DEADLINE == SPINS_PER_DEADLINE - 1 && deadline.has_passed() {
                break;
            }
        }
        let sleeps = looks.is_some();
        if sleeps {
            handle.place().patience().spinning_did_not_pay();
            if let Some(found) = let_others_run(handle, deadline, &mut attempt)? {
                return Ok(found);
            }
        }
        let armed = sleeps.then(|| handle.place().arm());
        // A spinning side looks once between two rounds; one that sleeps does before it sleeps, and stays armed until
        // something has woken it.
        let result = loop {
            let result = look_before_sleep(handle, deadline, &mut attempt);
            let (Ok(None), Some(armed)) = (&result, armed) else { break result };
            match sleep_in(handle.place(), armed, deadline) {
                Ok(true) => {}
                Ok(false) => break attempt(handle), // mostly it was woken for something
                Err(error) => break Err(error),
            }
        };
        if armed.is_some() {
            handle.place().disarm();
        }
        if let Some(found) = result? {
            return Ok(found);
        }
    }
}

/// Looks once more after whoever shares this processor could run, where that has paid lately, and unless the deadline
/// comes sooner than an answer would.
fn let_others_run<H: Attached, R>(
    handle: &mut H,
    deadline: Deadline,
    attempt: &mut impl FnMut(&mut H) -> Result<Option<R>>,
) -> Result<Option<R>> {
    if !handle.place().patience().yields() {
        return Ok(None);
    }
    let soon = Deadline::after(YIELD_MAX);
    if soon > deadline {
        return Ok(None);
    }
    yield_now();
    let quickly = !soon.has_passed();
    let found = attempt(handle)?;
    handle.place().patience().yielded(found.is_some(), quickly);
    Ok(found)
}

/// Sleeps until something happens or there is a reason to look around; `true` if the latter came: the end of a slice,
/// or a mark in a life word, behind which the kernel is to be asked before anything else. Nothing has been published
/// that did not see the arming and change the word that is slept on, so the same arming serves for another sleep: it
/// costs neither a fence nor looks.
fn sleep_in<P: Place>(place: &mut P, armed: P::Armed, deadline: Deadline) -> Result<bool> {
    let until = deadline.min(place.next_probe());
    place.sleep(armed, until)?;
    Ok(until.has_passed() || place.next_probe().has_passed())
}

fn look_before_sleep<H: Attached, R>(
    handle: &mut H,
    deadline: Deadline,
    attempt: &mut impl FnMut(&mut H) -> Result<Option<R>>,
) -> Result<Option<R>> {
    if let Some(found) = attempt(handle)? {
        return Ok(Some(found));
    }
    let probe = handle.place().next_probe().has_passed();
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
    let place = handle.place();
    let (mut alone, mut look_again) = (false, false);
    if probe {
        place.probed();
        alone = place.alone_for_good().map_err(|error| place.judge(error))?;
        // Before the look at the ends: who is cleaned up is not suspected any more, and was told of nowhere else.
        look_again = place.tend(false).map_err(|error| place.judge(error))?;
    }
    let end = place.unheard_end(probe).map_err(|error| place.judge(error))?;
    if end.is_some() {
        // What the dead have in hand comes before the end, too.
        place.tend(true).map_err(|error| place.judge(error))?;
    }
    look_again |= end.is_some();
    let notice = place.not_ready();
    if !look_again && !alone && notice.is_ok() {
        return Ok(None);
    }
    if let Some(found) = attempt(handle)? {
        return Ok(Some(found));
    }
    // Garbage first; then how the other side ended, which nobody else will be told; then that the ring is gone.
    match (notice, end) {
        (Err(Error::Corrupt(what)), _) => Err(Error::Corrupt(what)),
        (_, Some((number, end))) => Err(handle.place().tell(number, end)),
        (Ok(()), None) if !alone => Ok(None),
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
                assert!(!consumer.has_news());
                producer.send(b"last").unwrap();
                assert!(consumer.has_news());
                producer.close();
            }
            found
        });
        assert_eq!(found.unwrap().unwrap().length(), 4);
    }
    /// A place where nothing happens, that counts.
    struct Idle {
        patience: Patience,
        next_probe: Deadline,
        /// Whether each sleep ends with a mark, and how many looks there were since.
        marked: bool,
        looks: u32,
        armings: u32,
        disarmings: u32,
        sleeps: u32,
        cleans: bool,
        /// Looks at which there is nothing new.
        quiet: std::cell::Cell<u32>,
    }

    impl Idle {
        fn new(patience: Patience, next_probe: Deadline) -> Self {
            Self {
                patience,
                next_probe,
                marked: false,
                looks: 0,
                armings: 0,
                disarmings: 0,
                sleeps: 0,
                cleans: false,
                quiet: std::cell::Cell::new(0),
            }
        }
    }

    impl Attached for Idle {
        type Place = Self;

        fn place(&mut self) -> &mut Self {
            self
        }

        fn progress(&self) -> u64 {
            0
        }

        fn has_news(&self) -> bool {
            self.quiet.replace(self.quiet.get().saturating_sub(1)) == 0
        }
    }

    impl Place for Idle {
        type Armed = u32;

        fn patience(&mut self) -> &mut Patience {
            &mut self.patience
        }

        fn arm(&mut self) -> u32 {
            self.armings += 1;
            self.armings
        }

        fn sleep(&mut self, armed: u32, _: Deadline) -> Result<()> {
            assert_eq!((armed, self.disarmings), (self.armings, self.armings - 1));
            self.sleeps += 1;
            if self.marked {
                (self.next_probe, self.looks) = (Deadline::now(), 0);
            }
            if self.sleeps > 10 { Err(Error::Corrupt("no more sleep")) } else { Ok(()) }
        }

        fn disarm(&mut self) {
            self.disarmings += 1;
        }

        fn next_probe(&self) -> Deadline {
            self.next_probe
        }

        fn probed(&mut self) {
            if self.marked {
                assert!(self.looks < 3, "{} looks before the kernel was asked", self.looks);
                self.next_probe = Deadline::NEVER;
            }
        }

        fn unheard_end(&mut self, _: bool) -> Result<Option<(u64, End)>> {
            Ok(None)
        }

        fn tell(&mut self, _: u64, end: End) -> Error {
            Error::Disconnected(end)
        }

        fn alone_for_good(&self) -> Result<bool> {
            Ok(false)
        }

        fn not_ready(&mut self) -> Result<()> {
            Ok(())
        }

        fn judge(&mut self, error: Error) -> Error {
            error
        }

        fn tend(&mut self, _: bool) -> Result<bool> {
            Ok(self.cleans)
        }
    }

    /// However long it pays to look for messages: who was woken by a mark asks for the verdict first.
    #[test]
    fn the_kernel_is_asked_right_after_a_mark() {
        let mut patience = Patience::new(crate::WaitStrategy::Adaptive);
        patience.spinning_paid(u32::MAX, 1);
        let mut idle = Idle::new(patience, Deadline::NEVER);
        idle.marked = true;
        let found = wait(&mut idle, Deadline::NEVER, |idle| {
            idle.looks += 1;
            Ok((idle.sleeps == 10).then_some(()))
        });
        assert!(found.is_ok());
        assert_eq!((idle.armings, idle.disarmings), (1, 1));
    }

    /// A deadline that passes while the ring is looked at ends that soon, however long the other side made us look.
    #[test]
    fn a_deadline_ends_spinning() {
        for strategy in [crate::WaitStrategy::Spin, crate::WaitStrategy::Adaptive] {
            let mut patience = Patience::new(strategy);
            patience.spinning_paid(u32::MAX, 1);
            let mut idle = Idle::new(patience, Deadline::NEVER);
            let (deadline, mut looks) = (Deadline::after(std::time::Duration::from_millis(1)), 0);
            let found = wait(&mut idle, deadline, |_| {
                while !deadline.has_passed() {}
                looks += 1;
                Ok(None::<()>)
            });
            assert!(matches!(found, Err(Error::TimedOut)));
            // And one before the answer: nobody gives the processor away and looks again when there is no time left.
            assert!(looks <= SPINS_PER_DEADLINE + 1, "{strategy:?}: {looks} looks");
        }
    }

    #[test]
    fn only_what_is_new_is_worth_an_attempt_and_at_once() {
        let mut idle = Idle::new(Patience::new(crate::WaitStrategy::Spin), Deadline::NEVER);
        idle.quiet.set(5);
        let mut attempts = vec![];
        let found = wait(&mut idle, Deadline::NEVER, |idle| {
            attempts.push(idle.quiet.get());
            Ok((attempts.len() == 3).then_some(()))
        });
        assert!(found.is_ok() && attempts == [5, 0, 0], "{attempts:?}");
    }

    /// What the dead had in hand, another one may have been handed meanwhile.
    #[test]
    fn a_clean_up_for_others_is_no_reason_to_give_up() {
        let patience = Patience::new(crate::WaitStrategy::Sleep);
        let mut idle = Idle::new(patience, Deadline::NEVER);
        idle.cleans = true;
        let mut attempts = 0;
        let found = reason(&mut idle, true, &mut |_| {
            attempts += 1;
            Ok(None::<()>)
        });
        assert!(matches!(found, Ok(None)), "{found:?}");
        assert_eq!(attempts, 1, "there might have been something for us");
    }

    /// Who sleeps through slices arms once; who was woken arms anew.
    #[test]
    fn only_what_ends_a_sleep_early_ends_the_arming() {
        for (next_probe, armings) in [(Deadline::now(), 1), (Deadline::NEVER, 10)] {
            let patience = Patience::new(crate::WaitStrategy::Sleep);
            let mut idle = Idle::new(patience, next_probe);
            let found = wait(&mut idle, Deadline::NEVER, |idle| Ok((idle.sleeps == 10).then_some(())));
            assert!(found.is_ok());
            assert_eq!((idle.armings, idle.disarmings, idle.sleeps), (armings, armings, 10));
            // An end that a deadline makes takes the arming back as well.
            let found = wait(&mut idle, Deadline::now(), |_| Ok(None::<()>));
            assert!(matches!(found, Err(Error::TimedOut)));
            assert_eq!(idle.armings, idle.disarmings);
            // So does a sleep that fails.
            let found = wait(&mut idle, Deadline::NEVER, |_| Ok(None::<()>));
            assert!(matches!(found, Err(Error::Corrupt(_))));
            assert_eq!(idle.armings, idle.disarmings);
        }
    }

    /// What comes right after the last look, by somebody who could not run before, spares the sleep.
    #[test]
    fn others_run_once_before_a_sleep() {
        for (strategy, armings) in [(crate::WaitStrategy::Adaptive, 0), (crate::WaitStrategy::Sleep, 1)] {
            let patience = Patience::new(strategy);
            let looks = patience.looks(1).unwrap();
            let mut idle = Idle::new(patience, Deadline::NEVER);
            let mut attempts = 0;
            let found = wait(&mut idle, Deadline::NEVER, |_| {
                attempts += 1;
                Ok((attempts > looks).then_some(()))
            });
            assert!(found.is_ok());
            assert_eq!((attempts, idle.armings), (looks + 1, armings), "{strategy:?}");
        }
    }
}
