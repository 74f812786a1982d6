//! What people write on the command line: names, places, sizes, times, modes.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| shm_fuzz::parse_text(input));
