//! Raw bytes: read straight into the ring, and written from where they lie.

use crate::data::noise;
use crate::harness::{Place, Unread};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::Signal;
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Seek, Write};

/// The longest message of raw bytes.
const CHUNK: usize = 64 << 10;

/// A file without a name, read and written from its beginning.
fn file(bytes: &[u8]) -> File {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("shm-cli", flags).unwrap());
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn contents(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A pipe that holds a page.
fn small_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    fcntl_setpipe_size(&writer, 4096).unwrap();
    (reader, writer)
}

fn with_mpmc(max_message: &str) -> Place {
    let place = Place::new();
    place.ok(&["create", "ring", "--kind", "mpmc", "--capacity", "16", "--max-message", max_message]);
    place
}

impl Place {
    /// Sends a file, from where it stands.
    fn send(&self, arguments: &[&str], input: &File) -> crate::harness::Done {
        let arguments = [&["send", "ring", "--raw"], arguments].concat();
        self.start_between(&arguments, input.try_clone().unwrap(), std::process::Stdio::piped()).finish()
    }

    /// Receives all that is left, into a file.
    fn receive(&self) -> Vec<u8> {
        let mut output = file(b"");
        let mut receiver = self.start_into(&["recv", "ring", "--raw"], output.try_clone().unwrap());
        receiver.finish().expect(0, "");
        contents(&mut output)
    }
}

#[test]
fn files_come_out_as_they_went_in() {
    let noise = noise((5 << 20) + 4321);
    for place in [
        Place::with_ring("1MiB"),
        Place::with_ring("32KiB"),
        Place::with_ring("4KiB"),
        with_mpmc("64KiB"),
        with_mpmc("5000"),
        with_mpmc("100"),
    ] {
        let mut output = file(b"");
        let mut receiver = place.start_into(&["recv", "ring", "--raw"], output.try_clone().unwrap());
        place.send(&[], &file(&noise)).expect(0, "");
        receiver.finish().expect(0, "");
        assert!(contents(&mut output) == noise, "{}", place.stat());
    }
}

#[test]
fn short_reads_and_writes_lose_nothing() {
    let noise = noise(1 << 20);
    for place in [Place::with_ring("64KiB"), with_mpmc("8KiB")] {
        for nonblocking in [false, true] {
            let ((input, mut feed), (mut drain, output)) = (small_pipe(), small_pipe());
            if nonblocking {
                rustix::io::ioctl_fionbio(&input, true).unwrap();
                rustix::io::ioctl_fionbio(&output, true).unwrap();
            }
            let mut receiver = place.start_into(&["recv", "ring", "--raw"], output);
            let mut sender =
                place.start_between(&["send", "ring", "--raw"], input, std::process::Stdio::null());
            let received = std::thread::scope(|scope| {
                // Pieces of all lengths.
                let pieces = (1..).scan(&noise[..], |rest, length: usize| {
                    let (piece, behind) = rest.split_at_checked(length * 37 % 7001).unwrap_or((rest, &[]));
                    *rest = behind;
                    (!piece.is_empty()).then_some(piece)
                });
                scope.spawn(move || pieces.for_each(|piece| feed.write_all(piece).unwrap()));
                let mut received = Vec::new();
                drain.read_to_end(&mut received).unwrap();
                received
            });
            assert!(received == noise, "{}", place.stat());
            assert_eq!((sender.finish().status, receiver.finish().status), (0, 0));
        }
    }
}

#[test]
fn what_comes_is_sent_at_once_however_little() {
    for place in [Place::with_ring("1MiB"), with_mpmc("64KiB")] {
        let mut sender = place.start(&["send", "ring", "--raw"]);
        let mut receiver = place.start(&["recv", "ring", "--raw"]);
        for line in ["one", "two", "three"] {
            sender.write(&format!("{line}\n"));
            assert_eq!(receiver.line(), line);
        }
        sender.end_input();
        assert_eq!((sender.finish().status, receiver.finish().status), (0, 0));
    }
}

/// A message of the ring's longest leaves less space than another one takes.
fn nearly_full(noise: &[u8]) -> (Place, usize) {
    let place = Place::with_ring("64KiB");
    let longest = usize::try_from(place.number("max_message")).unwrap();
    place.send(&[], &file(&noise[..longest])).expect(0, "");
    (place, longest)
}

#[test]
fn an_input_that_has_ended_does_not_wait_for_space() {
    let noise = noise(CHUNK);
    // It sent until then with less space than it could have used.
    let (place, longest) = nearly_full(&noise);
    place.send(&[], &file(b"")).expect(0, "");
    place.ok_with(&["send", "ring", "--raw"], b"");
    let mut sent = noise[..longest].to_vec();
    // As much space as it takes is enough.
    place.send(&[], &file(b"a file")).expect(0, "");
    place.ok_with(&["send", "ring", "--raw"], b"a pipe");
    sent.extend(b"a filea pipe");
    assert!(place.receive() == sent);
}

