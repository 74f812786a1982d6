//! A missing need must show, and never as passed.

use shm_tests::need::{Verdict, judge};
use shm_tests::{Need, Test, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![a_missing_need_is_told]
}

fn a_missing_need_is_told() {
    let missing = Need::Program("no-such-program").missing().unwrap();
    assert_eq!(missing, "no-such-program, give it by installing it");
    assert_eq!(Need::Program("sh").missing(), None);
    assert!(Need::Disk("/dev/shm".into()).missing().is_some());
    assert_eq!(judge(&[], false), Verdict::Run);
    assert_eq!(judge(&[], true), Verdict::Run);
    assert_eq!(judge(&["a".into(), "b".into()], false), Verdict::Ignore("needs a; b".into()));
    assert_eq!(judge(&["a".into()], true), Verdict::Fail("needs a".into()));
}
