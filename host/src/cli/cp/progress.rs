//! How far all copies are: one line on a terminal, renewed a few times a second.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How often the line is renewed.
const RENEWED: Duration = Duration::from_millis(200);

/// What is to be copied and what is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    files: AtomicU64,
    files_done: AtomicU64,
    bytes: AtomicU64,
    bytes_done: AtomicU64,
    /// Bytes that an earlier attempt had copied: they say nothing of how fast this one is.
    bytes_before: AtomicU64,
}

impl Progress {
    /// A file of that many bytes will be copied.
    pub(super) fn expect(&self, bytes: u64) {
        self.files.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Bytes that need not be copied again.
    pub(super) fn skip(&self, bytes: u64) {
        self.bytes_before.fetch_add(bytes, Relaxed);
        self.bytes_done.fetch_add(bytes, Relaxed);
    }

    pub(super) fn copied(&self, bytes: usize) {
        self.bytes_done.fetch_add(u64::try_from(bytes).unwrap_or(0), Relaxed);
    }

    /// One more file is there.
    pub(super) fn done(&self) {
        self.files_done.fetch_add(1, Relaxed);
    }

    /// Shows it on standard error while that is a terminal, until dropped.
    pub(super) async fn show(&self) {
        if !std::io::stderr().is_terminal() {
            std::future::pending::<()>().await;
        }
        let begun = Instant::now();
        let mut renew = tokio::time::interval(RENEWED);
        // What is over before it could be read is not shown.
        renew.tick().await;
        let _clear = Clear;
        loop {
            renew.tick().await;
            let line = self.line(begun.elapsed());
            // A terminal that is gone has no reader.
            let _ = write!(std::io::stderr().lock(), "\r{line}\u{1b}[K");
        }
    }

    /// Files, share, bytes, rate and the time that is left.
    fn line(&self, took: Duration) -> String {
        let (bytes, done) = (self.bytes.load(Relaxed), self.bytes_done.load(Relaxed));
        let mut line = String::new();
        // Writing to text does not fail.
        let _ =
            write!(line, "{}/{} files", self.files_done.load(Relaxed), self.files.load(Relaxed));
        if bytes > 0 {
            let _ = write!(line, "  {}%", u128::from(done.min(bytes)) * 100 / u128::from(bytes));
        }
        let _ = write!(line, "  {}", amount(done));
        let now = done.saturating_sub(self.bytes_before.load(Relaxed));
        let rate = u128::from(now) * 1000 / took.as_millis().max(1);
        if let Ok(rate @ 1..) = u64::try_from(rate) {
            let _ = write!(line, "  {}/s", amount(rate));
            let left = bytes.saturating_sub(done) / rate;
            let _ = write!(line, "  {}:{:02} left", left / 60, left % 60);
        }
        line
    }
}

/// The line is gone when all is done, so that errors begin at the left.
struct Clear;

impl Drop for Clear {
    fn drop(&mut self) {
        let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K");
    }
}

/// Bytes in the unit in which they have one to four digits.
fn amount(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut tenth, mut unit) = (bytes, 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        (whole, tenth, unit) = (whole / 1024, whole % 1024 * 10 / 1024, unit + 1);
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if whole < 100 && unit != "B" {
        format!("{whole}.{tenth} {unit}")
    } else {
        format!("{whole} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_fast_it_is_and_what_is_left() {
        let progress = Progress::default();
        progress.expect(10 * 1024 * 1024);
        progress.expect(0);
        progress.done();
        progress.skip(1024 * 1024);
        progress.copied(4 * 1024 * 1024);
        let line = progress.line(Duration::from_secs(4));
        assert_eq!(line, "1/2 files  50%  5.0 MiB  1.0 MiB/s  0:05 left");
        assert_eq!(Progress::default().line(Duration::ZERO), "0/0 files  0 B");
        assert_eq!(
            (amount(1023), amount(1536), amount(1 << 50)),
            ("1023 B".into(), "1.5 KiB".into(), "1024 TiB".into())
        );
    }
}
