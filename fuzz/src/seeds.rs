//! What the fuzzer starts from: rings made by the real code, whole, truncated, and as patches.

use crate::case::{Patch, encode};
use crate::peers::Enemy;
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

/// Changes made meanwhile, encoded as `peers` reads them: how many, then how many loads each lets pass, and what it is.
const CHANGES: [&[u8]; 4] = [
    &[0],
    // A bit just now, something near after three loads, a value of those at borders after ten.
    &[3, 0, 2, 3, 3, 1, 8, 10, 5, 3],
    // The same place twice: what was judged is no longer there.
    &[2, 5, 0, 8, 0, 0, 0, 0, 1, 0, 0, 0, 0, 255, 255, 255, 255, 0, 1, 0, 0],
    &[2, 12, 3, 0, 2, 1, 4, 0, 2, 64, 0, 0, 0, 0, 0, 0, 0],
];
/// Operations of the models.
const OPERATIONS: [&[u8]; 3] = [
    &[0, 3, 0, 9, 4, 2, 8, 1, 1, 3, 2, 5, 7, 4, 6, 20, 7, 3, 8, 2, 1, 9, 1, 0, 1, 4, 4, 9, 3, 0, 4, 4, 4],
    &[0, 0, 0, 1, 2, 4, 1, 3, 3, 0, 6, 2, 7, 1, 4, 0, 9, 0, 3, 4, 5, 5, 3, 1, 2],
    &[1, 9, 1, 8, 1, 7, 1, 6, 5, 5, 5, 5, 5, 2, 2, 2, 3, 3, 3, 3],
];
/// What people write.
const TEXTS: [&str; 24] = [
    "ticks",
    "/ticks",
    "..",
    "posix:a:b",
    "file:/var/lib/feed/ticks",
    "file:a/..",
    "sysv:0x0000cafe",
    "sysv:-1",
    "sysv-id:17",
    ".shmring-birth-1",
    ".shmring-sysv-0x1",
    "4096",
    "64KiB",
    "1.5 MiB",
    "0.25g",
    "16383PiB",
    "18446744073709551615",
    "500ms",
    "1m 30s",
    "584542046090years",
    "0600",
    "0o777",
    "1000",
    "\u{e4}\0",
];

/// Of rings and changes of them.
pub fn open_arbitrary_bytes() -> Vec<(String, Vec<u8>)> {
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

/// A template with changes and steps.
fn of_enemy(enemy: Enemy) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (index, template) in (0..).zip(template::of_enemy(enemy)) {
        for (variant, changes) in (0..).zip(CHANGES) {
            let steps = STEPS[usize::from(variant) % STEPS.len()];
            let input = [&[index, variant, 0], changes, steps, STEPS[0], STEPS[1]].concat();
            seeds.push((format!("template-{template}-{variant}"), input));
        }
    }
    seeds
}

/// Of a consumer.
pub fn spsc_hostile_producer() -> Vec<(String, Vec<u8>)> {
    of_enemy(Enemy::Producer)
}

/// Of a producer.
pub fn spsc_hostile_consumer() -> Vec<(String, Vec<u8>)> {
    of_enemy(Enemy::Consumer)
}

/// Of both.
pub fn spsc_hostile_state() -> Vec<(String, Vec<u8>)> {
    of_enemy(Enemy::Vandal)
}

/// Of senders and receivers.
pub fn mpmc_hostile_state() -> Vec<(String, Vec<u8>)> {
    of_enemy(Enemy::Anybody)
}

fn models() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for shape in [0, 1, 2, 3, 128, 129, 130, 131_u8] {
        for (variant, operations) in OPERATIONS.iter().enumerate() {
            seeds.push((format!("shape-{shape}-{variant}"), [&[shape], *operations, *operations].concat()));
        }
    }
    seeds
}

/// Operations.
pub fn spsc_model() -> Vec<(String, Vec<u8>)> {
    models()
}

/// Operations.
pub fn mpmc_model() -> Vec<(String, Vec<u8>)> {
    models()
}

