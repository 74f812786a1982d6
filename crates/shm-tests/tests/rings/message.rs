//! Numbered messages whose every byte follows from the number.

/// The longest message of [`content`].
pub(crate) const LENGTH_MAX: u64 = 300;

/// Message `number`: its number, and as much more as the number says. Successive lengths differ widely, so that
/// small rings wrap at every place.
pub(crate) fn content(number: u64) -> Vec<u8> {
    let length = 8 + number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (LENGTH_MAX - 7);
    let rest = (8..length).map(|at| (number ^ at).to_le_bytes()[0].wrapping_mul(31));
    number.to_le_bytes().into_iter().chain(rest).collect()
}

/// The number of a message.
///
/// # Panics
/// When any of its bytes is not what the number demands.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(*bytes.first_chunk().expect("a message has at least its number"));
    assert_eq!(bytes, content(number), "message {number} is torn");
    number
}

/// Value `number` of a typed ring.
pub(crate) fn value(number: u64) -> [u64; 3] {
    [number, !number, number.wrapping_mul(0x9E37_79B9_7F4A_7C15)]
}
