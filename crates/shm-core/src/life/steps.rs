//! A helper killed after every single instruction of what it does to its list.

#![allow(unsafe_code)] // fork and ptrace

use super::list::List;
use super::window::Window;
use super::{LifeState, state};
use rustix::io::{pread, pwrite};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::os::fd::{AsFd, OwnedFd};

/// More instructions than any of the operations has.
const INSTRUCTIONS_MAX: u32 = 20_000;
const WORDS: [u64; 3] = [8, 16, 4096 + 24];

/// Runs `operation` on a list that has the first two words in a child, one instruction after the other, and
/// kills it after `instructions`. Whether it was not finished then.
fn kill_after(instructions: u32, file: &OwnedFd, operation: fn(&List, [usize; 3], u32)) -> bool {
    // SAFETY: the child calls nothing that another thread of this process could hold a lock of, but for the
    // allocator, which the C library makes usable in children.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut window = Window::reserve().unwrap();
        let list = List::new(&window);
        list.follow().unwrap();
        let tid = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
        let entries = WORDS.map(|offset| window.map(file.as_fd(), offset).unwrap());
        list.link(entries[0], tid);
        list.link(entries[1], tid);
        // SAFETY: the request takes no pointers.
        unsafe { libc::ptrace(libc::PTRACE_TRACEME) };
        // SAFETY: it stops this process, as intended.
        unsafe { libc::raise(libc::SIGSTOP) };
        operation(&list, entries, tid);
        // SAFETY: it stops this process, as intended.
        unsafe { libc::raise(libc::SIGSTOP) };
        // SAFETY: nothing of the copied process is to run any more.
        unsafe { libc::_exit(1) };
    }
    let child = Pid::from_raw(child).unwrap();
    let stopped_by = || {
        let (_, status) = waitpid(Some(child), WaitOptions::UNTRACED).unwrap().unwrap();
        status.stopping_signal()
    };
    assert_eq!(stopped_by(), Some(libc::SIGSTOP), "the child could not begin");
    let steps = (0..instructions).take_while(|_| {
        let none = core::ptr::null_mut::<libc::c_void>();
        // SAFETY: the request takes no pointers.
        let result =
            unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, child.as_raw_nonzero().get(), none, none) };
        assert_eq!(result, 0);
        stopped_by() == Some(libc::SIGTRAP)
    });
    let unfinished = steps.count() == instructions as usize;
    kill_process(child, Signal::KILL).unwrap();
    waitpid(Some(child), WaitOptions::empty()).unwrap();
    unfinished
}

/// Whatever the instruction, the kernel marks every word that says *alive*.
fn never_alive_for_ever(expected: &[[LifeState; 3]], operation: fn(&List, [usize; 3], u32)) {
    let file = rustix::fs::memfd_create("steps", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, 8192).unwrap();
    let mut seen = Vec::new();
    for instructions in 0..INSTRUCTIONS_MAX {
        WORDS.iter().for_each(|&offset| assert_eq!(pwrite(&file, &[0; 4], offset), Ok(4)));
        let unfinished = kill_after(instructions, &file, operation);
        let states = WORDS.map(|offset| {
            let mut word = [0; 4];
            assert_eq!(pread(&file, &mut word, offset), Ok(4));
            state(u32::from_ne_bytes(word))
        });
        assert!(expected.contains(&states), "{states:?} after {instructions} instructions");
        if !seen.contains(&states) {
            seen.push(states);
        }
        if !unfinished {
            assert!(instructions > 10 && seen == expected, "{seen:?} within {instructions} instructions");
            return;
        }
    }
    panic!("it does not end");
}

use LifeState::{Marked, Nobody};

#[test]
fn a_helper_killed_linking() {
    let expected = [[Marked, Marked, Nobody], [Marked, Marked, Marked]];
    never_alive_for_ever(&expected, |list, entries, tid| list.link(entries[2], tid));
}

#[test]
fn a_helper_killed_unlinking_the_first() {
    let expected = [[Marked, Marked, Nobody], [Marked, Nobody, Nobody]];
    never_alive_for_ever(&expected, |list, entries, _| list.unlink(entries[1]));
}

#[test]
fn a_helper_killed_unlinking_the_last() {
    let expected = [[Marked, Marked, Nobody], [Nobody, Marked, Nobody]];
    never_alive_for_ever(&expected, |list, entries, _| list.unlink(entries[0]));
}
