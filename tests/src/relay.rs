//! A wire that counts: passes bytes on between a client and a server, as they are.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Passes on until dropped.
#[derive(Debug)]
pub struct Relay {
    /// Where clients connect to.
    pub port: u16,
    counts: Arc<[AtomicU64; 2]>,
    accept: JoinHandle<()>,
}

impl Relay {
    /// To a server of this machine.
    ///
    /// # Panics
    ///
    /// When there is no port left.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let counts = Arc::<[AtomicU64; 2]>::default();
        let shared = counts.clone();
        let accept = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let counts = shared.clone();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::join!(
                        pass(from_client, to_server, &counts[0]),
                        pass(from_server, to_client, &counts[1])
                    );
                });
            }
        });
        Self { port, counts, accept }
    }

    /// Bytes so far, to the server and from it: what TCP carries, with everything that TLS and HTTP/2 add.
    pub fn bytes(&self) -> [u64; 2] {
        [0, 1].map(|way: usize| self.counts[way].load(Ordering::SeqCst))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, count: &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        count.fetch_add(read as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    // The other side hears of the end.
    let _ = to.shutdown().await;
}
