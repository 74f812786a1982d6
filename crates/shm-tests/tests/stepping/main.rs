//! One instruction at a time: processes that are killed or stopped at every moment of an operation, and what the
//! others see then (guarantees G9 and G10).
//!
//! A victim comes to a ring, is run instruction by instruction through its operation, and is killed or stopped
//! after k of them; the survivor, and successors, then have to find everything in order. Between two
//! moments at which nobody else sees a difference nothing can differ for anybody else, so those that differ are
//! tried first (of long operations a part, spread evenly), and of the others some; all with `SHMRING_FULL=1`. Meant
//! for a release build, whose instructions are those that matter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a panic is the verdict

mod birth;
mod check;
mod content;
mod many;
mod recovery;
mod scene;
mod spsc;
mod tracer;
mod victim;
mod walk;

use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use shm_tests::FUSE;
use shm_tests::peer::Role;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};

const ROLES: &[(&str, Role)] = &[
    ("victim", victim::be_the_victim),
    ("maker", birth::be_the_maker),
    ("recoverer", recovery::be_the_recoverer),
    ("victim of many", many::be_the_victim),
    ("sleeper", many::be_a_sleeper),
];

fn main() {
    let tests = [spsc::tests(), birth::tests(), recovery::tests(), many::tests()];
    shm_tests::run(ROLES, tests.into_iter().flatten().collect());
}

/// Says what is being tried.
#[derive(Debug)]
struct Progress(Sender<String>);

impl Progress {
    fn now(&self, what: String) {
        self.0.send(what).unwrap();
    }
}

/// Does work that must not hang, and fails when it does for longer than the fuse.
fn watched(name: &str, work: impl FnOnce(&Progress)) {
    stay_on_one_processor();
    let (sender, tried) = channel();
    let name = name.to_owned();
    let watch = std::thread::spawn(move || {
        let mut last = format!("{name}, at its beginning");
        loop {
            match tried.recv_timeout(FUSE) {
                Ok(what) => last = what,
                Err(RecvTimeoutError::Disconnected) => return last,
                Err(RecvTimeoutError::Timeout) => {
                    // Its victim dies with it.
                    eprintln!("hangs: {last}");
                    std::process::exit(101);
                }
            }
        }
    });
    let progress = Progress(sender);
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&progress)));
    drop(progress);
    let last = watch.join().unwrap();
    if let Err(panic) = done {
        eprintln!("failed: {last}");
        std::panic::resume_unwind(panic);
    }
}

/// Victims and their tracer take turns. On one processor a turn costs a tenth of what it costs between two.
fn stay_on_one_processor() {
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    // Refused or moved in between, it is only slower.
    let _ = sched_setaffinity(None, &here);
}
