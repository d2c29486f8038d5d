//! Opening sockets and waiting at them.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net as unix,
    },
    path::Path,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UdpSocket, UnixDatagram, UnixListener},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::{Protocol, Shared, http, statsd};

/// Programs that export at the same time; others wait their turn.
const CONNECTIONS: usize = 8;
/// Who may write to a socket in the file system: its owner, and the group that it has from its folder.
const MODE: u32 = 0o660;

/// After so many bytes, the next are waited for. 1.3 MB a second are tens of thousands of values, and some
/// hundredths of a processor: a program that sends without end takes no more of the device than that.
#[derive(Debug)]
pub(super) struct Throttle(usize);

const BURST: usize = 128 << 10;
const PAUSE: Duration = Duration::from_millis(100);
/// What a message costs beside its length.
const EACH: usize = 256;

impl Default for Throttle {
    fn default() -> Self {
        Self(BURST)
    }
}

impl Throttle {
    /// So many bytes were read; waits when there were enough for now.
    pub async fn spend(&mut self, bytes: usize) {
        let bytes = bytes + EACH;
        match self.0.checked_sub(bytes) {
            Some(left) => self.0 = left,
            None => {
                sleep(PAUSE * u32::try_from(bytes.div_ceil(BURST)).unwrap_or(u32::MAX)).await;
                self.0 = BURST;
            }
        }
    }
}

/// Opens a socket and serves it from now on.
///
/// # Errors
/// When it cannot be opened: the path is something else or somebody listens there, the port is taken.
pub(super) fn open(protocol: Protocol, address: &str, table: &Shared) -> io::Result<JoinHandle<()>> {
    let table = table.clone();
    let is_path = address.starts_with('/');
    if is_path {
        make_way(protocol, Path::new(address))?;
    }
    Ok(match protocol {
        Protocol::StatsD => {
            let socket = if is_path { Datagrams::unix(address)? } else { Datagrams::udp(address)? };
            tokio::spawn(socket.serve(table))
        }
        Protocol::Otlp => {
            let listener = if is_path { Connections::unix(address)? } else { Connections::tcp(address)? };
            tokio::spawn(listener.serve(table))
        }
    })
}

/// Removes what an agent before this one left behind.
fn make_way(protocol: Protocol, path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let is_heard = || match protocol {
        Protocol::StatsD => unix::UnixDatagram::unbound().and_then(|socket| socket.connect(path)).is_ok(),
        Protocol::Otlp => unix::UnixStream::connect(path).is_ok(),
    };
    if is_socket && !is_heard() { fs::remove_file(path) } else { Ok(()) }
}

fn permit(path: &str) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))
}

/// Where datagrams come in.
enum Datagrams {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

impl Datagrams {
    fn unix(path: &str) -> io::Result<Self> {
        let socket = unix::UnixDatagram::bind(path)?;
        permit(path)?;
        socket.set_nonblocking(true)?;
        UnixDatagram::from_std(socket).map(Self::Unix)
    }

    fn udp(address: &str) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket).map(Self::Udp)
    }

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.recv(buffer).await,
            Self::Udp(socket) => socket.recv(buffer).await,
        }
    }

    async fn serve(self, table: Shared) {
        let mut throttle = Throttle::default();
        // One byte more than is read shows what was cut off.
        let mut buffer = vec![0; statsd::LONGEST + 1];
        loop {
            match self.receive(&mut buffer).await {
                Ok(length) if length > statsd::LONGEST => {
                    table.lock().refuse(&format!("a datagram has more than {} bytes", statsd::LONGEST));
                    throttle.spend(length).await;
                }
                Ok(length) => {
                    statsd::read(&buffer[..length], &mut table.lock());
                    throttle.spend(length).await;
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

/// Where connections come in.
enum Connections {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// A connection of either sort.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Connections {
    fn unix(path: &str) -> io::Result<Self> {
        let listener = unix::UnixListener::bind(path)?;
        permit(path)?;
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener).map(Self::Unix)
    }

    fn tcp(address: &str) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self::Tcp)
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
        })
    }

    async fn serve(self, table: Shared) {
        let mut open = JoinSet::new();
        loop {
            while open.len() >= CONNECTIONS {
                open.join_next().await;
            }
            match self.accept().await {
                Ok(stream) => {
                    open.spawn(http::serve(stream, table.clone()));
                }
                // Too many open files, mostly: somebody closes one.
                Err(_) => sleep(PAUSE).await,
            }
            // Those that ended make room without anybody waiting for them.
            while open.try_join_next().is_some() {}
        }
    }
}
