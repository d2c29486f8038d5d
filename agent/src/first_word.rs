//! Whether the server said anything on the connection that was opened last.
//!
//! In TLS 1.3 a device has shaken hands before the server has looked at its certificate. A server that does
//! not like it closes the connection without a word, and whether the alert that says why arrives before the
//! reset that follows it is chance. So silence is what counts: a server that takes a certificate begins to
//! speak at once.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is known of it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct FirstWord(Arc<AtomicBool>);

impl FirstWord {
    /// Whether a connection was opened, and nothing was heard on it.
    pub fn is_missing(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// A connection is about to be opened.
    pub fn begin(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// It is open: listens on it.
    pub fn listen<T>(&self, io: T) -> Listening<T> {
        self.0.store(true, Ordering::Relaxed);
        Listening { io, waiting: Some(self.clone()) }
    }
}

/// The connection.
#[derive(Debug)]
pub struct Listening<T> {
    io: T,
    /// Until the first word.
    waiting: Option<FirstWord>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Listening<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.io).poll_read(task, into);
        if into.filled().len() > before
            && let Some(first) = self.waiting.take()
        {
            first.begin();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Listening<T> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(task)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(task, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn a_word_counts_and_an_end_does_not() {
        let first = FirstWord::default();
        assert!(!first.is_missing(), "there was no connection yet");
        for speaks in [false, true, false] {
            let (near, mut far) = duplex(64);
            first.begin();
            assert!(!first.is_missing(), "it may not come about");
            let mut near = first.listen(near);
            near.write_all(b"hello").await.unwrap();
            if speaks {
                far.write_all(b"w").await.unwrap();
            }
            drop(far);
            let mut heard = Vec::new();
            let _ = near.read_to_end(&mut heard).await;
            assert_eq!(first.is_missing(), !speaks);
        }
    }
}
