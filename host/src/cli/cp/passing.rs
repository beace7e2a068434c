//! Content on its way from one file to another. Files of this machine are read and written by threads that may wait
//! for a disk, a piece ahead and a piece behind; pieces are handed over, not copied.

use super::progress::Progress;
use jackfield_plugin_api::{Error, Result, Stream};
use std::fs::File;
use std::io::{self, Read, Write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes that are read at once.
const PIECE: usize = 512 * 1024;

/// Where content comes from.
pub(super) enum CopyFrom {
    Local(ReadAhead),
    Remote(Stream),
}

/// Where it goes.
pub(super) enum CopyTo<'a> {
    Local(WriteBehind),
    Remote(&'a mut Stream),
}

/// A file of this machine, of which one piece is read while another is used.
pub(super) struct ReadAhead(JoinHandle<io::Result<(File, Vec<u8>, usize)>>);

/// A file, and the piece that was written to it.
type WrittenPiece = (File, Vec<u8>);

/// A file of this machine, to which one piece is written while another comes.
pub(super) struct WriteBehind {
    /// Not here while it is written to.
    file: Option<File>,
    writing: Option<JoinHandle<io::Result<WrittenPiece>>>,
}

/// Passes all of it on.
///
/// # Errors
/// Those of either side.
pub(super) async fn pass(source: CopyFrom, sink: CopyTo<'_>, progress: &Progress) -> Result<()> {
    let (mut source, mut sink, mut piece) = (source, sink, vec![0; PIECE]);
    loop {
        let count;
        (piece, count) = source.next(piece).await?;
        if count == 0 {
            return sink.flush().await;
        }
        piece = sink.put(piece, count).await?;
        progress.copied(count);
    }
}

impl CopyFrom {
    /// The next bytes; none at the end. `spent` is what may be filled.
    async fn next(&mut self, mut spent: Vec<u8>) -> Result<(Vec<u8>, usize)> {
        match self {
            CopyFrom::Local(file) => file.next(spent).await,
            CopyFrom::Remote(stream) => {
                let count = stream.read(&mut spent).await?;
                Ok((spent, count))
            }
        }
    }
}

impl CopyTo<'_> {
    /// Takes the first `count` bytes of a piece, and gives one that may be filled.
    async fn put(&mut self, piece: Vec<u8>, count: usize) -> Result<Vec<u8>> {
        match self {
            CopyTo::Local(file) => file.put(piece, count).await,
            CopyTo::Remote(stream) => {
                stream.write_all(&piece[..count]).await?;
                Ok(piece)
            }
        }
    }

    async fn flush(&mut self) -> Result<()> {
        match self {
            CopyTo::Local(file) => file.settle().await.map(drop),
            CopyTo::Remote(stream) => Ok(stream.flush().await?),
        }
    }
}

impl ReadAhead {
    /// From where the file stands.
    pub(super) fn new(file: File) -> Self {
        ReadAhead(spawn_blocking(|| read(file, vec![0; PIECE])))
    }

    async fn next(&mut self, spent: Vec<u8>) -> Result<(Vec<u8>, usize)> {
        let (file, piece, count) = (&mut self.0).await.map_err(gone)??;
        if count > 0 {
            self.0 = spawn_blocking(|| read(file, spent));
        }
        Ok((piece, count))
    }
}

impl WriteBehind {
    /// To where the file stands.
    pub(super) fn new(file: File) -> Self {
        WriteBehind { file: Some(file), writing: None }
    }

    async fn put(&mut self, piece: Vec<u8>, count: usize) -> Result<Vec<u8>> {
        let spent = self.settle().await?.unwrap_or_else(|| vec![0; PIECE]);
        if let Some(mut file) = self.file.take() {
            let write = move || file.write_all(&piece[..count]).map(|()| (file, piece));
            self.writing = Some(spawn_blocking(write));
        }
        Ok(spent)
    }

    /// Waits for the last piece, and gives it back.
    async fn settle(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(writing) = self.writing.take() else { return Ok(None) };
        let (file, piece) = writing.await.map_err(gone)??;
        self.file = Some(file);
        Ok(Some(piece))
    }
}

fn read(mut file: File, mut piece: Vec<u8>) -> io::Result<(File, Vec<u8>, usize)> {
    loop {
        match file.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            count => return Ok((file, piece, count?)),
        }
    }
}

fn gone(error: tokio::task::JoinError) -> Error {
    Error::from(io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek;

    #[tokio::test]
    async fn all_of_a_file_comes_out_as_it_went_in() {
        for size in [0, 1, PIECE - 1, PIECE, PIECE * 3 + 7] {
            let content: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let (mut from, mut to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
            from.write_all(&content).unwrap();
            from.rewind().unwrap();
            let sink = CopyTo::Local(WriteBehind::new(to.try_clone().unwrap()));
            let source = CopyFrom::Local(ReadAhead::new(from));
            pass(source, sink, &Progress::default()).await.unwrap();
            to.rewind().unwrap();
            let mut copied = Vec::new();
            to.read_to_end(&mut copied).unwrap();
            assert!(copied == content, "{size}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_told() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let sink = CopyTo::Local(WriteBehind::new(full));
        let source = CopyFrom::Local(ReadAhead::new(File::open("/dev/zero").unwrap()));
        pass(source, sink, &Progress::default()).await.unwrap_err();
    }
}
