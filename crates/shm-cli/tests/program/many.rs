//! Rings with many senders and many receivers.

use crate::harness::{Place, numbers};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn with_mpmc(more: &[&str]) -> Place {
    let place = Place::new();
    place.ok(&[&["create", "ring", "--kind", "mpmc"], more].concat());
    place
}

#[test]
fn create_makes_what_was_asked_for() {
    let place = Place::new();
    let arguments = ["create", "ring", "--kind", "mpmc", "--capacity", "100", "--max-message", "2KiB"];
    let done = place.run(&[&arguments[..], &["--participants", "5", "--redelivery"]].concat(), b"");
    done.expect(0, "capacity 100 rounded up to 128 messages");
    let stat = place.stat();
    for (key, value) in [
        ("kind", json!("mpmc")),
        ("capacity", json!(128)),
        ("capacity_unit", json!("messages")),
        ("max_message", json!(2048)),
        ("max_participants", json!(5)),
        ("redelivery", json!(true)),
        ("participants", json!([])),
        ("lost", json!(0)),
        ("limbo", json!(0)),
    ] {
        assert_eq!(stat[key], value, "{key}");
    }
    assert!(place.ok(&["stat", "ring"]).contains("0 of 5"));
    assert!(place.ok(&["ls"]).contains("mpmc"));
}

#[test]
fn what_can_not_be_is_a_usage_error() {
    let place = Place::new();
    for (arguments, message) in [
        (&["create", "ring", "--kind", "mpmc", "--capacity", "1MiB"][..], "a number of messages"),
        (&["create", "ring", "--kind", "mpsc"], "mpmc"),
        (&["create", "ring", "--capacity", "1K", "--participants", "4"], "for --kind mpmc"),
        (&["create", "ring", "--capacity", "1K", "--redelivery"], "for --kind mpmc"),
        (&["send", "ring", "--create", "--max-message", "4K"], "for --kind mpmc"),
        (&["send", "ring", "--kind", "mpmc"], "--create"),
        (&["doctor"], "--all"),
        (&["doctor", "ring", "--all"], "--all"),
        (&["doctor", "--system", "--dry-run"], "--dry-run"),
    ] {
        place.run(arguments, b"").expect(2, message);
    }
    place.run(&["create", "ring", "--kind", "mpmc", "--capacity", "0"], b"").expect(1, "2 to 33,554,432");
    place.run(&["create", "ring", "--kind", "mpmc", "--participants", "1"], b"").expect(1, "2 to 8192");
}

#[test]
fn two_senders_and_two_receivers_lose_and_repeat_nothing() {
    let place = with_mpmc(&["--capacity", "64"]);
    let mut receivers = [place.start(&["recv", "ring"]), place.start(&["recv", "ring"])];
    receivers.iter().for_each(|receiver| place.until_attached(receiver));
    let mut senders = [place.start(&["send", "ring"]), place.start(&["send", "ring"])];
    senders.iter().for_each(|sender| place.until_attached(sender));
    for (sender, letter) in senders.iter_mut().zip(["a", "b"]) {
        sender.write(&numbers(0..4000).replace('\n', &format!("{letter}\n")));
        sender.end_input();
    }
    senders.iter_mut().for_each(|sender| drop(sender.finish().expect(0, "")));
    let mut all = Vec::new();
    for receiver in &mut receivers {
        let lines: Vec<String> = receiver.finish().expect(0, "").lines().map(str::to_owned).collect();
        for letter in ['a', 'b'] {
            let of = |line: &&String| line.ends_with(letter);
            let numbers: Vec<u32> =
                lines.iter().filter(of).map(|line| line[..line.len() - 1].parse().unwrap()).collect();
            assert!(numbers.is_sorted(), "the order of sender {letter}");
        }
        all.extend(lines);
    }
    let different: BTreeSet<&String> = all.iter().collect();
    assert_eq!((all.len(), different.len()), (8000, 8000));
    assert_eq!((place.number("sent"), place.number("received"), place.number("depth")), (8000, 8000, 0));
}

#[test]
fn the_worst_end_of_all_senders_is_told_to_every_receiver() {
    let place = with_mpmc(&[]);
    let mut receivers = [place.start(&["recv", "ring"]), place.start(&["recv", "ring"])];
    receivers.iter().for_each(|receiver| place.until_attached(receiver));
    let mut killed = place.start(&["send", "ring"]);
    let mut other = place.start(&["send", "ring"]);
    killed.write("one\n");
    other.write("two\n");
    place.until_sent(2);
    killed.kill();
    other.write("three\n");
    place.until_sent(3);
    other.end_input();
    other.finish().expect(0, "");
    let mut lines: Vec<String> = Vec::new();
    for receiver in &mut receivers {
        lines.extend(receiver.finish().expect(4, "the sender died").lines().map(str::to_owned));
    }
    lines.sort();
    assert_eq!(lines, ["one", "three", "two"]);
    // Told: whoever comes now waits for the next sender.
    place.run(&["recv", "ring", "--timeout", "100ms"], b"").expect(3, "no message came");
    place.ok_with(&["send", "ring"], b"next\n");
    assert_eq!(place.ok(&["recv", "ring"]), "next\n");
}

