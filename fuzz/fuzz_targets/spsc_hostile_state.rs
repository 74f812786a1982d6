//! Producer and consumer beside somebody who changes all words just before they are loaded.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| shm_fuzz::spsc_hostile_state(input));
