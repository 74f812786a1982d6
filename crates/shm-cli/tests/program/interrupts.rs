//! SIGINT and SIGTERM: the program leaves in good order and says which it was.

use crate::harness::{Place, Unread, numbers};
use rustix::process::Signal;

const SIGNALS: [(Signal, i32); 2] = [(Signal::INT, 130), (Signal::TERM, 143)];

#[test]
fn an_interrupted_sender_leaves_without_closing() {
    for (signal, status) in SIGNALS {
        let place = Place::with_ring("64KiB");
        let mut receiver = place.start(&["recv", "ring"]);
        let mut sender = place.start(&["send", "ring"]);
        sender.write("one\ntwo\npart of thr");
        assert_eq!([receiver.line(), receiver.line()], ["one", "two"]);
        sender.signal(signal);
        sender.finish().expect(status, "");
        assert_eq!(receiver.finish().expect(4, "left without closing"), "");
    }
}

#[test]
fn a_sender_at_a_full_ring_is_interrupted() {
    for (signal, status) in SIGNALS {
        let place = Place::with_ring("4KiB");
        let mut sender = place.start(&["send", "ring"]);
        sender.write(&numbers(0..2_000));
        place.until("full", |stat| stat["full_waits"].as_u64() > Some(0));
        sender.signal(signal);
        sender.finish().expect(status, "");
        let sent = u32::try_from(place.number("sent")).unwrap();
        assert_eq!(place.run(&["recv", "ring"], b"").expect(4, "left without closing"), numbers(0..sent));
    }
}

#[test]
fn an_interrupted_receiver_has_written_what_it_took() {
    for (signal, status) in SIGNALS {
        let place = Place::with_ring("64KiB");
        let mut sender = place.start(&["send", "ring"]);
        let mut receiver = place.start(&["recv", "ring"]);
        sender.write("one\n");
        assert_eq!(receiver.line(), "one");
        receiver.signal(signal);
        receiver.finish().expect(status, "");
        sender.write("two\n");
        sender.end_input();
        sender.finish().expect(0, "");
        assert_eq!(place.ok(&["recv", "ring"]), "two\n");
    }
}

#[test]
fn a_receiver_of_a_stream_in_full_flow_is_interrupted_between_messages() {
    let place = Place::with_ring("64KiB");
    let text = numbers(0..300_000);
    let sender = place.start(&["send", "ring"]);
    let received = std::thread::scope(|scope| {
        let mut sender = sender;
        let text = &text;
        scope.spawn(move || {
            sender.write(text);
            sender.end_input();
            sender.finish().expect(0, "");
        });
        let mut received = String::new();
        for _ in 0..10 {
            let mut receiver = place.start(&["recv", "ring"]);
            place.until_attached(&receiver);
            received += &format!("{}\n", receiver.line());
            receiver.signal(Signal::TERM);
            let rest = receiver.finish().expect(143, "");
            // A message that it had written in part when this process stood still for longer than it waits for its
            // reader is not received: it comes again.
            received += &rest[..rest.rfind('\n').map_or(0, |end| end + 1)];
        }
        received + &place.ok(&["recv", "ring"])
    });
    assert!(received == text, "each message once, in order");
}

#[test]
fn a_receiver_whose_reader_does_not_read_is_interrupted() {
    let place = Place::with_ring("1MiB");
    let line = |number: u32| format!("{number:099}\n");
    place.ok_with(&["send", "ring"], (0..2_000).map(line).collect::<String>().as_bytes());
    let pipe = Unread::new();
    let mut receiver = place.start_into(&["recv", "ring"], pipe.output());
    let whole = pipe.until_full() / 100;
    receiver.signal(Signal::INT);
    receiver.finish().expect(130, "");
    assert_eq!(place.number("received"), whole);
    let rest: String = (u32::try_from(whole).unwrap()..2_000).map(line).collect();
    assert!(place.ok(&["recv", "ring"]) == rest);
}

#[test]
fn waiting_for_a_ring_to_appear_is_interrupted() {
    for (signal, status) in SIGNALS {
        let place = Place::new();
        let mut receiver = place.start(&["recv", "ring", "--wait"]);
        // Its handlers are there when its signals are caught.
        let path = format!("/proc/{}/status", receiver.pid());
        let catches = |text: &str| {
            let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (signal.as_raw() - 1)) != 0
        };
        let start = std::time::Instant::now();
        while !catches(&std::fs::read_to_string(&path).unwrap()) {
            assert!(start.elapsed() < crate::harness::FUSE, "it catches no signals");
            std::thread::yield_now();
        }
        receiver.signal(signal);
        receiver.finish().expect(status, "");
    }
}
