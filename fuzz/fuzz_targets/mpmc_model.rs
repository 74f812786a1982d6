//! An MPMC ring is a queue, whoever does whatever at it in whatever order.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| shm_fuzz::mpmc_model(input));
