//! Whether a file is an image: by its extension, or by its first bytes if the extension is uninformative.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Extensions of the formats this crate decodes, in lower case. The first picture of an MPO file is a JPEG,
/// an APNG file is a PNG.
const IMAGE_EXTENSIONS: [&str; 23] = [
    "jpg", "jpeg", "jpe", "jfif", "jif", "jfi", "pjpeg", "pjpg", "pjp", "mpo", "jps", "png", "apng", "pns",
    "webp", "bmp", "dib", "tif", "tiff", "btf", "tf8", "gif", "giff",
];

/// Extensions of image formats that are not read; such files are reported one by one.
const UNREADABLE_EXTENSIONS: [&str; 83] = [
    // Of phones and the web.
    "heic", "heif", "hif", "heics", "heifs", "avif", "avifs", "jxl", "jp2", "j2k", "j2c", "jpc", "jpf", "jpx",
    "jpm", "jxr", "hdp", "wdp", "svg", "svgz", "qoi", "flif", "bpg", // Raw files of cameras.
    "cr2", "cr3", "crw", "nef", "nrw", "arw", "sr2", "srf", "srw", "dng", "raf", "orf", "ori", "rw2", "rwl",
    "pef", "ptx", "x3f", "3fr", "fff", "iiq", "mrw", "mef", "mos", "kdc", "dcr", "k25", "erf", "gpr", "raw",
    "cap", "eip", // Of programs, games and sciences.
    "psd", "psb", "xcf", "kra", "tga", "ppm", "pgm", "pbm", "pnm", "pam", "pfm", "exr", "hdr", "ico", "icns",
    "cur", "dds", "ktx", "pcx", "sgi", "xbm", "xpm", "eps", "wmf", "emf", "djvu", "dcm", "fits",
];

/// Extensions that do not identify the content.
const BLANK_EXTENSIONS: [&str; 6] = ["bin", "dat", "download", "file", "image", "img"];

/// Longest extension that can be one.
const MAX_EXTENSION_LENGTH: usize = 12;

/// Bytes at the start of a file that tell a format.
const START_BYTES: u64 = 20;

/// Kind of a file by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Extension of a readable format.
    Image,
    /// Extension, in lower case, of an image format that is not read.
    UnreadableFormat(String),
    /// Any other extension, in lower case; whether it leaves open what the file is.
    Other { extension: String, is_blank: bool },
    /// No extension, or something after a dot that cannot be one, as in `photo 1.2`.
    NoExtension,
}

impl FileKind {
    /// Judges by the extension, in any case.
    pub(crate) fn by_name(path: &Path) -> Self {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let is_extension = extension.len() <= MAX_EXTENSION_LENGTH
            && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && extension.bytes().any(|byte| byte.is_ascii_alphabetic());
        if !is_extension {
            return Self::NoExtension;
        }
        let extension = extension.to_ascii_lowercase();
        if IMAGE_EXTENSIONS.contains(&extension.as_str()) {
            Self::Image
        } else if UNREADABLE_EXTENSIONS.contains(&extension.as_str()) {
            Self::UnreadableFormat(extension)
        } else {
            let is_blank = BLANK_EXTENSIONS.contains(&extension.as_str());
            Self::Other { extension, is_blank }
        }
    }
}

/// Whether the file begins as one of a readable format. A file that cannot be read does not.
pub(crate) fn has_image_content(path: &Path) -> bool {
    is_image_start(&start_of(path))
}

/// As [`has_image_content`], but not as TIFF, which most raw files of cameras begin as.
pub(crate) fn has_image_content_but_tiff(path: &Path) -> bool {
    let start = start_of(path);
    is_image_start(&start) && !is_tiff_start(&start)
}

fn start_of(path: &Path) -> Vec<u8> {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(START_BYTES).read_to_end(&mut start));
    if read.is_ok() { start } else { Vec::new() }
}

/// Stricter than what decoding asks for: a text may well begin with BM.
fn is_image_start(start: &[u8]) -> bool {
    let is_bitmap = || {
        let (reserved, header_size) = (start.get(6..10), start.get(14..18));
        start.starts_with(b"BM")
            && reserved == Some(&[0; 4])
            && matches!(header_size, Some(&[12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
    };
    start.starts_with(b"\xFF\xD8\xFF")
        || start.starts_with(b"\x89PNG\r\n\x1a\n")
        || start.starts_with(b"GIF87a")
        || start.starts_with(b"GIF89a")
        || start.starts_with(b"RIFF") && start.get(8..12) == Some(b"WEBP")
        || is_tiff_start(start)
        || is_bitmap()
}

fn is_tiff_start(start: &[u8]) -> bool {
    [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| start.starts_with(*magic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_judged_in_any_case() {
        let kind = |name: &str| FileKind::by_name(Path::new(name));
        let other = |extension: &str, is_blank| FileKind::Other { extension: extension.into(), is_blank };
        for name in ["a/b.JPEG", "b.tar.Gif", "a.mpo", "A.JIF", "a.Jfi", "a.apng", "a.dib", "x.PJPEG"] {
            assert_eq!(kind(name), FileKind::Image, "{name}");
        }
        for (name, extension) in
            [("IMG_1.HEIC", "heic"), ("a.HIF", "hif"), ("a.Cr3", "cr3"), ("a.avif", "avif")]
        {
            assert_eq!(kind(name), FileKind::UnreadableFormat(extension.into()));
        }
        assert_eq!(kind("notes.txt"), other("txt", false));
        assert_eq!(kind("film.MP4"), other("mp4", false));
        assert_eq!(kind("3f2a.bin"), other("bin", true));
        for name in ["jpg", "a/3f2a", "IMG.20230501", "a.jpg_large", "a.b c", "a.é", "b.", "a.jpg~"] {
            assert_eq!(kind(name), FileKind::NoExtension, "{name}");
        }
    }

    #[test]
    fn lists_have_no_extension_twice() {
        let mut all = [&IMAGE_EXTENSIONS[..], &UNREADABLE_EXTENSIONS, &BLANK_EXTENSIONS].concat();
        let number = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), number);
        assert!(all.iter().all(|extension| extension.to_ascii_lowercase() == *extension));
    }

    #[test]
    fn the_first_bytes_tell_images_from_texts() {
        use std::io::Cursor;

        use image::{DynamicImage, ImageFormat};
        let formats = [
            ImageFormat::Jpeg,
            ImageFormat::Png,
            ImageFormat::Gif,
            ImageFormat::WebP,
            ImageFormat::Tiff,
            ImageFormat::Bmp,
        ];
        for format in formats {
            let mut bytes = Cursor::new(Vec::new());
            DynamicImage::new_rgb8(9, 7).write_to(&mut bytes, format).unwrap();
            let bytes = bytes.into_inner();
            assert!(is_image_start(&bytes[..20]), "{format:?}");
            assert!(!is_image_start(&bytes[..2]), "{format:?}");
        }
        for text in
            [&b""[..], b"BMW is a make of car", b"II. The second part", b"\x7fELF", b"RIFF\0\0\0\0WAVEfmt "]
        {
            assert!(!is_image_start(text));
        }
    }
}
