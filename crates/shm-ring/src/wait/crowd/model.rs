//! Sleeping and waking among many, explored by loom: a wake-up that is lost is a deadlock, since no sleep
//! ends by itself.

use super::Crowd;
use crate::model::explore;
use crate::wait::vigil::Vigil;
use loom::thread;
use shm_core::model::mortal;
use shm_core::sync::Ordering;
use shm_core::{Deadline, ReadWord, Region, Word};

const WORD_OFFSET: usize = 8;

fn crowd(region: &Region) -> Crowd {
    Crowd::new(region, 0).unwrap()
}

/// Sleeps until `enough` was published.
fn sleep_until(region: &Region, enough: u64) {
    let (crowd, mut vigil) = (crowd(region), Vigil::new(false));
    let seen: ReadWord<u64> = region.read_word(WORD_OFFSET).unwrap();
    let count = || seen.load(Ordering::Relaxed); // what the fences are to order
    while count() < enough {
        let armed = crowd.arm();
        if count() < enough {
            crowd.sleep(armed, Deadline::NEVER, &mut vigil).unwrap();
        }
    }
}

/// Publishes as an exchange does, by a read-modify-write.
fn publish(region: &Region, wake: impl Fn(&Crowd) -> bool) {
    let published: Word<u64> = region.word(WORD_OFFSET).unwrap();
    published.fetch_add(1, Ordering::Relaxed); // what the fences are to order
    wake(&crowd(region));
}

/// Two publish, one of them by an announcement, and one sleeps.
#[test]
fn one_of_two_publishers_wakes_a_sleeper() {
    explore("wait, a crowd of publishers", 2, || {
        let region = Region::on_heap(16).unwrap();
        let theirs = region.clone();
        let first = thread::spawn(move || publish(&theirs, Crowd::notify));
        let theirs = region.clone();
        let second = thread::spawn(move || publish(&theirs, Crowd::announce));
        sleep_until(&region, 2);
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// Two sleep, and one publishes.
#[test]
fn all_sleepers_are_woken() {
    explore("wait, a crowd of sleepers", 2, || {
        let region = Region::on_heap(16).unwrap();
        let theirs = region.clone();
        let first = thread::spawn(move || sleep_until(&theirs, 1));
        let theirs = region.clone();
        let second = thread::spawn(move || sleep_until(&theirs, 1));
        publish(&region, Crowd::notify);
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// A publisher is killed before any of its stores; the next one wakes for it as well.
#[test]
fn a_publisher_that_is_killed_is_made_up_for() {
    for stores in 0..4 {
        explore(&format!("wait, a publisher killed after {stores} stores"), 2, move || {
            let region = Region::on_heap(16).unwrap();
            let theirs = region.clone();
            let publishers = thread::spawn(move || {
                mortal::run(stores, || publish(&theirs, Crowd::notify));
                publish(&theirs, Crowd::notify);
            });
            sleep_until(&region, 1);
            publishers.join().unwrap();
        });
    }
}
