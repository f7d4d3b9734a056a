//! What a file is, by its first bytes: extensions are often wrong.

use image::ImageFormat;

/// Bytes that [`FileKind::of`] looks at; it does with fewer.
pub const HEAD: usize = 512;

/// What to do about a picture that is not decoded here.
const CONVERT: &str = "convert it to JPEG or PNG first, for example with `magick FILE out.jpg`";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A picture of a format that is decoded here.
    Picture(ImageFormat),
    /// A video, or another container of sound and pictures.
    Video,
    /// Something with a name.
    Other {
        /// The name, as in "this is ...".
        what: &'static str,
        /// What to do about it.
        advice: &'static str,
        /// Whether it is a picture of a format that is not decoded here.
        is_picture: bool,
    },
    /// Nothing that is known here.
    Unknown,
}

/// The formats that are decoded.
const DECODED: [(&[u8], ImageFormat); 9] = [
    (b"\xff\xd8\xff", ImageFormat::Jpeg),
    (b"\x89PNG\r\n\x1a\n", ImageFormat::Png),
    (b"GIF87a", ImageFormat::Gif),
    (b"GIF89a", ImageFormat::Gif),
    (b"II*\0", ImageFormat::Tiff),
    (b"MM\0*", ImageFormat::Tiff),
    // BigTIFF
    (b"II+\0", ImageFormat::Tiff),
    (b"MM\0+", ImageFormat::Tiff),
    (b"RIFF....WEBP", ImageFormat::WebP),
];

/// Pictures that are not decoded; `.` is any byte.
const PICTURES: [(&[u8], &str); 20] = [
    (b"II*\0....CR", "a camera's raw picture (CR2)"),
    (b"....ftypcrx ", "a camera's raw picture (CR3)"),
    (b"FUJIFILMCCD-RAW", "a camera's raw picture (RAF)"),
    (b"IIU\0", "a camera's raw picture (RW2)"),
    (b"IIRO", "a camera's raw picture (ORF)"),
    (b"IIRS", "a camera's raw picture (ORF)"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\x01\0", "an icon (ICO)"),
    (b"DDS ", "a DirectDraw surface (DDS)"),
    (b"#?RADIANCE", "a Radiance picture (HDR)"),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"qoif", "a QOI picture"),
    (b"farbfeld", "a farbfeld picture"),
    (b"P5", "a portable grey map (PGM)"),
    (b"P6", "a portable pixel map (PPM)"),
    (b"<svg", "an SVG drawing"),
];

/// Videos; `.` is any byte.
const VIDEOS: [&[u8]; 13] = [
    b"....ftyp",
    b"....moov",
    b"....mdat",
    b"....wide",
    b"\x1a\x45\xdf\xa3",
    b"RIFF....AVI ",
    b"FLV\x01",
    b"OggS",
    b"\0\0\x01\xba",
    b"\0\0\x01\xb3",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    b"YUV4MPEG2",
    b".RMF",
];

