//! A helper killed after every instruction of what it does to its list that changes anything.
//!
//! Each test forks, and so runs in a process of its own: a child would have copies of what other tests have open and
//! mapped, for as long as it lives.

#![allow(unsafe_code)] // fork and ptrace

use super::list::List;
use super::window::{Source, Window};
use super::{LifeState, state};
use rustix::io::{pread, pwrite};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

/// Says to a copy of the test program that it is the process of its own.
const ALONE: &str = "SHM_CORE_ALONE";

type Operation = fn(&List, [usize; 3], u32);

/// More instructions than any of the operations has.
const INSTRUCTIONS_MAX: usize = 20_000;
/// The life words of the list, of which the first two are on it when the operation begins.
const WORDS: [u64; 3] = [8, 16, 4096 + 24];
/// Where the child writes the address of its list's head.
const HEAD: u64 = 2048;

/// A process that stands still before the operation, and is the helper of its list.
struct Helper {
    pid: Pid,
    file: OwnedFd,
}

impl Helper {
    fn start(operation: Operation) -> Self {
        let file = rustix::fs::memfd_create("steps", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, 8192).unwrap();
        // SAFETY: the child calls nothing that another thread of this process could hold a lock of, but for the
        // allocator, which the C library makes usable in children.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let _ = std::panic::catch_unwind(|| perform(&file, operation));
            // SAFETY: nothing of the copied process is to run any more.
            unsafe { libc::_exit(1) };
        }
        let helper = Self { pid: Pid::from_raw(child).unwrap(), file };
        assert_eq!(helper.stopped_by(), Some(libc::SIGSTOP), "the child could not begin");
        helper
    }

    fn stopped_by(&self) -> Option<i32> {
        waitpid(Some(self.pid), WaitOptions::UNTRACED).unwrap().unwrap().1.stopping_signal()
    }

    /// Executes one instruction; whether the operation goes on.
    fn step(&self) -> bool {
        let none = core::ptr::null_mut::<libc::c_void>();
        // SAFETY: the request takes no pointers.
        let result =
            unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, self.pid.as_raw_nonzero().get(), none, none) };
        assert_eq!(result, 0);
        self.stopped_by() == Some(libc::SIGTRAP)
    }

    /// All that the kernel looks at when the helper dies: the words, the head, and the links of the three entries.
    fn memory(&self) -> [u64; 7] {
        let mut memory = [0; 7];
        let (words, links) = memory.split_at_mut(3);
        for (word, &offset) in words.iter_mut().zip(&WORDS) {
            *word = self.read::<4>(offset, |bytes| u32::from_ne_bytes(bytes).into());
        }
        let head = self.read::<8>(HEAD, u64::from_ne_bytes);
        let process = File::open(format!("/proc/{}/mem", self.pid.as_raw_nonzero())).unwrap();
        let page = rustix::param::page_size() as u64;
        let entries = (1..).zip(WORDS).map(|(pair, offset)| pair * page + offset % page);
        for (link, offset) in links.iter_mut().zip([0].into_iter().chain(entries)) {
            let mut bytes = [0; 8];
            process.read_exact_at(&mut bytes, head + offset).unwrap();
            *link = u64::from_ne_bytes(bytes);
        }
        memory
    }

    fn read<const BYTES: usize>(&self, offset: u64, value: fn([u8; BYTES]) -> u64) -> u64 {
        let mut bytes = [0; BYTES];
        assert_eq!(pread(&self.file, &mut bytes, offset), Ok(BYTES));
        value(bytes)
    }

    /// What the kernel makes of the words.
    fn kill(self) -> [LifeState; 3] {
        kill_process(self.pid, Signal::KILL).unwrap();
        waitpid(Some(self.pid), WaitOptions::empty()).unwrap();
        WORDS.map(|offset| {
            let word = self.read::<4>(offset, |bytes| u32::from_ne_bytes(bytes).into());
            state(word.try_into().unwrap())
        })
    }
}

/// In the child.
fn perform(file: &OwnedFd, operation: Operation) {
    let mut window = Window::reserve().unwrap();
    let list = List::new(&window);
    list.follow().unwrap();
    let tid = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
    let entries = WORDS.map(|offset| window.map(&Source::File(file.as_fd()), offset).unwrap());
    list.link(entries[0], tid);
    list.link(entries[1], tid);
    let head = window.base().as_ptr() as u64;
    assert_eq!(pwrite(file, &head.to_ne_bytes(), HEAD), Ok(8));
    // SAFETY: the request takes no pointers.
    unsafe { libc::ptrace(libc::PTRACE_TRACEME) };
    // SAFETY: it stops this process, as intended.
    unsafe { libc::raise(libc::SIGSTOP) };
    operation(&list, entries, tid);
    // SAFETY: it stops this process, as intended.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Kills the helper after each instruction that has changed what the kernel looks at, and in the beginning: no
/// word may say *alive* then. `expected` is what the words say, from kill to kill.
fn kill_at_every_change(expected: &[[LifeState; 3]], operation: Operation) {
    let (mut changes, mut instructions) = (vec![0], 0);
    let traced = Helper::start(operation);
    let mut memory = traced.memory();
    while traced.step() {
        instructions += 1;
        assert!(instructions < INSTRUCTIONS_MAX, "it does not end");
        let now = traced.memory();
        if now != memory {
            changes.push(instructions);
            memory = now;
        }
    }
    traced.kill();
    let kill_after = |&instructions: &usize| {
        let helper = Helper::start(operation);
        (0..instructions).for_each(|_| assert!(helper.step()));
        helper.kill()
    };
    let found: Vec<[LifeState; 3]> = changes.iter().map(kill_after).collect();
    assert_eq!(found, expected, "after {changes:?} of {instructions} instructions");
}

/// Runs a test of this file in a process of its own.
fn alone(test: &str, body: fn()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", &format!("{module}::{test}"), "--test-threads=1"]).env(ALONE, "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let starting = crate::fork::alone::starting();
    let process = command.spawn().unwrap();
    drop(starting);
    let output = process.wait_with_output().unwrap();
    let [said, complaints] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complaints}");
}

use LifeState::{Marked, Nobody};

#[test]
fn a_helper_killed_linking() {
    alone("a_helper_killed_linking", || {
        let before = [Marked, Marked, Nobody];
        // The entry's link, the head's, the word.
        let expected = [before, before, before, [Marked, Marked, Marked]];
        kill_at_every_change(&expected, |list, entries, tid| list.link(entries[2], tid));
    });
}

#[test]
fn a_helper_killed_unlinking_the_first() {
    alone("a_helper_killed_unlinking_the_first", || {
        let after = [Marked, Nobody, Nobody];
        // The word, the head's link.
        let expected = [[Marked, Marked, Nobody], after, after];
        kill_at_every_change(&expected, |list, entries, _| list.unlink(entries[1]));
    });
}

#[test]
fn a_helper_killed_unlinking_the_last() {
    alone("a_helper_killed_unlinking_the_last", || {
        let after = [Nobody, Marked, Nobody];
        // The word, the link of the entry before.
        let expected = [[Marked, Marked, Nobody], after, after];
        kill_at_every_change(&expected, |list, entries, _| list.unlink(entries[0]));
    });
}