#[test]
fn a_wait_for_space_ends_as_it_does_for_lines() {
    let noise = noise(4 * CHUNK);
    let (place, longest) = nearly_full(&noise);
    let input = file(&noise);
    place.send(&["--timeout", "100ms"], &input).expect(3, "the ring is full");
    place.send(&["--on-full", "fail"], &input).expect(1, "the ring is full");
    place.run(&["recv", "ring", "--count", "1"], b"");
    let mut input = file(&noise[..3 * longest]);
    place.send(&["--on-full", "drop"], &input).expect(0, "2 of 3 messages were dropped");
    assert_eq!((place.number("dropped"), place.number("depth")), (2, 1));
    input.rewind().unwrap();
    let piped = ["send", "ring", "--raw"];
    let mut sender = place.start_between(&piped, input, std::process::Stdio::null());
    place.until("full", |stat| stat["full_waits"].as_u64() > Some(1));
    sender.signal(Signal::TERM);
    sender.finish().expect(143, "");

    let place = with_mpmc("4KiB");
    let messages = 20 * 4096;
    place.send(&["--timeout", "100ms"], &file(&noise[..messages])).expect(3, "the ring is full");
    assert_eq!(place.number("depth"), 16);
    place.send(&["--on-full", "fail"], &file(b"1")).expect(1, "the ring is full");
    place.send(&["--on-full", "drop"], &file(&noise[..messages])).expect(0, "20 of 20 messages were dropped");
    let mut sender = place.start_between(&piped, file(b"1"), std::process::Stdio::null());
    place.until("full", |stat| stat["full_waits"].as_u64() > Some(1));
    sender.signal(Signal::INT);
    sender.finish().expect(130, "");
}

#[test]
fn a_required_receiver_that_goes_ends_a_sender() {
    for place in [Place::with_ring("64KiB"), with_mpmc("4KiB")] {
        let receiver = place.start(&["recv", "ring", "--raw"]);
        place.until_attached(&receiver);
        let mut sender = place.start(&["send", "ring", "--raw", "--require-receiver"]);
        place.until_attached(&sender);
        sender.write("first\n");
        place.until("received", |stat| stat["received"] == 1);
        receiver.kill();
        sender.finish().expect(4, "the receiver died");
    }
}

#[test]
fn a_file_that_takes_no_more_loses_nothing() {
    let noise = noise(5 * CHUNK);
    let place = Place::with_ring("1MiB");
    place.send(&[], &file(&noise)).expect(0, "");
    // It can not grow, as if its disk were full: the second message goes there in part, on the newest kernels not at
    // all.
    let mut output = file(&[0; CHUNK + CHUNK / 2]);
    fcntl_add_seals(&output, SealFlags::GROW).unwrap();
    let arguments = ["recv", "ring", "--raw"];
    let mut receiver = place.start_into(&arguments, output.try_clone().unwrap());
    receiver.finish().expect(1, "can not write standard output");
    let written = contents(&mut output);
    let whole = written.iter().zip(&noise).take_while(|(written, sent)| written == sent).count();
    assert!([CHUNK, CHUNK + CHUNK / 2].contains(&whole), "{whole} bytes are as they were sent");
    assert!(written[whole..].iter().all(|&byte| byte == 0));
    assert_eq!(place.number("received"), 1, "received is what was written to its end");
    let full = File::options().write(true).open("/dev/full").unwrap();
    place.start_into(&arguments, full).finish().expect(1, "No space left on device");
    assert!(place.receive() == noise[CHUNK..], "the rest comes to the next one");
}

#[test]
fn a_closed_output_loses_nothing() {
    let noise = noise(3 * CHUNK);
    let place = Place::with_ring("1MiB");
    place.send(&[], &file(&noise)).expect(0, "");
    let pipe = Unread::new();
    fcntl_setpipe_size(&pipe.reader, 4096).unwrap();
    let mut receiver = place.start_into(&["recv", "ring", "--raw"], pipe.output());
    assert_eq!(pipe.until_full(), 4096);
    drop(pipe);
    receiver.finish().expect(0, "");
    assert_eq!(place.number("received"), 0);
    assert!(place.receive() == noise);
}

#[test]
fn what_a_killed_receiver_wrote_in_part_comes_again() {
    let noise = noise(3 * CHUNK);
    let place = Place::with_ring("1MiB");
    place.send(&[], &file(&noise)).expect(0, "");
    let pipe = Unread::new();
    fcntl_setpipe_size(&pipe.reader, 4096).unwrap();
    let receiver = place.start_into(&["recv", "ring", "--raw"], pipe.output());
    assert_eq!(pipe.until_full(), 4096);
    receiver.kill();
    assert!(place.receive() == noise);
}

#[test]
fn a_stream_whose_receivers_are_killed_has_no_gaps() {
    let words: Vec<u8> = (0..1_u64 << 20).flat_map(u64::to_le_bytes).collect();
    let place = Place::with_ring("256KiB");
    let input = file(&words);
    let mut sender = place.start_between(&["send", "ring", "--raw"], input, std::process::Stdio::null());
    let mut until = 0;
    let mut note = |part: &[u8]| {
        let first = part.first_chunk().map_or(until as u64 / 8, |word| u64::from_le_bytes(*word));
        let from = usize::try_from(first).unwrap() * 8;
        assert!(from <= until, "{} bytes are missing", from - until);
        assert!(until - from <= 2 * CHUNK, "{} bytes came again", until - from);
        assert!(words[from..].starts_with(part), "what came is in order");
        until = from + part.len();
    };
    for round in 0..20 {
        let mut receiver = place.start(&["recv", "ring", "--raw"]);
        let mut part = vec![0; 150_000 + round * 5_000];
        receiver.stdout.as_mut().unwrap().read_exact(&mut part).unwrap();
        part.extend(receiver.kill());
        note(&part);
    }
    note(&place.receive());
    assert_eq!(until, words.len());
    sender.finish().expect(0, "");
}
