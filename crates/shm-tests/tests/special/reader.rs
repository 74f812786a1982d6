//! A program in another language reads rings by `docs/layout.md` alone.

use shm_core::{Directory, Place};
use shm_ring::{Consumer, Producer};
use shm_tests::{Need, Scratch, Segments, Test, tests};
use std::path::PathBuf;
use std::process::Command;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_c_program_reads_a_posix_ring needs [Need::Program("gcc")],
        a_c_program_reads_a_segment_s_ring needs [Need::Program("gcc")],
        a_c_program_refuses_what_is_damaged needs [Need::Program("gcc")],
    ]
}

const CAPACITY: u64 = 4096;
/// What is at the beginning of all it says of a good ring: 4096 bytes before the data.
const HEADER: &str = "version 1 kind 1 bytes 8192 capacity 4096 longest 2040\n";

/// The C program, compiled.
struct Reader {
    program: PathBuf,
    _tools: Scratch,
}

impl Reader {
    fn new() -> Self {
        let tools = Scratch::private_in(env!("CARGO_TARGET_TMPDIR"));
        let program = tools.path(&tools.name("reader"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/special/reader.c");
        let mut compiler = Command::new("gcc");
        compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).args([source, "-lrt"]);
        assert!(compiler.status().unwrap().success());
        Self { program, _tools: tools }
    }

    /// Whether it was content, and what it said.
    fn run(&self, arguments: [&str; 2]) -> (bool, Vec<u8>) {
        let output = Command::new(&self.program).args(arguments).output().unwrap();
        assert!(output.status.code().is_some_and(|code| code <= 1), "{output:?}");
        (output.status.success(), output.stdout)
    }

    /// Reads a ring, whose next message must be `message`, at `position` and so on.
    fn expect(&self, arguments: [&str; 2], facts: &str, message: &[u8]) {
        let expected = [HEADER.as_bytes(), facts.as_bytes(), message].concat();
        let (content, said) = self.run(arguments);
        assert!(content && said == expected, "{}", String::from_utf8_lossy(&said));
    }
}

/// Messages in a new ring, which the program finds under `arguments`.
fn read_messages(directory: &str, place: &Place, arguments: [&str; 2]) {
    let reader = Reader::new();
    let (name, directory) = (place.to_string(), Directory::at(directory));
    let builder = Producer::builder(&name).directory(directory.clone());
    let mut producer = builder.capacity(CAPACITY).create().unwrap();
    reader.expect(arguments, "empty\n", b"");
    // All byte values, zeros among them, and a length that is no multiple of 8.
    let first: Vec<u8> = (0..=255).cycle().take(777).collect();
    producer.send_tagged(0xbeef, &first).unwrap();
    producer.send(b"second").unwrap();
    let of_a_tenure = "kind 64 + n";
    reader.expect(arguments, &format!("position 0 tag 48879 {of_a_tenure} length 777\n"), &first);
    // Reading has changed nothing.
    reader.expect(arguments, &format!("position 0 tag 48879 {of_a_tenure} length 777\n"), &first);

    let mut consumer = Consumer::builder(&name).directory(directory).open().unwrap();
    let mut position = 0;
    let mut receive = |expected: &[u8]| {
        assert_eq!(consumer.recv().unwrap().to_vec(), expected);
        position += 8 + expected.len().next_multiple_of(8);
        position
    };
    let second = receive(&first);
    reader.expect(arguments, &format!("position {second} tag 0 kind 1 length 6\n"), b"second");
    receive(b"second");
    // Up to 1 KiB before the end, where the next one does not fit: a pad, and the record at the beginning.
    producer.send(&[b'x'; 1500]).unwrap();
    producer.send(b"").unwrap();
    receive(&[b'x'; 1500]);
    let at = receive(b"");
    let rest = usize::try_from(CAPACITY).unwrap() - at;
    assert!((1024..2040).contains(&rest), "{rest}");
    producer.send(&[b'y'; 2000]).unwrap();
    reader.expect(arguments, "position 4096 tag 0 kind 1 length 2000\n", &[b'y'; 2000]);
    assert_eq!(consumer.recv().unwrap().to_vec(), [b'y'; 2000]);
    // Over the old records lie new ones; what is behind them is none.
    reader.expect(arguments, "empty\n", b"");
}

fn a_c_program_reads_a_posix_ring() {
    let scratch = Scratch::posix();
    let name = scratch.name("ring");
    read_messages("/dev/shm", &Place::Posix(name.clone()), ["posix", &format!("/{name}")]);
    shm_ring::remove(name.as_str()).unwrap();
}

fn a_c_program_reads_a_segment_s_ring() {
    let (scratch, segments) = (Scratch::private(), Segments::new());
    let key = segments.key();
    let place = Place::Sysv(key);
    read_messages(scratch.directory(), &place, ["sysv", &key.to_string()]);
    let directory = Directory::at(scratch.directory());
    shm_ring::remove_in(&directory, &place.to_string(), shm_ring::Removal::IfUnused).unwrap();
}

/// So that what it reads, it has judged.
fn a_c_program_refuses_what_is_damaged() {
    use shm_core::Access;
    let (reader, scratch) = (Reader::new(), Scratch::posix());
    let name = scratch.name("damaged");
    Producer::builder(name.as_str()).capacity(CAPACITY).create_ring().unwrap();
    let region = scratch.options().open(&name, Access::ReadWrite).unwrap().map(Access::ReadWrite).unwrap();
    let run = || reader.run(["posix", &format!("/{name}")]);
    assert!(run().0);
    for (offset, why) in
        [(0, "magic"), (8, "version"), (12, "kind"), (17, "geometry"), (56, "flag")].into_iter().chain([
            (64, "geometry"),
            (72, "capacity"),
            (80, "geometry"),
            (88, "geometry"),
            (1152, "multiple of 8"),
        ])
    {
        let good: u8 = region.read_value(offset).unwrap();
        region.write_value(offset, &(good ^ 0xff)).unwrap();
        let (content, said) = run();
        let said = String::from_utf8_lossy(&said);
        assert!(!content && said.contains("refused: ") && said.contains(why), "{offset}: {said}");
        region.write_value(offset, &good).unwrap();
    }
    assert!(run().0);
    assert!(!reader.run(["sysv", "0x0badcafe"]).0, "a key that no segment has");
    scratch.options().unlink(&name).unwrap();
}
