//! A directory of rings for each test, and the program running in it.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use shm_tests::Scratch;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// After this long a program is taken to hang.
pub(crate) const FUSE: Duration = shm_tests::FUSE;
/// Between two looks at something that another process is about to do.
const LOOK: Duration = Duration::from_millis(2);

/// A directory of rings. Removed with all that is in it.
pub(crate) struct Place {
    scratch: Scratch,
}

/// The program while it runs. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    /// Its standard input, if it is not closed yet.
    pub(crate) stdin: Option<ChildStdin>,
    /// Its standard output, if it is not taken away.
    pub(crate) stdout: Option<BufReader<ChildStdout>>,
    arguments: String,
    _watchdog: Sender<()>,
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// Its exit status; 128 and the signal's number more if a signal killed it.
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { scratch: Scratch::private() }
    }

    /// A place with a ring `ring` of the given capacity.
    pub(crate) fn with_ring(capacity: &str) -> Self {
        let place = Self::new();
        place.ok(&["create", "ring", "--capacity", capacity]);
        place
    }

    /// The path of a name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(self.scratch.directory()).join(name)
    }

    /// Starts the program.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.start_between(arguments, Stdio::piped(), Stdio::piped())
    }

    /// Starts the program with its output going elsewhere.
    pub(crate) fn start_into(&self, arguments: &[&str], stdout: impl Into<Stdio>) -> Running {
        self.start_between(arguments, Stdio::piped(), stdout)
    }

    /// Starts the program with its input coming from elsewhere as well.
    pub(crate) fn start_between(
        &self,
        arguments: &[&str],
        stdin: impl Into<Stdio>,
        stdout: impl Into<Stdio>,
    ) -> Running {
        Running::start(arguments, &self.path(""), stdin.into(), stdout.into())
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Done {
        let mut running = self.start(arguments);
        let mut stdin = running.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // A program that ends before it has read everything closes the pipe: no fault of the test's.
            scope.spawn(move || drop(stdin.write_all(input)));
            running.finish()
        })
    }

    /// Runs the program, which must succeed and say nothing on standard error; what it prints.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, b"")
    }

    /// As [`ok`](Self::ok), with input.
    pub(crate) fn ok_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let done = self.run(arguments, input);
        assert_eq!((done.status, done.stderr.as_str()), (0, ""), "{arguments:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// What `stat --json` says of the ring `ring`.
    pub(crate) fn stat(&self) -> Value {
        serde_json::from_str(&self.ok(&["stat", "ring", "--json"])).unwrap()
    }

    /// A number in it.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.stat()[key].as_u64().unwrap()
    }

    /// Waits until `stat` shows what is expected.
    pub(crate) fn until(&self, what: &str, expected: impl Fn(&Value) -> bool) {
        let start = Instant::now();
        loop {
            let stat = self.stat();
            if expected(&stat) {
                return;
            }
            assert!(start.elapsed() < FUSE, "not {what}: {stat}");
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until the process lives at the ring.
    pub(crate) fn until_attached(&self, running: &Running) {
        let pid = running.pid();
        let attached = |who: &Value| who["pid"] == pid && who["alive"] == true;
        self.until("attached", |stat| stat["participants"].as_array().unwrap().iter().any(attached));
    }

    /// Waits until so many messages were sent.
    pub(crate) fn until_sent(&self, count: u64) {
        self.until("sent", |stat| stat["sent"] == count);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.path(""));
    }
}

impl Running {
    fn start(arguments: &[&str], directory: &Path, stdin: Stdio, stdout: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shmring"))
            .args(arguments)
            .env("SHMRING_DIR", directory)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (watchdog, ended) = channel();
        let pid = Pid::from_child(&child);
        std::thread::spawn(move || {
            if ended.recv_timeout(FUSE) == Err(RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Self { child, stdin, stdout, arguments: arguments.join(" "), _watchdog: watchdog }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives it input.
    pub(crate) fn write(&mut self, input: &str) {
        self.stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
    }

    /// Closes its input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The next line of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "`{}` ended after {line:?}", self.arguments);
        line.trim_end().to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it, and returns when it is gone.
    pub(crate) fn kill(mut self) -> Vec<u8> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut stdout = Vec::new();
        self.stdout.take().map(|mut pipe| pipe.read_to_end(&mut stdout));
        stdout
    }

    /// Waits for its end.
    pub(crate) fn finish(&mut self) -> Done {
        let (mut stdout, mut stderr) = (Vec::new(), String::new());
        if let Some(pipe) = &mut self.stdout {
            pipe.read_to_end(&mut stdout).unwrap();
        }
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        let status = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap();
        assert_ne!(status, 128 + 9, "`{}` hangs; it said {stderr:?}", self.arguments);
        Done { status, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Done {
    /// Checks the exit status, and what was said on standard error: nothing, or one line with `message` in it.
    #[track_caller]
    pub(crate) fn expect(self, status: i32, message: &str) -> String {
        assert_eq!(self.status, status, "{:?}", self.stderr);
        if message.is_empty() {
            assert_eq!(self.stderr, "");
        } else {
            assert!(
                self.stderr.starts_with("shmring: ") && self.stderr.contains(message),
                "{:?}",
                self.stderr
            );
            assert!(self.stderr.ends_with('\n') && self.stderr.lines().count() == 1, "{:?}", self.stderr);
        }
        String::from_utf8(self.stdout).unwrap()
    }
}

/// Numbered lines.
pub(crate) fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

/// A pipe's ends, for a program whose output nobody reads.
pub(crate) struct Unread {
    pub(crate) reader: std::io::PipeReader,
    writer: std::io::PipeWriter,
}

impl Unread {
    pub(crate) fn new() -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        // Otherwise it holds sixteen pages, which may be a mebibyte.
        rustix::pipe::fcntl_setpipe_size(&writer, 1 << 16).unwrap();
        Self { reader, writer }
    }

    /// The end that goes to the program.
    pub(crate) fn output(&self) -> Stdio {
        self.writer.try_clone().unwrap().into()
    }

    /// Waits until nothing more goes in; how many bytes are in.
    pub(crate) fn until_full(&self) -> u64 {
        let start = Instant::now();
        let takes_more = || {
            let mut ends = [PollFd::new(&self.writer, PollFlags::OUT)];
            poll(&mut ends, Some(&Timespec::default())).unwrap() > 0
        };
        while takes_more() {
            assert!(start.elapsed() < FUSE, "the pipe does not fill");
            std::thread::sleep(LOOK);
        }
        rustix::io::ioctl_fionread(&self.reader).unwrap()
    }
}
