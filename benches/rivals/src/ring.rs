//! The MPMC ring between processes: each participant is one.

use crate::payload::{self, BYTES, Check};
use crate::{Case, pin};
use shm_ring::{End, Error, Receiver, Sender, remove_forced};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The first argument of a participant's process.
pub const CHILD: &str = "take-part";

/// A ring's name that goes with this value.
struct Scratch(String);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_forced(&self.0);
    }
}

pub fn measure(case: &Case) -> Duration {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).expect("random bytes");
    let name = Scratch(format!("shm-rivals-{}-{:x}", std::process::id(), u64::from_le_bytes(random)));
    let ring = Sender::builder(&name.0).capacity(case.capacity).max_message(BYTES as u64);
    ring.create_ring().expect("room in /dev/shm");
    let mut children: Vec<Child> = (0..2 * case.pairs).map(|who| start(&name.0, who, case)).collect();
    let mut lines: Vec<_> =
        children.iter_mut().map(|child| BufReader::new(child.stdout.take().expect("piped"))).collect();
    lines.iter_mut().for_each(|lines| assert_eq!(hear(lines), ["ready"]));
    for child in &mut children {
        child.stdin.take().expect("piped").write_all(b"go\n").expect("it waits for that");
    }
    let (mut began, mut ended, mut received, mut sum) = (u64::MAX, 0, 0, 0_u64);
    for lines in &mut lines {
        let numbers: Vec<u64> = hear(lines).iter().map(|word| word.parse().expect("a number")).collect();
        began = began.min(numbers[0]);
        ended = ended.max(numbers[1]);
        received += numbers[2];
        sum = sum.wrapping_add(numbers[3]);
    }
    for mut child in children {
        assert!(child.wait().expect("our child").success());
    }
    assert_eq!(received, case.messages());
    assert_eq!(sum, payload::sum(case.pairs, case.each));
    Duration::from_nanos(ended - began)
}

fn start(name: &str, who: u64, case: &Case) -> Child {
    let program = std::env::current_exe().expect("our own program");
    let numbers = [who, case.pairs, case.each].map(|number| number.to_string());
    let mut command = Command::new(program);
    command.arg(CHILD).arg(name).args(numbers).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("a process")
}

fn hear(lines: &mut impl BufRead) -> Vec<String> {
    let mut line = String::new();
    lines.read_line(&mut line).expect("a participant's line");
    line.split_whitespace().map(str::to_owned).collect()
}

/// Sends or receives, as the arguments say; prints when it began and ended, and what it received.
pub fn take_part(arguments: &[String]) {
    let name = &arguments[0];
    let number = |at: usize| arguments[at].parse::<u64>().expect("a number");
    let (who, pairs, each) = (number(1), number(2), number(3));
    let (role, sends) = (who / 2, who % 2 == 0);
    pin(if sends { role } else { role + 1 });
    let mut check = Check::new(pairs);
    let began;
    if sends {
        let mut sender = Sender::open(name).expect("the ring");
        began = ready();
        for number in 0..each {
            sender.send(&payload::message(role, number)).expect("sent");
        }
        sender.close();
    } else {
        let mut receiver = Receiver::open(name).expect("the ring");
        let mut buffer = [0; BYTES];
        began = ready();
        loop {
            match receiver.recv_into(&mut buffer) {
                Ok((length, _)) => check.take(&buffer[..length]),
                Err(Error::Disconnected(End::Closed)) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    println!("{began} {} {} {}", now(), check.received, check.sum);
}

/// Waits until all are there.
fn ready() -> u64 {
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the start");
    now()
}

fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
