//! An S3-compatible store in the test process, on a folder.

use std::{net::SocketAddr, path::Path};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tokio::{net::TcpListener, task::JoinHandle};

/// The access key the store accepts.
pub const ACCESS_KEY: &str = "AKIDEXAMPLE";
/// And its secret.
pub const SECRET_KEY: &str = "SECRETEXAMPLE";

/// A running store; it stops when dropped.
#[derive(Debug)]
pub struct S3 {
    /// Where it listens, plain HTTP.
    pub address: SocketAddr,
    accept: JoinHandle<()>,
}

impl S3 {
    /// Serves `folder`; each folder below it is a bucket, and `bucket` is made.
    pub async fn start(folder: &Path, bucket: &str) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder.join(bucket))?;
        let files = s3s_fs::FileSystem::new(folder).map_err(|e| std::io::Error::other(format!("{e:?}")))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let accept = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let http = Builder::new(TokioExecutor::new());
                    // A client that goes away is none of the store's business.
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Ok(S3 { address, accept })
    }

    /// For `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.accept.abort();
    }
}
