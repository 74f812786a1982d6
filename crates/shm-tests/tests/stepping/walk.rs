//! The moments of an operation: all of them, and those at which somebody else sees a difference.
//!
//! What a kill leaves is the shared memory and what the kernel holds. So two moments between which neither has
//! changed are the same moment for everybody else: one at each change stands for all. Trying the others
//! as well checks that reasoning, and this program.

use crate::tracer::{Step, Tracee};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// An operation of more instructions than this is an endless loop.
pub(crate) const STEPS_MAX: u64 = 5_000_000;

/// Step by step a wait may take longer from one look at the clock to the next than its sleep would, which then ends at
/// once, again and again. So every so many such calls it is woken as if it had slept.
const CALLS_PER_WAKE: u64 = 16;

/// Tries of one operation, beside those at its differences, at most.
const TRIES_MAX: usize = if cfg!(debug_assertions) { 3 } else { 400 };

/// A moment in an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Point {
    /// So many system calls are executed,
    pub(crate) calls: u64,
    /// and so many instructions since;
    pub(crate) steps: u64,
    /// and it sleeps in the next call.
    pub(crate) asleep: bool,
}

/// All moments of an operation, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course {
    pub(crate) points: Vec<Point>,
    /// Which of them differ from the one before for somebody else.
    pub(crate) changes: Vec<usize>,
}

/// What was followed before: an operation's moments are those of the next test of it as well.
static KNOWN: Mutex<BTreeMap<Key, Course>> = Mutex::new(BTreeMap::new());

/// The kind of ring, the operation, and whether all its moments are known or those behind its system calls.
type Key = (&'static str, &'static str, bool);

impl Course {
    /// The course of an operation, which is followed unless it was before.
    pub(crate) fn of(operation: Key, follow: impl FnOnce() -> Self) -> Self {
        let known = KNOWN.lock().unwrap().get(&operation).cloned();
        known.unwrap_or_else(|| {
            let course = follow();
            KNOWN.lock().unwrap().insert(operation, course.clone());
            course
        })
    }

    /// Follows an operation to its end. `changed` says whether the shared memory has changed since it was last
    /// asked; `wake` is called when the operation sleeps, and wakes it.
    pub(crate) fn follow(
        tracee: &mut Tracee,
        mut changed: impl FnMut() -> bool,
        mut wake: impl FnMut(),
    ) -> Self {
        let mut course = Self { points: vec![Point::default()], changes: vec![0] };
        let mut point = Point::default();
        let mut next_wake = CALLS_PER_WAKE;
        changed();
        for _ in 0..STEPS_MAX {
            let step = tracee.step();
            let differs = changed() || step != Step::Done;
            match step {
                Step::Ended => return course,
                Step::Done => point.steps += 1,
                Step::Called => point = Point { calls: point.calls + 1, steps: 0, asleep: false },
                Step::Asleep => point.asleep = true,
            }
            if step == Step::Asleep && course.points.last() == Some(&point) {
                wake(); // as before: it sleeps on
                continue;
            }
            if differs {
                course.changes.push(course.points.len());
            }
            course.points.push(point);
            let restless = tracee.calls_that_may_sleep() >= next_wake;
            if step == Step::Asleep || restless {
                next_wake = tracee.calls_that_may_sleep() + CALLS_PER_WAKE;
                wake();
                changed();
            }
        }
        panic!("no end after {STEPS_MAX} instructions");
    }

    /// The moments right behind each system call, at full speed.
    pub(crate) fn of_calls(tracee: &mut Tracee, mut wake: impl FnMut()) -> Self {
        let mut course = Self { points: vec![Point::default()], changes: vec![0] };
        loop {
            match tracee.pass_call() {
                Step::Ended => return course,
                Step::Asleep => wake(),
                Step::Called | Step::Done => {
                    let calls = course.points.len() as u64;
                    course.changes.push(course.points.len());
                    course.points.push(Point { calls, steps: 0, asleep: false });
                }
            }
        }
    }

    /// Moments of the operation, but its beginning.
    fn instructions(&self) -> usize {
        self.points.iter().filter(|point| !point.asleep).count() - 1
    }

    /// Tells what there is, and how many tries are made of it.
    pub(crate) fn tell(&self, tries: usize) {
        let [instructions, changes] = [self.instructions(), self.changes.len()];
        print!("{instructions} instructions, {changes} differences, {tries} tries ... ");
    }

    /// Those that differ; a part of them, spread evenly, if it takes more steps than so many to go to them all, and
    /// not every moment is asked for. None in a coarse run, which samples them.
    pub(crate) fn differing(&self, steps: u64) -> Vec<usize> {
        if coarse() {
            return Vec::new();
        }
        let walked: u64 = self.changes.iter().map(|&moment| self.points[moment].steps).sum();
        let stride = if full() { 1 } else { usize::try_from(walked / steps).unwrap() + 1 };
        self.changes.iter().copied().step_by(stride).collect()
    }

    /// Those right before the ones that differ, or a part of them as of [`differing`](Self::differing): who is stopped
    /// there has decided what it does next, by what it saw before.
    pub(crate) fn about_to_differ(&self, steps: u64) -> Vec<usize> {
        self.differing(steps).into_iter().filter_map(|moment| moment.checked_sub(1)).collect()
    }

    /// Which moments to try, by their indices: all if that is asked for; otherwise spread evenly, as many as go
    /// with so many steps. In a coarse run those that differ, as many as go.
    pub(crate) fn sample(&self, steps: u64) -> Vec<usize> {
        let all: Vec<usize> = if coarse() { self.changes.clone() } else { (0..self.points.len()).collect() };
        if full() {
            return all;
        }
        let walked: u64 = all.iter().map(|&moment| self.points[moment].steps).sum();
        let stride = usize::try_from(walked / steps).unwrap().max((all.len() - 1) / TRIES_MAX) + 1;
        all.into_iter().step_by(stride).collect()
    }
}

/// Whether every moment is to be tried.
pub(crate) fn full() -> bool {
    std::env::var("SHMRING_FULL").is_ok_and(|full| full == "1")
}

/// Whether only some of the moments that differ are tried: in a debug build, whose instructions are ten times as
/// many and not those that matter.
pub(crate) fn coarse() -> bool {
    cfg!(debug_assertions) && !full()
}

/// Goes to a moment; `false` if the operation ended before. Instructions may differ by a few between two
/// runs (a clock is read again, a lock was free), so that is no failure.
pub(crate) fn go_to(tracee: &mut Tracee, point: Point, mut wake: impl FnMut()) -> bool {
    let mut calls = 0;
    while calls < point.calls {
        match tracee.pass_call() {
            Step::Asleep => wake(),
            Step::Ended => return false,
            Step::Called | Step::Done => calls += 1,
        }
    }
    for _ in 0..point.steps {
        match tracee.step() {
            Step::Done => {}
            Step::Ended => return false,
            Step::Called | Step::Asleep => return true,
        }
    }
    if point.asleep {
        while tracee.step() == Step::Done {}
    }
    true
}
