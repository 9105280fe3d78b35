//! Decoding of JPEG files that the fast decoder misreads.

use std::io::Read;

use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

use crate::decode::color::{cmyk_to_rgb, ycbcr_to_rgb};
use crate::decode::jpeg::components::Components;
use crate::decode::jpeg::header::JpegHeader;

/// The channels as stored, in at most `max_bytes`.
///
/// The error is the reason.
pub(super) fn decode_components(
    bytes: &[u8],
    header: &JpegHeader,
    max_bytes: u64,
) -> Result<Components, String> {
    let in_words = |error: jpeg_decoder::Error| format!("Format error decoding Jpeg: {error}");
    // An end of the image, which files that were cut behind their last scan lack.
    let mut decoder = Decoder::new(bytes.chain(&b"\xFF\xD9"[..]));
    // Those that convert nothing, but for the inversion of four channels; `None` puts them one behind the
    // other.
    let is_inverted = header.frame.components.len() == 4;
    decoder.set_color_transform(if is_inverted { ColorTransform::CMYK } else { ColorTransform::RGB });
    decoder.set_max_decoding_buffer_size(usize::try_from(max_bytes).unwrap_or(usize::MAX));
    let mut samples = decoder.decode().map_err(in_words)?;
    if is_inverted {
        samples.iter_mut().for_each(|sample| *sample = 255 - *sample);
    }
    let info = decoder.info().ok_or("the decoder states no size")?;
    let num_components = match info.pixel_format {
        PixelFormat::L8 => 1,
        PixelFormat::RGB24 => 3,
        PixelFormat::CMYK32 => 4,
        PixelFormat::L16 => return Err("JPEGs of more than 8 bits per channel are not supported".into()),
    };
    Ok(Components { width: info.width.into(), height: info.height.into(), num_components, samples })
}

/// RGB of the channels, by the rules of libjpeg for what they mean; four are inverted inks, as written by
/// Adobe.
pub(super) fn to_rgb(components: &Components, header: &JpegHeader) -> Vec<u8> {
    let samples = &components.samples;
    let identifiers: Vec<u8> = header.frame.components.iter().map(|component| component.identifier).collect();
    match components.num_components {
        1 => samples.iter().flat_map(|grey| [*grey; 3]).collect(),
        3 => {
            let is_rgb = !header.is_jfif
                && match header.adobe_transform {
                    Some(transform) => transform == 0,
                    None => identifiers == *b"RGB",
                };
            if is_rgb {
                return samples.clone();
            }
            samples.as_chunks::<3>().0.iter().flat_map(|pixel| ycbcr_to_rgb(*pixel)).collect()
        }
        _ => {
            let is_ycck = header.adobe_transform.is_some_and(|transform| transform != 0);
            let to_rgb = |&[first, second, third, black]: &[u8; 4]| {
                let stored = [first, second, third];
                // YCbCr stands for inks that are not inverted.
                let inks = if is_ycck { ycbcr_to_rgb(stored) } else { stored.map(|ink| 255 - ink) };
                cmyk_to_rgb([inks[0], inks[1], inks[2], 255 - black])
            };
            samples.as_chunks::<4>().0.iter().flat_map(to_rgb).collect()
        }
    }
}
