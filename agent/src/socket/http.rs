//! As much of HTTP/1.1 as an exporter of metrics needs: one method, one path, bodies of a known or a chunked length.
//!
//! Whatever is more than its bound ends the connection with an answer that says which.

use std::{fmt::Write as _, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use super::{
    Shared,
    listen::Throttle,
    otlp::{self, Outcome},
    wire::{put_bytes, put_number},
};

const PATH: &str = "/v1/metrics";
const PROTOBUF: &str = "application/x-protobuf";
/// Request line and headers; exporters send some 300 bytes.
const HEAD: usize = 8 << 10;
/// A thousand data points with a few attributes each.
const BODY: usize = 256 << 10;
/// How long a request may take to arrive, and its answer to leave.
const REQUEST: Duration = Duration::from_secs(10);
/// How long a connection may be silent between two: exporters send once a minute.
const IDLE: Duration = Duration::from_secs(90);

/// Why a request is not served: HTTP status and a sentence.
type Refusal = (u16, &'static str);

/// Serves a connection until it ends.
pub(super) async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, table: Shared) {
    let mut throttle = Throttle::default();
    let mut buffer = Vec::new();
    loop {
        if buffer.is_empty() {
            match timeout(IDLE, stream.read_buf(&mut buffer)).await {
                Ok(Ok(1..)) => {}
                _ => return,
            }
        }
        let Ok(Ok(more)) = timeout(REQUEST, exchange(&mut stream, &mut buffer, &table)).await else { return };
        let Some(length) = more else { return };
        throttle.spend(length).await;
    }
}

/// Reads one request, which begins in `buffer`, and answers it; says how long it was, or nothing when the
/// connection has to end. What was read beyond it stays in `buffer`.
async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut Vec<u8>,
    table: &Shared,
) -> io::Result<Option<usize>> {
    let head = match read_head(stream, buffer).await? {
        Ok(head) => head,
        Err(refusal) => return refuse(stream, refusal).await,
    };
    if head.expects {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let body = match head.length {
        Some(length) => read_known(stream, buffer, length).await?,
        None => match read_chunked(stream, buffer).await? {
            Ok(body) => body,
            Err(refusal) => return refuse(stream, refusal).await,
        },
    };
    let taken = otlp::read(&body, &mut table.lock());
    let (status, answer) = match &taken {
        Ok(outcome) => (200, success(outcome)),
        Err(why) => (400, status_message(why)),
    };
    answer_with(stream, status, &answer, head.last).await?;
    Ok((!head.last).then_some(body.len()))
}

/// What of a request's head counts.
struct Head {
    /// Bytes of the body; none when it is chunked.
    length: Option<usize>,
    expects: bool,
    /// The connection ends behind it.
    last: bool,
}

async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Result<Head, Refusal>> {
    let end = loop {
        let end = buffer.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end.filter(|end| *end <= HEAD) {
            break end;
        }
        if buffer.len() > HEAD {
            return Ok(Err((431, "the headers are too long")));
        }
        more(stream, buffer).await?;
    };
    let head = parse_head(&buffer[..end]);
    buffer.drain(..end + 4);
    Ok(head)
}

fn parse_head(head: &[u8]) -> Result<Head, Refusal> {
    let wrong = (400, "the request is not HTTP/1.1");
    let mut lines = str::from_utf8(head).map_err(|_| wrong)?.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, path, version] = words[..] else { return Err(wrong) };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(wrong);
    }
    if path != PATH {
        return Err((404, "there is /v1/metrics and nothing else"));
    }
    if method != "POST" {
        return Err((405, "metrics are sent with POST"));
    }
    let (mut lengths, mut chunked, mut kind) = (Vec::new(), false, "");
    let mut head = Head { length: None, expects: false, last: version == "HTTP/1.0" };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(wrong)?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.parse::<usize>().map_err(|_| wrong)?),
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => chunked = true,
            "transfer-encoding" => return Err((501, "the only transfer encoding is chunked")),
            "content-type" => kind = value.split(';').next().unwrap_or_default().trim(),
            "content-encoding" if value.eq_ignore_ascii_case("identity") => {}
            "content-encoding" => {
                return Err((415, "compression is not understood: switch it off in the exporter"));
            }
            "connection" => head.last |= value.eq_ignore_ascii_case("close"),
            "expect" => head.expects = true,
            _ => {}
        }
    }
    if !kind.eq_ignore_ascii_case(PROTOBUF) {
        return Err((
            415,
            "only protocol buffers are understood: set the exporter's protocol to http/protobuf",
        ));
    }
    match (&lengths[..], chunked) {
        ([length], false) if *length <= BODY => head.length = Some(*length),
        ([_], false) => return Err((413, "the request is larger than 256 KiB: send smaller batches")),
        ([], true) => {}
        ([], false) => return Err((411, "the request has no length")),
        // Two lengths are how one request is made to look like two.
        _ => return Err(wrong),
    }
    Ok(head)
}

async fn read_known(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    length: usize,
) -> io::Result<Vec<u8>> {
    while buffer.len() < length {
        more(stream, buffer).await?;
    }
    let rest = buffer.split_off(length);
    Ok(std::mem::replace(buffer, rest))
}

async fn read_chunked(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Result<Vec<u8>, Refusal>> {
    let wrong = (400, "the chunks of the request are no chunks");
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
                break end;
            }
            if buffer.len() > 256 {
                return Ok(Err(wrong));
            }
            more(stream, buffer).await?;
        };
        let size = str::from_utf8(&buffer[..line]).ok().and_then(|text| text.split(';').next());
        let Some(size) = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok()) else {
            return Ok(Err(wrong));
        };
        buffer.drain(..line + 2);
        if body.len().saturating_add(size) > BODY {
            return Ok(Err((413, "the request is larger than 256 KiB: send smaller batches")));
        }
        let chunk = read_known(stream, buffer, size + 2).await?;
        // The last one is empty. Nobody sends trailers with metrics.
        match chunk.strip_suffix(b"\r\n") {
            Some([]) if size == 0 => return Ok(Ok(body)),
            Some(data) if data.len() == size && size > 0 => body.extend_from_slice(data),
            _ => return Ok(Err(wrong)),
        }
    }
}

async fn more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn refuse(stream: &mut (impl AsyncWrite + Unpin), (status, why): Refusal) -> io::Result<Option<usize>> {
    answer_with(stream, status, &status_message(why), true).await?;
    Ok(None)
}

async fn answer_with(
    stream: &mut (impl AsyncWrite + Unpin),
    status: u16,
    body: &[u8],
    last: bool,
) -> io::Result<()> {
    let connection = if last { "close" } else { "keep-alive" };
    let mut answer = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        answer,
        "HTTP/1.1 {status} {}\r\nContent-Type: {PROTOBUF}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        if status == 200 { "OK" } else { "Refused" },
        body.len()
    );
    stream.write_all(&[answer.as_bytes(), body].concat()).await?;
    stream.flush().await
}

/// `ExportMetricsServiceResponse`.
fn success(outcome: &Outcome) -> Vec<u8> {
    let mut answer = Vec::new();
    if let Some(why) = &outcome.why {
        let mut partial = Vec::new();
        put_number(1, outcome.rejected, &mut partial);
        put_bytes(2, why.as_bytes(), &mut partial);
        put_bytes(1, &partial, &mut answer);
    }
    answer
}

/// `google.rpc.Status`, as the protocol wants it; INVALID_ARGUMENT.
fn status_message(why: &str) -> Vec<u8> {
    let mut answer = Vec::new();
    put_number(1, 3, &mut answer);
    put_bytes(2, why.as_bytes(), &mut answer);
    answer
}
