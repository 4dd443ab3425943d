//! Bounded reads of files that users name.
//!
//! A path can lead to an endless device, a pipe without a writer or a file of gigabytes. The
//! functions here read at most [`SizeLimit`] bytes from regular files, pipes and standard input, and
//! give up on a silent pipe. Both programs read such files only here, so that both refuse the same
//! files with the same message.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal as _, Read};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

/// The size limit of one kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimit {
    /// The kind of file, with its article, for messages.
    pub name: &'static str,
    /// The limit, in bytes.
    pub bytes: usize,
}

/// A sweep file.
pub const SWEEP: SizeLimit = SizeLimit { name: "a sweep file", bytes: 4 << 20 };

/// A file with a token.
pub const TOKEN: SizeLimit = SizeLimit { name: "a file with a token", bytes: 4 << 10 };

/// A file with certificates.
pub const CERTIFICATES: SizeLimit = SizeLimit { name: "a file with certificates", bytes: 1 << 20 };

/// A file with a private key.
pub const KEY: SizeLimit = SizeLimit { name: "a file with a private key", bytes: 64 << 10 };

/// The server file of a state directory.
pub const SERVER: SizeLimit = SizeLimit { name: "a file with an address", bytes: 4 << 10 };

/// The file in a state directory that names the URLs of results and checkpoints.
pub const STORAGE_LAYOUT: SizeLimit =
    SizeLimit { name: "a file with storage URLs", bytes: 64 << 10 };

/// A file with shell lines for the jobs of a cluster.
pub const SETUP: SizeLimit = SizeLimit { name: "a file with shell lines", bytes: 1 << 20 };

/// A configuration of `kubectl`.
pub const KUBECONFIG: SizeLimit = SizeLimit { name: "a kubeconfig", bytes: 4 << 20 };

/// SQL on standard input.
pub const SQL: SizeLimit = SizeLimit { name: "a query", bytes: 256 << 10 };

/// A checkpoint on standard input, written by `rheo`.
pub const CHECKPOINT: SizeLimit = SizeLimit { name: "a checkpoint", bytes: 4 << 30 };

/// The longest silence of a named pipe, which may never get a writer.
const NAMED_PIPE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest silence of any other pipe. A program writes to it, and may have to compute first.
const PIPE_TIMEOUT: Duration = Duration::from_mins(1);

/// The longest time for a whole pipe.
const TOTAL_TIMEOUT: Duration = Duration::from_mins(10);

/// The interval at which a silent pipe is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The device number of `/dev/null`.
const DEV_NULL: (u32, u32) = (1, 3);

/// The reason for which a file is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum ReadError {
    #[error("it has more than `{bytes}` bytes, the limit for {name}")]
    TooLarge { name: &'static str, bytes: usize },
    #[error("it is a directory")]
    Directory,
    #[error("it is a device, not a file")]
    Device,
    #[error("it is a socket, not a file")]
    Socket,
    #[error("it is a pipe from which nothing came for `{0}` seconds: write to it, or name a file")]
    Silent(u64),
}

impl From<ReadError> for io::Error {
    fn from(refused: ReadError) -> Self {
        let kind = match refused {
            ReadError::Silent(_) => ErrorKind::TimedOut,
            ReadError::Directory => ErrorKind::IsADirectory,
            _ => ErrorKind::InvalidInput,
        };
        Self::new(kind, refused)
    }
}

/// Reads a file or a pipe.
pub fn read(path: &Path, limit: SizeLimit) -> io::Result<Vec<u8>> {
    let open = |flags: OFlags| {
        let flags = flags | OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    };
    check_type(std::fs::metadata(path)?.file_type())?;
    // Without `NONBLOCK`, `open` waits for a writer of a pipe.
    let file = open(OFlags::NONBLOCK)?;
    let metadata = file.metadata()?;
    check_type(metadata.file_type())?;
    if metadata.file_type().is_fifo() {
        return read_pipe(file, limit);
    }
    if !metadata.file_type().is_char_device() {
        return read_limited(file, limit);
    }
    if file.is_terminal() {
        // A user types, without a time limit.
        return read_limited(open(OFlags::empty())?, limit);
    }
    let device = metadata.rdev();
    if (rustix::fs::major(device), rustix::fs::minor(device)) == DEV_NULL {
        return Ok(Vec::new());
    }
    Err(ReadError::Device.into())
}

/// Reads a file or a pipe that holds UTF-8 text.
pub fn read_text(path: &Path, limit: SizeLimit) -> io::Result<String> {
    text(read(path, limit)?)
}

