//! A receiver of descriptors, whatever its peer sends.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| shm_fuzz::receive_descriptors(input));
