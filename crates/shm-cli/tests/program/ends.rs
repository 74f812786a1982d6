//! When things end: how streams begin and end, and who is told.

use crate::harness::{Place, numbers};

#[test]
fn an_end_is_told_to_the_receiver_that_is_there_and_to_nobody_else() {
    let place = Place::with_ring("64KiB");
    let mut receiver = place.start(&["recv", "ring"]);
    place.until_attached(&receiver);
    place.ok_with(&["send", "ring"], b"a\n");
    assert_eq!(receiver.finish().expect(0, ""), "a\n");
    // Told: whoever comes now waits for the next sender.
    place.run(&["recv", "ring", "--timeout", "200ms"], b"").expect(3, "no message came");
    let mut receiver = place.start(&["recv", "ring"]);
    place.until_attached(&receiver);
    place.ok_with(&["send", "ring"], b"b\n");
    assert_eq!(receiver.finish().expect(0, ""), "b\n");
}

#[test]
fn an_end_that_nobody_heard_is_told_to_the_next_receiver() {
    let place = Place::with_ring("64KiB");
    place.ok_with(&["send", "ring"], b"");
    assert_eq!(place.ok(&["recv", "ring"]), "");
    place.ok_with(&["send", "ring"], b"a\nb\n");
    assert_eq!(place.ok(&["recv", "ring"]), "a\nb\n");
    place.run(&["recv", "ring", "--timeout", "100ms"], b"").expect(3, "no message came");
}

#[test]
fn a_sender_that_is_killed_is_told_of_after_what_it_sent() {
    let place = Place::with_ring("64KiB");
    for receiver_first in [true, false] {
        let sent = place.number("sent");
        let mut receiver = receiver_first.then(|| place.start(&["recv", "ring"]));
        let mut sender = place.start(&["send", "ring"]);
        sender.write("one\ntwo\nhalf a li");
        place.until_sent(sent + 2);
        sender.kill();
        let mut receiver = receiver.take().unwrap_or_else(|| place.start(&["recv", "ring"]));
        assert_eq!(receiver.finish().expect(4, "the sender died"), "one\ntwo\n");
        // A new sender continues.
        place.ok_with(&["send", "ring"], b"three\n");
        assert_eq!(place.ok(&["recv", "ring"]), "three\n");
    }
}

#[test]
fn following_survives_every_end() {
    let place = Place::with_ring("64KiB");
    let mut receiver = place.start(&["recv", "ring", "--follow"]);
    place.ok_with(&["send", "ring"], b"closed\n");
    assert_eq!(receiver.line(), "closed");
    let mut sender = place.start(&["send", "ring"]);
    sender.write("killed\n");
    assert_eq!(receiver.line(), "killed");
    sender.kill();
    place.run(&["send", "ring", "--timeout", "1s"], &[b'x'; 100_000]).expect(1, "line 1");
    place.ok_with(&["send", "ring"], b"last\n");
    assert_eq!(receiver.line(), "last");
    receiver.signal(rustix::process::Signal::TERM);
    assert_eq!(receiver.finish().expect(143, ""), "");
}

#[test]
fn following_gives_up_when_a_message_is_late() {
    let place = Place::with_ring("64KiB");
    place.ok_with(&["send", "ring"], b"a\nb\n");
    let followed = place.run(&["recv", "ring", "--follow", "--timeout", "100ms"], b"");
    assert_eq!(followed.expect(3, "timed out"), "a\nb\n");
}

#[test]
fn a_timeout_writes_what_was_received_first() {
    let place = Place::with_ring("64KiB");
    let mut sender = place.start(&["send", "ring"]);
    sender.write("a\nb\n");
    place.until_sent(2);
    let received = place.run(&["recv", "ring", "--timeout", "100ms"], b"");
    assert_eq!(received.expect(3, "timed out"), "a\nb\n");
    assert_eq!(place.number("depth"), 0);
}

#[test]
fn a_count_takes_exactly_so_many() {
    let place = Place::with_ring("64KiB");
    place.ok_with(&["send", "ring"], numbers(0..10).as_bytes());
    assert_eq!(place.ok(&["recv", "ring", "--count", "0"]), "");
    assert_eq!(place.ok(&["recv", "ring", "--count", "3"]), numbers(0..3));
    assert_eq!(place.ok(&["recv", "ring", "--count", "7", "--timeout", "10s"]), numbers(3..10));
    assert_eq!(place.number("received"), 10);
    // The end was not told yet.
    assert_eq!(place.ok(&["recv", "ring"]), "");
    // Fewer than asked for, and the end: done as well.
    place.ok_with(&["send", "ring"], b"only\n");
    assert_eq!(place.ok(&["recv", "ring", "--count", "5"]), "only\n");
    // With --follow the count goes over ends.
    let mut receiver = place.start(&["recv", "ring", "--follow", "--count", "2"]);
    place.ok_with(&["send", "ring"], b"a\n");
    place.ok_with(&["send", "ring"], b"b\nc\n");
    assert_eq!(receiver.finish().expect(0, ""), "a\nb\n");
    assert_eq!(place.ok(&["recv", "ring"]), "c\n");
}

#[test]
fn a_second_one_is_refused_and_told_who_is_there() {
    let place = Place::with_ring("64KiB");
    let sender = place.start(&["send", "ring"]);
    place.until_attached(&sender);
    let second = place.run(&["send", "ring"], b"x\n");
    second.expect(1, &format!("process {}", sender.pid()));
    let receiver = place.start(&["recv", "ring"]);
    place.until_attached(&receiver);
    let second = place.run(&["recv", "ring"], b"");
    second.expect(1, &format!("process {}", receiver.pid()));
    assert_eq!(place.number("sent"), 0);
}

#[test]
fn an_idle_receiver_uses_no_processor_time_and_is_there_at_once() {
    let place = Place::with_ring("64KiB");
    let mut sender = place.start(&["send", "ring"]);
    let mut receiver = place.start(&["recv", "ring"]);
    sender.write("one\n");
    assert_eq!(receiver.line(), "one");
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", receiver.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let (began, before) = (std::time::Instant::now(), ticks());
    std::thread::sleep(std::time::Duration::from_secs(2));
    let used = ticks() - before;
    // By the time that has really passed, which is longer where the machine stands still.
    let all = u64::try_from(began.elapsed().as_millis()).unwrap() / 10;
    assert!(used <= all / 50, "{used} of {all} ticks");
    sender.write("two\n");
    assert_eq!(receiver.line(), "two");
}