/// Reads standard input.
pub fn read_stdin(limit: SizeLimit) -> io::Result<Vec<u8>> {
    let is_file = || std::fs::metadata("/proc/self/fd/0").is_ok_and(|input| input.is_file());
    if io::stdin().is_terminal() || is_file() {
        return read_limited(io::stdin().lock(), limit);
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    // On a timeout this thread stays blocked; the process ends soon after.
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let piece = input.read(&mut buffer).map(|length| buffer[..length].to_vec());
            let is_last = piece.as_ref().map_or(true, Vec::is_empty);
            if sender.send(piece).is_err() || is_last {
                return;
            }
        }
    });
    let mut bytes = Vec::new();
    loop {
        let silent = |_| io::Error::from(ReadError::Silent(PIPE_TIMEOUT.as_secs()));
        let piece = receiver.recv_timeout(PIPE_TIMEOUT).map_err(silent)??;
        if piece.is_empty() {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&piece);
        check_size(&bytes, limit)?;
    }
}

/// Decodes UTF-8 text.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(ErrorKind::InvalidData, format!("it is not UTF-8 text (byte {at})"))
    })
}

fn check_type(kind: FileType) -> Result<(), ReadError> {
    if kind.is_dir() {
        Err(ReadError::Directory)
    } else if kind.is_block_device() {
        Err(ReadError::Device)
    } else if kind.is_socket() {
        Err(ReadError::Socket)
    } else {
        Ok(())
    }
}

fn check_size(bytes: &[u8], limit: SizeLimit) -> Result<(), ReadError> {
    let SizeLimit { name, bytes: most } = limit;
    if bytes.len() > most { Err(ReadError::TooLarge { name, bytes: most }) } else { Ok(()) }
}

/// Reads to the end or to the limit; does not trust the size in the metadata.
fn read_limited(input: impl Read, limit: SizeLimit) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(limit.bytes as u64 + 1).read_to_end(&mut bytes)?;
    check_size(&bytes, limit)?;
    Ok(bytes)
}

/// Reads a pipe that was opened with `NONBLOCK`.
#[expect(clippy::disallowed_methods, reason = "a pipe is waited for in real time")]
fn read_pipe(mut pipe: File, limit: SizeLimit) -> io::Result<Vec<u8>> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", pipe.as_raw_fd()));
    let is_named = !link.is_ok_and(|link| link.to_string_lossy().starts_with("pipe:"));
    let timeout = if is_named { NAMED_PIPE_TIMEOUT } else { PIPE_TIMEOUT };
    let begin = Instant::now();
    let mut last_read = begin;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match pipe.read(&mut buffer) {
            // A named pipe also reads as empty before it has a writer.
            Ok(0) if !is_named || !bytes.is_empty() => return Ok(bytes),
            Ok(0) => {}
            Ok(length) => {
                bytes.extend_from_slice(&buffer[..length]);
                check_size(&bytes, limit)?;
                last_read = Instant::now();
                continue;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if last_read.elapsed() > timeout || begin.elapsed() > TOTAL_TIMEOUT {
            return Err(ReadError::Silent(last_read.elapsed().as_secs()).into());
        }
        std::thread::park_timeout(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const EIGHT_BYTES: SizeLimit = SizeLimit { name: "a thing", bytes: 8 };

    #[test]
    fn a_file_is_read_up_to_its_size_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "12345678").unwrap();
        assert_eq!(read(&path, EIGHT_BYTES).unwrap(), b"12345678");
        std::fs::write(&path, "123456789").unwrap();
        let error = read(&path, EIGHT_BYTES).unwrap_err().to_string();
        assert_eq!(error, "it has more than `8` bytes, the limit for a thing");
        let missing = read(&directory.path().join("no"), EIGHT_BYTES).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        std::fs::write(&path, [b'a', 0xff]).unwrap();
        let error = read_text(&path, EIGHT_BYTES).unwrap_err().to_string();
        assert_eq!(error, "it is not UTF-8 text (byte 1)");
    }

    #[test]
    fn directories_devices_and_sockets_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let error = |path: &Path| read(path, EIGHT_BYTES).unwrap_err().to_string();
        assert_eq!(error(directory.path()), "it is a directory");
        assert_eq!(error(Path::new("/dev/zero")), "it is a device, not a file");
        assert_eq!(error(Path::new("/dev/full")), "it is a device, not a file");
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(error(&socket), "it is a socket, not a file");
        assert_eq!(read(Path::new("/dev/null"), EIGHT_BYTES).unwrap(), b"");
    }

    #[test]
    fn a_named_pipe_is_read_or_times_out_without_a_writer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let writer = {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut pipe = OpenOptions::new().write(true).open(path).unwrap();
                pipe.write_all(b"1234").unwrap();
                pipe.write_all(b"5678").unwrap();
            })
        };
        assert_eq!(read(&path, EIGHT_BYTES).unwrap(), b"12345678");
        writer.join().unwrap();
        let error = read(&path, EIGHT_BYTES).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("nothing came for `10` seconds"), "{error}");
    }

    #[test]
    fn an_anonymous_pipe_is_read_up_to_its_size_limit() {
        for (text, expected) in [("1234", Some(b"1234")), ("1234567890", None)] {
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            drop(writer);
            let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
            let read = read(Path::new(&path), EIGHT_BYTES);
            assert_eq!(read.ok().as_deref(), expected.map(<[u8; 4]>::as_slice), "{text}");
        }
    }
}
