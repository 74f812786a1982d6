//! What a type looks like, in 64 bits that are the same in every program.
//!
//! Rust's own `TypeId` differs between builds. The fingerprint is made of the type's name without the
//! modules it stands in (two programs keep it in different ones), its size and alignment, and the schema that
//! the user may add. It does not see fields: a change of their meaning needs a new name or schema.

/// FNV-1a, 64 bits: fixed for ever, unlike the standard library's hasher.
const OFFSET_BASIS: u64 = 0xCBF2_9CE4_8422_2325;
const PRIME: u64 = 0x0100_0000_01B3;

/// The fingerprint of `T` under `schema`; never 0.
pub(crate) fn of_type<T>(schema: &str) -> u64 {
    let mut name = String::new();
    // "a::b::Tick<c::Side>" becomes "Tick<Side>".
    for part in
        std::any::type_name::<T>().split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
    {
        name.push_str(part.rsplit("::").next().unwrap_or(part));
    }
    let sizes = [size_of::<T>() as u64, align_of::<T>() as u64];
    let fields = [name.as_bytes(), &sizes[0].to_le_bytes(), &sizes[1].to_le_bytes(), schema.as_bytes()];
    hash(&fields).max(1)
}

/// The fingerprint of bytes under `schema`; 0 without one.
pub(crate) fn of_bytes(schema: &str) -> u64 {
    if schema.is_empty() { 0 } else { hash(&[schema.as_bytes()]).max(1) }
}

/// Each field is followed by a byte that no UTF-8 text contains.
fn hash(fields: &[&[u8]]) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    fields
        .iter()
        .fold(OFFSET_BASIS, |hash, field| step(field.iter().fold(hash, |hash, &byte| step(hash, byte)), 0xFF))
}

#[cfg(test)]
mod tests {
    use super::*;

    mod here {
        pub(super) struct Tick(#[allow(dead_code)] u64);
    }
    mod there {
        pub(super) struct Tick(#[allow(dead_code)] u64);
        pub(super) struct Tock(#[allow(dead_code)] u64);
    }

    #[test]
    fn modules_do_not_count_and_everything_else_does() {
        let tick = of_type::<here::Tick>("");
        assert_eq!(tick, of_type::<there::Tick>(""));
        assert_eq!(of_type::<[here::Tick; 2]>(""), of_type::<[there::Tick; 2]>(""));
        assert_ne!(tick, of_type::<there::Tock>(""));
        assert_ne!(tick, of_type::<here::Tick>("2"));
        use std::{cmp::Reverse, num::Wrapping};
        assert_ne!(of_type::<(Reverse<u64>, Vec<u8>)>(""), of_type::<(Wrapping<u64>, Vec<u8>)>(""));
        assert_ne!(of_type::<u64>(""), of_type::<i64>(""));
        assert_ne!(of_type::<[u8; 4]>(""), of_type::<[u8; 8]>(""));
    }

    #[test]
    fn the_hash_is_fixed() {
        // FNV-1a of the single byte 0xFF, which ends an empty field.
        assert_eq!(hash(&[b""]), (OFFSET_BASIS ^ 0xFF).wrapping_mul(PRIME));
        // "u64", 8, 8 and "", computed by hand.
        assert_eq!(of_type::<u64>(""), 0xEC36_449B_00A1_9ABE_u64);
    }
}
