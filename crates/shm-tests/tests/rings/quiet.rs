//! Sides with nothing to do.

use shm_ring::{Consumer, Producer, WaitStrategy};
use shm_tests::{Peer, Rings, Test, peer, tests};
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Test> {
    tests![an_idle_reader_takes_no_time_and_is_there_at_once, a_line_of_pings_wakes_sleepers]
}

/// Role: receives messages and says them.
pub(crate) fn receive_and_say(arguments: &[String]) {
    let mut consumer = Consumer::open(&arguments[0]).unwrap();
    peer::say("receiving");
    for message in consumer.iter() {
        peer::say(&String::from_utf8(message.unwrap().bytes).unwrap());
    }
}

/// Processor time of a process, in clock ticks of 10 ms, and how often it went to sleep.
fn usage(pid: u32) -> (u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    (ticks, line.trim().parse().unwrap())
}

fn an_idle_reader_takes_no_time_and_is_there_at_once() {
    let rings = Rings::new();
    let name = rings.ring("idle");
    let mut producer = Producer::create(name.as_str()).unwrap();
    let mut reader = Peer::start("receive and say", &[name.as_str()]);
    reader.expect("receiving");
    producer.send(b"before").unwrap();
    reader.expect("before");
    let (began, (ticks, sleeps)) = (Instant::now(), usage(reader.pid()));
    std::thread::sleep(Duration::from_secs(3));
    let (ticks_after, sleeps_after) = usage(reader.pid());
    // By the time that has really passed, which is longer where the machine stands still.
    let (ticks, sleeps) = (ticks_after - ticks, sleeps_after - sleeps);
    let slices = u64::try_from(began.elapsed().as_millis()).unwrap() / 100;
    assert!(sleeps <= slices + 2, "{sleeps} wake-ups while idle for {slices} slices");
    // One tick in three seconds, for what the ten wake-ups a second may add up to.
    assert!(ticks <= slices / 30, "{ticks} ticks of 10 ms while idle for {slices} slices");
    producer.send(b"after").unwrap();
    reader.expect("after");
    producer.close();
    reader.finish();
}

/// Both sides sleep before each message, with no backstop: a wake-up that is lost ends the test at its fuse.
fn a_line_of_pings_wakes_sleepers() {
    let rings = Rings::new();
    let (there, back) = (rings.ring("there"), rings.ring("back"));
    let strategy = WaitStrategy::Sleep;
    let mut producer = Producer::builder(there.as_str()).wait(strategy).backstop(false).create().unwrap();
    let mut consumer = Consumer::builder(back.as_str()).wait(strategy).backstop(false).create().unwrap();
    let (there, back) = (there.to_string(), back.to_string());
    let echo = std::thread::spawn(move || {
        let mut consumer = Consumer::builder(&there).wait(strategy).backstop(false).open().unwrap();
        let mut producer = Producer::builder(&back).wait(strategy).backstop(false).open().unwrap();
        for message in consumer.iter() {
            producer.send(&message.unwrap().bytes).unwrap();
        }
    });
    const PINGS: u64 = 20_000;
    for ping in 0..PINGS {
        producer.send(&ping.to_le_bytes()).unwrap();
        assert_eq!(consumer.recv_timeout(shm_tests::FUSE).unwrap().to_vec(), ping.to_le_bytes());
    }
    producer.close();
    echo.join().unwrap();
}
