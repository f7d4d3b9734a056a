//! Pictures from the bytes of files, for data sets and for prediction: known by what they contain, never by their names.

mod kind;

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use thiserror::Error;

pub use kind::{FileKind, HEAD};

use super::Size;

/// Most pixels of a picture: somewhat more than the largest sensors of phones (200 million) have.
pub const MOST_PIXELS: u64 = 1 << 28;

/// A picture's file is no longer than this; four 16-bit channels of [`MOST_PIXELS`] need as much.
pub const LONGEST_FILE: u64 = 8 * MOST_PIXELS;

/// Which way round a picture is wanted. Cameras store what their sensor saw, and beside it (EXIF) how to turn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExifOrientation {
    /// As it is stored, whatever EXIF says: what the public training code reads.
    Ignore,
    /// As EXIF says: what browsers, OpenCV and labelling tools show.
    Apply,
    /// As an annotation of this size was made: as stored where that has this size, else as EXIF says.
    ToFit(Size),
}

/// Why a file's bytes give no picture.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// There are no bytes.
    #[error("the file is empty (0 bytes)")]
    Empty,
    /// The file is something else.
    #[error("this is {what}; {advice}")]
    Other {
        /// What it is.
        what: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
    /// The file is of no known kind.
    #[error("broken picture: the file is not of a known format (JPEG, PNG, WebP, TIFF, BMP or GIF)")]
    Unknown,
    /// The file ends too early.
    #[error("broken picture: the file is cut off in the middle of its pixels; copy or download it again")]
    CutOff,
    /// More pixels than are decoded.
    #[error(
        "{width}x{height} pixels are too large a picture: the limit is {MOST_PIXELS}; make it smaller, or cut it up"
    )]
    TooLarge {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The annotation is for a picture of another size.
    #[error(
        "the picture is {} wide and {} high, but its annotation says {} and {}: its joints would lie elsewhere; \
         annotate this picture or restore that one",
        found.width, found.height, annotated.width, annotated.height
    )]
    OtherSize {
        /// The picture's size as it is stored.
        found: Size,
        /// The size that the annotation gives.
        annotated: Size,
    },
    /// The decoder gave up.
    #[error("broken picture: {0}")]
    Broken(ImageError),
}

/// Decodes a picture to eight bits of red, green and blue.
///
/// JPEG (CMYK included), PNG, WebP, TIFF, BMP and GIF are decoded, of several pictures in a file the first. Sixteen bits
/// are rounded to eight, grey becomes three equal channels, and transparency is dropped.
///
/// A JPEG's pixels are not quite those that libjpeg-turbo (OpenCV, Pillow) makes of it: on COCO's 57 pictures, which
/// store all colours (4:4:4), they differ by 0.012 grey levels on average and 3 at most, which is the inverse cosine
/// transform and the colour conversion; where a quarter of the colours is stored (4:2:0), by 0.11 and 4 on MPII's four
/// and 0.21 and 12 on 200 of Leeds Sports Pose, of which all but 0.01 is how colours are interpolated.
///
/// # Errors
/// [`DecodeError`] says what the bytes are instead, or what is wrong with them.
pub fn decode_picture(bytes: &[u8], turned: ExifOrientation) -> Result<RgbImage, DecodeError> {
    decode(bytes, turned).map(|(picture, _)| picture)
}

/// As [`decode_picture`]; second, whether the picture was turned.
pub(super) fn decode(bytes: &[u8], turned: ExifOrientation) -> Result<(RgbImage, bool), DecodeError> {
    let format = match FileKind::of(&bytes[..bytes.len().min(HEAD)]) {
        FileKind::Picture(format) => format,
        FileKind::Video => {
            return Err(DecodeError::Other {
                what: "a video",
                advice: "`ditn predict` takes videos one by one, by name",
            });
        }
        FileKind::Other { what, advice, .. } => return Err(DecodeError::Other { what, advice }),
        FileKind::Unknown if bytes.is_empty() => return Err(DecodeError::Empty),
        FileKind::Unknown => return Err(DecodeError::Unknown),
    };
    // The JPEG decoder fills the missing part with grey.
    if format == ImageFormat::Jpeg && !jpeg_is_whole(bytes) {
        return Err(DecodeError::CutOff);
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(LONGEST_FILE);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(DecodeError::TooLarge { width, height });
    }
    if u64::from(width) * u64::from(height) > most_pixels_in(bytes.len() as u64, format) {
        return Err(DecodeError::CutOff);
    }
    let stored = Size::new(height, width);
    let orientation = match turned {
        ExifOrientation::Ignore => Orientation::NoTransforms,
        ExifOrientation::Apply => orientation(&mut decoder, format, bytes),
        ExifOrientation::ToFit(annotated) if annotated == stored => Orientation::NoTransforms,
        ExifOrientation::ToFit(annotated) => {
            let orientation = orientation(&mut decoder, format, bytes);
            if !swaps_sides(orientation) || annotated != Size::new(width, height) {
                return Err(DecodeError::OtherSize { found: stored, annotated });
            }
            orientation
        }
    };
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    if picture.width() == 0 || picture.height() == 0 {
        return Err(DecodeError::CutOff);
    }
    picture.apply_orientation(orientation);
    Ok((picture.into_rgb8(), orientation != Orientation::NoTransforms))
}

/// How EXIF says that a picture is to be turned; broken EXIF says nothing.
fn orientation(decoder: &mut impl ImageDecoder, format: ImageFormat, bytes: &[u8]) -> Orientation {
    match format {
        // An EXIF chunk is a TIFF file without pixels.
        ImageFormat::Tiff => Orientation::from_exif_chunk(bytes).unwrap_or(Orientation::NoTransforms),
        _ => decoder.orientation().unwrap_or(Orientation::NoTransforms),
    }
}

fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

fn broken(error: ImageError) -> DecodeError {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => DecodeError::CutOff,
        error => DecodeError::Broken(error),
    }
}

/// The pixels that a file of that length can hold: what claims to have more is not given memory.
fn most_pixels_in(length: u64, format: ImageFormat) -> u64 {
    match format {
        // A block of 8 x 8 pixels has at least a bit.
        ImageFormat::Jpeg => 8 * 64 * length,
        // Deflate packs 1032 bytes into one, and a byte holds at most 8 pixels.
        ImageFormat::Png => 8 * 1032 * length,
        _ => u64::MAX,
    }
}

/// Whether a JPEG file has an end: the marker EOI behind the beginning of its first scan. It cannot occur among a
/// scan's own bytes. What follows it, such as another picture, does not matter.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    const SCAN: u8 = 0xda;
    const END: [u8; 2] = [0xff, 0xd9];
    let mut at = 2;
    loop {
        match bytes.get(at..at + 4) {
            // Any number of 0xff may stand before a marker.
            Some([0xff, 0xff, ..]) => at += 1,
            Some([0xff, SCAN, ..]) => break,
            // A thumbnail has markers of its own: segments are stepped over by their length.
            Some([0xff, _, high, low]) => at += 2 + usize::from(u16::from_be_bytes([*high, *low])).max(2),
            // Not a segment: leave it to the decoder.
            Some(_) => break,
            None => return false,
        }
    }
    bytes[at..].windows(END.len()).any(|pair| pair == END)
}

#[cfg(test)]
mod tests;
