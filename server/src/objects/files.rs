//! Files of the archive of readings in the same store, by name. A name is never given to two different files.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutPayload, path::Path as Name};

use super::{Objects, ObjectsError};
use crate::chain::is_full;

impl Objects {
    /// Stores a file. Durable when this returns.
    pub async fn file_put(&self, name: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        let put = self.store.put(&Name::from(name), PutPayload::from_bytes(bytes)).await;
        put.map(drop).map_err(|source| failure(name, source))
    }

    /// Some of the bytes of a file.
    pub async fn file_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, ObjectsError> {
        self.store.get_range(&Name::from(name), range).await.map_err(|source| failure(name, source))
    }

    /// Deletes a file; one that is not there is deleted.
    pub async fn file_delete(&self, name: &str) -> Result<(), ObjectsError> {
        match self.store.delete(&Name::from(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(failure(name, source)),
        }
    }

    /// The names of all files below `prefix`, in no order.
    pub fn file_names(&self, prefix: &str) -> BoxStream<'static, Result<String, ObjectsError>> {
        let place = prefix.to_owned();
        let listed = self.store.list(Some(&Name::from(prefix)));
        listed
            .map(move |file| match file {
                Ok(file) => Ok(file.location.to_string()),
                Err(source) => Err(failure(&place, source)),
            })
            .boxed()
    }
}

fn failure(name: &str, source: object_store::Error) -> ObjectsError {
    match source {
        object_store::Error::NotFound { .. } => ObjectsError::FileNotFound(name.to_owned()),
        source if is_full(&source) => ObjectsError::Full(source),
        source => ObjectsError::Failed(source),
    }
}
