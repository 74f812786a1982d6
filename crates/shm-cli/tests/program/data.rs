//! What is sent is what is received.

use crate::harness::{Place, Unread, numbers};
use std::process::{Command, Stdio};

/// Sends and receives at once; what came out.
fn through(place: &Place, flags: &[&str], input: &[u8]) -> Vec<u8> {
    let mut receiver = place.start(&[&["recv", "ring"], flags].concat());
    let received = std::thread::scope(|scope| {
        let received = scope.spawn(|| receiver.finish());
        place.run(&[&["send", "ring"], flags].concat(), input).expect(0, "");
        received.join().unwrap()
    });
    assert_eq!((received.status, received.stderr.as_str()), (0, ""));
    received.stdout
}

/// Bytes that compress badly, the same each time.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

#[test]
fn raw_bytes_come_out_as_they_went_in() {
    let noise = noise(20 << 20);
    for capacity in ["1MiB", "32KiB"] {
        assert!(through(&Place::with_ring(capacity), &["--raw"], &noise) == noise, "{capacity}");
    }
    assert!(through(&Place::with_ring("32"), &["--raw"], &noise[..10_000]) == noise[..10_000]);
}

#[test]
fn lines_come_out_as_they_went_in() {
    let mut text = String::new();
    for number in 0..100_000_usize {
        text += &format!("{number}{}\n", "-x=".repeat(number % 40));
    }
    text += "\n\n\n";
    for capacity in ["1MiB", "4KiB"] {
        assert!(through(&Place::with_ring(capacity), &[], text.as_bytes()) == text.as_bytes(), "{capacity}");
    }
    // A last line without a newline counts.
    assert_eq!(through(&Place::with_ring("4KiB"), &["--lines"], b"one\n\nlast"), b"one\n\nlast\n");
    assert_eq!(through(&Place::with_ring("4KiB"), &[], b""), b"");
}

#[test]
fn long_lines_fit_up_to_the_limit() {
    let place = Place::with_ring("1MiB");
    let limit = place.number("max_message").try_into().unwrap();
    let line = noise(limit).iter().map(|byte| (byte | 0x80) as char).collect::<String>();
    let line = &line.as_bytes()[..limit];
    let text = [line, b"\nshort\n", line, b"\n"].concat();
    assert!(through(&place, &[], &text) == text);

    for ending in ["\nafter\n", "", "more and more"] {
        let input = [b"before\n", line, b"!", ending.as_bytes()].concat();
        place.run(&["send", "ring"], &input).expect(1, "line 2 has");
        // It left without closing.
        let received = place.run(&["recv", "ring"], b"");
        assert_eq!(received.expect(4, "the sender left without closing"), "before\n");
    }
}

#[test]
fn a_line_is_sent_as_soon_as_it_is_read_and_written_as_soon_as_it_is_there() {
    let place = Place::with_ring("64KiB");
    let (mut sender, mut receiver) = (place.start(&["send", "ring"]), place.start(&["recv", "ring"]));
    for line in ["one", "", "three"] {
        sender.write(&format!("{line}\n"));
        assert_eq!(receiver.line(), line);
    }
    // Half a line is none, yet.
    sender.write("fo");
    sender.write("ur\nfi");
    assert_eq!(receiver.line(), "four");
    sender.write("ve");
    sender.end_input();
    assert_eq!(receiver.line(), "five");
    assert_eq!((sender.finish().status, receiver.finish().status), (0, 0));
}

#[test]
fn the_ring_may_be_made_by_the_sender_and_awaited_by_the_receiver() {
    let place = Place::new();
    let mut receiver = place.start(&["recv", "ring", "--wait"]);
    place.ok_with(&["send", "ring", "--create", "--capacity", "8KiB"], b"hello\n");
    assert_eq!(receiver.finish().expect(0, ""), "hello\n");
    assert_eq!(place.number("capacity"), 8192);
    // It exists: opened, not made again.
    place.ok_with(&["send", "ring", "--create"], b"again\n");
    assert_eq!(place.ok(&["recv", "ring", "--wait"]), "again\n");
    assert_eq!(place.number("sent"), 2);

    let elsewhere = Place::new();
    elsewhere.run(&["recv", "ring", "--wait", "--timeout", "100ms"], b"").expect(3, "nobody created");
    elsewhere.run(&["recv", "ring"], b"").expect(1, "--wait");
    elsewhere.run(&["send", "ring"], b"").expect(1, "--create");
}

#[test]
fn a_closed_output_loses_nothing() {
    let place = Place::with_ring("1MiB");
    let line = |number: u32| format!("{number:099}\n");
    let text: String = (0..2_000).map(line).collect();
    place.ok_with(&["send", "ring"], text.as_bytes());
    // A pipe that nobody reads takes what fits, and is closed then.
    let pipe = Unread::new();
    let mut receiver = place.start_into(&["recv", "ring"], pipe.output());
    let whole = pipe.until_full() / 100;
    drop(pipe);
    receiver.finish().expect(0, "");
    assert_eq!(place.number("received"), whole, "neither more nor less than was written");
    let rest: String = (u32::try_from(whole).unwrap()..2_000).map(line).collect();
    assert!(place.ok(&["recv", "ring"]) == rest, "the rest comes to the next one");
}

#[test]
fn a_receiver_whose_reader_goes_while_nothing_comes_ends() {
    let place = Place::with_ring("4KiB");
    let (reader, writer) = std::io::pipe().unwrap();
    let mut receiver = place.start_into(&["recv", "ring"], writer);
    place.until_attached(&receiver);
    drop(reader);
    receiver.finish().expect(0, "");
    place.ok_with(&["send", "ring"], b"kept\n");
    assert_eq!(place.ok(&["recv", "ring"]), "kept\n");
    // Tables do not mind either.
    for arguments in [&["ls"][..], &["stat", "ring", "--json"], &["doctor", "--system"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        place.start_into(arguments, writer).finish().expect(0, "");
    }
}

#[test]
fn output_may_be_a_file() {
    let place = Place::with_ring("4KiB");
    let file = std::fs::File::create(place.path("output")).unwrap();
    let mut receiver = place.start_into(&["recv", "ring"], file);
    let text = numbers(0..20_000);
    place.ok_with(&["send", "ring"], text.as_bytes());
    receiver.finish().expect(0, "");
    assert!(std::fs::read_to_string(place.path("output")).unwrap() == text);

    // And a device without room is an error, which loses nothing.
    place.ok_with(&["send", "ring"], b"kept\n");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    place.start_into(&["recv", "ring"], full).finish().expect(1, "can not write standard output");
    assert_eq!(place.ok(&["recv", "ring"]), "kept\n");
}

#[test]
fn a_shell_pipeline_works() {
    let place = Place::new();
    let script = "seq 1000 | $P send --create r & $P recv --wait r | head -n 3; wait; $P rm r";
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("P", env!("CARGO_BIN_EXE_shmring")).stdin(Stdio::null());
    let output = command.env("SHMRING_DIR", place.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n2\n3\n");
    assert_eq!((String::from_utf8_lossy(&output.stderr).as_ref(), output.status.code()), ("", Some(0)));
}
