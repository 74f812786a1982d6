//! `rm`: what it refuses, and what those hear who are attached when it does not.

use crate::harness::{Place, numbers};

#[test]
fn an_unused_ring_is_removed() {
    let place = Place::with_ring("4KiB");
    place.ok_with(&["send", "ring"], b"unread\n");
    place.ok(&["rm", "ring"]);
    assert!(!place.path("ring").exists());
    place.run(&["rm", "ring"], b"").expect(1, "does not exist");
    place.run(&["rm", "ring", "--force"], b"").expect(1, "does not exist");
}

#[test]
fn a_ring_in_use_is_not_removed_and_its_users_are_named() {
    let place = Place::with_ring("4KiB");
    let receiver = place.start(&["recv", "ring"]);
    place.until_attached(&receiver);
    let refused = place.run(&["rm", "ring"], b"");
    refused.expect(1, &format!("consumer {}", receiver.pid()));
    let mut sender = place.start(&["send", "ring"]);
    place.until_attached(&sender);
    let names = format!("producer {}, consumer {}", sender.pid(), receiver.pid());
    place.run(&["rm", "ring"], b"").expect(1, &names);
    sender.end_input();
    sender.finish().expect(0, "");
    // The dead do not stand against it.
    let killed = place.start(&["recv", "ring"]);
    place.until_attached(&killed);
    killed.kill();
    drop(receiver);
    place.ok(&["rm", "ring"]);
}

#[test]
fn a_forced_removal_is_told_to_a_receiver_that_waits() {
    let place = Place::with_ring("4KiB");
    let mut receiver = place.start(&["recv", "ring", "--follow"]);
    place.until_attached(&receiver);
    place.ok(&["rm", "ring", "--force"]);
    assert!(!place.path("ring").exists());
    receiver.finish().expect(1, "the ring was removed");
}

#[test]
fn a_forced_removal_lets_the_receiver_read_what_was_sent() {
    let place = Place::with_ring("1MiB");
    let text = numbers(0..50_000);
    let mut sender = place.start(&["send", "ring"]);
    sender.write(&text);
    place.until_sent(50_000);
    // Its output takes only a part of it for now.
    let mut receiver = place.start(&["recv", "ring"]);
    place.until_attached(&receiver);
    place.ok(&["rm", "ring", "--force"]);
    assert!(receiver.finish().expect(1, "the ring was removed") == text);
    // The sender hears of it when it wants to send more.
    sender.write("more\n");
    sender.finish().expect(1, "the ring was removed");
}

#[test]
fn a_forced_removal_is_told_to_a_sender_that_waits_for_space() {
    let place = Place::with_ring("4KiB");
    let mut sender = place.start(&["send", "ring"]);
    sender.write(&numbers(0..2_000));
    place.until("full", |stat| stat["full_waits"].as_u64() > Some(0));
    place.ok(&["rm", "ring", "--force"]);
    sender.finish().expect(1, "the ring was removed");
    // The name is free.
    place.ok(&["create", "ring", "--capacity", "4KiB"]);
}
