//! A ledger that is read while it is written, explored by loom.

use super::{Ledger, read};
use crate::model::explore;
use loom::thread;
use shm_core::Region;

#[test]
fn no_position_is_ahead_of_its_count() {
    explore("ledger", 3, || {
        let region = Region::on_heap(32).unwrap();
        let theirs = region.clone();
        let writer = thread::spawn(move || {
            let mut ledger = Ledger::resume(&theirs, 0).unwrap();
            (1..=3).for_each(|step| ledger.advance(step * 8, 1));
        });
        let seen = read(&region, 0).unwrap();
        assert!(seen.count * 8 >= seen.position, "{seen:?}");
        writer.join().unwrap();
    });
}
