//! Regions that a forked child does not get (guarantee G13).

use rustix::process::{Pid, WaitOptions, waitpid};
use shm_core::system::page_bytes;
use shm_core::{
    Access, Error, Inheritance, MapOptions, Memfd, Protection, Region, Remap, Span, sync::Ordering,
};
use shm_tests::process::{self, Fork, await_child};
use shm_tests::{Peer, Test, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![a_child_gets_errors_in_place_of_the_region]
}

fn a_child_gets_errors_in_place_of_the_region() {
    Peer::start("fork without a region", &[]).finish();
}

/// The rights of what is mapped at an address, if anything is.
fn rights(address: usize) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let parsed = |text| usize::from_str_radix(text, 16).unwrap();
        (parsed(start)..parsed(end)).contains(&address).then(|| rest[..4].to_owned())
    })
}

fn is_refused(region: &mut Region) {
    let forked = |error: Error| assert!(matches!(error, Error::Forked { .. }), "{error}");
    forked(region.copy_in(0, b"x").unwrap_err());
    forked(region.copy_out(0, &mut [0]).unwrap_err());
    forked(region.read_value::<u8>(0).unwrap_err());
    forked(region.word::<u64>(0).unwrap_err());
    forked(region.words().unwrap_err());
    forked(region.part(Span::new(0, 8)).unwrap_err());
    forked(region.pointer(Span::new(0, 8)).unwrap_err());
    forked(region.read_only().read_value::<u8>(0).unwrap_err());
    forked(region.clone().read_value::<u8>(0).unwrap_err());
    forked(region.lock().unwrap_err());
    forked(region.protect(Protection::Read).unwrap_err());
}

/// Role, without arguments.
pub(crate) fn fork_without_a_region(_: &[String]) {
    let object = Memfd::new("kept").create(8 * page_bytes() as u64).unwrap();
    let options =
        MapOptions::new(Access::ReadWrite).part(0, page_bytes() as u64).inheritance(Inheritance::Nothing);
    for (how, moved) in [(Fork::Handled, false), (Fork::Handled, true), (Fork::Bare, false)] {
        let mut region = object.map_with(&options).unwrap();
        if moved {
            object.remap(&mut region, 8 * page_bytes() as u64, Remap::Move).unwrap();
        }
        region.copy_in(0, b"parent").unwrap();
        let (address, last) = (region.address(), region.address() + region.bytes() - 1);
        let part = region.part(Span::new(8, 8)).unwrap();
        // Borrowed by the child's work: what that takes over stays in the parent for good.
        let mut held = Some((part, region.clone(), object.map_with(&options).unwrap()));
        let child = process::fork(how, || {
            let at_both_ends = || [rights(address), rights(last)];
            let expected = (how == Fork::Handled).then(|| "---p".to_owned());
            assert_eq!(at_both_ends(), [expected.clone(), expected.clone()]);
            let (part, clone, mut alone) = held.take().unwrap();
            let only = alone.address();
            is_refused(&mut alone);
            assert!(matches!(part.read_value::<u8>(0).unwrap_err(), Error::Forked { .. }));
            assert!(matches!(clone.read_value::<u8>(0).unwrap_err(), Error::Forked { .. }));
            drop((part, clone, alone));
            // Given up, something else could come to lie there.
            assert_eq!(at_both_ends(), [expected.clone(), expected.clone()]);
            assert_eq!(rights(only), expected);
        });
        await_child(child);
        assert_eq!(region.read_value::<[u8; 6]>(0).unwrap(), *b"parent");
        assert_eq!(rights(address).as_deref(), Some("rw-s"));
        drop((region, held));
        assert_ne!(rights(address).as_deref(), Some("rw-s"), "unmapped with the last region");
    }
    a_word_faults(&object.map_with(&options).unwrap());
}

/// A word looks at nothing but itself; where the handlers ran, nothing else is there either.
fn a_word_faults(region: &Region) {
    let word = region.word::<u64>(0).unwrap();
    let child = process::fork(Fork::Handled, || {
        word.load(Ordering::Relaxed); // test
    });
    assert_eq!(signal_of(child), Some(libc::SIGSEGV));
    word.store(1, Ordering::Relaxed); // test
}

fn signal_of(child: Pid) -> Option<i32> {
    waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap().1.terminating_signal()
}
