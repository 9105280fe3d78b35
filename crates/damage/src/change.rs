//! One change of some bytes.

use proptest::prelude::*;
use proptest::sample::Index;

/// Whole numbers at the edges of their types, and sizes that no memory holds.
const INTEGERS: [u64; 16] = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x1_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x1_0000_0000,
    1 << 40,
    1 << 62,
    u64::MAX,
];

/// Numbers as text that a parser may trip over.
const NUMBERS: [&str; 20] = [
    "0",
    "-0",
    "-1",
    "1",
    "0.5",
    "1e-400",
    "1e38",
    "1e39",
    "1e308",
    "1e999",
    "NaN",
    "nan",
    "inf",
    "-Infinity",
    "255",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "",
];

/// Where in the bytes: anywhere, or near the beginning, where formats keep their structure.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Anywhere(Index),
    NearStart(Index),
}

/// Bytes near the beginning.
const START: usize = 512;

impl Place {
    /// A place of one of `len > 0` bytes.
    fn of(&self, len: usize) -> usize {
        match self {
            Self::Anywhere(index) => index.index(len),
            Self::NearStart(index) => index.index(len.min(START)),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    FlipBit { at: Place, bit: u8 },
    SetByte { at: Place, value: u8 },
    SetInteger { at: Place, width: usize, is_big: bool, value: u64 },
    SetNumber { number: Index, text: &'static str },
    Cut { at: Place },
    Remove { at: Place, len: usize },
    Clear { at: Place, len: usize },
    Repeat { at: Place, len: usize, times: usize },
    Move { at: Place, len: usize, to: Place },
    Splice { at: Place, seed: Index, from: Index, len: usize },
    Insert { at: Place, token: Index },
}

impl Change {
    /// Any change.
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let place = || {
            prop_oneof![any::<Index>().prop_map(Place::Anywhere), any::<Index>().prop_map(Place::NearStart),]
        };
        let len = || prop_oneof![1..8_usize, 8..600_usize];
        let byte = prop_oneof![prop::sample::select(vec![0, 1, 0x7F, 0x80, 0xFE, 0xFF]), any::<u8>()];
        let integer = prop_oneof![4 => prop::sample::select(INTEGERS.to_vec()), 1 => any::<u64>()];
        let width = prop::sample::select(vec![2_usize, 4, 4, 8]);
        prop_oneof![
            2 => (place(), 0..8_u8).prop_map(|(at, bit)| Self::FlipBit { at, bit }),
            2 => (place(), byte).prop_map(|(at, value)| Self::SetByte { at, value }),
            3 => (place(), width, any::<bool>(), integer)
                .prop_map(|(at, width, is_big, value)| Self::SetInteger { at, width, is_big, value }),
            2 => (any::<Index>(), prop::sample::select(NUMBERS.to_vec()))
                .prop_map(|(number, text)| Self::SetNumber { number, text }),
            1 => place().prop_map(|at| Self::Cut { at }),
            1 => (place(), len()).prop_map(|(at, len)| Self::Remove { at, len }),
            1 => (place(), len()).prop_map(|(at, len)| Self::Clear { at, len }),
            1 => (place(), len(), 1..4_usize).prop_map(|(at, len, times)| Self::Repeat { at, len, times }),
            1 => (place(), len(), place()).prop_map(|(at, len, to)| Self::Move { at, len, to }),
            1 => (place(), any::<Index>(), any::<Index>(), len())
                .prop_map(|(at, seed, from, len)| Self::Splice { at, seed, from, len }),
            2 => (place(), any::<Index>())
                .prop_map(|(at, token)| Self::Insert { at, token }),
        ]
    }

    /// Changes `bytes`, with pieces of other `seeds` and with `tokens`; there is nothing to change in no
    /// bytes.
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>], tokens: &[Vec<u8>]) {
        let total = bytes.len();
        if total == 0 {
            return;
        }
        let range = |at: &Place, len: usize| {
            let at = at.of(total);
            at..(at + len).min(total)
        };
        match self {
            Self::FlipBit { at, bit } => bytes[at.of(total)] ^= 1 << bit,
            Self::SetByte { at, value } => bytes[at.of(total)] = *value,
            Self::SetInteger { at, width, is_big, value } => {
                let mut word = value.to_le_bytes()[..*width].to_vec();
                if *is_big {
                    word.reverse();
                }
                let range = range(at, *width);
                word.truncate(range.len());
                bytes[range].copy_from_slice(&word);
            }
            Self::SetNumber { number, text } => {
                let numbers = numbers(bytes);
                if !numbers.is_empty() {
                    bytes.splice(numbers[number.index(numbers.len())].clone(), text.bytes());
                }
            }
            Self::Cut { at } => bytes.truncate(at.of(total)),
            Self::Remove { at, len } => drop(bytes.drain(range(at, *len))),
            Self::Clear { at, len } => bytes[range(at, *len)].fill(0),
            Self::Repeat { at, len, times } => {
                let range = range(at, *len);
                let repeated = bytes[range.clone()].repeat(*times);
                bytes.splice(range.end..range.end, repeated);
            }
            Self::Move { at, len, to } => {
                let moved: Vec<u8> = bytes.drain(range(at, *len)).collect();
                let to = to.of(total).min(bytes.len());
                bytes.splice(to..to, moved);
            }
            Self::Splice { at, seed, from, len } => {
                let seed = &seeds[seed.index(seeds.len())];
                if !seed.is_empty() {
                    let from = from.index(seed.len());
                    let piece = &seed[from..(from + len).min(seed.len())];
                    bytes.splice(range(at, piece.len()), piece.iter().copied());
                }
            }
            Self::Insert { at, token } => {
                let at = at.of(total);
                bytes.splice(at..at, tokens[token.index(tokens.len())].iter().copied());
            }
        }
    }
}

/// Where numbers stand as text.
fn numbers(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut numbers = Vec::new();
    let mut place = 0;
    while place < bytes.len() {
        let len = bytes[place..].iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-')).count();
        if bytes[place..place + len].iter().any(u8::is_ascii_digit) {
            numbers.push(place..place + len);
        }
        place += len + 1;
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_text() {
        assert_eq!(numbers(b"a,-1.5,.,27"), [2..6, 9..11]);
        assert_eq!(numbers(b"0"), std::slice::from_ref(&(0..1)));
        assert!(numbers(b"none").is_empty());
    }
}
