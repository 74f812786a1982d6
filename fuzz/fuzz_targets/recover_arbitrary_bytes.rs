//! What the disk made of a ring in a file, after a restart of the machine.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| shm_fuzz::recover_arbitrary_bytes(input));
