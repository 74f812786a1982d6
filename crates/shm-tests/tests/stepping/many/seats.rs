//! Whose a seat is: only who holds its lock writes what is on it.

use super::scene::{SURVIVORS, Scene};
use shm_core::{Object, lock};
use shm_ring::layout::mpmc::{LIFE_OFFSET, SEAT_BYTES, SEATS_OFFSET};

/// What is written on seats whose locks somebody holds.
#[derive(Debug)]
pub(crate) struct Held(Vec<(usize, Vec<u8>)>);

impl Held {
    /// The seats that the victim holds: its own, and those of the dead behind whom it cleans up. (The survivors' are
    /// the first; call it before anybody else comes.)
    pub(crate) fn by_the_victim(scene: &Scene) -> Self {
        let picture = scene.picture();
        let held = (SURVIVORS..picture.seats.len()).filter(|&seat| !picture.seats[seat].free);
        Self(held.map(|seat| (seat, written(scene, seat))).collect())
    }

    /// Fails if anybody has written there since.
    pub(crate) fn is_as_it_was(&self, scene: &Scene) {
        for (seat, before) in &self.0 {
            let picture = || scene.picture();
            assert!(*before == written(scene, *seat), "others wrote on seat {seat}, held: {:#?}", picture());
        }
    }
}

fn written(scene: &Scene, seat: usize) -> Vec<u8> {
    let mut bytes = vec![0; SEAT_BYTES];
    scene.region.copy_out(SEATS_OFFSET + seat * SEAT_BYTES, &mut bytes).unwrap();
    without_life(&bytes)
}

/// But for the life word: another thread writes it, which is not stopped, and the kernel.
fn without_life(seat: &[u8]) -> Vec<u8> {
    [&seat[..LIFE_OFFSET], &seat[LIFE_OFFSET + size_of::<u32>()..]].concat()
}

/// Between two moments with one instruction of one process between them: fails if something was written on a
/// seat whose lock nobody holds.
pub(crate) fn only_held_ones_change(before: &[u8], after: &[u8], participants: usize, object: &Object) {
    for seat in 0..participants {
        let at = SEATS_OFFSET + seat * SEAT_BYTES;
        let [before, after] = [before, after].map(|bytes| without_life(&bytes[at..at + SEAT_BYTES]));
        let held = || !lock::is_free(object, at as u64).unwrap();
        assert!(before == after || held(), "seat {seat} is written without its lock");
    }
}
