//! A web server for a folder, for this machine alone: browsers give WebGPU to pages of localhost, and none to files.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Bytes of a request's head that are read; a browser's is a few hundred.
const MOST_BYTES: u64 = 64 << 10;
/// How long a client may take for its request.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of the files in a folder.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    folder: PathBuf,
}

impl Server {
    /// Listens on localhost; port 0 is any free one.
    ///
    /// # Errors
    /// Where the port is taken.
    pub fn bind(folder: &Path, port: u16) -> std::io::Result<Self> {
        Ok(Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, port))?, folder: folder.to_owned() })
    }

    /// The address to open.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> std::io::Result<String> {
        Ok(format!("http://localhost:{}/", self.listener.local_addr()?.port()))
    }

    /// Serves until the process ends.
    pub fn run(&self) {
        for stream in self.listener.incoming().flatten() {
            let folder = self.folder.clone();
            // A client that goes away is no trouble of ours.
            std::thread::spawn(move || answer(&stream, &folder).ok());
        }
    }
}

/// Answers one request and closes the connection.
fn answer(stream: &TcpStream, folder: &Path) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.take(MOST_BYTES)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The rest of the head must be read, or closing would take our answer back.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method != "GET" && method != "HEAD" {
        return respond(stream, "405 Method Not Allowed", "text/plain", b"only GET is served\n", true);
    }
    let file = path_of(target).map(|path| folder.join(path));
    let file = file.map(|file| if file.is_dir() { file.join("index.html") } else { file });
    match file.and_then(|file| Some((content_type(&file), std::fs::read(&file).ok()?))) {
        Some((kind, bytes)) => respond(stream, "200 OK", kind, &bytes, method == "GET"),
        None => respond(stream, "404 Not Found", "text/plain", b"there is no such file\n", method == "GET"),
    }
}

fn respond(mut stream: &TcpStream, status: &str, kind: &str, body: &[u8], with_body: bool) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-cache\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    if with_body {
        stream.write_all(body)?;
    }
    stream.flush()
}

/// The file that a request's target names, below the folder; `None` where it leads out of it.
fn path_of(target: &str) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
        }
    }
    let path = PathBuf::from(String::from_utf8(bytes).ok()?.trim_start_matches('/'));
    path.components().all(|part| matches!(part, Component::Normal(_))).then_some(path)
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("jpg") => "image/jpeg",
        Some("png") => "image/png",
        Some("wgsl" | "md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_stays_in_the_folder() {
        assert_eq!(path_of("/shaders/relu/forward.wgsl?x=1"), Some("shaders/relu/forward.wgsl".into()));
        assert_eq!(path_of("/a%20b.json"), Some("a b.json".into()));
        assert_eq!(path_of("/"), Some(PathBuf::new()));
        for outside in ["/../secret", "/a/../../b", "/%2e%2e/secret", "/%2", "/%zz", "/a/%2e%2e/b"] {
            assert_eq!(path_of(outside), None, "{outside}");
        }
    }

    #[test]
    fn files_are_served_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("ditn-serve-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("sub")).unwrap();
        std::fs::write(folder.join("index.html"), "start").unwrap();
        std::fs::write(folder.join("sub/x.json"), "{}").unwrap();
        let server = Server::bind(&folder, 0).unwrap();
        let port = server.listener.local_addr().unwrap().port();
        std::thread::spawn(move || server.run());
        let ask = |request: &str| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            stream.write_all(format!("{request}\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let page = ask("GET / HTTP/1.1");
        assert!(
            page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html") && page.ends_with("\r\n\r\nstart"),
            "{page}"
        );
        assert!(ask("GET /sub/x.json HTTP/1.1").contains("Content-Length: 2\r\n"));
        assert!(ask("HEAD /sub/x.json HTTP/1.1").ends_with("\r\n\r\n"));
        assert!(ask("GET /missing HTTP/1.1").starts_with("HTTP/1.1 404"));
        assert!(ask("GET /../index.html HTTP/1.1").starts_with("HTTP/1.1 404"));
        assert!(ask("POST / HTTP/1.1").starts_with("HTTP/1.1 405"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
