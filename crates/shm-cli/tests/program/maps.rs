//! `maps`: who maps rings, and what is none.

use crate::harness::Place;
use serde_json::Value;
use shm_core::sysv::Segment;
use shm_core::{Access, Directory, Holes, MapOptions, Name, Options};
use shm_tests::Segments;
use std::os::unix::fs::symlink;

fn page_bytes() -> u64 {
    shm_core::system::page_bytes() as u64
}
const KEYS: [&str; 7] = ["address", "bytes", "command", "offset", "pid", "resident_bytes", "rights"];

/// What `maps` prints. Other processes that may not be read are told, if this is not root.
fn maps(place: &Place, arguments: &[&str]) -> String {
    let done = place.run(&[&["maps"], arguments].concat(), b"");
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert!(
        done.stderr.is_empty()
            || done.stderr.starts_with("shmring: ") && done.stderr.contains("may not be read"),
        "{}",
        done.stderr
    );
    String::from_utf8(done.stdout).unwrap()
}

/// What `maps --json` says of the mappings of a process.
fn of_process(place: &Place, name: &str, pid: u32) -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(&maps(place, &[name, "--json"])).unwrap();
    for mapping in &all {
        assert!(mapping.as_object().unwrap().keys().eq(KEYS), "{mapping}");
    }
    all.into_iter().filter(|mapping| mapping["pid"] == pid).collect()
}

#[test]
fn a_ring_s_users_are_shown() {
    let place = Place::with_ring("64KiB");
    let receiver = place.start(&["recv", "ring"]);
    place.until_attached(&receiver);
    let found = of_process(&place, "ring", receiver.pid());
    let whole = found.iter().find(|mapping| mapping["offset"] == 0).unwrap();
    assert_eq!((&whole["command"], &whole["rights"]), (&"shmring".into(), &"rw-s".into()));
    assert!(whole["resident_bytes"].as_u64().unwrap() >= page_bytes(), "it has read the header: {whole}");
    let mapped: u64 = found.iter().map(|mapping| mapping["bytes"].as_u64().unwrap()).sum();
    assert!(mapped >= 64 << 10, "{found:?}");

    // The same as a table.
    let table = maps(&place, &["posix:/ring"]);
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let header = ["PID", "COMMAND", "ADDRESS", "BYTES", "OFFSET", "RIGHTS", "RESIDENT"];
    assert_eq!(lines.next().unwrap(), header);
    let rows: Vec<Vec<&str>> = lines.collect();
    let (pid, address) = (receiver.pid().to_string(), format!("{:#x}", whole["address"].as_u64().unwrap()));
    let row = rows.iter().find(|row| row[2] == address).unwrap();
    let bytes = whole["bytes"].to_string();
    assert_eq!(row[..6], [&pid, "shmring", &address, &bytes, "0", "rw-s"]);
    // It lives, and may have touched more meanwhile.
    assert!(row.len() == 7 && row[6].parse::<u64>().unwrap() >= page_bytes(), "{row:?}");
}

#[test]
fn any_file_s_users_are_shown() {
    let place = Place::new();
    std::fs::write(place.path("plain"), vec![b'x'; 3 * shm_core::system::page_bytes()]).unwrap();
    let file = format!("file:{}", place.path("plain").display());
    let pid = std::process::id();
    assert!(of_process(&place, &file, pid).is_empty());
    let options = Options::new().directory(Directory::at(place.path("")));
    let object = options.open(&Name::new("plain").unwrap(), Access::ReadOnly).unwrap();
    let options = MapOptions::new(Access::ReadOnly).part(page_bytes(), 2 * page_bytes()).holes(Holes::Allow);
    let region = object.map_with(&options).unwrap();
    for name in ["plain", "posix:plain", &file] {
        let found = of_process(&place, name, pid);
        let [mapping] = &found[..] else { panic!("{found:?}") };
        let number = |key: &str| mapping[key].as_u64().unwrap();
        assert_eq!((number("address"), number("bytes")), (region.address() as u64, 2 * page_bytes()));
        assert_eq!((number("offset"), &mapping["rights"]), (page_bytes(), &"r--s".into()));
    }
    // Another name of it, which no ring may have.
    std::fs::hard_link(place.path("plain"), place.path("link")).unwrap();
    assert_eq!(of_process(&place, "link", pid).len(), 1);
}

#[test]
fn a_segment_s_users_are_shown() {
    let (place, segments) = (Place::new(), Segments::new());
    let key = segments.key();
    let segment = Segment::create(key, 5000).unwrap();
    let region = segment.attach(Access::ReadOnly).unwrap();
    for name in [format!("sysv:{key}"), format!("sysv-id:{}", segment.id())] {
        let found = of_process(&place, &name, std::process::id());
        let [mapping] = &found[..] else { panic!("{found:?}") };
        assert_eq!(mapping["address"], region.address() as u64);
        assert_eq!(
            (&mapping["bytes"], &mapping["rights"]),
            (&5000_u64.next_multiple_of(page_bytes()).into(), &"r--s".into())
        );
    }
    drop(region);
    assert_eq!(maps(&place, &[&format!("sysv:{key}"), "--json"]), "[]\n");
    segment.remove().unwrap();
    place.run(&["maps", &format!("sysv:{key}")], b"").expect(1, "there is no such segment");
    place.run(&["maps", &format!("sysv-id:{}", segment.id())], b"").expect(1, "there is no such segment");
}

#[test]
fn nobody_and_nothing_are_told() {
    let place = Place::with_ring("64KiB");
    let done = place.run(&["maps", "ring"], b"");
    assert!(done.expect(0, "ring").is_empty());
    place.run(&["maps", "absent"], b"").expect(1, "does not exist");
    std::fs::create_dir(place.path("directory")).unwrap();
    place.run(&["maps", "directory"], b"").expect(1, "is a directory");
    symlink(place.path("ring"), place.path("link")).unwrap();
    place.run(&["maps", "link"], b"").expect(1, "is a symbolic link");
    assert_eq!(place.run(&["maps", "sysv:nothing"], b"").status, 2);
    assert_eq!(place.run(&["maps"], b"").status, 2);
}
