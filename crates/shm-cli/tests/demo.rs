//! `shmring demo`: what it shows, that it says so as documented, and that nothing stays behind however it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a panic is the verdict

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};
use shm_tests::{FUSE, Scratch};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Enough to be in the middle of for as long as a test needs.
const MANY: &str = "100000000";
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// A demonstration whose rings live in a directory of their own. Killed when dropped.
struct Demo {
    child: Child,
}

impl Demo {
    /// One that gives up later than whoever waits for it.
    fn start(directory: &Scratch, arguments: &[&str]) -> Self {
        Self::limited(directory, "--limit=1h", arguments)
    }

    fn limited(directory: &Scratch, limit: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shmring"));
        command.env("SHMRING_DIR", directory.directory()).args(["demo", limit]).args(arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self { child: child.unwrap() }
    }

    /// The processes that it started and that have not ended.
    fn started(&self) -> Vec<String> {
        started_by(self.child.id())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end: the exit status, standard output and standard error.
    fn end(mut self) -> (Option<i32>, String, String) {
        until("the demonstration ends", || self.child.try_wait().unwrap().is_some());
        let read = |pipe: &mut dyn std::io::Read| {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        };
        let stdout = read(self.child.stdout.as_mut().unwrap());
        let stderr = read(self.child.stderr.as_mut().unwrap());
        let code = self.child.wait().unwrap().code();
        (code, stdout, stderr)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes that the demonstration of that process id started and that have not ended.
fn started_by(id: u32) -> Vec<String> {
    let conductor = format!("--conductor={id}");
    let processes = std::fs::read_dir("/proc").unwrap();
    let ours = processes.filter_map(|entry| {
        let path = entry.unwrap().path();
        let arguments = std::fs::read(path.join("cmdline")).ok()?;
        let mut arguments = arguments.split(|byte| *byte == 0);
        arguments.any(|argument| argument == conductor.as_bytes()).then(|| path.display().to_string())
    });
    ours.collect()
}

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < FUSE, "not before the fuse burnt down: {what}");
        std::thread::sleep(LOOK);
    }
}

fn keys(object: &Map<String, Value>) -> Vec<&str> {
    let mut keys: Vec<&str> = object.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn one_that_takes_too_long_gives_up_and_leaves_nothing() {
    let directory = Scratch::private();
    let demo = Demo::limited(&directory, "--limit=10ms", &[&format!("--messages={MANY}")]);
    let conductor = demo.child.id();
    let (code, stdout, stderr) = demo.end();
    assert_eq!((code, stdout.as_str()), (Some(3), ""), "{stderr}");
    assert!(stderr.contains("not done after 10ms"), "{stderr}");
    until("all that it started has ended", || started_by(conductor).is_empty());
    assert_eq!(directory.listing(), [""; 0]);
}

#[test]
fn json_says_that_everything_was_verified_and_read() {
    let directory = Scratch::private();
    let demo = Demo::start(&directory, &["--json", "--messages=20000", "--round-trips=200", "--kills=12"]);
    let (code, stdout, stderr) = demo.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));

    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(keys(json.as_object().unwrap()), ["crowd", "kill", "transports"]);
    let transports = json["transports"].as_array().unwrap();
    let names: Vec<&str> = transports.iter().map(|found| found["transport"].as_str().unwrap()).collect();
    assert_eq!(names, ["ring", "pipe", "unix", "tcp"]);
    for figures in transports {
        let expected = [
            "gb_per_s",
            "messages",
            "messages_per_s",
            "rtt_p50_ns",
            "rtt_p999_ns",
            "rtt_p99_ns",
            "transport",
            "verified",
        ];
        assert_eq!(keys(figures.as_object().unwrap()), expected);
        assert_eq!((figures["messages"].as_u64(), figures["verified"].as_u64()), (Some(20000), Some(20000)));
        assert!(figures["messages_per_s"].as_f64() > Some(0.0) && figures["gb_per_s"].as_f64() > Some(0.0));
        let quantile = |name: &str| figures[name].as_u64().unwrap();
        assert!(0 < quantile("rtt_p50_ns") && quantile("rtt_p50_ns") <= quantile("rtt_p99_ns"));
        assert!(quantile("rtt_p99_ns") <= quantile("rtt_p999_ns"));
    }
    let kill = json["kill"].as_object().unwrap();
    assert_eq!(keys(kill), ["published", "read", "told"]);
    assert!(kill["published"].as_u64() > Some(10000), "killed in the middle");
    assert_eq!((&kill["read"], &kill["told"]), (&kill["published"], &Value::from("died")));
    let crowd = |key: &str| json["crowd"][key].as_u64().unwrap();
    assert_eq!((crowd("senders"), crowd("receivers"), crowd("killed")), (4, 4, 12));
    assert!(crowd("sent") > 0 && crowd("lost") <= crowd("killed_receivers"));
    assert_eq!((crowd("sent") - crowd("received"), crowd("repeated")), (crowd("lost"), 0));
    assert_eq!(directory.listing(), [""; 0]);
}

