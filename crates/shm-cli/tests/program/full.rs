//! Full rings, and senders without receivers.

use crate::harness::{Place, numbers};

/// More than fits a ring of 4 KiB.
fn much() -> String {
    numbers(0..5_000)
}

#[test]
fn a_sender_without_a_receiver_fills_the_ring_and_ends() {
    let place = Place::with_ring("4KiB");
    place.ok_with(&["send", "ring"], numbers(0..100).as_bytes());
    assert_eq!(place.number("depth"), 100);
    assert_eq!(place.ok(&["recv", "ring"]), numbers(0..100));
}

#[test]
fn a_sender_at_a_full_ring_waits_whatever_became_of_earlier_receivers() {
    let place = Place::with_ring("4KiB");
    place.ok_with(&["send", "ring"], b"first\n");
    assert_eq!(place.ok(&["recv", "ring"]), "first\n");
    let killed = place.start(&["recv", "ring"]);
    place.until_attached(&killed);
    let mut sender = place.start(&["send", "ring"]);
    place.until_attached(&sender);
    killed.kill();
    let text = much();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            sender.write(&text);
            sender.end_input();
        });
        place.until("full", |stat| stat["full_waits"].as_u64() > Some(0));
        // In two parts: it waits for the second receiver after the first as well.
        place.ok(&["recv", "ring", "--count", "1000"]) + &place.ok(&["recv", "ring"])
    });
    assert!(received == text);
    sender.finish().expect(0, "");
}

#[test]
fn a_wait_for_space_is_bounded_by_the_timeout() {
    let place = Place::with_ring("4KiB");
    place.run(&["send", "ring", "--timeout", "200ms"], much().as_bytes()).expect(3, "the ring is full");
    let sent = u32::try_from(place.number("sent")).unwrap();
    assert!((100..500).contains(&sent), "{sent}");
    // It could not say all it had to say.
    assert_eq!(place.run(&["recv", "ring"], b"").expect(4, "left without closing"), numbers(0..sent));
}

#[test]
fn messages_without_space_are_dropped_and_counted_on_demand() {
    let place = Place::with_ring("4KiB");
    let sent = place.run(&["send", "ring", "--on-full", "drop"], much().as_bytes());
    sent.expect(0, "of 5000 messages were dropped");
    let (sent, dropped) = (place.number("sent"), place.number("dropped"));
    assert_eq!(sent + dropped, 5_000);
    assert!(dropped > 0);
    let received = place.ok(&["recv", "ring"]);
    assert!(received.starts_with(&numbers(0..100)) && received.lines().count() as u64 == sent);
}

#[test]
fn a_message_without_space_is_a_failure_on_demand() {
    let place = Place::with_ring("4KiB");
    place.run(&["send", "ring", "--on-full", "fail"], much().as_bytes()).expect(1, "the ring is full");
    let sent = u32::try_from(place.number("sent")).unwrap();
    assert_eq!(place.number("dropped"), 0);
    assert_eq!(place.run(&["recv", "ring"], b"").expect(4, "left without closing"), numbers(0..sent));
    // With space enough nothing fails.
    place.ok_with(&["send", "ring", "--on-full", "fail"], b"fits\n");
}

#[test]
fn a_required_receiver_that_goes_ends_an_idle_sender() {
    let place = Place::with_ring("64KiB");
    // One that was there before is none that it has met.
    place.ok_with(&["send", "ring"], b"a\n");
    place.ok(&["recv", "ring"]);
    for how in ["closed", "died"] {
        let mut sender = place.start(&["send", "ring", "--require-receiver"]);
        place.until_attached(&sender);
        sender.write("b\n");
        if how == "closed" {
            assert_eq!(place.ok(&["recv", "ring", "--count", "1"]), "b\n");
        } else {
            let mut receiver = place.start(&["recv", "ring"]);
            assert_eq!(receiver.line(), "b");
            receiver.kill();
        }
        // Its input is open, and the ring has space.
        sender.finish().expect(4, &format!("the receiver {how}"));
        place.run(&["recv", "ring"], b"").expect(4, "left without closing");
    }
}

#[test]
fn a_required_receiver_that_goes_ends_a_sender_at_a_full_ring() {
    let place = Place::with_ring("4KiB");
    let mut receiver = place.start(&["recv", "ring"]);
    place.until_attached(&receiver);
    let mut sender = place.start(&["send", "ring", "--require-receiver"]);
    sender.write("a\n");
    assert_eq!(receiver.line(), "a");
    receiver.signal(rustix::process::Signal::STOP);
    let text = much();
    std::thread::scope(|scope| {
        let mut stdin = sender.stdin.take().unwrap();
        // What does not fit the pipe is refused when the sender ends.
        scope.spawn(move || drop(std::io::Write::write_all(&mut stdin, text.as_bytes())));
        place.until("full", |stat| stat["full_waits"].as_u64() > Some(0));
        receiver.kill();
        sender.finish().expect(4, "the receiver died");
    });
}

#[test]
fn a_required_receiver_need_not_have_come_yet() {
    let place = Place::with_ring("4KiB");
    place.ok_with(&["send", "ring", "--require-receiver"], b"a\nb\n");
    assert_eq!(place.ok(&["recv", "ring"]), "a\nb\n");
    place
        .run(&["send", "ring", "--require-receiver", "--timeout", "100ms"], much().as_bytes())
        .expect(3, "the ring is full");
}
