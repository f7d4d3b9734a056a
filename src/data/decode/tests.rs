use image::codecs::jpeg::JpegEncoder;
use image::{ImageEncoder, Rgb, Rgba};

use super::*;

/// 40 wide, 30 high, another colour in every corner.
fn picture() -> RgbImage {
    RgbImage::from_fn(40, 30, |x, y| {
        Rgb([if x < 20 { 250 } else { 10 }, if y < 15 { 240 } else { 20 }, (x * y % 64) as u8])
    })
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("memory is writable");
    bytes.into_inner()
}

/// An EXIF chunk that says nothing but the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    bytes.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn with_exif(picture: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder.set_exif_metadata(exif(orientation)).expect("JPEG has room for EXIF");
    encoder.encode_image(picture).expect("memory is writable");
    bytes
}

fn message(bytes: &[u8]) -> String {
    decode_picture(bytes, ExifOrientation::Apply).expect_err("it is no picture").to_string()
}

#[test]
fn every_format_is_read_and_none_that_is_cut_off() {
    let picture = picture();
    for format in
        [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Jpeg]
    {
        let bytes = encoded(&picture.clone().into(), format);
        let decoded =
            decode_picture(&bytes, ExifOrientation::Apply).unwrap_or_else(|error| panic!("{format:?}: {error}"));
        assert_eq!(decoded.dimensions(), (40, 30), "{format:?}");
        if !matches!(format, ImageFormat::Gif | ImageFormat::Jpeg) {
            assert_eq!(decoded, picture, "{format:?}");
        }
        for length in [bytes.len() / 4, bytes.len() / 2, 3 * bytes.len() / 4] {
            let part = decode_picture(&bytes[..length], ExifOrientation::Apply);
            assert!(part.is_err(), "{length} of {} bytes of {format:?} are not a picture", bytes.len());
        }
    }
}

#[test]
fn other_depths_and_channels_become_eight_bits_of_three() {
    let dynamic = DynamicImage::from(picture());
    let pixel = |picture: DynamicImage| {
        decode_picture(&encoded(&picture, ImageFormat::Png), ExifOrientation::Ignore)
            .expect("it is a picture")
            .get_pixel(3, 3)
            .0
    };
    assert_eq!(pixel(dynamic.to_rgb16().into()), dynamic.to_rgb8().get_pixel(3, 3).0);
    assert_eq!(pixel(dynamic.to_luma8().into()), [dynamic.to_luma8().get_pixel(3, 3).0[0]; 3]);
    assert_eq!(pixel(dynamic.to_luma_alpha16().into()), [dynamic.to_luma8().get_pixel(3, 3).0[0]; 3]);
    let clear = image::RgbaImage::from_pixel(9, 9, Rgba([70, 80, 90, 0]));
    assert_eq!(pixel(clear.into()), [70, 80, 90], "transparency is dropped");
}

#[test]
fn exif_turns_a_picture_where_that_is_wanted_or_annotated() {
    let stored = picture();
    let upright = [
        (1, stored.clone()),
        (2, image::imageops::flip_horizontal(&stored)),
        (3, image::imageops::rotate180(&stored)),
        (4, image::imageops::flip_vertical(&stored)),
        (6, image::imageops::rotate90(&stored)),
        (8, image::imageops::rotate270(&stored)),
        // No such orientation.
        (0, stored.clone()),
        (9, stored.clone()),
    ];
    let plain = decode_picture(&with_exif(&stored, 1), ExifOrientation::Ignore).expect("it is a picture");
    for (orientation, expected) in upright {
        let bytes = with_exif(&stored, orientation);
        assert_eq!(decode_picture(&bytes, ExifOrientation::Ignore).expect("it is a picture"), plain);
        let turned = decode_picture(&bytes, ExifOrientation::Apply).expect("it is a picture");
        assert_eq!(turned.dimensions(), expected.dimensions(), "{orientation}");
        let far = turned.pixels().zip(expected.pixels()).filter(|(a, b)| a.0[0].abs_diff(b.0[0]) > 60).count();
        assert!(far < 60, "{orientation}: {far} pixels are of another colour");

        let (lying, standing) = (Size::new(30, 40), Size::new(40, 30));
        let fit = |size| decode_picture(&bytes, ExifOrientation::ToFit(size));
        assert_eq!(fit(lying).expect("it is stored so"), plain);
        match orientation {
            6 | 8 => assert_eq!(fit(standing).expect("EXIF says so"), turned),
            _ => assert!(matches!(fit(standing), Err(DecodeError::OtherSize { .. })), "{orientation}"),
        }
        let error = fit(Size::new(60, 80)).expect_err("it is twice as large").to_string();
        assert!(error.contains("40 wide and 30 high") && error.contains("80 and 60"), "{error}");
    }
}

#[test]
fn orientation_is_read_from_png_webp_and_tiff_too() {
    let stored = picture();
    let mut png = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.set_exif_metadata(exif(6)).expect("PNG has room for EXIF");
    encoder.write_image(&stored, 40, 30, image::ExtendedColorType::Rgb8).expect("memory is writable");
    let mut webp = Vec::new();
    let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut webp);
    encoder.set_exif_metadata(exif(6)).expect("WebP has room for EXIF");
    encoder.write_image(&stored, 40, 30, image::ExtendedColorType::Rgb8).expect("memory is writable");
    for bytes in [png, webp] {
        let turned = decode_picture(&bytes, ExifOrientation::Apply).expect("it is a picture");
        assert_eq!(turned, image::imageops::rotate90(&stored));
    }
    assert_eq!(Orientation::from_exif_chunk(&exif(6)), Some(Orientation::Rotate90), "a TIFF's own tag");
}

#[test]
fn what_is_no_picture_is_named() {
    assert!(message(b"").contains("empty"));
    assert!(message(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").contains("HEIC"));
    assert!(message(b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41").contains("a video"));
    assert!(message(b"some text").contains("not of a known format"));
    // A PNG of 20000 x 20000 pixels in 60 bytes.
    let header = b"IHDR\0\0\x4e\x20\0\0\x4e\x20\x08\x02\0\0\0";
    let mut large = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    large.extend(header);
    let mut crc = flate2::Crc::new();
    crc.update(header);
    large.extend(crc.sum().to_be_bytes());
    large.extend(b"\0\0\0\x04IDAT\x78\x9c\x03\0\0\0\0\0");
    let error = message(&large);
    assert!(error.contains("20000x20000 pixels are too large"), "{error}");
}

#[test]
fn a_jpeg_has_an_end_whatever_follows_it_and_whatever_its_thumbnail_holds() {
    let bytes = encoded(&picture().into(), ImageFormat::Jpeg);
    assert!(jpeg_is_whole(&bytes));
    assert!(jpeg_is_whole(&[&bytes[..], b"trailing bytes, as cameras write them"].concat()));
    assert!(!jpeg_is_whole(&bytes[..bytes.len() - 2]));
    // The thumbnail in the EXIF segment is whole, the picture is not.
    let thumbnail = [&[0xff, 0xd8, 0xff, 0xe1], &(2 + bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
    let picture = [&thumbnail[..], &bytes[2..]].concat();
    assert!(jpeg_is_whole(&picture) && !jpeg_is_whole(&picture[..picture.len() - 40]));
    assert_eq!(message(&picture[..picture.len() - 40]), DecodeError::CutOff.to_string());
}
