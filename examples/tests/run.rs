//! Runs every example: it prints what it says it does, ends in time, and leaves no object behind, even
//! when it fails on the way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a panic is the verdict

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// An example that takes longer hangs.
const FUSE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(5);

/// Kills what still runs when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        self.debris(); // which removes it: a killed example could not
    }
}

impl Running {
    fn start(program: &str, output: Stdio) -> Self {
        Self(Command::new(program).stdout(output).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn end(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < FUSE, "it hangs");
            std::thread::sleep(LOOK);
        }
    }

    /// Names in `/dev/shm` that belong to it.
    fn debris(&self) -> Vec<String> {
        let prefix = format!("{}{}-", shm_examples::PREFIX, self.0.id());
        let names = shm_core::Directory::posix().names().unwrap();
        let ours = names.iter().filter(|name| name.as_str().starts_with(&prefix));
        let ours: Vec<String> = ours.map(|name| name.as_str().to_owned()).collect();
        for name in &ours {
            let _ = std::fs::remove_file(std::path::Path::new("/dev/shm").join(name));
        }
        ours
    }
}

/// What the example prints is exactly these lines.
fn prints(program: &str, expected: &[&str]) {
    let before = segments_of(program);
    let mut running = Running::start(program, Stdio::piped());
    let status = running.end();
    let (mut output, mut errors) = (String::new(), String::new());
    running.0.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    running.0.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(running.debris(), [""; 0]);
    assert_eq!(left_by(program, &before), [0; 0]);
    assert!(status.success(), "{status}\n{output}{errors}");
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);

    // The same without anybody to print to: it fails at its first line, and tidies up.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut running = Running::start(program, writer.into());
    assert!(!running.end().success());
    assert_eq!(running.debris(), [""; 0], "left by a failure");
    assert_eq!(left_by(program, &before), [0; 0], "left by a failure");
}

/// System V segments that the example has left: not those that were there before.
fn left_by(program: &str, before: &[i32]) -> Vec<i32> {
    segments_of(program).into_iter().filter(|id| !before.contains(id)).collect()
}

/// Those that look as if the example had left them.
fn segments_of(program: &str) -> Vec<i32> {
    if !program.ends_with("sysv") && !program.ends_with("zone") {
        return Vec::new();
    }
    let is_left = |segment: &&shm_core::sysv::Stat| {
        segment.bytes == shm_examples::letter::LETTER_BYTES && segment.is_stale()
    };
    shm_core::sysv::list().unwrap().iter().filter(is_left).map(|segment| segment.id).collect()
}

#[test]
fn hello() {
    prints(env!("CARGO_BIN_EXE_01_hello"), &["received: hello through shared memory"]);
}

#[test]
fn typed() {
    prints(
        env!("CARGO_BIN_EXE_02_typed"),
        &[
            "the ring has room for 1024 ticks",
            "1 at 100.25",
            "2 at 100.5",
            "3 at 100.75",
            "4 at 101",
            "10 in all",
            "refused: the ring carries values of another type than [u64; 2] (name, size, alignment or schema \
             differ); use the type it was created with, or create it anew",
        ],
    );
}

#[test]
fn in_place() {
    prints(
        env!("CARGO_BIN_EXE_03_in_place"),
        &["a message of 264 bytes with tag 1", "256 pixels, the last is 255", "caption: a gentle ramp"],
    );
}

#[test]
fn waiting() {
    prints(
        env!("CARGO_BIN_EXE_04_waiting"),
        &[
            "try_recv: nothing there",
            "recv_timeout: nothing came",
            "send_and_close: 9 bytes, then Closed: it said that this was all",
            "send_and_leave: 9 bytes, then Dropped: it left without closing",
            "try_send: full after 3 messages",
            "send_timeout: no space came",
            "send: a message of 64 bytes exceeds this ring's limit of 24; split it, or create a ring with more \
             capacity",
        ],
    );
}

#[test]
fn crash() {
    prints(
        env!("CARGO_BIN_EXE_05_crash"),
        &[
            "received 100000 messages; killing the producer",
            "received the rest of what it sent, none missing; then told: Died",
            "a new producer went on with 1000 messages; then told: Closed",
        ],
    );
}

#[test]
fn raw_region() {
    prints(
        env!("CARGO_BIN_EXE_06_raw_region"),
        &[
            "6 times 7 is 42, says another process",
            "refused: 8 bytes at offset 4090 do not lie within a region of 4096 bytes",
            "without its name the object still holds 42",
        ],
    );
}

const GREETING: &str = "ipc client get: hello share memory ipc! i'm server.";

/// Kinds of memory whose examples print the same.
#[test]
fn kinds_of_memory() {
    for program in [
        env!("CARGO_BIN_EXE_posix"),
        env!("CARGO_BIN_EXE_sysv"),
        env!("CARGO_BIN_EXE_anonymous"),
        env!("CARGO_BIN_EXE_dev_zero"),
        env!("CARGO_BIN_EXE_zone"),
        env!("CARGO_BIN_EXE_memfd"),
    ] {
        prints(program, &[GREETING]);
    }
}

#[test]
fn file() {
    let lines = [
        GREETING,
        "the mapping says: memory map me",
        "the file says: memory map me",
        "the mapping says: txt changed!",
        "the file says: txt changed!",
    ];
    prints(env!("CARGO_BIN_EXE_file"), &lines);
}

#[test]
fn private() {
    let lines = [
        GREETING,
        "the snapshot says: changed by its client",
        "the original says: hello share memory ipc! i'm server.",
    ];
    prints(env!("CARGO_BIN_EXE_private"), &lines);
}

#[test]
fn sealed() {
    let lines = ["order: buy 10", "order: sell 7", "order: cancel", "that was all of them"];
    prints(env!("CARGO_BIN_EXE_sealed"), &lines);
}
