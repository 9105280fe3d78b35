//! Image files of every kind with the pixels that Pillow shows, from `golden/make_decode.py`.

use std::io::Read;

/// One image file; not every test looks at its pixels.
#[allow(dead_code, reason = "shared by several tests")]
pub(crate) struct Case {
    /// Format and kind.
    pub(crate) name: String,
    /// The file.
    pub(crate) bytes: Vec<u8>,
    /// Width in pixels.
    pub(crate) width: u32,
    /// Height in pixels.
    pub(crate) height: u32,
    /// `height * width * 3` values.
    pub(crate) pixels: Vec<u8>,
}

/// All cases.
pub(crate) fn cases() -> Vec<Case> {
    let mut bytes = Vec::new();
    let packed = &include_bytes!("../golden/decode.bin")[..];
    flate2::read::ZlibDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    let mut rest = &bytes[..];
    let mut take = |length: usize| {
        let (taken, left) = rest.split_at(length);
        rest = left;
        taken.to_vec()
    };
    let number =
        |bytes: Vec<u8>| bytes.iter().rev().fold(0, |number: usize, byte| number << 8 | usize::from(*byte));
    let mut cases = Vec::new();
    loop {
        let length = number(take(1));
        let name = String::from_utf8(take(length)).unwrap();
        let length = number(take(4));
        let bytes = take(length);
        let (width, height) = (number(take(2)), number(take(2)));
        let pixels = take(width * height * 3);
        let is_last = name == "end";
        cases.push(Case { name, bytes, width: width as u32, height: height as u32, pixels });
        if is_last {
            cases.pop();
            return cases;
        }
    }
}