/// Anything else: what it begins with, what it is, and what to do about it.
const OTHERS: [(&[u8], &str, &str); 11] = [
    (b"\0\x05\x16\x07", "what macOS stores beside a file (AppleDouble)", "the picture is the file without `._`"),
    (b"\0\x05\x16\0", "what macOS stores beside a file (AppleSingle)", "the picture is another file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch the file with `git lfs pull`"),
    (b"%PDF", "a PDF document", "take the pictures out of it, for example with `pdfimages -all FILE out`"),
    (b"<!DOCTYPE", "a web page, not a picture", "download the picture itself"),
    (b"<!doctype", "a web page, not a picture", "download the picture itself"),
    (b"<html", "a web page, not a picture", "download the picture itself"),
    (b"PK\x03\x04", "a zip archive", "unpack it"),
    (b"\x1f\x8b", "gzip-compressed", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
];

impl FileKind {
    /// What begins with these bytes, at best [`HEAD`] of them or all that there are.
    pub fn of(head: &[u8]) -> FileKind {
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let picture = |what| FileKind::Other { what, advice: CONVERT, is_picture: true };
        if let Some(kind) = heif(head) {
            return kind;
        }
        if let Some((_, what)) = PICTURES.iter().find(|(magic, _)| begins(head, magic)) {
            return picture(what);
        }
        if let Some((_, format)) = DECODED.iter().find(|(magic, _)| begins(head, magic)) {
            return FileKind::Picture(*format);
        }
        if is_bitmap(head) {
            return FileKind::Picture(ImageFormat::Bmp);
        }
        if VIDEOS.iter().any(|magic| begins(head, magic)) || is_transport_stream(head) {
            return FileKind::Video;
        }
        if text.starts_with(b"<?xml") && text.windows(4).any(|part| part == b"<svg") {
            return picture("an SVG drawing");
        }
        match OTHERS.iter().find(|(magic, ..)| begins(text, magic) || begins(head, magic)) {
            Some(&(_, what, advice)) => FileKind::Other { what, advice, is_picture: false },
            None => FileKind::Unknown,
        }
    }

    /// Whether it is a picture, decoded here or not.
    pub fn is_picture(self) -> bool {
        matches!(self, FileKind::Picture(_) | FileKind::Other { is_picture: true, .. })
    }
}

/// Whether `head` begins like `magic`, whose dots stand for any byte.
fn begins(head: &[u8], magic: &[u8]) -> bool {
    head.len() >= magic.len() && head.iter().zip(magic).all(|(byte, expected)| *expected == b'.' || byte == expected)
}

/// AVIF and HEIC say what they are in a list of brands, of which the first may be a more general one.
fn heif(head: &[u8]) -> Option<FileKind> {
    if !begins(head, b"....ftyp") {
        return None;
    }
    let length = head.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize);
    let brands = || head[8..length.clamp(8, head.len())].chunks_exact(4);
    let picture = |what, advice| Some(FileKind::Other { what, advice, is_picture: true });
    if brands().any(|brand| brand == b"avif" || brand == b"avis") {
        return picture("an AVIF picture", CONVERT);
    }
    if brands()
        .any(|brand| brand.starts_with(b"hei") || brand.starts_with(b"hev") || brand == b"mif1" || brand == b"msf1")
    {
        return picture(
            "a HEIC picture, as iPhones take",
            "convert it to JPEG first, for example with `magick FILE out.jpg` or `sips -s format jpeg FILE --out \
             out.jpg`; Settings > Camera > Formats > Most Compatible makes the phone write JPEG",
        );
    }
    None
}

/// BMP begins with two letters that texts begin with, too; the length of its second header tells.
fn is_bitmap(head: &[u8]) -> bool {
    let header = head.get(14..18).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    head.starts_with(b"BM") && header.is_some_and(|length| [12, 16, 40, 52, 56, 64, 108, 124].contains(&length))
}

/// MPEG-TS has a byte of 0x47 every 188 bytes, or every 192 after four others (AVCHD cameras).
fn is_transport_stream(head: &[u8]) -> bool {
    let at = |first: usize, step: usize| (0..3).all(|packet| head.get(first + step * packet) == Some(&0x47));
    at(0, 188) && head.len() > 376 || at(4, 192)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_first_bytes() {
        let what = |head: &[u8]| match FileKind::of(head) {
            FileKind::Other { what, .. } => what.to_string(),
            other => format!("{other:?}"),
        };
        for (head, expected) in [
            (&b"\xff\xd8\xff\xe1"[..], "Picture(Jpeg)"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "Picture(WebP)"),
            (b"RIFF\x10\0\0\0AVI LIST", "Video"),
            (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "Picture(Bmp)"),
            (b"BMW is a maker of cars", "Unknown"),
            (b"II*\0\x10\0\0\0CR\x02\0", "a camera's raw picture (CR2)"),
            (b"II+\0\x08\0", "Picture(Tiff)"),
            (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF picture"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "an AVIF picture"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture, as iPhones take"),
            (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41", "Video"),
            (b"\x1a\x45\xdf\xa3\x9f", "Video"),
            (b"\0\x05\x16\x07\0\x02", "what macOS stores beside a file (AppleDouble)"),
            (b"\xef\xbb\xbf\n <!DOCTYPE html>", "a web page, not a picture"),
            (b"<?xml version=\"1.0\"?><svg>", "an SVG drawing"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the file itself"),
            (b"[{\"picture\": 1}]", "Unknown"),
            (b"", "Unknown"),
        ] {
            assert_eq!(what(head), expected, "{}", head.escape_ascii());
        }
        let mut stream = vec![0; HEAD];
        (0..3).for_each(|packet| stream[188 * packet] = 0x47);
        assert_eq!(FileKind::of(&stream), FileKind::Video);
        assert_eq!(FileKind::of(&[0x47; 10]), FileKind::Unknown);
    }
}
