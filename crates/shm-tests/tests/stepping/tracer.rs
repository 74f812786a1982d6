//! Runs a child one instruction at a time (`ptrace`).
//!
//! The child marks where its operation begins and ends by break points in its own program. Between them it
//! executes just what it executes untraced: nothing is written into it.
//!
//! Where atomic operations are loops of exclusive loads and stores (aarch64 without LSE), a single step breaks
//! every reservation and such a loop never ends; [`STEPS_MAX`](crate::walk) tells.

#![allow(unsafe_code)] // ptrace, and the break points that it stops at

use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};
use std::mem::MaybeUninit;
use std::time::Duration;

/// How a system call's stop differs from any other trap.
const CALL_FLAG: i32 = 0x80;
/// Between two looks at whether a call that may block has returned.
const LOOK_AGAIN: Duration = Duration::from_micros(50);
/// So often a call that may block is looked at before the kernel is asked whether it sleeps.
const QUICK_LOOKS: u32 = 100;

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An instruction was executed.
    Done,
    /// A system call was executed.
    Called,
    /// A system call was begun, and sleeps. The next step waits for its end.
    Asleep,
    /// The mark at the end is reached.
    Ended,
}

/// A child that stands still unless it is told to step.
#[derive(Debug)]
pub(crate) struct Tracee {
    pid: Pid,
    /// Begun and not returned.
    in_call: bool,
    /// How it was last set going.
    request: libc::c_uint,
    /// Calls that may sleep, begun by single steps.
    may_sleep: u64,
}

/// In the child: lets its parent trace it.
pub(crate) fn allow_tracing() {
    // SAFETY: the request takes no pointers.
    let result = unsafe { libc::ptrace(libc::PTRACE_TRACEME) };
    assert_eq!(result, 0, "ptrace: {}", std::io::Error::last_os_error());
}

/// In the child: a mark at which its tracer stops it.
#[inline(always)]
pub(crate) fn mark() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a traced process goes on behind it as if nothing had been.
    unsafe {
        core::arch::asm!("int3");
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a traced process goes on behind it, where its tracer puts it.
    unsafe {
        core::arch::asm!("brk #0");
    }
}

