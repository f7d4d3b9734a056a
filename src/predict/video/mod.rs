//! Videos and cameras through the system's `ffmpeg`: frames come from its pipe, and drawn ones go into another's.

mod process;

use std::ffi::{OsStr, OsString};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use image::RgbImage;
use serde_json::Value;
use thiserror::Error;

use process::Program;

/// Why a video is not done.
#[derive(Debug, Error)]
pub enum VideoError {
    /// The program is not installed.
    #[error(
        "{program} is not installed: videos and cameras are read through it (apt install ffmpeg, brew install ffmpeg, \
         winget install ffmpeg; https://ffmpeg.org)"
    )]
    Missing {
        /// `ffmpeg` or `ffprobe`.
        program: &'static str,
    },
    /// It gave up.
    #[error("{program} cannot {task}: {lines}")]
    Failed {
        /// `ffmpeg` or `ffprobe`.
        program: &'static str,
        /// What it was to do.
        task: String,
        /// Its last lines.
        lines: String,
    },
    /// There is no picture in it.
    #[error("{name} has no video in it")]
    NoVideo {
        /// The input.
        name: String,
    },
    /// What came through the pipe is no frame.
    #[error("ffmpeg's frames cannot be read: {0}")]
    Frames(String),
    /// The last frame has not all of its pixels.
    #[error("the last frame is cut off")]
    CutOff,
    /// A pipe or file failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A video's file, a stream's address or a camera, as `ffmpeg` names it.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// What was given.
    pub name: PathBuf,
    /// `ffmpeg`'s name of the format, where it is not to find it out: `v4l2`, `avfoundation` and `dshow` are cameras.
    pub format: Option<String>,
}

/// Frames a second, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Frames ...
    pub frames: u32,
    /// ... in as many seconds.
    pub seconds: u32,
}

/// What is known of a video before its first frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Properties {
    /// Its frames a second; those of a varying rate on average.
    pub rate: Rate,
    /// About how many frames there are; none for a camera.
    pub frames: Option<u64>,
}

impl Rate {
    /// Seconds between frames.
    pub fn step(self) -> f64 {
        f64::from(self.seconds) / f64::from(self.frames)
    }

    /// `NUMBER/NUMBER`; `None` where it is no rate.
    fn parse(text: &str) -> Option<Rate> {
        let (frames, seconds) = text.split_once('/')?;
        let rate = Rate { frames: frames.parse().ok()?, seconds: seconds.parse().ok()? };
        (rate.frames > 0 && rate.seconds > 0).then_some(rate)
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.frames, self.seconds)
    }
}

impl Input {
    /// Whether it is an address such as `rtsp://...`, or a camera's device.
    pub fn is_stream(name: &Path) -> bool {
        name.to_str().is_some_and(|name| name.contains("://") || name.starts_with("/dev/video"))
    }

    /// Size, rate and length, by `ffprobe`.
    ///
    /// # Errors
    /// [`VideoError`], where it is missing, or the input is not there or not a video.
    pub fn properties(&self) -> Result<Properties, VideoError> {
        let mut command = Command::new("ffprobe");
        command.args(["-v", "error", "-select_streams", "v:0", "-of", "json", "-show_entries"]);
        command.arg("stream=width,height,avg_frame_rate,r_frame_rate,nb_frames,duration:format=duration");
        command.args(self.arguments());
        let text = process::output(command, "ffprobe", &format!("read {}", self.name.display()))?;
        let report: Value = serde_json::from_slice(&text).map_err(|error| VideoError::Frames(error.to_string()))?;
        let Some(stream) = report["streams"].get(0) else {
            return Err(VideoError::NoVideo { name: self.name.display().to_string() });
        };
        Ok(properties(stream, &report["format"]))
    }

