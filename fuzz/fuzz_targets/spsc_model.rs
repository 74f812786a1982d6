//! An SPSC ring is a queue, whatever its handles do in whatever order.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| shm_fuzz::spsc_model(input));