#[test]
fn an_interrupt_among_many_leaves_nothing() {
    let directory = Scratch::private();
    let demo = Demo::start(&directory, &["--messages=1", "--round-trips=1", "--kills=100000"]);
    until("all eight are there", || demo.started().len() >= 8);
    demo.signal(Signal::INT);
    let id = demo.child.id();
    assert_eq!(demo.end().0, Some(130));
    assert!(started_by(id).is_empty(), "its processes ended before it did");
    assert_eq!(directory.listing(), [""; 0]);
}

#[test]
fn the_table_is_for_people() {
    let directory = Scratch::private();
    let (code, stdout, stderr) =
        Demo::start(&directory, &["--messages=1", "--round-trips=1", "--kills=2"]).end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for transport in ["ring ", "pipe ", "unix ", "tcp "] {
        assert_eq!(stdout.lines().filter(|line| line.starts_with(transport)).count(), 1, "{stdout}");
    }
    assert!(stdout.contains("told that the producer died"), "{stdout}");
    assert!(stdout.contains("2 in all") && stdout.contains("0 came twice, 0 of the living"), "{stdout}");
}

/// Sends a signal while messages go through a ring.
fn in_the_middle(signal: Signal, code: Option<i32>) {
    let directory = Scratch::private();
    let demo = Demo::start(&directory, &["--messages", MANY]);
    until("rings and both processes are there", || {
        demo.started().len() == 2 && directory.listing().len() == 2
    });
    demo.signal(signal);
    let id = demo.child.id();
    let (found, stdout, _) = demo.end();
    assert_eq!((found, stdout.as_str()), (code, ""));
    // The process has ended: its number is all that is looked for.
    let gone = || started_by(id).is_empty();
    if code.is_some() {
        assert!(gone(), "its processes ended before it did");
        assert_eq!(directory.listing(), [""; 0]);
    } else {
        until("its processes end", gone);
        until("its rings are gone", || directory.listing().is_empty());
    }
}

#[test]
fn an_interrupt_leaves_nothing() {
    in_the_middle(Signal::INT, Some(130));
}

#[test]
fn a_request_to_terminate_leaves_nothing() {
    in_the_middle(Signal::TERM, Some(143));
}

#[test]
fn a_kill_leaves_nothing() {
    in_the_middle(Signal::KILL, None);
}

#[test]
fn a_process_that_fails_fails_the_demonstration() {
    let directory = Scratch::private();
    let demo = Demo::start(&directory, &["--messages", MANY]);
    until("both processes are there", || demo.started().len() == 2);
    let process = demo.started().pop().unwrap();
    let number = process.rsplit('/').next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(number).unwrap(), Signal::KILL).unwrap();
    let (code, stdout, stderr) = demo.end();
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("shmring: the ") && stderr.lines().count() == 1, "{stderr}");
    assert_eq!(directory.listing(), [""; 0]);
}

#[test]
fn a_directory_that_is_not_there_is_told_of() {
    let directory = Scratch::private();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmring"));
    let missing = format!("{}/missing", directory.directory());
    let output = command.env("SHMRING_DIR", &missing).args(["demo", "--messages=1"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.starts_with("shmring: the directory of rings, ") && stderr.contains(&missing), "{stderr}");
}
