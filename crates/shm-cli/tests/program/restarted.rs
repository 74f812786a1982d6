//! Rings in files after a restart of the machine, which is played by another number of its run in the file.

use crate::harness::{Place, numbers};
use shm_ring::layout::restart::BOOT_OFFSET;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// A ring in a file on a disk.
struct File(PathBuf);

impl File {
    fn new(what: &str) -> Self {
        let name = format!("shmring-restarted-{}-{what}", std::process::id());
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    fn name(&self) -> String {
        format!("file:{}", self.0.display())
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        std::fs::OpenOptions::new().write(true).open(&self.0).unwrap().write_all_at(bytes, offset).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn what_was_sent_is_there_after_a_restart() {
    for kind in ["spsc", "mpmc"] {
        let (place, file) = (Place::new(), File::new(kind));
        let name = &file.name();
        place.ok(&["create", name, "--kind", kind, "--capacity", "4096"]);
        place.ok_with(&["send", name], numbers(0..100).as_bytes());
        place.ok(&["recv", name, "--count", "30"]);
        file.write(BOOT_OFFSET as u64, &[1; 16]);

        assert!(place.ok(&["stat", name]).contains("from before a restart of the machine"));
        let stat: serde_json::Value = serde_json::from_str(&place.ok(&["stat", name, "--json"])).unwrap();
        assert_eq!((&stat["restarted"], &stat["depth"]), (&true.into(), &70.into()));
        let looked = place.run(&["doctor", name, "--dry-run"], b"");
        assert_eq!(looked.status, 1);
        assert!(String::from_utf8(looked.stdout).unwrap().contains("to be set up again"));
        assert!(place.ok(&["doctor", name]).contains("what was flushed before is set up again"));
        assert!(place.ok(&["doctor", name]).contains("sound"));
        assert_eq!(place.ok(&["recv", name, "--count", "70"]), numbers(30..100));
    }
}

#[test]
fn a_ring_that_is_not_whole_is_told_and_can_be_removed() {
    let (place, file) = (Place::new(), File::new("part"));
    let name = &file.name();
    place.ok(&["create", name, "--capacity", "4096"]);
    place.ok_with(&["send", name], numbers(0..100).as_bytes());
    file.write(BOOT_OFFSET as u64, &[1; 16]);
    file.write(4096 + 8, b"?");
    for verb in [vec!["recv", name], vec!["send", name], vec!["stat", name], vec!["doctor", name]] {
        let done = place.run(&verb, b"");
        assert_eq!(done.status, 1, "{verb:?}");
        assert!(done.stderr.contains("the machine was restarted"), "{verb:?}: {}", done.stderr);
        assert!(done.stderr.contains("remove it and create it anew"), "{verb:?}: {}", done.stderr);
    }
    assert!(place.run(&["rm", name], b"").stderr.contains("rm --force removes it"));
    place.ok(&["rm", name, "--force"]);
    assert!(!file.0.exists());
}
