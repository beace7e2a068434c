//! A serial line whose far end answers.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of one round trip.
const SIZE: usize = 64;

pub(super) struct Line {
    /// Where a gateway finds it.
    pub(super) path: PathBuf,
    /// Held, so that there is a line even while no gateway has it.
    _near: File,
}

impl Line {
    /// One that says back what it hears.
    pub(super) fn echoing() -> Self {
        let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&far).and_then(|()| unlockpt(&far)).expect("its other end");
        let path = ptsname(&far, Vec::new()).expect("its name").into_string().expect("UTF-8");
        let near = File::options().read(true).write(true).open(&path).expect("its other end");
        thread::spawn(move || {
            let (mut far, mut bytes) = (File::from(far), [0; 4096]);
            while let Ok(count @ 1..) = far.read(&mut bytes) {
                far.write_all(&bytes[..count]).expect("taken");
            }
        });
        Line { path: path.into(), _near: near }
    }
}

/// Keeps this thread and what it starts on one CPU. Gives what was allowed before.
pub(super) fn pin_to_one_cpu() -> CpuSet {
    let all = sched_getaffinity(None).expect("the CPUs");
    let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).expect("a CPU");
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).expect("pinned");
    all
}

/// Takes back [`pin_to_one_cpu`].
pub(super) fn unpin(all: &CpuSet) {
    sched_setaffinity(None, all).expect("unpinned");
}

/// The median time of a round trip.
pub(super) fn ping_pong(stream: &mut TcpStream, trips: usize) -> Duration {
    let mut times: Vec<Duration> = (0..trips)
        .map(|_| {
            let mut bytes = [b'x'; SIZE];
            let begin = Instant::now();
            stream.write_all(&bytes).expect("taken");
            stream.read_exact(&mut bytes).expect("answered");
            begin.elapsed()
        })
        .collect();
    times.sort();
    times[trips / 2]
}

/// A connection on which the line answers: its only user may be a probe of the port that is just leaving.
pub(super) fn connect(port: u16) -> TcpStream {
    loop {
        let stream = TcpStream::connect(("127.0.0.1", port));
        let Ok(mut stream) = stream else { continue };
        stream.set_nodelay(true).expect("set");
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("set");
        let mut bytes = [b'?'; 1];
        let asked = stream.write_all(&bytes).and_then(|()| stream.read_exact(&mut bytes));
        if asked.is_ok() && bytes == *b"?" {
            return stream;
        }
        thread::park_timeout(Duration::from_millis(50));
    }
}
