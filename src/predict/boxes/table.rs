//! Boxes in CSV with a header row.

use std::path::Path;

use super::{Extent, Found, Key};

/// Names that the columns may have.
const PICTURE: [&str; 7] = ["picture", "image", "filename", "file_name", "file", "path", "image_name"];
const FRAME: [&str; 2] = ["frame", "frame_number"];
const SCORE: [&str; 4] = ["score", "confidence", "conf", "probability"];
const LEFT: [&str; 5] = ["left", "x", "xmin", "x1", "x_min"];
const TOP: [&str; 5] = ["top", "y", "ymin", "y1", "y_min"];
const WIDTH: [&str; 2] = ["width", "w"];
const HEIGHT: [&str; 2] = ["height", "h"];
const RIGHT: [&str; 4] = ["right", "xmax", "x2", "x_max"];
const BOTTOM: [&str; 4] = ["bottom", "ymax", "y2", "y_max"];

/// Reads a file, or says what is wrong with it.
pub(super) fn read(path: &Path) -> Result<Found, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let header = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let delimiter =
        *[b',', b';', b'\t'].iter().max_by_key(|mark| header.iter().filter(|b| b == mark).count()).unwrap_or(&b',');
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).trim(csv::Trim::All).from_reader(text);
    let columns: Vec<String> = match reader.headers() {
        Ok(columns) => columns.iter().map(str::to_lowercase).collect(),
        Err(error) => return Err(error.to_string()),
    };
    let column = |names: &[&str]| names.iter().find_map(|name| columns.iter().position(|column| column == name));
    let (picture, frame) = (column(&PICTURE), column(&FRAME));
    if picture.is_none() && frame.is_none() {
        return Err(format!("no column `picture` among {}", columns.join(", ")));
    }
    let corner = column(&LEFT).zip(column(&TOP)).ok_or("no columns `left` and `top`")?;
    let sides = column(&WIDTH).zip(column(&HEIGHT));
    let opposite = column(&RIGHT).zip(column(&BOTTOM));
    if sides.is_none() && opposite.is_none() {
        return Err("no columns `width` and `height`".into());
    }
    let score = column(&SCORE);
    let mut found = Found::default();
    for (number, record) in reader.records().enumerate() {
        let record = record.map_err(|error| error.to_string())?;
        let place = format!("row {}", number + 1);
        let value = |column: usize| record.get(column).and_then(|text| text.parse::<f64>().ok());
        let key = match (picture.and_then(|column| record.get(column)), frame.and_then(value)) {
            (Some(name), None) if !name.is_empty() => Key::Name(name.to_string()),
            (_, Some(frame)) if frame >= 0.0 && frame.fract() == 0.0 => Key::Frame(frame as u64),
            _ => {
                found.leave_out(format!("{place} names no picture"));
                continue;
            }
        };
        let extent = value(corner.0).zip(value(corner.1)).and_then(|(left, top)| {
            let side = |(across, down)| Some([left, top, value(across)?, value(down)?]);
            let to = |(right, bottom)| Some([left, top, value(right)? - left, value(bottom)? - top]);
            sides.map_or_else(|| opposite.and_then(to), side)
        });
        found.take(&place, key, extent.map(Extent::Pixels), score.and_then(value), None);
    }
    Ok(found)
}
