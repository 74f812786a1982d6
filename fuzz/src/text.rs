//! What people write: names, places, keys, sizes, times, counts and permissions.
//!
//! An input is a text, or made one. The rules: what is read is shown so that it is read as the same; what must not be
//! a name is none; errors say something.

use shm_core::{Directory, Name, Place, sysv::Key};
use std::fmt::Display;
use std::str::FromStr;

// The program's own file: the program is no library, and this crate does without what it needs besides.
#[allow(dead_code, unreachable_pub)]
#[path = "../../crates/shm-cli/src/units.rs"]
mod units;

/// Plays an input.
pub fn play(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    if let Some(name) = shown_as_read::<Name>(text) {
        let name = name.as_str();
        assert!(!name.is_empty() && name.len() <= 255 && !name.contains(['/', '\0']), "{name:?}");
        assert!(![".", ".."].contains(&name), "{name:?}");
    }
    if let Some(place) = shown_as_read::<Place>(text) {
        assert!(["posix", "file", "sysv"].contains(&place.kind()));
        // An id is looked up in the system.
        if !matches!(place, Place::SysvId(_)) {
            match place.locate(&Directory::posix()) {
                Ok((_, name)) => assert!(!name.as_str().is_empty()),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
    if let Some(key) = shown_as_read::<Key>(text) {
        assert_ne!(key.as_raw(), 0, "a key by which nobody finds a segment");
    }
    sizes(text);
    if let Some(time) = told(units::parse_duration(text)) {
        let shown = humantime::format_duration(time).to_string();
        assert_eq!(units::parse_duration(&shown), Ok(time), "{shown}");
    }
    if let Some(count) = told(units::parse_count(text)) {
        assert_eq!(units::parse_count(&count.to_string()), Ok(count));
    }
    if let Some(mode) = told(units::parse_mode(text)) {
        assert!(mode <= 0o777);
        assert_eq!(units::parse_mode(&format!("{mode:04o}")), Ok(mode));
    }
}

fn sizes(text: &str) {
    if let Some(bytes) = told(units::parse_size(text)) {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            assert_eq!(text.parse(), Ok(bytes), "{text}");
        }
        assert_eq!(units::parse_size(&bytes.to_string()), Ok(bytes));
        let shown = units::show_size(bytes);
        let again = units::parse_size(&shown).expect("a size as it is shown");
        // With one digit behind the point it may be a tenth of a unit less.
        assert!(again <= bytes && bytes - again <= bytes / 10, "{bytes} shown as {shown}");
        if !shown.contains('.') {
            assert_eq!(again, bytes, "{shown}");
        }
    }
    if let Some(asked) = told(units::parse_capacity(text)) {
        let capacity = units::ring_capacity(asked).expect("judged when it was read");
        assert!(capacity.is_power_of_two() && capacity >= asked, "{asked}: {capacity}");
    }
}

fn told<T>(read: Result<T, String>) -> Option<T> {
    read.map_err(|error| assert!(!error.is_empty())).ok()
}

fn shown_as_read<T>(text: &str) -> Option<T>
where
    T: FromStr<Err = shm_core::Error> + Display + PartialEq + std::fmt::Debug,
{
    match text.parse::<T>() {
        Ok(read) => {
            let shown = read.to_string();
            match shown.parse::<T>() {
                Ok(again) => assert_eq!(again, read, "{shown:?}"),
                Err(error) => panic!("{text:?} is shown as {shown:?}: {error}"),
            }
            Some(read)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}
