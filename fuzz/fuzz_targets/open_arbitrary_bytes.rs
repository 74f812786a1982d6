//! Arbitrary bytes under a ring's name are opened as every kind of ring, by every kind of handle.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| shm_fuzz::open_arbitrary_bytes(input));
