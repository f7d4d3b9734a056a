//! TensorBoard's event files, beside the log.
//!
//! A file is a row of records (TFRecord), all numbers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | length of the data, u64 |
//! | 4 | masked CRC-32C of those 8 bytes |
//! | length | the data: an `Event` in protocol-buffer encoding |
//! | 4 | masked CRC-32C of the data |
//!
//! A CRC c is masked as `(c >> 15 | c << 17) + 0xa282ead8`. The messages, and the numbers of their fields that are used
//! here:
//!
//! | message | fields |
//! |---|---|
//! | `Event` | 1 wall time (double, seconds), 2 step (varint), 3 file version (string), 5 `Summary`, 7 `SessionLog` |
//! | `Summary` | 1 `Value`, any number of times |
//! | `Value` | 1 tag (string), 2 number (float), 4 `Image` |
//! | `Image` | 1 height, 2 width, 3 channels (varints), 4 the bytes of a JPEG or PNG |
//! | `SessionLog` | 1 status (varint; 1 is START, which voids events of its step and later ones) |

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What TensorBoard expects in the first record.
const VERSION: &str = "brain.Event:2";

/// An event file that is being written. It comes into being with the first event.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    /// The first step that will be written: what earlier files of the folder say of it and later ones is void.
    first_step: u64,
    file: Option<File>,
}

impl EventFile {
    /// A file of a name of its own in the folder of a run, for events of `first_step` (from 1) and later ones.
    pub fn new(folder: &Path, first_step: u64) -> Self {
        // TensorBoard reads a folder's files in the order of their names.
        let name = format!("events.out.tfevents.{:010.0}.{}", now().floor(), std::process::id());
        Self { path: folder.join(name), first_step, file: None }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds numbers, each with its tag; tags with one part before `/` are shown together.
    ///
    /// # Errors
    /// What the system says.
    pub fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> std::io::Result<()> {
        self.append(&event(now(), step, 5, &scalar_summary(scalars)))
    }

    /// Adds a picture of that width and height, a JPEG or PNG.
    ///
    /// # Errors
    /// What the system says.
    pub fn picture(&mut self, step: u64, tag: &str, size: (u32, u32), encoded: &[u8]) -> std::io::Result<()> {
        self.append(&event(now(), step, 5, &picture_summary(tag, size, encoded)))
    }

    /// Writes a record in one go, after those that begin the file.
    fn append(&mut self, event: &Message) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
                file.write_all(&beginning(now(), self.first_step))?;
                self.file.insert(file)
            }
        };
        file.write_all(&record(&event.0))
    }
}

/// The first two records of a file.
fn beginning(wall_time: f64, first_step: u64) -> Vec<u8> {
    let (mut version, mut start) = (Message::default(), Message::default());
    version.double(1, wall_time).bytes(3, VERSION.as_bytes());
    start.number(1, 1);
    [record(&version.0), record(&event(wall_time, first_step, 7, &start).0)].concat()
}

fn scalar_summary(scalars: &[(&str, f64)]) -> Message {
    let mut summary = Message::default();
    for (tag, number) in scalars {
        let mut value = Message::default();
        value.bytes(1, tag.as_bytes()).float(2, *number as f32);
        summary.message(1, &value);
    }
    summary
}

fn picture_summary(tag: &str, (width, height): (u32, u32), encoded: &[u8]) -> Message {
    let (mut image, mut value, mut summary) = (Message::default(), Message::default(), Message::default());
    image.number(1, height.into()).number(2, width.into()).number(3, 3).bytes(4, encoded);
    value.bytes(1, tag.as_bytes()).message(4, &image);
    summary.message(1, &value);
    summary
}

/// An event whose content is the message of field `field`.
fn event(wall_time: f64, step: u64, field: u64, content: &Message) -> Message {
    let mut event = Message::default();
    event.double(1, wall_time).number(2, step).message(field, content);
    event
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The bytes of a protocol-buffer message: each field as a key, `number << 3 | wire type`, and its value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn double(&mut self, field: u64, value: f64) -> &mut Self {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn float(&mut self, field: u64, value: f32) -> &mut Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn message(&mut self, field: u64, value: &Message) -> &mut Self {
        self.bytes(field, &value.0)
    }
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), data, &masked_crc(data)].concat()
}

fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// CRC-32C (Castagnoli), bit by bit: at most a picture an evaluation goes through it.
fn crc32c(data: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let shift = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
    !data.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| shift(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_crc_is_that_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// What the `RecordWriter` and the generated protocol buffers of TensorBoard 2.21 give.
    #[test]
    fn the_bytes_are_those_that_tensorboard_writes_for_the_same_events() {
        assert_eq!(
            hexadecimal(&beginning(1.5, 301)),
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c\
             100000000000000095fbfe1809000000000000f83f10ad023a020801d17949d4"
        );
        let scalars = scalar_summary(&[("loss", 0.25), ("rate", 0.001)]);
        assert_eq!(
            hexadecimal(&record(&event(2.5, 300, 5, &scalars).0)),
            "2800000000000000ff70164a09000000000000044010ac022a1a0a0b0a046c6f7373150000803e0a0b0a0472617465156f12833a\
             d1ea8400"
        );
        let picture = picture_summary("sheet", (300, 200), b"PNG");
        assert_eq!(
            hexadecimal(&record(&event(2.5, 7, 5, &picture).0)),
            "2500000000000000eabc36f309000000000000044010072a180a160a057368656574220d08c80110ac0218032203504e47\
             abcfc499"
        );
    }
}
