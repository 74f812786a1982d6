//! The moments of an operation: all of them, and those at which somebody else sees a difference.
//!
//! What a kill leaves is the shared memory and what the kernel holds. So two moments between which neither has
//! changed are the same moment for everybody else: one at each change stands for all. Trying the others
//! as well checks that reasoning, and this program.

use crate::tracer::{Step, Tracee};

/// An operation of more instructions than this is an endless loop.
pub(crate) const STEPS_MAX: u64 = 5_000_000;

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
#[derive(Debug, Default)]
pub(crate) struct Course {
    pub(crate) points: Vec<Point>,
    /// Which of them differ from the one before for somebody else.
    pub(crate) changes: Vec<usize>,
}

impl Course {
    /// Follows an operation to its end. `changed` says whether the shared memory has changed since it was last
    /// asked; `wake` is called when the operation sleeps, and wakes it.
    pub(crate) fn follow(
        tracee: &mut Tracee,
        mut changed: impl FnMut() -> bool,
        mut wake: impl FnMut(),
    ) -> Self {
        let mut course = Self { points: vec![Point::default()], changes: vec![0] };
        let mut point = Point::default();
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
            if differs {
                course.changes.push(course.points.len());
            }
            course.points.push(point);
            if step == Step::Asleep {
                wake();
                changed();
            }
        }
        panic!("no end after {STEPS_MAX} instructions");
    }

    /// Instructions of the operation; a system call is one.
    pub(crate) fn instructions(&self) -> usize {
        self.points.iter().filter(|point| !point.asleep).count() - 1
    }

    /// Tells what there is, and how many tries are made of it.
    pub(crate) fn tell(&self, tries: usize) {
        let [instructions, changes] = [self.instructions(), self.changes.len()];
        print!("{instructions} instructions, {changes} differences, {tries} tries ... ");
    }

    /// Which moments to try, by their indices: every one if they are at most `limit` or all are asked for,
    /// otherwise as many spread evenly.
    pub(crate) fn sample(&self, limit: usize) -> Vec<usize> {
        if std::env::var("SHMRING_FULL").is_ok_and(|full| full == "1") {
            return (0..self.points.len()).collect();
        }
        let stride = self.points.len().div_ceil(limit.max(1));
        (0..self.points.len()).step_by(stride).collect()
    }
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
