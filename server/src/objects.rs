//! Segments in an object store: a folder, an S3-compatible bucket, or memory in tests.
//!
//! An object's name is the SHA-256 of what it decodes to, so it never changes once it is right, and
//! writing it twice is writing it once.

mod files;

use std::{fmt, io, ops::Range, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig,
    aws::AmazonS3Builder, local::LocalFileSystem, memory::InMemory, path::Path as Name, prefix::PrefixStore,
};
use slipway_payload::FRAME_MAX;
use slipway_trust::Sha256;

use crate::{
    chain::{chain, is_full},
    model::archive::PREFIX,
};

/// Below what an operator takes for a hang, above what a busy bucket needs for 1 MiB.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one call may go on retrying: the caller waits for it, and can repeat it.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// Where the segments are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    place: Arc<str>,
}

/// Why the object store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// No such object.
    #[error("segment {0} is not stored")]
    NotFound(Sha256),
    /// No such file of the archive.
    #[error("the file {0} is not stored")]
    FileNotFound(String),
    /// No room left; nothing was stored.
    #[error("the object store has no room left")]
    Full(#[source] object_store::Error),
    /// The address is not one of an object store.
    #[error("{url:?} names no object store: {why}")]
    Address {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// An object is larger than any segment can be.
    #[error("segment {digest} is stored with {length} bytes, more than a segment can have")]
    TooLarge {
        /// Its name.
        digest: Sha256,
        /// Its stored bytes.
        length: u64,
    },
    /// Anything else the store says.
    #[error("the object store refused or does not answer")]
    Failed(#[source] object_store::Error),
}

/// Stored bytes on their way to a reader, at most one small piece in memory.
pub struct Download {
    /// Which bytes of the object come.
    pub range: Range<u64>,
    /// They, in order. The next piece is read when the one before it was taken.
    pub stream: BoxStream<'static, Result<Bytes, ObjectsError>>,
}

impl Download {
    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ObjectsError> {
        self.stream.try_next().await
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("range", &self.range).finish_non_exhaustive()
    }
}

impl Objects {
    /// Objects in `folder`, which is made when it is missing and which only this process writes.
    /// What was put survives a power cut; what a power cut left unfinished is removed.
    pub fn local(folder: &Path) -> Result<Self, ObjectsError> {
        let objects = Objects::folder(folder)?;
        remove_unfinished(&folder.join("segments"))
            .and_then(|()| remove_unfinished_below(&folder.join(PREFIX)))
            .map_err(|source| ObjectsError::Address { url: objects.to_string(), why: source.to_string() })?;
        Ok(objects)
    }

    fn folder(folder: &Path) -> Result<Self, ObjectsError> {
        let failed = |source: io::Error| ObjectsError::Address {
            url: folder.display().to_string(),
            why: source.to_string(),
        };
        std::fs::create_dir_all(folder.join("segments")).map_err(failed)?;
        for made in [Some(folder), folder.parent()].into_iter().flatten() {
            std::fs::File::open(made).and_then(|file| file.sync_all()).map_err(failed)?;
        }
        // With fsync the file and its folder are on the disk before a put returns.
        let store = LocalFileSystem::new_with_prefix(folder).map_err(ObjectsError::Failed)?.with_fsync(true);
        Ok(Objects { store: Arc::new(store), place: folder.display().to_string().into() })
    }

    /// Objects that are gone when the process ends.
    pub fn memory() -> Self {
        Objects { store: Arc::new(InMemory::new()), place: "memory".into() }
    }

    /// The store that `url` names: `file:///folder`, `s3://bucket/prefix` or `memory:`.
    ///
    /// `settings` are the `AWS_*` variables (credentials, `AWS_REGION`, `AWS_ENDPOINT_URL` for a
    /// store that is not Amazon's); others are passed over. Asks nothing of the store yet.
    pub fn open(
        url: &str,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ObjectsError> {
        let address = |why: &str| ObjectsError::Address { url: url.to_owned(), why: why.to_owned() };
        if url == "memory" || url == "memory:" || url == "memory:///" {
            return Ok(Objects::memory());
        }
        if let Some(folder) = url.strip_prefix("file://") {
            if !folder.starts_with('/') {
                return Err(address("file:// is followed by an absolute path, as in file:///srv/objects"));
            }
            // Other replicas may be writing there: their unfinished files are left alone.
            return Objects::folder(Path::new(folder));
        }
        let Some(rest) = url.strip_prefix("s3://") else {
            return Err(address("it begins with file://, s3:// or memory:"));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(address("s3:// is followed by the name of a bucket"));
        }
        let store = s3(bucket, settings).map_err(|source| address(&chain(&source)))?;
        let store: Arc<dyn ObjectStore> = match prefix.trim_matches('/') {
            "" => Arc::new(store),
            prefix => Arc::new(PrefixStore::new(store, Name::from(prefix))),
        };
        Ok(Objects { store, place: url.into() })
    }

    /// Stores a frame under the digest of what it decodes to, replacing what is there.
    ///
    /// The caller has checked that it does decode to it. Durable when this returns.
    pub async fn put(&self, digest: &Sha256, frame: Bytes) -> Result<(), ObjectsError> {
        let put = self.store.put(&name(digest), PutPayload::from_bytes(frame)).await;
        put.map(drop).map_err(|source| failure(digest, source))
    }

    /// Encoded bytes of a stored segment; none when it is not stored.
    pub async fn length(&self, digest: &Sha256) -> Result<Option<u64>, ObjectsError> {
        match self.store.head(&name(digest)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failure(digest, source)),
        }
    }

    /// The whole frame. One that is larger than a segment can be is not read.
    pub async fn get(&self, digest: &Sha256) -> Result<Bytes, ObjectsError> {
        let found = self.store.get(&name(digest)).await.map_err(|source| failure(digest, source))?;
        if found.meta.size > FRAME_MAX as u64 {
            return Err(ObjectsError::TooLarge { digest: *digest, length: found.meta.size });
        }
        found.bytes().await.map_err(|source| failure(digest, source))
    }

    /// The frame, or `range` of it, piece by piece. The range lies within the object.
    pub async fn download(
        &self,
        digest: &Sha256,
        range: Option<Range<u64>>,
    ) -> Result<Download, ObjectsError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found =
            self.store.get_opts(&name(digest), options).await.map_err(|source| failure(digest, source))?;
        let range = found.range.clone();
        let digest = *digest;
        let stream = found.into_stream().map(move |piece| piece.map_err(|source| failure(&digest, source)));
        Ok(Download { range, stream: stream.boxed() })
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

/// The store writes `digest#number` and renames it when it is whole; a process that was killed leaves
/// the former behind.
fn remove_unfinished(segments: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(segments)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().contains(&b'#') {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The same for the archive, whose files lie in folders of class and day.
fn remove_unfinished_below(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    remove_unfinished(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_unfinished_below(&entry.path())?;
        }
    }
    Ok(())
}

fn name(digest: &Sha256) -> Name {
    Name::from_iter(["segments", &digest.to_string()])
}

fn s3(
    bucket: &str,
    settings: impl IntoIterator<Item = (String, String)>,
) -> Result<impl ObjectStore, object_store::Error> {
    // The HTTP client takes the process's provider. Another part may have installed it before: same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut plain_http = false;
    let mut builder = AmazonS3Builder::new();
    for (key, value) in settings.into_iter().filter(|(key, _)| key.starts_with("AWS_")) {
        if let Ok(known) = key.to_ascii_lowercase().parse() {
            // Somebody who wrote http:// meant it; anything else stays on TLS.
            plain_http |= key.starts_with("AWS_ENDPOINT") && value.starts_with("http://");
            builder = builder.with_config(known, value);
        }
    }
    let client = ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(plain_http);
    let retry = RetryConfig { retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    builder.with_bucket_name(bucket).with_client_options(client).with_retry(retry).build()
}

fn failure(digest: &Sha256, source: object_store::Error) -> ObjectsError {
    match source {
        object_store::Error::NotFound { .. } => ObjectsError::NotFound(*digest),
        source if is_full(&source) => ObjectsError::Full(source),
        source => ObjectsError::Failed(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_larger_than_a_segment_is_not_read() {
        let objects = Objects::memory();
        let digest = Sha256::of(b"decoded");
        objects.put(&digest, Bytes::from(vec![0; FRAME_MAX + 1])).await.unwrap();
        assert!(matches!(objects.get(&digest).await, Err(ObjectsError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::local(folder.path()).unwrap();
        let digest = Sha256::of(b"decoded");
        objects.put(&digest, Bytes::from_static(b"frame")).await.unwrap();
        let unfinished = folder.path().join(format!("segments/{digest}#1"));
        std::fs::write(&unfinished, b"fra").unwrap();
        let day = folder.path().join("telemetry/class=usage/day=2026-11-22");
        std::fs::create_dir_all(&day).unwrap();
        let (cut, whole) = (day.join("0000000000000007.parquet#1"), day.join("0000000000000006.parquet"));
        std::fs::write(&cut, b"PAR").unwrap();
        std::fs::write(&whole, b"PAR1").unwrap();
        let objects = Objects::local(folder.path()).unwrap();
        assert!(!unfinished.exists() && !cut.exists() && whole.exists());
        assert_eq!(objects.get(&digest).await.unwrap(), "frame");
    }

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let io = |kind| object_store::Error::Generic { store: "test", source: io::Error::from(kind).into() };
        let digest = Sha256::of(b"");
        assert!(matches!(failure(&digest, io(io::ErrorKind::StorageFull)), ObjectsError::Full(_)));
        assert!(matches!(failure(&digest, io(io::ErrorKind::TimedOut)), ObjectsError::Failed(_)));
    }

    #[test]
    fn addresses() {
        let aws = [("AWS_REGION".to_owned(), "eu-1".to_owned()), ("HOME".to_owned(), "/".to_owned())];
        assert!(Objects::open("s3://bucket/some/prefix", aws).is_ok());
        for bad in ["", "http://x", "s3://", "file://relative/path"] {
            assert!(matches!(Objects::open(bad, []), Err(ObjectsError::Address { .. })), "{bad}");
        }
    }
}
