use http::Request;
use http_body_util::BodyExt as _;
use slipway_trust::{Sha256, fake};
use tower::ServiceExt as _;

use super::*;
use crate::service::{fake_trust::Publisher, testing::TestContext};

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(ctx: &Context, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let app = routes().with_state(ctx.clone());
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

async fn stored() -> (TestContext, String, Bytes) {
    let ctx = Context::for_test().await;
    let digest = Sha256::of(b"any");
    let frame = Bytes::from_static(b"0123456789");
    ctx.objects.put(&digest, frame.clone()).await.unwrap();
    (ctx, format!("/segments/{digest}"), frame)
}

#[tokio::test]
async fn a_segment_comes_whole() {
    let (ctx, path, frame) = stored().await;
    let answer = ask(&ctx, "GET", &path, &[]).await;
    assert_eq!((answer.status, &answer.body), (200, &frame));
    assert_eq!(answer.header("etag"), format!("\"{}\"", &path["/segments/".len()..]));
    assert!(answer.header("cache-control").contains("immutable"));
    assert_eq!((answer.header("content-length"), answer.header("accept-ranges")), ("10", "bytes"));

    let head = ask(&ctx, "HEAD", &path, &[("range", "bytes=2-3")]).await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, "10"));
}

#[tokio::test]
async fn a_segment_comes_in_parts() {
    let (ctx, path, _) = stored().await;
    for (range, status, body, content_range) in [
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=5-500", 206, "56789", "bytes 5-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("bytes=0-1,3-4", 200, "0123456789", ""),
        ("lines=0-1", 200, "0123456789", ""),
    ] {
        let answer = ask(&ctx, "GET", &path, &[("range", range)]).await;
        assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()), "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
    }
}

#[tokio::test]
async fn conditions() {
    let (ctx, path, _) = stored().await;
    let tag = format!("\"{}\"", &path["/segments/".len()..]);
    let known = ask(&ctx, "GET", &path, &[("if-none-match", &format!("\"x\", W/{tag}"))]).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    for (held, status) in [(tag.as_str(), 206), ("\"other\"", 200)] {
        let answer = ask(&ctx, "GET", &path, &[("range", "bytes=4-"), ("if-range", held)]).await;
        assert_eq!(answer.status, status, "{held}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let (ctx, path, _) = stored().await;
    let unknown = Sha256::of(b"unknown");
    let upper = path.to_uppercase().replace("/SEGMENTS/", "/segments/");
    for path in [
        &format!("/segments/{unknown}"),
        &upper,
        "/segments/x",
        "/tuf/metadata/1.root.json",
        "/tuf/targets/pump/1.0.0.json",
    ] {
        assert_eq!(ask(&ctx, "GET", path, &[]).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn signed_files_are_plain_files() {
    let ctx = Context::for_test().await;
    let mut publisher = Publisher::initialize(&ctx).await;
    let release = publisher.publish(&ctx, "1.0.0", 1).await;
    let timestamp = ask(&ctx, "GET", "/tuf/metadata/timestamp.json", &[]).await;
    assert_eq!((timestamp.status, timestamp.header("cache-control")), (200, "no-cache"));
    let snapshot = ask(&ctx, "GET", "/tuf/metadata/2.snapshot.json", &[]).await;
    assert!(snapshot.header("cache-control").contains("immutable"));
    let manifest = fake::manifest("1.0.0", 1).to_bytes().unwrap();
    let digest = release.manifest_digest;
    for path in [
        "pump/1.0.0.json".to_owned(),
        format!("pump/{digest}.1.0.0.json"),
        format!("{digest}.pump/1.0.0.json"),
    ] {
        let answer = ask(&ctx, "GET", &format!("/tuf/targets/{path}"), &[]).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &manifest[..]), "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let other = Sha256::of(b"other");
    let wrong = ask(&ctx, "GET", &format!("/tuf/targets/pump/{other}.1.0.0.json"), &[]).await;
    assert_eq!(wrong.status, 404);
}
