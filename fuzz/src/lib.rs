//! What the fuzz targets do, apart from the fuzzer: `cargo test` runs the committed seeds through it.

pub mod case;
pub mod handles;
pub mod object;
pub mod play;
pub mod seeds;
pub mod template;

use case::Case;

/// The bytes of `input` become an object, which is opened and worked with in every way. Panics when a rule is
/// broken; garbage may only ever lead to an error.
pub fn open_arbitrary_bytes(input: &[u8]) {
    if let Some(case) = Case::parse(input) {
        play::everything(&case);
    }
}
