//! A program on a terminal of its own, with the test at the keyboard.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use super::{
    need::need,
    process::{DEADLINE, descendants},
};

/// A running program. Dropping it kills it.
pub(crate) struct Terminal {
    master: File,
    /// Kept open, so that the terminal outlives the program and its mode can be read.
    _slave: File,
    child: Child,
    screen: Arc<Screen>,
}

#[derive(Default)]
struct Screen {
    text: Mutex<Vec<u8>>,
    changed: Condvar,
}

impl Terminal {
    /// Starts `command` on a terminal of 80 columns and 24 rows.
    pub(crate) fn start(command: &Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("its permissions");
        unlockpt(&master).expect("its other side");
        let name = ptsname(&master, Vec::new()).expect("its name").into_string().expect("UTF-8");
        let slave = OpenOptions::new().read(true).write(true).open(name).expect("its other side");
        let end = || Stdio::from(slave.try_clone().expect("one more handle"));
        let mut session = Command::new(need("setsid", "util-linux"));
        session.arg("--ctty").arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            session.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        session.env("TERM", "vt100").stdin(end()).stdout(end()).stderr(end());
        let master = File::from(master);
        set_size(&master, 80, 24);
        let child = session.spawn().expect("a program on a terminal");
        let screen = Arc::new(Screen::default());
        watch(master.try_clone().expect("one more handle"), Arc::clone(&screen));
        Self { master, _slave: slave, child, screen }
    }

    /// Types `text`.
    pub(crate) fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("a keyboard");
    }

    /// Changes the size of the window.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        set_size(&self.master, columns, rows);
    }

    /// Waits until `text` has been shown.
    pub(crate) fn shows(&self, text: &str) {
        let end = Instant::now() + DEADLINE;
        let mut shown = self.screen.text.lock().unwrap_or_else(PoisonError::into_inner);
        while !String::from_utf8_lossy(&shown).contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            let all = String::from_utf8_lossy(&shown).into_owned();
            assert!(left > Duration::ZERO, "{text:?} is not shown; this is:\n{all}");
            let waited = self.screen.changed.wait_timeout(shown, left);
            shown = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether keys are gathered to lines and shown: the mode a shell expects to find.
    pub(crate) fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self._slave).expect("a mode").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// All that it has shown so far.
    pub(crate) fn text(&self) -> String {
        let text = self.screen.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // `setsid` and `setpriv` have become the program itself.
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("a process");
    }

    /// Waits for the program to end by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                return status;
            }
            assert!(Instant::now() < end, "the program on the terminal does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        for pid in descendants(Pid::from_child(&self.child)) {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(terminal: &File, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("a size");
}

/// Reads until the other side is gone; the thread then ends by itself.
fn watch(mut terminal: File, screen: Arc<Screen>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = terminal.read(&mut buffer) {
            let mut text = screen.text.lock().unwrap_or_else(PoisonError::into_inner);
            text.extend_from_slice(&buffer[..count]);
            screen.changed.notify_all();
        }
    });
}
