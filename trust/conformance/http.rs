//! As much of HTTP as a suite's server on the loopback speaks: GET, a status, a body until the end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A server that says nothing for so long has hung.
const SILENCE: Duration = Duration::from_secs(30);
/// More than any head of a reply.
const HEAD_BYTES: usize = 64 * 1024;

/// What is at `url`, of which no more than `limit` bytes and one are read; `None` when the server says
/// that it is not there.
pub fn get(url: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let rest = url.strip_prefix("http://").ok_or_else(|| bad("only plain http:// is spoken here"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(SILENCE))?;
    // Version 1.0 asks for a body that ends with the connection.
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let most = HEAD_BYTES.saturating_add(limit).saturating_add(1);
    let mut reply = Vec::new();
    stream.take(most as u64).read_to_end(&mut reply)?;
    let head = find(&reply, b"\r\n\r\n").ok_or_else(|| bad("the reply has no head"))?;
    let body = reply.split_off(head + 4);
    match status(&reply) {
        Some(200) => Ok(Some(body)),
        Some(403 | 404) => Ok(None),
        other => Err(bad(&format!("the server answers {other:?}"))),
    }
}

/// A name as one part of a URL or file: everything but letters, digits and `_.-~` in percent.
pub fn quote(name: &str) -> String {
    let mut quoted = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                quoted.push(char::from(byte))
            }
            _ => quoted.push_str(&format!("%{byte:02X}")),
        }
    }
    quoted
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line).ok()?.split(' ').nth(1)?.parse().ok()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn bad(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
