//! A web server for a bundle, for this machine alone: browsers give WebGPU to pages of localhost, and none to files.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::Bundle;

/// Bytes of a request's head that are read; a browser's is a few hundred.
const MOST_BYTES: u64 = 64 << 10;
/// How long a client may take for its request.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait where the system has no connection to give.
const PAUSE: Duration = Duration::from_millis(100);

/// A server on this machine's loopback address.
#[derive(Debug)]
pub struct Server(TcpListener);

impl Server {
    /// Listens; port 0 is any free one.
    ///
    /// # Errors
    /// Where the port is taken.
    pub fn bind(port: u16) -> std::io::Result<Self> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(Self)
    }

    /// The address to open.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> std::io::Result<String> {
        Ok(format!("http://{}/", self.0.local_addr()?))
    }

    /// Serves the files of a bundle until the process ends.
    pub fn run(&self, bundle: Bundle) {
        let bundle = Arc::new(bundle);
        for stream in self.0.incoming() {
            let Ok(stream) = stream else {
                std::thread::sleep(PAUSE);
                continue;
            };
            let bundle = Arc::clone(&bundle);
            // A client that goes away is no trouble of ours.
            std::thread::spawn(move || answer(&stream, &bundle).ok());
        }
    }
}

/// Answers one request and closes the connection.
fn answer(stream: &TcpStream, bundle: &Bundle) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.take(MOST_BYTES));
    let mut request = Vec::new();
    reader.read_until(b'\n', &mut request)?;
    // The rest of the head must be read, or closing would take our answer back.
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 && line != b"\r\n" && line != b"\n" {
        line.clear();
    }
    let request = String::from_utf8_lossy(&request);
    let mut words = request.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let with_body = method != "HEAD";
    if method != "GET" && with_body {
        return respond(
            stream,
            "405 Method Not Allowed\r\nAllow: GET, HEAD",
            "text/plain",
            b"only GET is served\n",
            true,
        );
    }
    let path = path_of(target).unwrap_or_default();
    match bundle.file(&path) {
        Some(bytes) => respond(stream, "200 OK", content_type(&path), bytes, with_body),
        None => respond(stream, "404 Not Found", "text/plain", b"there is no such file\n", with_body),
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

/// The file that a request's target names; `None` for what is no text.
fn path_of(target: &str) -> Option<String> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let digits = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
        }
    }
    let path = String::from_utf8(bytes).ok()?;
    let path = path.strip_prefix('/')?;
    Some(if path.is_empty() { "index.html" } else { path }.to_owned())
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("jpg") => "image/jpeg",
        Some("wgsl" | "md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_a_file() {
        let path = |target| path_of(target);
        assert_eq!(path("/shaders/relu/forward.wgsl?v=1"), Some("shaders/relu/forward.wgsl".into()));
        assert_eq!(path("/a%20b.json"), Some("a b.json".into()));
        assert_eq!(path("/"), Some("index.html".into()));
        for broken in ["", "x", "/%2", "/%zz", "/%+f", "/%ff"] {
            assert_eq!(path(broken), None, "{broken}");
        }
    }

    #[test]
    fn files_are_served_and_nothing_else() {
        let mut bundle = Bundle::default();
        bundle.bytes("index.html", b"start".to_vec());
        bundle.bytes("sub/x.json", b"{}".to_vec());
        let server = Server::bind(0).unwrap();
        let address = server.0.local_addr().unwrap();
        std::thread::spawn(move || server.run(bundle));
        let ask = |request: &[u8]| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(&[request, b"\r\nHost: localhost\r\nCookie: \xff\r\n\r\n"].concat()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let page = ask(b"GET / HTTP/1.1");
        assert!(
            page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html") && page.ends_with("\r\n\r\nstart"),
            "{page}"
        );
        assert!(ask(b"GET /sub/x.json HTTP/1.1").contains("Content-Length: 2\r\n"));
        assert!(ask(b"HEAD /sub/x.json HTTP/1.1").ends_with("\r\n\r\n"));
        for missing in ["/missing", "/sub", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd"] {
            assert!(ask(format!("GET {missing} HTTP/1.1").as_bytes()).starts_with("HTTP/1.1 404"), "{missing}");
        }
        assert!(ask(b"POST / HTTP/1.1").starts_with("HTTP/1.1 405"));
    }
}