    /// The frames in order, turned as the video says where `turned`.
    ///
    /// # Errors
    /// [`VideoError::Missing`].
    pub fn frames(&self, rate: Rate, turned: bool) -> Result<Frames, VideoError> {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-hide_banner", "-v", "error"]);
        command.args((!turned).then_some("-noautorotate")).args(self.arguments());
        // A constant rate; each picture with its size before it, which a turned video's is not known by.
        command.args(["-map", "0:v:0", "-an", "-sn", "-dn", "-vf", &format!("fps={rate}")]);
        command.args(["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "pipe:1"]);
        let mut program = Program::start(command, "ffmpeg", format!("read {}", self.name.display()))?;
        let pipe = BufReader::with_capacity(1 << 20, program.take_output()?);
        Ok(Frames { pipe, program })
    }

    /// The options that name it.
    fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        let camera = self.name.to_str().is_some_and(|name| name.starts_with("/dev/video"));
        if let Some(format) = self.format.as_deref().or(camera.then_some("v4l2")) {
            arguments.extend(["-f".into(), format.into()]);
        }
        // A file's name may have a colon or begin with a dash.
        let mut name = OsString::from(if self.is_file() { "file:" } else { "" });
        name.push(&self.name);
        arguments.extend(["-i".into(), name]);
        arguments
    }

    fn is_file(&self) -> bool {
        self.name.is_file()
    }
}

fn properties(stream: &Value, format: &Value) -> Properties {
    let text = |value: &Value| value.as_str().map(str::to_string);
    let rate = ["avg_frame_rate", "r_frame_rate"].iter().find_map(|name| Rate::parse(&text(&stream[name])?));
    let rate = rate.unwrap_or(Rate { frames: 25, seconds: 1 });
    let counted = text(&stream["nb_frames"]).and_then(|count| count.parse().ok());
    let duration = [&stream["duration"], &format["duration"]];
    let seconds = duration.iter().find_map(|value| text(value)?.parse::<f64>().ok());
    Properties { rate, frames: counted.or(seconds.map(|seconds| (seconds / rate.step()).round() as u64)) }
}

/// Frames of a video, from `ffmpeg`.
pub struct Frames {
    pipe: BufReader<Box<dyn Read + Send>>,
    program: Program,
}

impl Frames {
    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// [`VideoError::Failed`] with `ffmpeg`'s last lines where it gave up.
    pub fn next_frame(&mut self) -> Result<Option<RgbImage>, VideoError> {
        match read_ppm(&mut self.pipe) {
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) => self.program.finish().map(|()| None),
            // Why it ends too early is said by the program.
            Err(VideoError::CutOff) => self.program.finish().and(Err(VideoError::CutOff)),
            Err(error) => {
                self.program.end();
                Err(error)
            }
        }
    }
}

/// One picture in the format PPM, of 8 bits; `None` where there is nothing more.
fn read_ppm(pipe: &mut impl Read) -> Result<Option<RgbImage>, VideoError> {
    let mut byte = || {
        let mut byte = [0];
        Ok::<_, std::io::Error>(if pipe.read(&mut byte)? == 0 { None } else { Some(byte[0]) })
    };
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    while words.len() < 4 {
        match byte()? {
            None if words.is_empty() && word.is_empty() => return Ok(None),
            Some(byte) if byte.is_ascii_whitespace() => {
                words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty()))
            }
            Some(byte) if byte.is_ascii_alphanumeric() && word.len() < 10 => word.push(char::from(byte)),
            _ => return Err(VideoError::Frames("no header of a picture".into())),
        }
    }
    let sides = words[1].parse::<u32>().ok().zip(words[2].parse::<u32>().ok());
    let Some((width, height)) = sides.filter(|(width, height)| {
        words[0] == "P6"
            && words[3] == "255"
            && u64::from(*width) * u64::from(*height) <= crate::data::decode::MOST_PIXELS
    }) else {
        return Err(VideoError::Frames(format!("{} is no header of a picture", words.join(" "))));
    };
    let mut bytes = vec![0; 3 * width as usize * height as usize];
    pipe.read_exact(&mut bytes).map_err(|_| VideoError::CutOff)?;
    Ok(RgbImage::from_raw(width, height, bytes))
}

/// A video under way, by `ffmpeg`.
pub struct Writer {
    program: Program,
    pipe: Option<Box<dyn Write + Send>>,
    size: (u32, u32),
    /// Where it is written until it is whole.
    part: PathBuf,
    path: PathBuf,
}

