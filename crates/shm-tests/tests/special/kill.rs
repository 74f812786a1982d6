//! Killed before each system call in turn. What others can see changes in system calls only, so these
//! are all the moments that matter to a birth (guarantee G1).

use shm_core::{Access, Error, Name, Removal};
use shm_tests::{Need, Peer, Scratch, Test, peer, scratch, tests};
use std::os::unix::process::ExitStatusExt;

pub(crate) fn tests() -> Vec<Test> {
    tests![a_creator_killed_before_any_call_leaves_nothing needs [Need::Program("strace"), Need::Trace]]
}

/// Every call of a birth, and the `write` that tells of its end.
const CALLS: [&str; 11] = [
    "openat",
    "fchmod",
    "fallocate",
    "fstat",
    "newfstatat",
    "mmap",
    "munmap",
    "fcntl",
    "linkat,renameat2",
    "unlinkat",
    "write",
];
const BYTES: u64 = 4096;
const MARK: u64 = 0x600d_600d_600d_600d;

/// Role, with the arguments directory and whether to go by a temporary name.
pub(crate) fn create_once(arguments: &[String]) {
    let [directory, temporary] = arguments else { panic!("{arguments:?}") };
    let options = scratch::options_in(directory).temporary_name(temporary == "true");
    let name = Name::new("born").unwrap();
    let object = options.create_with(&name, BYTES, |region| {
        (0..BYTES / 8).try_for_each(|word| region.write_value(usize::try_from(word).unwrap() * 8, &MARK))
    });
    object.unwrap();
    peer::say("created");
}

fn a_creator_killed_before_any_call_leaves_nothing() {
    for temporary in [false, true] {
        let (mut unborn, mut born) = (0, 0);
        for call in CALLS {
            for when in 1.. {
                match kill_before(call, when, temporary) {
                    None => break,
                    Some(true) => born += 1,
                    Some(false) => unborn += 1,
                }
            }
        }
        // Otherwise the calls are ill chosen, and this shows little.
        assert!(unborn > 20 && born > 0, "{unborn} killed before the object had its name, {born} after");
    }
}

/// Kills a creator before its `when`th `call`: whether the object had its name then; `None` when there
/// are not so many calls.
fn kill_before(call: &str, when: u32, temporary: bool) -> Option<bool> {
    let scratch = Scratch::private();
    let born = scratch.name("born");
    let inject = format!("inject={call}:signal=KILL:when={when}");
    let wrapper = ["strace", "-o", "/dev/null", "-e", &inject];
    let arguments = [scratch.directory(), &temporary.to_string()];
    let status = Peer::start_through(&wrapper, "create once", &arguments).status();
    if !temporary {
        assert!(scratch.listing().iter().all(|name| name == "born"), "{inject}: {:?}", scratch.listing());
    }
    let another = scratch.name("another");
    let options = scratch.options().temporary_name(temporary);
    options.create(&another, BYTES).unwrap();
    options.unlink(&another).unwrap();
    let is_born = match options.open(&born, Access::ReadOnly) {
        Ok(object) => {
            let region = object.map(Access::ReadOnly).unwrap();
            assert_eq!(region.bytes() as u64, BYTES, "{inject}");
            for offset in (0..region.bytes()).step_by(8) {
                assert_eq!(region.read_value::<u64>(offset).unwrap(), MARK, "{inject}: half-made");
            }
            options.remove(&born, Removal::IfUnused, |_| Ok::<(), Error>(())).unwrap();
            true
        }
        Err(Error::NotFound { .. }) => false,
        Err(error) => panic!("{inject}: {error}"),
    };
    assert_eq!(scratch.listing(), [""; 0], "{inject}");
    assert!(status.success() || status.signal() == Some(9), "{inject}: {status}");
    (!status.success()).then_some(is_born)
}