#[test]
fn send_creates_counts_fails_and_drops_as_for_one() {
    let place = Place::new();
    place.ok_with(
        &["send", "ring", "--create", "--kind", "mpmc", "--capacity", "4", "--on-full", "fail"],
        b"1\n2\n3\n4\n",
    );
    place.run(&["send", "ring", "--on-full", "fail"], b"5\n").expect(1, "full");
    place.run(&["send", "ring", "--on-full", "drop"], b"5\n6\n").expect(0, "2 of 2 messages were dropped");
    place.run(&["send", "ring", "--timeout", "100ms"], b"5\n").expect(3, "the ring is full");
    place.run(&["send", "ring"], &[b'x'; 1025]).expect(1, "--max-message");
    assert_eq!(place.ok(&["recv", "ring", "--count", "2"]), "1\n2\n");
    place.run(&["recv", "ring"], b"").expect(4, "left without closing");
    assert_eq!((place.number("dropped"), place.number("received")), (2, 4));
}

#[test]
fn stat_shows_each_participant_and_doctor_cleans_up() {
    let place = with_mpmc(&["--capacity", "16"]);
    let receiver = place.start(&["recv", "ring"]);
    place.until_attached(&receiver);
    let mut sender = place.start(&["send", "ring"]);
    sender.write("1\n2\n3\n");
    // Each counts its own right after the exchange.
    let counted = |stat: &Value, key: &str| {
        stat["participants"].as_array().unwrap().iter().filter_map(|who| who[key].as_u64()).sum::<u64>() == 3
    };
    place.until("all received", |stat| counted(stat, "sent") && counted(stat, "received"));
    let find = |stat: &Value, role: &str| {
        let participants = stat["participants"].as_array().unwrap().clone();
        participants.into_iter().find(|who| who["role"] == role).unwrap()
    };
    let stat = place.stat();
    let (from, to) = (find(&stat, "sender"), find(&stat, "receiver"));
    assert_eq!(
        (&from["sent"], &from["pid"], &from["alive"]),
        (&json!(3), &json!(sender.pid()), &json!(true))
    );
    assert_eq!((&to["received"], &to["pid"]), (&json!(3), &json!(receiver.pid())));
    // Stopped first, so that nobody who waits cleans up before the doctor comes.
    sender.signal(Signal::STOP);
    let receiver_pid = receiver.pid();
    receiver.kill();
    assert_eq!(place.number("limbo"), 1);
    place.run(&["doctor", "ring", "--dry-run"], b"").expect(1, "not sound");
    let verdict: Value = serde_json::from_str(&place.ok(&["doctor", "ring", "--json"])).unwrap();
    assert_eq!((&verdict[0]["repaired"], &verdict[0]["dead"]), (&json!(1), &json!([receiver_pid])));
    assert_eq!(place.number("limbo"), 0);
    assert!(place.ok(&["doctor", "--all"]).contains("sound"));
    // Somebody is there.
    assert!(!place.ok(&["doctor", "--all", "--remove-unused"]).contains("removed"));
    sender.signal(Signal::CONT);
    sender.end_input();
    sender.finish().expect(0, "");
    assert!(place.ok(&["doctor", "--all", "--remove-unused", "--dry-run"]).contains("to be removed"));
    assert!(place.ok(&["doctor", "--all", "--remove-unused"]).contains("unused, removed"));
    assert!(!place.path("ring").exists());
}

#[test]
fn doctor_never_touches_what_is_no_ring_and_names_what_is_spoilt() {
    let place = Place::with_ring("4KiB");
    std::fs::write(place.path("notes"), "not a ring").unwrap();
    let mut bytes = std::fs::read(place.path("ring")).unwrap();
    bytes[64] ^= 1;
    std::fs::write(place.path("spoilt"), bytes).unwrap();
    let done = place.run(&["doctor", "--all", "--remove-unused"], b"");
    let table = done.expect(1, "one ring is not sound");
    assert!(table.contains("spoilt") && !table.contains("notes"), "{table}");
    assert!(place.path("notes").exists() && place.path("spoilt").exists() && !place.path("ring").exists());
    place.run(&["doctor", "notes"], b"").expect(1, "not made by");
}
