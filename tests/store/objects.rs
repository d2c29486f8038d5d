//! The object store's contract: the same cases on a folder, in memory, and on an S3-compatible store.

use futures_util::TryStreamExt as _;
use slipway_server::objects::{Objects, ObjectsError};
use slipway_tests::s3::{ACCESS_KEY, S3, SECRET_KEY};
use slipway_trust::Sha256;
use tempfile::TempDir;

#[tokio::test]
async fn in_memory() {
    contract(Objects::open("memory:", []).unwrap()).await;
}

#[tokio::test]
async fn in_a_folder() {
    let folder = TempDir::new().unwrap();
    contract(Objects::local(folder.path()).unwrap()).await;
}

#[tokio::test]
async fn in_a_folder_by_its_url() {
    let folder = TempDir::new().unwrap();
    let url = format!("file://{}", folder.path().display());
    contract(Objects::open(&url, []).unwrap()).await;
}

#[tokio::test]
async fn in_a_bucket() {
    let folder = TempDir::new().unwrap();
    let server = S3::start(folder.path(), "fleet").await.unwrap();
    let settings = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT_URL", server.endpoint()),
    ];
    let settings = settings.map(|(key, value)| (key.to_owned(), value));
    contract(Objects::open("s3://fleet", settings.clone()).unwrap()).await;
    contract(Objects::open("s3://fleet/below/it", settings).unwrap()).await;
}

async fn contract(objects: Objects) {
    let digest = Sha256::of(b"decoded");
    assert_eq!(objects.length(&digest).await.unwrap(), None, "{objects}");
    assert!(matches!(objects.get(&digest).await, Err(ObjectsError::NotFound(_))));
    assert!(matches!(objects.download(&digest, None).await, Err(ObjectsError::NotFound(_))));
    for frame in ["rotten", "0123456789", "0123456789"] {
        objects.put(&digest, frame.into()).await.unwrap();
    }
    assert_eq!(objects.length(&digest).await.unwrap(), Some(10));
    assert_eq!(objects.get(&digest).await.unwrap(), "0123456789");
    for (range, expected) in [(None, "0123456789"), (Some(3..6), "345"), (Some(9..10), "9")] {
        let mut download = objects.download(&digest, range.clone()).await.unwrap();
        assert_eq!(download.range, range.unwrap_or(0..10));
        let mut bytes = Vec::new();
        while let Some(piece) = download.next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(bytes, expected.as_bytes());
    }
    let other = Sha256::of(b"other");
    assert_eq!(objects.length(&other).await.unwrap(), None);
    files(&objects).await;
}

/// Files of the archive, by names as it gives them.
async fn files(objects: &Objects) {
    let name = |number: u32| format!("telemetry/class=usage/day=2026-11-22/{number:016}.parquet");
    let names = async || {
        let mut names: Vec<String> = objects.file_names("telemetry").try_collect().await.unwrap();
        names.sort();
        names
    };
    assert_eq!(names().await, Vec::<String>::new());
    assert!(matches!(objects.file_range(&name(1), 0..1).await, Err(ObjectsError::FileNotFound(_))));
    for (number, bytes) in [(1, "rotten"), (1, "0123456789"), (1, "0123456789"), (2, "abc")] {
        objects.file_put(&name(number), bytes.into()).await.unwrap();
    }
    assert_eq!(objects.file_range(&name(1), 0..10).await.unwrap(), "0123456789");
    assert_eq!(objects.file_range(&name(1), 8..10).await.unwrap(), "89");
    assert_eq!(names().await, [name(1), name(2)]);
    for _ in 0..2 {
        objects.file_delete(&name(1)).await.unwrap();
    }
    assert_eq!(names().await, [name(2)]);
    objects.file_delete(&name(2)).await.unwrap();
}
