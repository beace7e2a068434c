//! Lines on their way to standard error: a bounded queue, and a thread that writes. A reader that does not
//! read holds up that thread and nothing else; lines for which there is no room are dropped and counted.

use super::limit::Limit;
use crate::lock::IgnorePoison;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;

/// How often it is looked whether the time is over of lines that were left out.
const TICK: Duration = Duration::from_secs(1);

/// Bytes of lines that wait.
const ROOM: usize = 1 << 20;

/// How long standard error may take nothing until the end does not wait for it any more.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long the end waits at most for the thread that writes, where standard error would take more: on a
/// busy machine a thread may get no turn for seconds.
const MOST: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Lines {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped: u64,
    /// Lines that were written, or could not be.
    done: u64,
    /// Lines that came in.
    taken: u64,
}

#[derive(Default)]
struct LineQueue {
    lines: Mutex<Lines>,
    came: Condvar,
    went: Condvar,
}

static QUEUE: OnceLock<LineQueue> = OnceLock::new();

/// What says how many lines were left out.
static LIMIT: OnceLock<&'static Limit> = OnceLock::new();

impl LineQueue {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().ignore_poison()
    }

    /// Takes a line if there is room, or if it must not be dropped.
    fn push(&self, line: &[u8], must: bool) {
        let mut lines = self.lines();
        if lines.bytes + line.len() > ROOM && !must {
            lines.dropped += 1;
            return;
        }
        lines.bytes += line.len();
        lines.taken += 1;
        lines.waiting.push_back(line.to_vec());
        drop(lines);
        self.came.notify_one();
    }

    /// Waits for a line; while there is something to tell of lines that were left out, not for long.
    fn wait<'a>(&self, lines: MutexGuard<'a, Lines>) -> MutexGuard<'a, Lines> {
        if LIMIT.get().is_some_and(|limit| limit.is_owing()) {
            let waited = self.came.wait_timeout(lines, TICK);
            return waited.ignore_poison().0;
        }
        self.came.wait(lines).ignore_poison()
    }

    /// Writes what comes, for ever.
    fn write(&self, mut out: impl Write) {
        let mut told = Instant::now();
        loop {
            if told.elapsed() >= TICK {
                tell_left_out(false);
                told = Instant::now();
            }
            let mut lines = self.lines();
            if lines.waiting.is_empty() {
                drop(self.wait(lines));
                continue;
            }
            let Some(line) = lines.waiting.pop_front() else { continue };
            drop(lines);
            // Standard error is closed: there is nowhere to report that.
            let _ = out.write_all(&line);
            let mut lines = self.lines();
            lines.bytes -= line.len();
            lines.done += 1;
            // Once half of the queue is written, so that it is not told of line by line.
            let dropped =
                if lines.bytes <= ROOM / 2 { std::mem::take(&mut lines.dropped) } else { 0 };
            drop(lines);
            if dropped > 0 {
                tracing::warn!(
                    target: "jackfield::log",
                    dropped,
                    "{dropped} log lines were dropped: standard error did not take them in time"
                );
            }
            self.went.notify_all();
        }
    }

    /// Waits until all that came in so far is written, for as long as some of it is within `patience`, or
    /// `takes` says that the reader is not what it waits for.
    fn flush(&self, patience: Duration, takes: impl Fn() -> bool) {
        let mut lines = self.lines();
        let goal = lines.taken;
        while lines.done < goal {
            let before = lines.done;
            let waited = self.went.wait_timeout(lines, patience);
            let (now, waited) = waited.ignore_poison();
            lines = now;
            if waited.timed_out() && lines.done == before && !takes() {
                return;
            }
        }
    }
}

/// Writes how many lines were left out, of each kind whose time is over, or of `all`.
fn tell_left_out(all: bool) {
    if let Some(limit) = LIMIT.get() {
        limit.tell(Instant::now(), all);
    }
}

/// Wakes the thread that writes, which waits without an end while nothing was left out.
pub(super) fn wake() {
    if let Some(queue) = QUEUE.get() {
        // Under the lock, so that it is not between its look and its wait.
        let _lines = queue.lines();
        queue.came.notify_one();
    }
}

/// Whether standard error would take something at this moment.
fn takes() -> bool {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Starts the thread that writes; a second start changes nothing.
///
/// # Errors
/// What the system says.
pub(super) fn start(limit: &'static Limit) -> io::Result<()> {
    if QUEUE.get().is_some() {
        return Ok(());
    }
    let _ = LIMIT.set(limit);
    // Not the standard library's handle: its lock would be held while it blocks.
    let out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let queue = QUEUE.get_or_init(LineQueue::default);
    let write = move || queue.write(out);
    std::thread::Builder::new().name("jackfield-log".to_owned()).spawn(write)?;
    Ok(())
}

/// Waits until standard error has all lines, if it takes any.
pub(in super::super) fn flush() {
    tell_left_out(true);
    if let Some(queue) = QUEUE.get() {
        let end = Instant::now() + MOST;
        queue.flush(PATIENCE, || Instant::now() < end && takes());
    }
}

/// Writes a line to standard error, after those of the log; when that is closed the line is dropped.
pub(in super::super) fn complain(line: &str) {
    let line = format!("{line}\n");
    match QUEUE.get() {
        Some(queue) => queue.push(line.as_bytes(), true),
        None => drop(io::stderr().lock().write_all(line.as_bytes())),
    }
}

/// Where the log writes its lines, each at once.
pub(super) struct ToQueue;

impl Write for ToQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(queue) = QUEUE.get() {
            queue.push(line, false);
        }
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for ToQueue {
    type Writer = ToQueue;
    fn make_writer(&self) -> ToQueue {
        ToQueue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// Takes a write only when told to.
    struct Gate(Receiver<()>, SyncSender<Vec<u8>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_holds_up_nobody_and_loses_only_what_has_no_room() {
        let queue = Arc::new(LineQueue::default());
        let (open, gate) = sync_channel(10_000);
        let (send, written) = sync_channel(10_000);
        let writer = Arc::clone(&queue);
        std::thread::spawn(move || writer.write(Gate(gate, send)));
        let line = [b'x'; 1024];
        for _ in 0..5000 {
            queue.push(&line, false);
        }
        queue.push(b"must", true);
        queue.flush(Duration::from_millis(1), || false);
        assert_eq!(queue.lines().dropped, 5000 - 1024);
        for _ in 0..1025 {
            open.send(()).expect("a writer");
        }
        queue.flush(Duration::from_secs(60), || false);
        let written: Vec<Vec<u8>> = written.try_iter().collect();
        assert_eq!((written.len(), written.last().map(Vec::as_slice)), (1025, Some(&b"must"[..])));
        let lines = queue.lines();
        assert_eq!((lines.dropped, lines.bytes), (0, 0), "it was told of");
    }

    #[test]
    fn a_writer_that_gets_no_turn_is_waited_for_while_the_reader_would_take_more() {
        let queue = Arc::new(LineQueue::default());
        let (open, gate) = sync_channel(1);
        let (send, written) = sync_channel(1);
        let writer = Arc::clone(&queue);
        std::thread::spawn(move || writer.write(Gate(gate, send)));
        queue.push(b"why it failed", true);
        let asked = Cell::new(0);
        queue.flush(Duration::from_millis(1), || {
            asked.set(asked.get() + 1);
            if asked.get() == 3 {
                open.send(()).expect("a writer");
            }
            true
        });
        assert_eq!(written.try_recv().as_deref(), Ok(&b"why it failed"[..]));
    }
}