impl Tracee {
    /// Waits until the child `pid` of this very thread has come to its first mark.
    pub(crate) fn catch(pid: u32) -> Self {
        let pid = Pid::from_raw(pid.cast_signed()).unwrap();
        let mut tracee = Self { pid, in_call: false, request: libc::PTRACE_CONT, may_sleep: 0 };
        tracee.await_trap();
        tracee.pass_mark();
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        // SAFETY: the request takes no pointers.
        let result = unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, tracee.pid.as_raw_pid(), 0, options) };
        assert_eq!(result, 0, "ptrace: {}", std::io::Error::last_os_error());
        tracee
    }

    /// Executes one instruction.
    pub(crate) fn step(&mut self) -> Step {
        if !self.in_call {
            let (at, number) = self.place();
            let code = self.code(at);
            self.resume(libc::PTRACE_SINGLESTEP);
            if !is_call(code) {
                self.await_trap();
                if !is_mark(code) {
                    return Step::Done;
                }
                self.pass_mark();
                return Step::Ended;
            }
            self.in_call = true;
            if !may_sleep(number) {
                self.await_trap();
                self.in_call = false;
                return Step::Called;
            }
            self.may_sleep += 1;
        }
        self.end_of_call()
    }

    /// How often single steps have begun a call that may sleep.
    pub(crate) fn calls_that_may_sleep(&self) -> u64 {
        self.may_sleep
    }

    /// Executes everything up to the end of the next system call, at full speed.
    pub(crate) fn pass_call(&mut self) -> Step {
        if !self.in_call {
            self.resume(libc::PTRACE_SYSCALL);
            if self.await_trap() == libc::SIGTRAP {
                self.pass_mark();
                return Step::Ended;
            }
            self.in_call = true;
            self.resume(libc::PTRACE_SYSCALL);
        }
        self.end_of_call()
    }

    /// Lets go of it, behind the mark at its end.
    pub(crate) fn release(mut self, has_ended: bool) {
        if self.in_call {
            self.await_trap();
        }
        if !has_ended {
            self.resume(libc::PTRACE_CONT);
            self.await_trap();
            self.pass_mark();
        }
        self.resume(libc::PTRACE_DETACH);
    }

    /// Whether it sleeps, as the kernel says.
    fn sleeps(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_pid())).unwrap();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
    }

    fn end_of_call(&mut self) -> Step {
        for look in 0_u32.. {
            match waitpid(Some(self.pid), WaitOptions::NOHANG).unwrap() {
                Some((_, status)) => {
                    if self.trap_of(status).is_some() {
                        self.in_call = false;
                        return Step::Called;
                    }
                }
                None if look < QUICK_LOOKS => std::thread::yield_now(),
                // It may have returned between the two looks: then it is stopped, and does not sleep.
                None if self.sleeps() => return Step::Asleep,
                None => std::thread::sleep(LOOK_AGAIN),
            }
        }
        unreachable!()
    }

    /// Where it stands, and the number of the system call that it would make there.
    #[cfg(target_arch = "x86_64")]
    fn place(&self) -> (u64, u64) {
        let registers = self.registers();
        (registers.rip, registers.rax)
    }

    /// Where it stands, and the number of the system call that it would make there.
    #[cfg(target_arch = "aarch64")]
    fn place(&self) -> (u64, u64) {
        let registers = self.registers();
        (registers.pc, registers.regs[8])
    }

    fn registers(&self) -> libc::user_regs_struct {
        let mut registers = MaybeUninit::<libc::user_regs_struct>::uninit();
        let mut vector =
            libc::iovec { iov_base: registers.as_mut_ptr().cast(), iov_len: size_of_val(&registers) };
        let (pid, set) = (self.pid.as_raw_pid(), libc::NT_PRSTATUS);
        // SAFETY: the vector describes `registers`, which the kernel writes.
        let result = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, pid, set, &raw mut vector) };
        assert!(result == 0 && vector.iov_len == size_of_val(&registers), "ptrace: {result}");
        // SAFETY: the kernel has written all of it.
        unsafe { registers.assume_init() }
    }

    /// A break point leaves it behind the instruction.
    #[cfg(target_arch = "x86_64")]
    #[allow(clippy::unused_self)] // as below
    fn pass_mark(&self) {}

    /// A break point leaves it before the instruction.
    #[cfg(target_arch = "aarch64")]
    fn pass_mark(&self) {
        let mut registers = self.registers();
        registers.pc += 4;
        let mut vector =
            libc::iovec { iov_base: (&raw mut registers).cast(), iov_len: size_of_val(&registers) };
        let (pid, set) = (self.pid.as_raw_pid(), libc::NT_PRSTATUS);
        // SAFETY: the vector describes `registers`, which the kernel reads.
        let result = unsafe { libc::ptrace(libc::PTRACE_SETREGSET, pid, set, &raw mut vector) };
        assert_eq!(result, 0, "ptrace: {}", std::io::Error::last_os_error());
    }

    /// The instruction at `at`, and what follows it.
    fn code(&self, at: u64) -> u64 {
        // SAFETY: the request reads the child's memory, not ours, and returns what it read.
        let read = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.pid.as_raw_pid(), at, 0) };
        read.cast_unsigned()
    }

    fn resume(&mut self, request: libc::c_uint) {
        self.request = request;
        self.resume_with(0);
    }

    fn resume_with(&self, signal: i32) {
        // SAFETY: the request takes no pointers.
        let result = unsafe { libc::ptrace(self.request, self.pid.as_raw_pid(), 0, signal) };
        assert_eq!(result, 0, "ptrace: {}", std::io::Error::last_os_error());
    }

    /// Waits until it stops by a trap: which one.
    fn await_trap(&mut self) -> i32 {
        loop {
            let (_, status) = waitpid(Some(self.pid), WaitOptions::empty()).unwrap().expect("a child");
            if let Some(trap) = self.trap_of(status) {
                return trap;
            }
        }
    }

    /// The trap that stopped it. Other signals go to it, and it on.
    fn trap_of(&self, status: WaitStatus) -> Option<i32> {
        let signal = status.stopping_signal();
        let signal = signal.unwrap_or_else(|| panic!("the victim ended by itself: {status:?}"));
        if signal & !CALL_FLAG == libc::SIGTRAP {
            return Some(signal);
        }
        self.resume_with(signal);
        None
    }
}

/// Whether a system call may sleep until another process does something.
fn may_sleep(number: u64) -> bool {
    [libc::SYS_futex, libc::SYS_futex_waitv].contains(&number.cast_signed())
}

#[cfg(target_arch = "x86_64")]
fn is_call(code: u64) -> bool {
    code & 0xFFFF == 0x050F
}

#[cfg(target_arch = "x86_64")]
fn is_mark(code: u64) -> bool {
    code & 0xFF == 0xCC
}

#[cfg(target_arch = "aarch64")]
fn is_call(code: u64) -> bool {
    code & 0xFFFF_FFFF == 0xD400_0001
}

#[cfg(target_arch = "aarch64")]
fn is_mark(code: u64) -> bool {
    code & 0xFFFF_FFFF == 0xD420_0000
}
