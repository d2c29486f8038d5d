//! Bytes to and from a TPM: one command, one answer.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs as _},
    os::unix::{fs::FileTypeExt as _, net::UnixStream},
    time::Duration,
};

use tpm2_protocol::constant::TPM_MAX_COMMAND_SIZE;

use super::Address;

/// How long one command may take at a socket; a slow chip makes a key in two seconds. For its own devices the
/// kernel knows how long a command takes, and ends it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A tag, a length, a code (TPM 2.0 Library, part 1, 18.4).
const HEADER: usize = 10;

trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

/// An open TPM.
pub struct Stream(Box<dyn Both>);

impl Stream {
    /// Opens the TPM at `address`.
    pub fn open(address: &Address) -> io::Result<Self> {
        Ok(Self(match address {
            Address::Path(path) if fs::metadata(path)?.file_type().is_socket() => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            Address::Path(path) => Box::new(OpenOptions::new().read(true).write(true).open(path)?),
            Address::Software { host, port } => {
                let found = (host.as_str(), *port).to_socket_addrs()?.next();
                let place = found.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
                let stream = TcpStream::connect_timeout(&place, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        }))
    }

    /// The answer to `command`. After an error the stream is of no more use: an answer may still come.
    pub fn ask(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        ask(&mut self.0, command)
    }
}

fn ask(stream: &mut impl Both, command: &[u8]) -> io::Result<Vec<u8>> {
    // In one piece: to the kernel's devices a write is a command.
    stream.write_all(command)?;
    let mut answer = vec![0; TPM_MAX_COMMAND_SIZE];
    let mut have = 0;
    loop {
        let got = match stream.read(&mut answer[have..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        have += got;
        let Some(length) = length(&answer[..have]) else { continue };
        if !(HEADER..=TPM_MAX_COMMAND_SIZE).contains(&length) || have > length {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is none of a TPM 2.0"));
        }
        if have == length {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

/// How long the answer says that it is, once that has arrived.
fn length(answer: &[u8]) -> Option<usize> {
    let digits = answer.get(2..6)?.first_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*digits)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says these, one after the other, whatever it is asked.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            let taken = piece.len().min(into.len());
            into[..taken].copy_from_slice(&piece[..taken]);
            Ok(taken)
        }
    }

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream {
        /// One that gives this answer, and then none.
        pub fn saying(answer: Vec<u8>) -> Self {
            Self(Box::new(Pieces(vec![answer])))
        }
    }

    fn answered(pieces: &[&[u8]]) -> io::Result<Vec<u8>> {
        ask(&mut Pieces(pieces.iter().map(|piece| piece.to_vec()).collect()), b"command")
    }

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        let whole = [0x80, 1, 0, 0, 0, 12, 0, 0, 0, 0, 7, 7];
        assert_eq!(answered(&[&whole]).unwrap(), whole);
        assert_eq!(answered(&[&whole[..1], &whole[1..11], &whole[11..]]).unwrap(), whole);
        assert_eq!(answered(&[&whole, &[9]]).unwrap(), whole, "what follows is not read");
        for (pieces, kind) in [
            (vec![], io::ErrorKind::UnexpectedEof),
            (vec![&whole[..11]], io::ErrorKind::UnexpectedEof),
            (vec![&[0x80, 1, 0, 0, 0, 9, 0, 0, 0][..]], io::ErrorKind::InvalidData),
            (vec![&[0x80, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0][..]], io::ErrorKind::InvalidData),
            (vec![&[0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0, 7][..]], io::ErrorKind::InvalidData),
        ] {
            assert_eq!(answered(&pieces).unwrap_err().kind(), kind, "{pieces:?}");
        }
    }
}
