//! Conversions of colours that several formats share.

/// Nearest 8-bit value of a sample whose greatest value is `greatest`, at least 1.
pub(crate) fn to_eight_bits(sample: u16, greatest: u16) -> u8 {
    let (sample, greatest) = (u32::from(sample), u32::from(greatest));
    ((sample * 255 + greatest / 2) / greatest) as u8
}

/// Inks, of which 255 is most, on white paper; rounded as by Pillow.
pub(crate) fn cmyk_to_rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = 255 - black;
    [cyan, magenta, yellow].map(|ink| light - scale(ink, light))
}

/// `a * b / 255`, rounded.
fn scale(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    ((product + (product >> 8)) >> 8) as u8
}

/// YCbCr of JPEG files, in fixed point of 16 bits.
pub(crate) fn ycbcr_to_rgb([luma, blue, red]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (luma, blue, red) = (i32::from(luma) << 16, i32::from(blue) - 128, i32::from(red) - 128);
    // 1.402, 0.344136, 0.714136 and 1.772 times 65536.
    let channels = [luma + 91_881 * red, luma - 22_554 * blue - 46_802 * red, luma + 116_130 * blue];
    channels.map(|channel| ((channel + HALF) >> 16).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_rounded_to_the_nearest_of_eight_bits() {
        // 128 / 257 = 0.498, 129 / 257 = 0.502, 65406 / 257 = 254.498, 65407 / 257 = 254.502
        let cases = [
            (0, 0),
            (128, 0),
            (129, 1),
            (257, 1),
            (32_896, 128),
            (65_406, 254),
            (65_407, 255),
            (65_535, 255),
        ];
        for (sample, expected) in cases {
            assert_eq!(to_eight_bits(sample, 65_535), expected, "{sample}");
        }
        assert_eq!([0, 1, 2, 3].map(|sample| to_eight_bits(sample, 3)), [0, 85, 170, 255]);
    }

    #[test]
    fn inks_darken_paper() {
        assert_eq!(cmyk_to_rgb([0, 0, 0, 0]), [255; 3]);
        assert_eq!(cmyk_to_rgb([255, 0, 255, 0]), [0, 255, 0]);
        assert_eq!(cmyk_to_rgb([10, 20, 30, 255]), [0; 3]);
        // 255 - 51 = 204; 204 - 100 * 204 / 255 = 124
        assert_eq!(cmyk_to_rgb([100, 0, 0, 51]), [124, 204, 204]);
    }

    #[test]
    fn grey_has_no_chroma() {
        assert_eq!(ycbcr_to_rgb([77, 128, 128]), [77; 3]);
        // 76 + 1.402 * 127 = 254.05; 76 - 0.344136 * -44 - 0.714136 * 127 = 0.45; 76 + 1.772 * -44 = -1.97
        assert_eq!(ycbcr_to_rgb([76, 84, 255]), [254, 0, 0]);
    }
}
