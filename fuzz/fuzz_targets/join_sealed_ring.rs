//! One side of a sealed ring, whoever is at the other end of its socket.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| shm_fuzz::join_sealed_ring(input));
