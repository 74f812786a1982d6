//! Processes in a role: copies of the running test program that talk with their test in lines.

use crate::FUSE;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// Says to a copy of the program that it is to play a role and run no tests.
const ROLE_VARIABLE: &str = "SHM_TESTS_ROLE";

/// What a process does in a role, given its arguments.
pub type Role = fn(&[String]);

/// A process in a role. Killed when dropped, and when the thread that started it ends.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    answers: BufReader<ChildStdout>,
    role: String,
}

impl Peer {
    /// Starts a copy of this program in `role`.
    pub fn start(role: &str, arguments: &[&str]) -> Self {
        Self::spawn(Command::new(std::env::current_exe().unwrap()), role, arguments)
    }

    /// Starts a copy of this program in `role`, by way of another program such as `unshare`.
    pub fn start_through(wrapper: &[&str], role: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(std::env::current_exe().unwrap());
        Self::spawn(command, role, arguments)
    }

    fn spawn(mut command: Command, role: &str, arguments: &[&str]) -> Self {
        command.env(ROLE_VARIABLE, role).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers, role: role.to_owned() }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that the process says; empty when it has ended.
    pub fn hear(&mut self) -> String {
        if self.answers.buffer().is_empty() {
            self.await_readable(self.answers.get_ref().as_fd());
        }
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Hears a line and fails unless it is `expected`.
    pub fn expect(&mut self, expected: &str) {
        assert_eq!(self.hear(), expected, "process {} ({})", self.pid(), self.role);
    }

    /// Says a line to the process, which [listens](listen).
    pub fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Sends a signal. The process may have ended, but was not waited for: no other has its id.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Kills the process, and returns when the kernel says that it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{} ended by itself: {status}", self.role);
    }

    /// Waits for the process to end, with its standard input closed.
    pub fn status(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        let ended = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).unwrap();
        self.await_readable(ended.as_fd());
        self.child.wait().unwrap()
    }

    /// Waits for the process to end, and fails if it failed.
    pub fn finish(mut self) {
        let status = self.status();
        assert!(status.success(), "{} ended with {status}", self.role);
    }

    fn await_readable(&self, file: std::os::fd::BorrowedFd<'_>) {
        let fuse = FUSE.try_into().unwrap();
        let ready = poll(&mut [PollFd::from_borrowed_fd(file, PollFlags::IN)], Some(&fuse)).unwrap();
        assert_ne!(ready, 0, "{} (process {}) hangs", self.role, self.pid());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a role: says a line to the test.
pub fn say(line: &str) {
    println!("{line}");
}

/// In a role: the next line from the test; `None` when the test has nothing more to say, or has ended.
pub fn listen() -> Option<String> {
    let mut line = String::new();
    let bytes = std::io::stdin().read_line(&mut line).unwrap();
    (bytes > 0).then(|| line.trim_end().to_owned())
}

/// In a role: waits until the test has nothing more to say.
pub fn stay() {
    while listen().is_some() {}
}

/// Plays the role that the environment asks for; `false` when it asks for none.
pub(crate) fn play(roles: &[(&str, Role)]) -> bool {
    let Ok(role) = std::env::var(ROLE_VARIABLE) else {
        return false;
    };
    // Children must not outlive a test that was killed. Cleared by programs that change the user.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let play = roles.iter().find(|(name, _)| *name == role).expect("a known role").1;
    play(&arguments);
    true
}
