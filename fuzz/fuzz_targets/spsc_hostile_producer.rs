//! A consumer beside a producer that changes its words just before they are loaded.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| shm_fuzz::spsc_hostile_producer(input));
