//! The object store's contract: the same cases on a folder, in memory, and on an S3-compatible store.

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
}
