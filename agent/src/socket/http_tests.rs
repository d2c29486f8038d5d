//! Exporters as they are, and as they should not be.

use prost::Message as _;
use slipway_proto::opentelemetry::proto::{
    collector::metrics::v1::ExportMetricsServiceResponse,
    metrics::v1::{Gauge, metric::Data},
};

use super::{
    tests::{NOW, every_sort, metric, point, request},
    *,
};

/// What a connection is answered to these bytes, in pieces of `piece` bytes, and then no more.
async fn talk(bytes: &[u8], piece: usize, table: &Shared) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut near, far) = tokio::io::duplex(64 << 10);
    let serving = tokio::spawn(http::serve(far, table.clone()));
    for piece in bytes.chunks(piece) {
        if near.write_all(piece).await.is_err() {
            break;
        }
    }
    let _ = near.shutdown().await;
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    serving.await.unwrap();
    answer
}

fn shared() -> Shared {
    Shared(Arc::new(Mutex::new(Table::new(&Settings::default(), "run"))))
}

fn post(body: &[u8], headers: &str) -> Vec<u8> {
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn http_with_a_length_in_chunks_and_several_on_one_connection() {
    let body = every_sort().encode_to_vec();
    let known = post(&body, &format!("Content-Length: {}\r\n", body.len()));
    let (first, second) = body.split_at(100);
    let mut chunks = b"64\r\n".to_vec();
    chunks.extend(
        [first, format!("\r\n{:X};x=y\r\n", second.len()).as_bytes(), second, b"\r\n0\r\n\r\n"].concat(),
    );
    let chunked = post(&chunks, "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n");
    let last = post(b"", "Content-Length: 0\r\nConnection: close\r\n");
    let all = [known, chunked, last, b"never read".to_vec()].concat();
    for piece in [1, 7, all.len()] {
        let table = shared();
        let answer = String::from_utf8(talk(&all, piece, &table).await).unwrap();
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 100 Continue").count(), 1);
        assert!(answer.ends_with("Connection: close\r\n\r\n"), "{answer}");
        let mut table = table.lock();
        assert_eq!((table.drain(NOW).len(), table.refused()), (12, 0));
    }
}

#[tokio::test]
async fn http_that_is_wrong_is_told_why() {
    let kind = "Content-Type: application/x-protobuf\r\n";
    let long = format!("POST /v1/metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000));
    let ours = |headers: &str| String::from_utf8(post(b"", headers)).unwrap();
    for (request, status, why) in [
        ("GET /v1/metrics HTTP/1.1\r\n\r\n".to_owned(), 405, "POST"),
        ("POST / HTTP/1.1\r\n\r\n".to_owned(), 404, "/v1/metrics"),
        ("POST /v1/metrics HTTP/2\r\n\r\n".to_owned(), 400, "HTTP/1.1"),
        ("\r\n\r\n".to_owned(), 400, "HTTP/1.1"),
        (long, 431, "headers"),
        (format!("POST /v1/metrics HTTP/1.1\r\n{kind}\r\n"), 411, "length"),
        (
            "POST /v1/metrics HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
                .to_owned(),
            415,
            "protobuf",
        ),
        (ours("Content-Encoding: gzip\r\nContent-Length: 1\r\n"), 415, "compression"),
        (ours("Content-Length: 262145\r\n"), 413, "256 KiB"),
        (ours("Content-Length: 1\r\nContent-Length: 2\r\n"), 400, "HTTP/1.1"),
        (ours("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400, "HTTP/1.1"),
        (ours("Transfer-Encoding: gzip\r\n"), 501, "chunked"),
        (ours("Content-Length: -1\r\n"), 400, "HTTP/1.1"),
        (ours("no colon\r\n"), 400, "HTTP/1.1"),
        (ours("Transfer-Encoding: chunked\r\n") + "xyz\r\n", 400, "chunks"),
        (ours("Transfer-Encoding: chunked\r\n") + "ffffffffffffffff\r\n", 413, "256 KiB"),
        (ours("Transfer-Encoding: chunked\r\n") + "2\r\nabcd", 400, "chunks"),
        (ours("Content-Length: 1\r\n") + "\u{b}", 400, "ExportMetrics"),
    ] {
        let answer = String::from_utf8_lossy(&talk(request.as_bytes(), 4096, &shared()).await).into_owned();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(why),
            "{request:?}: {answer}"
        );
    }
    assert_eq!(
        talk(&post(b"half", "Content-Length: 9\r\n"), 99, &shared()).await,
        b"",
        "it ended in the middle"
    );
}

#[tokio::test]
async fn a_point_that_is_refused_is_told_in_the_answer() {
    let bad = metric("no name", "1", Data::Gauge(Gauge { data_points: vec![point(1.0, &[])] }));
    let body = request(&[], vec![bad]).encode_to_vec();
    let answer = talk(&post(&body, &format!("Content-Length: {}\r\n", body.len())), 4096, &shared()).await;
    let start = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let partial = ExportMetricsServiceResponse::decode(&answer[start..]).unwrap().partial_success.unwrap();
    assert_eq!(
        (partial.rejected_data_points, partial.error_message.as_str()),
        (1, "the metric \"no name\" is no name")
    );
}
