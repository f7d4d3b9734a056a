//! Program, system and time, as a report names them.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The program that made a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Version of the crate.
    pub version: String,
    /// Commit that it was built of, `+` behind it where files were changed; none where the build did not record it.
    pub commit: Option<String>,
    /// Whether the compiler optimised it.
    pub optimized: bool,
}

impl Program {
    /// This program.
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("DITN_COMMIT").filter(|commit| !commit.is_empty()).map(str::to_owned),
            optimized: !cfg!(debug_assertions),
        }
    }

    /// In a line: `ditn 0.1.0 (1a2b3c4d5e6f)`.
    pub fn describe(&self) -> String {
        let commit = self.commit.as_deref().unwrap_or("commit not recorded");
        let debug = if self.optimized { "" } else { ", development build" };
        format!("ditn {} ({commit}{debug})", self.version)
    }
}

/// The machine, without what would tell whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// linux, windows, macos and so on.
    pub os: String,
    /// As the system calls itself, with its version; empty where it does not say.
    pub os_version: String,
    /// x86_64, aarch64 and so on.
    pub architecture: String,
    /// The processor; empty where the system does not say.
    pub cpu: String,
    /// Threads that it runs at once.
    pub threads: usize,
}

impl System {
    /// This machine.
    pub fn this() -> Self {
        Self {
            os: std::env::consts::OS.to_owned(),
            os_version: os_version(),
            architecture: std::env::consts::ARCH.to_owned(),
            cpu: cpu(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// In a line.
    pub fn describe(&self) -> String {
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        format!(
            "{} ({}), {}, {} threads",
            or(&self.os_version, &self.os),
            self.architecture,
            or(&self.cpu, "processor unknown"),
            self.threads
        )
    }
}

fn os_version() -> String {
    match std::env::consts::OS {
        "linux" => {
            let release = field("/etc/os-release", "PRETTY_NAME", '=');
            let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
            [release.as_str(), "Linux", kernel.trim()].join(" ").trim().to_owned()
        }
        "macos" => printed("sw_vers", &["-productVersion"], "macOS "),
        "windows" => printed("cmd", &["/c", "ver"], ""),
        _ => String::new(),
    }
}

fn cpu() -> String {
    match std::env::consts::OS {
        "linux" => field("/proc/cpuinfo", "model name", ':'),
        "macos" => printed("sysctl", &["-n", "machdep.cpu.brand_string"], ""),
        "windows" => std::env::var("PROCESSOR_IDENTIFIER").unwrap_or_default(),
        _ => String::new(),
    }
}

/// The value behind `name` in a file of lines of names and values; empty where there is none.
fn field(file: &str, name: &str, separator: char) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut fields = text.lines().filter_map(|line| line.split_once(separator));
    let value = fields.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim().trim_matches('"'));
    value.unwrap_or_default().to_owned()
}

/// What a program of the system prints, behind `before`; empty where it fails.
fn printed(program: &str, arguments: &[&str], before: &str) -> String {
    match std::process::Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => {
            format!("{before}{}", String::from_utf8_lossy(&output.stdout).trim())
        }
        _ => String::new(),
    }
}

/// Variables of the environment that change what runs on an adapter.
const SETTINGS: [&str; 4] = ["DITN_ROBUST", "DITN_SHADER_CHECKS", "LP_NATIVE_VECTOR_WIDTH", "WGPU_BACKEND"];

/// Those of them that are set.
pub(super) fn environment() -> BTreeMap<String, String> {
    SETTINGS.iter().filter_map(|name| Some((name.to_string(), std::env::var(name).ok()?))).collect()
}

/// The time now, in UTC: `2026-11-28T15:04:05Z`.
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    date_of(seconds)
}

/// A time in seconds since 1970 as a date (Hinnant's `civil_from_days`).
fn date_of(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March, so that the leap day is the last; an era has 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The text with folders taken out of the paths in it, as they tell whose machine it is: what is left of
/// `/home/jane/a.json` and of `C:\Users\jane\a.json` is `a.json`. Paths between quotes may have spaces.
pub fn without_folders(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut quote = None;
    while let Some(here) = rest.chars().next() {
        let at_start = out.chars().next_back().is_none_or(|before| !before.is_alphanumeric());
        if at_start && let Some(length) = path_length(rest, quote) {
            let path = &rest[..length];
            let name = path.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(path);
            out.push_str(name);
            rest = &rest[length..];
            continue;
        }
        if matches!(here, '\'' | '"' | '`') {
            quote = if quote == Some(here) { None } else { Some(here) };
        }
        out.push(here);
        rest = &rest[here.len_utf8()..];
    }
    out
}

/// Bytes of the absolute path that `text` begins with, if it does; one between quotes ends at the quote.
fn path_length(text: &str, quote: Option<char>) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_unix =
        bytes.len() > 1 && bytes[0] == b'/' && (bytes[1].is_ascii_alphanumeric() || b"._~".contains(&bytes[1]));
    let is_windows =
        bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && b"\\/".contains(&bytes[2])
            || text.starts_with("\\\\");
    if !is_unix && !is_windows {
        return None;
    }
    let ends = |here: char| match quote {
        Some(quote) => here == quote || here == '\n',
        None => here.is_whitespace() || matches!(here, '\'' | '"' | '`' | ',' | ';' | ')' | '>'),
    };
    Some(text.find(ends).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates_across_leap_days_and_centuries() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date_of(seconds), date);
        }
    }

    #[test]
    fn folders_are_taken_out_of_paths_and_nothing_else() {
        for (text, left) in [
            ("cannot read '/home/jane doe/x/a.json': denied", "cannot read 'a.json': denied"),
            ("at /root/.cargo/registry/src/wgpu-30/src/lib.rs:7:3, then", "at lib.rs:7:3, then"),
            ("in C:\\Users\\jane\\a.json.", "in a.json."),
            ("\"\\\\server\\jane\\a\" b", "\"a\" b"),
            ("3 GFLOP/s, and/or 1 / 2, 'tensor' [2, 3]", "3 GFLOP/s, and/or 1 / 2, 'tensor' [2, 3]"),
            ("/home/jane/", "jane"),
        ] {
            // A folder alone leaves its own name.
            assert_eq!(without_folders(text), left);
        }
    }

    #[test]
    fn this_machine_says_something() {
        let system = System::this();
        assert!(!system.os.is_empty() && system.threads > 0);
        assert!(Program::this().describe().starts_with("ditn "));
    }
}
