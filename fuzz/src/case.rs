//! What an input means: the bytes of an object, and what is then done with it.
//!
//! The first byte says in which form the rest comes:
//!
//! | form | then |
//! |---|---|
//! | 0 | the object, as it is; a fixed list of steps is taken |
//! | n > 0 | changes of [template](crate::template) n - 1, and the steps, so that the fuzzer gets past the header |
//!
//! Changes are: the length in bytes (u16, 0: the template's own), pages of hole behind it (u8), the number of
//! patches (u8), and the patches: where (u16), how many bytes (u8, 1 more than its low 3 bits), the bytes.
//! Whatever follows are steps. Every byte string is some case, and what is missing at its end is zero.

use crate::input::Reader;
use crate::template;

/// Longest object.
pub const OBJECT_BYTES_MAX: usize = 64 << 10;
/// Most steps taken.
pub const STEPS_MAX: usize = 48;
/// Steps for objects that come without.
const STEPS: [Step; 12] = [
    Step::Look,
    Step::Receive,
    Step::Peek { take: true },
    Step::Send { length: 5 },
    Step::Reserve { length: 9, commit: Some(3) },
    Step::Batch { count: 2 },
    Step::Ask,
    Step::PeekBatch { count: 3, take: 2 },
    Step::ReceiveBatch { count: 3 },
    Step::Reopen { close: true },
    Step::ReceiveInto { bytes: 8 },
    Step::Receive,
];

/// A parsed input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The object's bytes.
    pub object: Vec<u8>,
    /// Bytes of length behind them that have no memory.
    pub hole_bytes: u64,
    /// What is done with whatever opens.
    pub steps: Vec<Step>,
}

/// A change to the object, as a buggy process would make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where; wraps around the object's length.
    pub offset: u16,
    /// What is stored there: 1 to 8 bytes.
    pub bytes: Vec<u8>,
}

/// One thing done with the handles that are open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // their fields are the arguments of the calls that they are named after
pub enum Step {
    Look,
    Receive,
    ReceiveInto {
        bytes: u8,
    },
    ReceiveBatch {
        count: u8,
    },
    Peek {
        take: bool,
    },
    PeekBatch {
        count: u8,
        take: u8,
    },
    Send {
        length: u8,
    },
    Reserve {
        length: u8,
        commit: Option<u8>,
    },
    Batch {
        count: u8,
    },
    /// A wait whose deadline has passed.
    Wait,
    /// The questions that change nothing.
    Ask,
    /// Leaves, and attaches again.
    Reopen {
        close: bool,
    },
    Patch(Patch),
}

impl Case {
    /// The case that an input means; `None` for the empty one.
    pub fn parse(input: &[u8]) -> Option<Self> {
        let (&form, rest) = input.split_first()?;
        if form == 0 {
            let object = rest[..rest.len().min(OBJECT_BYTES_MAX)].to_vec();
            return Some(Self { object, hole_bytes: 0, steps: STEPS.to_vec() });
        }
        let mut reader = Reader::new(rest);
        let mut object = template::of(usize::from(form - 1)).to_vec();
        let length = usize::from(reader.u16());
        if length > 0 {
            object.resize(length, 0);
        }
        let hole_bytes = u64::from(reader.u8() % 8) * 4096;
        for _ in 0..reader.u8() {
            Patch::parse(&mut reader).apply(&mut object);
        }
        let mut steps = Vec::new();
        while !reader.is_empty() && steps.len() < STEPS_MAX {
            steps.push(Step::parse(&mut reader));
        }
        Some(Self { object, hole_bytes, steps })
    }
}

impl Patch {
    /// The next patch of an input.
    pub fn parse(reader: &mut Reader<'_>) -> Self {
        let offset = reader.u16();
        let count = reader.u8() % 8 + 1;
        Self { offset, bytes: (0..count).map(|_| reader.u8()).collect() }
    }

    /// Changes `object`.
    pub fn apply(&self, object: &mut [u8]) {
        for (byte, at) in self.bytes.iter().zip(usize::from(self.offset)..) {
            let length = object.len().max(1);
            if let Some(target) = object.get_mut(at % length) {
                *target = *byte;
            }
        }
    }
}

impl Step {
    /// How many kinds there are.
    pub const KINDS: usize = 13;

    /// The next step of an input.
    pub fn parse(reader: &mut Reader<'_>) -> Self {
        match reader.below(Self::KINDS) {
            0 => Self::Look,
            1 => Self::Receive,
            2 => Self::ReceiveInto { bytes: reader.u8() },
            3 => Self::ReceiveBatch { count: reader.u8() },
            4 => Self::Peek { take: reader.u8() % 2 == 1 },
            5 => Self::PeekBatch { count: reader.u8(), take: reader.u8() },
            6 => Self::Send { length: reader.u8() },
            7 => {
                let length = reader.u8();
                let commit = reader.u8();
                Self::Reserve { length, commit: (commit != u8::MAX).then_some(commit) }
            }
            8 => Self::Batch { count: reader.u8() },
            9 => Self::Wait,
            10 => Self::Ask,
            11 => Self::Reopen { close: reader.u8() % 2 == 1 },
            _ => Self::Patch(Patch::parse(reader)),
        }
    }
}

/// The input for a template and patches of it; `steps` as they are encoded.
pub fn encode(template: u8, patches: &[Patch], steps: &[u8]) -> Vec<u8> {
    let mut input = vec![template + 1, 0, 0, 0, u8::try_from(patches.len()).unwrap_or(u8::MAX)];
    for patch in patches.iter().take(usize::from(u8::MAX)) {
        input.extend(patch.offset.to_le_bytes());
        input.push(u8::try_from(patch.bytes.len().saturating_sub(1)).unwrap_or(7));
        input.extend(&patch.bytes);
    }
    input.extend(steps);
    input
}
