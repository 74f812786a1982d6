//! Other pid namespaces, pids that mean nothing or are used again (guarantees G6 and G14): verdicts come from locks.

use rustix::process::{Pid, Signal, kill_process};
use shm_ring::{Consumer, End, Error, Producer, Receiver, Sender, inspect, repair};
use shm_tests::need::pid_namespace;
use shm_tests::{Need, Peer, Scratch, Test, peer, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        who_is_in_another_pid_namespace_is_alive_and_then_dead needs [Need::Program("unshare"), Need::Pids],
        a_pid_that_is_used_again_confuses_nobody needs [Need::Program("unshare"), Need::Pids],
        a_handle_outlives_the_thread_that_made_it,
    ]
}

/// Role: sits at both rings, and says as which process.
pub(crate) fn sit_in_a_namespace(arguments: &[String]) {
    let [one, many] = arguments else { panic!("{arguments:?}") };
    let mut producer = Producer::open(one).unwrap();
    let mut sender = Sender::open(many).unwrap();
    producer.send(b"from another namespace").unwrap();
    sender.send(b"from another namespace").unwrap();
    peer::say(&std::process::id().to_string());
    peer::stay();
}

/// Role, as the first process of a pid namespace: one comes and is killed, and another process of the same pid
/// lives on, as whoever asks for that pid would see.
pub(crate) fn use_a_pid_again(arguments: &[String]) {
    let [one, many] = arguments else { panic!("{arguments:?}") };
    let mut consumer = Consumer::open(one).unwrap();
    let mut receiver = Receiver::open(many).unwrap();
    let mut victim = Peer::start("sit in a namespace", &[one, many]);
    let pid: u32 = victim.hear().parse().unwrap();
    assert_eq!(pid, victim.pid());
    victim.kill();
    // The next process gets the same pid.
    let other = loop {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        if other.id() == pid {
            break other;
        }
        other.kill().unwrap();
        other.wait().unwrap();
    };
    let status = inspect(one).unwrap();
    assert!(status.participants.iter().any(|who| who.pid == pid && !who.alive), "{status:?}");
    assert_eq!(consumer.recv().unwrap().to_vec(), b"from another namespace");
    assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Died))));
    assert_eq!(receiver.recv().unwrap().to_vec(), b"from another namespace");
    assert!(matches!(receiver.recv(), Err(Error::Disconnected(End::Died))));
    let mut other = other;
    other.kill().unwrap();
    other.wait().unwrap();
    peer::say("told");
}

fn rings() -> (Scratch, String, String) {
    let scratch = Scratch::posix();
    let [one, many] = ["one", "many"].map(|name| scratch.name(name).as_str().to_owned());
    Producer::builder(&one).capacity(4096).create_ring().unwrap();
    Sender::builder(&many).capacity(4).participants(4).create_ring().unwrap();
    (scratch, one, many)
}

fn who_is_in_another_pid_namespace_is_alive_and_then_dead() {
    let (_scratch, one, many) = rings();
    let mut consumer = Consumer::open(&one).unwrap();
    let mut receiver = Receiver::open(&many).unwrap();
    let mut peer = Peer::start_through(pid_namespace(), "sit in a namespace", &[&one, &many]);
    assert_eq!(peer.hear(), "1", "as it numbers itself");
    for name in [&one, &many] {
        let status = inspect(name).unwrap();
        assert!(status.participants.iter().all(|who| who.alive), "{status:?}");
        assert!(repair(name).unwrap().dead.is_empty());
    }
    assert_eq!(consumer.recv().unwrap().to_vec(), b"from another namespace");
    assert_eq!(receiver.recv().unwrap().to_vec(), b"from another namespace");
    // As it is numbered here: the child of the wrapper.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", peer.pid())).unwrap();
    let inside = Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    kill_process(inside, Signal::KILL).unwrap();
    assert!(matches!(consumer.recv(), Err(Error::Disconnected(End::Died))));
    assert!(matches!(receiver.recv(), Err(Error::Disconnected(End::Died))));
}

fn a_pid_that_is_used_again_confuses_nobody() {
    let (_scratch, one, many) = rings();
    let mut peer = Peer::start_through(pid_namespace(), "use a pid again", &[&one, &many]);
    peer.expect("told");
    peer.finish();
}

fn a_handle_outlives_the_thread_that_made_it() {
    let (_scratch, one, many) = rings();
    let make = || (Producer::open(&one).unwrap(), Sender::open(&many).unwrap());
    let (mut producer, mut sender) = std::thread::scope(|scope| scope.spawn(make).join().unwrap());
    let mut consumer = Consumer::builder(&one).backstop(false).open().unwrap();
    let mut receiver = Receiver::builder(&many).backstop(false).open().unwrap();
    for name in [&one, &many] {
        assert!(inspect(name).unwrap().participants.iter().all(|who| who.alive));
    }
    let asleep =
        std::thread::spawn(move || (consumer.recv().unwrap().to_vec(), receiver.recv().unwrap().to_vec()));
    producer.send(b"still here").unwrap();
    sender.send(b"still here").unwrap();
    assert_eq!(asleep.join().unwrap(), (b"still here".to_vec(), b"still here".to_vec()));
}
