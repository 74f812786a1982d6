//! What each verb does when all is well, and what it says of command lines that can not be.

use crate::harness::Place;
use serde_json::Value;

const KEYS: [&str; 16] = [
    "name",
    "kind",
    "memory",
    "capacity",
    "capacity_unit",
    "max_message",
    "depth",
    "sent",
    "received",
    "dropped",
    "full_waits",
    "high_water",
    "bytes",
    "mode",
    "owner",
    "participants",
];

#[test]
fn a_created_ring_waits_as_it_is() {
    let place = Place::new();
    place.ok(&["create", "/ring", "--capacity", "64KiB", "--mode", "0640"]);
    let stat = place.stat();
    for key in KEYS {
        assert!(stat.get(key).is_some(), "{key}");
    }
    let expected = [
        ("name", Value::from("ring")),
        ("kind", "spsc".into()),
        ("memory", "posix".into()),
        ("capacity", 65_536.into()),
        ("capacity_unit", "bytes".into()),
        ("max_message", (32_768 - 8).into()),
        ("depth", 0.into()),
        ("sent", 0.into()),
        ("mode", "0640".into()),
        ("owner", rustix::process::geteuid().as_raw().into()),
        ("bytes", std::fs::metadata(place.path("ring")).unwrap().len().into()),
        ("participants", Value::Array(Vec::new())),
    ];
    for (key, value) in expected {
        assert_eq!(stat[key], value, "{key}");
    }
    // Nobody has sat there: a receiver has no end to be told of, and waits.
    place.run(&["recv", "ring", "--timeout", "100ms"], b"").expect(3, "timed out");
    let again = place.run(&["create", "ring", "--capacity", "64KiB"], b"");
    again.expect(1, "exists already");
}

#[test]
fn capacities_are_rounded_up_and_that_is_said() {
    let place = Place::new();
    place.run(&["create", "ring", "--capacity", "1000"], b"").expect(0, "1000 rounded up to 1024 bytes");
    assert_eq!(place.number("capacity"), 1024);
    let sent = place.run(&["send", "ring", "--create", "--capacity", "4K"], b"");
    sent.expect(0, "asked for a capacity of 4096 bytes; the ring has 1024");
}

#[test]
fn participants_and_counts_are_shown() {
    let place = Place::with_ring("64KiB");
    let mut sender = place.start(&["send", "ring"]);
    sender.write("a\nb\nc\n");
    place.until_sent(3);
    let mut receiver = place.start(&["recv", "ring"]);
    assert_eq!([receiver.line(), receiver.line(), receiver.line()], ["a", "b", "c"]);
    place.until("received", |stat| stat["received"] == 3);
    let stat = place.stat();
    let who = |role: &str, pid: u32, alive: bool, sent: u64, received: u64| {
        serde_json::json!({
            "role": role, "pid": pid, "alive": alive, "sent": sent, "received": received, "holding": 0
        })
    };
    assert_eq!(stat["participants"][0], who("producer", sender.pid(), true, 3, 0));
    assert_eq!(stat["participants"][1], who("consumer", receiver.pid(), true, 0, 3));
    let table = place.ok(&["stat", "ring"]);
    for (role, pid) in [("producer", sender.pid()), ("consumer", receiver.pid())] {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let row = table.lines().map(words).find(|row| row.first().is_some_and(|word| word == role)).unwrap();
        assert_eq!(row[1..3], [pid.to_string(), "yes".to_owned()], "{table}");
    }
    let pid = sender.pid();
    sender.kill();
    receiver.finish().expect(4, "the sender died");
    let stat = place.stat();
    assert_eq!(stat["participants"], serde_json::json!([who("producer", pid, false, 3, 0)]));
    assert_eq!((&stat["sent"], &stat["high_water"]), (&3.into(), &3.into()));
}

#[test]
fn ls_shows_the_rings_and_nothing_else() {
    let place = Place::new();
    place.run(&["ls"], b"").expect(0, "no rings in");
    assert_eq!(place.ok(&["ls", "--json"]), "[]\n");
    for name in ["beta", "alpha", "ring"] {
        place.ok(&["create", name, "--capacity", "4096"]);
    }
    std::fs::write(place.path("foreign"), "not a ring").unwrap();
    std::fs::create_dir(place.path("directory")).unwrap();
    let rings: Vec<Value> = serde_json::from_str(&place.ok(&["ls", "--json"])).unwrap();
    let names: Vec<&str> = rings.iter().map(|ring| ring["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["alpha", "beta", "ring"]);
    assert_eq!(rings[2], place.stat());
    let table = place.ok(&["ls"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("NAME") && lines[1].starts_with("alpha"), "{table}");
}

#[test]
fn looking_needs_no_right_to_write_and_changes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::with_ring("4096");
    place.ok_with(&["send", "ring"], b"one\ntwo\n");
    std::fs::set_permissions(place.path("ring"), std::fs::Permissions::from_mode(0o400)).unwrap();
    let before = std::fs::read(place.path("ring")).unwrap();
    assert_eq!(place.stat()["mode"], "0400");
    place.ok(&["stat", "ring"]);
    place.ok(&["ls"]);
    assert_eq!(std::fs::read(place.path("ring")).unwrap(), before);
}

#[test]
fn doctor_says_what_the_machine_offers_and_what_follows() {
    let place = Place::new();
    let table = place.ok(&["doctor", "--system"]);
    let findings: Value = serde_json::from_str(&place.ok(&["doctor", "--system", "--json"])).unwrap();
    let findings = findings["system"].as_array().unwrap();
    for item in ["futex_waitv", "membarrier", "O_TMPFILE", "room for rings", "RLIMIT_NOFILE", "processors"] {
        assert!(table.contains(item), "{item}");
        let finding = findings.iter().find(|finding| finding["item"] == item).unwrap();
        assert!(finding["found"].is_boolean() && !finding["consequence"].as_str().unwrap().is_empty());
    }
    place.run(&["doctor"], b"").expect(2, "--system");
}

#[test]
fn command_lines_that_can_not_be_are_usage_errors() {
    let place = Place::new();
    for (arguments, message) in [
        (&["frob"][..], "frob"),
        (&["create", "ring"], "--capacity"),
        (&["create", "ring", "--capacity", "much"], "a size is a number and a unit"),
        (&["create", "ring", "--capacity", "0"], "between 1 byte and 1 TiB"),
        (&["create", "ring", "--capacity", "1K", "--mode", "rw"], "octal"),
        (&["create", "a/b", "--capacity", "1K"], "slash"),
        (&["send"], "<NAME>"),
        (&["send", "ring", "--lines", "--raw"], "--raw"),
        (&["send", "ring", "--capacity", "1K"], "--create"),
        (&["send", "ring", "--on-full", "explode"], "wait, drop, fail"),
        (&["recv", "ring", "--timeout", "soon"], "such as 500ms"),
        (&["recv", "ring", "--count", "-1"], "-1"),
        (&["stat", ""], "empty"),
        (&["rm", "ring", "--fierce"], "--fierce"),
    ] {
        place.run(arguments, b"").expect(2, message);
    }
    assert_eq!(place.run(&[], b"").status, 2);
    assert!(place.ok(&["--help"]).contains("SHMRING_DIR"));
    assert!(place.ok(&["send", "--help"]).contains("--require-receiver"));
}
