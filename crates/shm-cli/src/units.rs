//! Sizes, times and permission bits as people write them.

use shm_ring::layout::Geometry;
use std::time::Duration;

/// Units of size: powers of 1024 by their binary names and by a single letter, as `dd` and `truncate` have
/// them, and powers of 1000 by their decimal names.
const UNITS: [(&str, u64); 17] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
    ("p", 1 << 50),
    ("pib", 1 << 50),
    ("pb", 1_000_000_000_000_000),
];

/// A size such as `4096`, `64KiB`, `1G` or `1.5 MiB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim().to_lowercase();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let (Some(factor), Ok(whole), Some(part)) = (factor, whole.parse::<u64>(), parse_fraction(fraction))
    else {
        return Err("a size is a number and a unit, such as 4096, 64KiB, 1MiB or 1G".to_owned());
    };
    let (numerator, denominator) = part;
    let bytes =
        u128::from(whole) * u128::from(factor) + u128::from(numerator) * u128::from(factor) / denominator;
    u64::try_from(bytes).map_err(|_| "that is more than any machine has".to_owned())
}

/// A size that a ring can have, as it was given: see [`ring_capacity`].
pub(crate) fn parse_capacity(text: &str) -> Result<u64, String> {
    let asked = parse_size(text)?;
    ring_capacity(asked).map(|_| asked).map_err(|error| error.to_string())
}

/// The capacity of a ring that is asked for so many bytes: the next power of two.
pub(crate) fn ring_capacity(asked: u64) -> shm_ring::Result<u64> {
    Ok(Geometry::bytes(asked)?.capacity)
}

/// Digits behind a point, as a numerator and a denominator.
fn parse_fraction(digits: &str) -> Option<(u64, u128)> {
    let numerator = digits.parse().ok()?;
    let places = u32::try_from(digits.len()).ok()?;
    Some((numerator, 10_u128.checked_pow(places)?))
}

/// A time such as `5s`, `500ms` or `1m 30s`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a time is a number and a unit, such as 500ms, 5s or 1m"))
}

/// How many.
pub(crate) fn parse_count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a count is a whole number, such as 1 or 1000".to_owned())
}

/// Permission bits in octal, such as `0600`.
pub(crate) fn parse_mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if is_octal && mode <= 0o777 => Ok(mode),
        _ => Err("permissions are octal digits, from 0000 to 0777, such as 0600 or 0660".to_owned()),
    }
}

/// A size for people: exact where a unit fits, with one digit behind the point otherwise.
pub(crate) fn show_size(bytes: u64) -> String {
    let mut unit = ("B", 1_u64);
    for next in [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)] {
        if bytes >= next.1 {
            unit = next;
        }
    }
    let (name, factor) = unit;
    let tenths = u128::from(bytes % factor) * 10 / u128::from(factor);
    if bytes.is_multiple_of(factor) {
        format!("{} {name}", bytes / factor)
    } else {
        format!("{}.{tenths} {name}", bytes / factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("64KiB", 65_536),
            ("64kib", 65_536),
            ("64K", 65_536),
            ("1MiB", 1 << 20),
            ("1 MiB", 1 << 20),
            ("1G", 1 << 30),
            ("1MB", 1_000_000),
            ("1.5KiB", 1536),
            ("0.25g", 1 << 28),
            ("16383PiB", 16_383 << 50),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "KiB", "1XB", "-1", "+1", "1..5", "1.", ".5", "1e3", "0x10", "1 2", "16384PiB", "1.2.3"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (1 << 20, "1 MiB"),
            (1 << 41, "2 TiB"),
        ] {
            assert_eq!(show_size(bytes), text);
        }
    }

    #[test]
    fn times_and_modes_are_read() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(parse_duration("5").is_err() && parse_duration("-1s").is_err());
        assert!(parse_count("x").is_err() && parse_count("-1").is_err());
        assert_eq!((parse_mode("0600"), parse_mode("640"), parse_mode("0o7")), (Ok(0o600), Ok(0o640), Ok(7)));
        for text in ["", "8", "01000", "rw", "-1", "+7", "0x1"] {
            assert!(parse_mode(text).is_err(), "{text}");
        }
    }
}