/// Messages that are awaited, and some that are not.
pub fn receive_descriptors() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for kind in 0..3 {
        // Six bytes with a sealed memfd, received as they were sent.
        let right = [0, 6, b's', b'e', b'a', b'l', b'e', b'd', 1, 0, 4, 6, 1];
        // By hand: two bytes with three descriptors, received as one with none; the peer goes.
        let wrong = [3, 2, b'a', b'b', 3, 2, 11, 4, 4, 1, 0, 7, 4, 1, 0];
        seeds.push((format!("right-{kind}"), [&[kind, 0], &right[..]].concat()));
        seeds.push((format!("known-{kind}"), [&[kind, 1], &right[..], &right[..]].concat()));
        seeds.push((format!("wrong-{kind}"), [&[kind, 0], &right[..], &wrong[..]].concat()));
    }
    seeds
}

/// Peers that are honest and change their minds, and such as come with what is wrong.
pub fn join_sealed_ring() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    // The socket, the greeting, the memory, and how it is sent, as `join` reads them.
    const RIGHT: [&[u8]; 4] = [&[0, 0], &[1], &[0, 0, 0], &[0, 0, 0, 0]];
    const WRONG: [(usize, &[u8]); 14] = [
        (0, &[4, 1]),  // packets, and who sends them
        (0, &[6, 0]),  // datagrams
        (0, &[7, 12]), // another socket
        (0, &[0, 2]),  // nobody there
        (1, &[0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (1, &[2, 1, 32, 0, 7, 0, 2, 0, 0, 0, 0, 0, 0]), // a larger capacity
        (1, &[3, 0]),                                   // the greeting of a producer
        (2, &[1, 0, 0]),                                // messages that were sent before
        (2, &[2, 0, 0]),                                // a stream that went round
        (2, &[0, 0, 4, 0, 32]),                         // another length
        (2, &[0, 0, 5, 7]),                             // half of the seals
        (2, &[0, 0, 6, 0]),                             // a hole
        (2, &[0, 0, 7, 6]),                             // a device
        (3, &[2, 3, 2, 10, 20, 1, 3]),                  // two descriptors, three pieces, and more bytes
    ];
    for who in 0..6 {
        for (variant, changes) in (0..).zip(CHANGES) {
            let steps = STEPS[usize::from(variant as u8) % STEPS.len()];
            let input = [&[who], &RIGHT.concat()[..], changes, steps, STEPS[0], STEPS[1]].concat();
            seeds.push((format!("right-{who}-{variant}"), input));
        }
        for (number, (part, wrong)) in WRONG.into_iter().enumerate() {
            let mut parts = RIGHT;
            parts[part] = wrong;
            let input = [&[who], &parts.concat()[..], CHANGES[0], STEPS[0], STEPS[1]].concat();
            seeds.push((format!("wrong-{who}-{number:02}"), input));
        }
    }
    seeds
}

/// Moments of histories, with pages from before, garbage, and digests that fit it.
pub fn recover_arbitrary_bytes() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for kind in 1..=5_u8 {
        for (variant, steps) in (0..).zip(STEPS) {
            // The newest version of everything; somebody dies at an early store.
            let whole =
                [&[kind, variant, 20 + 30 * variant, 0, 0, 0, 16 * (variant % 2), 3 * variant], steps];
            seeds.push((format!("whole-{kind}-{variant}"), whole.concat()));
            let mixed = [kind, variant, 90, 0, 10, 0, 1, 0, 2, 0, 1, 0, 0, 1, 2, 0, 0, 9 + variant];
            seeds.push((format!("mixed-{kind}-{variant}"), [&mixed, steps].concat()));
            // The first message's bytes, or where it should be; the records' positions.
            let torn = [kind, variant, 60, 0, 0, 1, 8, 16, 0, 0xFF, 0, 40];
            seeds.push((format!("torn-{kind}-{variant}"), [&torn, steps].concat()));
            let place = [24, 1].map(|byte: u8| byte.wrapping_add(variant.wrapping_mul(112)));
            let forged = [&[kind, variant, 60, 0, 0, 1][..], &place, &[0, 3, 3, 5], steps].concat();
            seeds.push((format!("forged-{kind}-{variant}"), forged));
        }
        let short = [kind, 0, 40, 0, 0, 0, 4, 0, 16, 0];
        seeds.push((format!("short-{kind}"), short.to_vec()));
    }
    seeds.push(("raw".into(), [&[0], &template::of(2)[..600]].concat()));
    seeds
}

/// Texts.
pub fn parse_text() -> Vec<(String, Vec<u8>)> {
    (0..).zip(TEXTS).map(|(number, text): (u8, _)| (format!("text-{number:02}"), text.into())).collect()
}
