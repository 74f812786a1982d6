//! What the fuzzer starts from: rings made by the real code, whole, truncated, and as patches.

use crate::case::{Patch, encode};
use crate::template;

/// Steps that use every handle's calls, encoded.
const STEPS: [&[u8]; 3] = [
    &[0, 6, 5, 1, 4, 1, 7, 9, 3, 8, 3, 10, 3, 2, 5, 3, 2, 2, 16, 9],
    &[1, 1, 1, 11, 0, 6, 3, 6, 4, 6, 5, 11, 1, 3, 9, 10, 1],
    // A process that stores garbage meanwhile: a record's header, the tail.
    &[
        6, 8, 12, 0, 16, 7, 8, 0, 0, 0, 0, 1, 0, 0, 1, 6, 1, 12, 0, 2, 7, 64, 0, 0, 0, 0, 0, 0, 0, 1, 10, 11,
        0, 1,
    ],
];
/// Lengths to which a ring is truncated.
const LENGTHS: [usize; 7] = [0, 7, 8, 11, 128, 255, 256];

/// All seeds with their names, in a fixed order.
pub fn all() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for index in 1..template::count() {
        let number = u8::try_from(index).unwrap_or(0);
        for (variant, steps) in STEPS.iter().enumerate() {
            seeds.push((format!("template-{index}-{variant}"), encode(number, &[], steps)));
        }
        let patches = differences(template::of(index));
        seeds.push((format!("patched-zeros-{index}"), encode(0, &patches, STEPS[0])));
    }
    for length in LENGTHS {
        let mut raw = vec![0];
        raw.extend(&template::of(2)[..length]);
        seeds.push((format!("raw-{length}"), raw));
        // The same in patched form, with its steps: a length, and a hole behind it.
        let mut short = encode(2, &[], STEPS[1]);
        short[1..3].copy_from_slice(&u16::try_from(length).unwrap_or(0).to_le_bytes());
        short[3] = 1;
        seeds.push((format!("hole-behind-{length}"), short));
    }
    seeds
}

/// The patches that make `bytes` of zeros.
fn differences(bytes: &[u8]) -> Vec<Patch> {
    let chunks = bytes.chunks(8).zip((0..).step_by(8));
    chunks
        .filter(|(chunk, _)| chunk.iter().any(|&byte| byte != 0))
        .map(|(chunk, offset)| Patch { offset, bytes: chunk.to_vec() })
        .collect()
}