impl Writer {
    /// An MP4 file at `path` of frames of that size, with the sound of `sound` where it has one. It is there when
    /// [`finish`](Self::finish) returns.
    ///
    /// # Errors
    /// [`VideoError::Missing`].
    pub fn create(path: &Path, size: (u32, u32), rate: Rate, sound: Option<&Input>) -> Result<Self, VideoError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = path.with_file_name(name);
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]);
        command.args(["-video_size", &format!("{}x{}", size.0, size.1), "-framerate", &rate.to_string()]);
        command.args(["-i", "pipe:0"]);
        if let Some(sound) = sound {
            command.args(sound.arguments()).args(["-map", "0:v", "-map", "1:a:0?", "-c:a", "aac", "-shortest"]);
        }
        // Players want 4:2:0, which has no odd sides.
        command.args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", encoder()?, "-pix_fmt", "yuv420p"]);
        command.args(["-q:v", "3", "-movflags", "+faststart", "-f", "mp4"]);
        let mut target = OsString::from("file:");
        target.push(&part);
        command.arg(target);
        let mut program = Program::start(command, "ffmpeg", format!("write {}", path.display()))?;
        let pipe = Some(program.take_input()?);
        Ok(Self { program, pipe, size, part, path: path.to_path_buf() })
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// [`VideoError::Failed`] with `ffmpeg`'s last lines where it gave up; a frame of another size.
    pub fn write(&mut self, frame: &RgbImage) -> Result<(), VideoError> {
        if frame.dimensions() != self.size {
            return Err(VideoError::Frames(format!(
                "a frame of {:?} pixels after {:?}",
                frame.dimensions(),
                self.size
            )));
        }
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        match pipe.write_all(frame) {
            Ok(()) => Ok(()),
            // Why it closed its pipe is said by the program.
            Err(error) => self.program.finish().and(Err(error.into())),
        }
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// [`VideoError::Failed`], or what the system says.
    pub fn finish(mut self) -> Result<(), VideoError> {
        drop(self.pipe.take());
        self.program.finish()?;
        Ok(std::fs::rename(&self.part, &self.path)?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Half a file is of no use; a whole one has its name.
        drop(self.pipe.take());
        self.program.end();
        std::fs::remove_file(&self.part).ok();
    }
}

/// The best encoder for MP4 that this `ffmpeg` was built with.
fn encoder() -> Result<&'static str, VideoError> {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-v", "error", "-encoders"]);
    let list = process::output(command, "ffmpeg", "list its encoders")?;
    let list = String::from_utf8_lossy(&list);
    let has = |name: &&str| list.split_whitespace().any(|word| word == *name);
    Ok(["libx264", "libopenh264", "h264_videotoolbox", "h264_mf"].into_iter().find(has).unwrap_or("mpeg4"))
}

/// Whether `ffmpeg` and `ffprobe` can be started.
pub fn is_installed() -> bool {
    ["ffmpeg", "ffprobe"].iter().all(|program| {
        let mut command = Command::new(OsStr::new(program));
        command.arg("-version").stdin(std::process::Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_with_their_sizes_until_the_end() {
        let mut bytes = b"P6\n2 1\n255\n\x01\x02\x03\n \x20P6\n1 1\n255\nabc".to_vec();
        let mut pipe = &bytes[..];
        let first = read_ppm(&mut pipe).unwrap().expect("there are two");
        assert_eq!((first.dimensions(), first.into_raw()), ((2, 1), vec![1, 2, 3, b'\n', b' ', b' ']));
        assert_eq!(read_ppm(&mut pipe).unwrap().expect("there are two").into_raw(), b"abc");
        assert!(read_ppm(&mut pipe).unwrap().is_none());
        bytes.truncate(bytes.len() - 1);
        let mut pipe = &bytes[..];
        read_ppm(&mut pipe).unwrap();
        assert!(read_ppm(&mut pipe).unwrap_err().to_string().contains("cut off"));
        for wrong in ["P5\n1 1\n255\na", "P6\n1 1\n65535\nab", "P6\n99999 99999\n255\n", "<html>", "P6\n"] {
            assert!(read_ppm(&mut wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rate_and_length_are_what_ffprobe_knows() {
        let read = |stream: Value, format: Value| properties(&stream, &format);
        let stream = serde_json::json!({"avg_frame_rate": "30000/1001", "r_frame_rate": "60/1", "nb_frames": "90"});
        let rate = Rate { frames: 30_000, seconds: 1001 };
        assert_eq!(read(stream, Value::Null), Properties { rate, frames: Some(90) });
        let stream = serde_json::json!({"avg_frame_rate": "0/0", "r_frame_rate": "10/1", "nb_frames": "N/A"});
        let format = serde_json::json!({"duration": "2.5"});
        assert_eq!(read(stream, format), Properties { rate: Rate { frames: 10, seconds: 1 }, frames: Some(25) });
        assert_eq!(read(Value::Null, Value::Null).frames, None);
    }

    #[test]
    fn inputs_are_named_as_ffmpeg_takes_them() {
        let arguments = |name: &str, format: Option<&str>| -> Vec<String> {
            let input = Input { name: name.into(), format: format.map(String::from) };
            input.arguments().into_iter().map(|a| a.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(arguments("Cargo.toml", None), ["-i", "file:Cargo.toml"]);
        assert_eq!(arguments("/dev/video7", None), ["-f", "v4l2", "-i", "/dev/video7"]);
        assert_eq!(arguments("0", Some("avfoundation")), ["-f", "avfoundation", "-i", "0"]);
        assert!(Input::is_stream(Path::new("rtsp://host/1")) && !Input::is_stream(Path::new("clip.mp4")));
    }
}
