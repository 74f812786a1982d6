//! Who sits where, between processes.

use shm_ring::{Consumer, End, Error, Producer, Role, inspect};
use shm_tests::{Peer, Rings, Test, peer, tests};
use std::os::unix::process::CommandExt;
use std::time::Duration;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_second_producer_is_told_who_the_first_is,
        a_successor_waits_for_the_kernel_to_let_go,
        exec_is_a_death,
        a_zombie_is_dead,
        a_ring_in_use_is_not_removed_and_names_its_users,
    ]
}

/// Role: sits as a producer until the test says otherwise; closes then.
pub(crate) fn sit_as_producer(arguments: &[String]) {
    let producer = Producer::open(&arguments[0]).unwrap();
    // Memory whose tearing down keeps the seat for a while after a kill.
    let ballast = vec![1_u8; arguments[1].parse().unwrap()];
    peer::say("sitting");
    peer::stay();
    drop(ballast);
    producer.close();
}

/// Role: sits as a producer, and executes another program when the test says so.
pub(crate) fn become_another_program(arguments: &[String]) {
    let mut producer = Producer::open(&arguments[0]).unwrap();
    producer.send(b"last words").unwrap();
    peer::say("sitting");
    peer::listen();
    let error = std::process::Command::new("sleep").arg("60").exec();
    panic!("exec failed: {error}");
}

fn a_second_producer_is_told_who_the_first_is() {
    let rings = Rings::new();
    let name = rings.ring("second");
    let mut consumer = Consumer::create(name.as_str()).unwrap();
    let mut first = Peer::start("sit as producer", &[name.as_str(), "0"]);
    first.expect("sitting");
    let second = Producer::builder(name.as_str()).attach_timeout(Duration::from_millis(20)).open();
    assert!(matches!(second, Err(Error::SeatTaken { role: Role::Producer, pid }) if pid == first.pid()));
    first.finish();
    assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Closed))));
    assert!(Producer::open(name.as_str()).is_ok());
}

fn a_successor_waits_for_the_kernel_to_let_go() {
    let rings = Rings::new();
    let name = rings.ring("successor");
    let mut consumer = Consumer::create(name.as_str()).unwrap();
    for _ in 0..5 {
        let mut dying = Peer::start("sit as producer", &[name.as_str(), "200000000"]);
        dying.expect("sitting");
        dying.signal(rustix::process::Signal::KILL);
        // At once, while the kernel still takes the dead one's memory down.
        let successor = Producer::builder(name.as_str()).attach_timeout(shm_tests::FUSE).open().unwrap();
        assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Died))));
        successor.close();
        assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Closed))));
    }
}

fn exec_is_a_death() {
    let rings = Rings::new();
    let name = rings.ring("exec");
    let mut consumer = Consumer::create(name.as_str()).unwrap();
    let mut process = Peer::start("become another program", &[name.as_str()]);
    process.expect("sitting");
    process.tell("exec");
    assert_eq!(consumer.recv().unwrap().to_vec(), b"last words");
    assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Died))));
    assert!(Producer::open(name.as_str()).is_ok());
}

fn a_zombie_is_dead() {
    let rings = Rings::new();
    let name = rings.ring("zombie");
    let mut consumer = Consumer::create(name.as_str()).unwrap();
    let mut process = Peer::start("sit as producer", &[name.as_str(), "0"]);
    process.expect("sitting");
    process.signal(rustix::process::Signal::KILL);
    // Not waited for: `kill(pid, 0)` calls it alive until the end of this function.
    assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Died))));
    let pid = rustix::process::Pid::from_raw(process.pid().cast_signed()).unwrap();
    assert!(rustix::process::test_kill_process(pid).is_ok());
}

fn a_ring_in_use_is_not_removed_and_names_its_users() {
    let rings = Rings::new();
    let name = rings.ring("use");
    drop(Producer::create(name.as_str()).unwrap());
    let mut process = Peer::start("sit as producer", &[name.as_str(), "0"]);
    process.expect("sitting");
    let refused = shm_ring::remove(name.as_str());
    assert!(
        matches!(&refused, Err(Error::InUse(who)) if who.len() == 1 && who[0].pid == process.pid() && who[0].alive),
        "{refused:?}"
    );
    process.kill();
    let who = inspect(name.as_str()).unwrap().participants;
    assert!(matches!(who[..], [who] if !who.alive && who.role == Role::Producer), "{who:?}");
    shm_ring::remove(name.as_str()).unwrap();
}
