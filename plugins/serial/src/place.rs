//! Which device is meant, and what is there.

use jackfield_plugin_api::{Address, Error, ErrorKind, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::isatty;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The path of a device, as the address has it.
///
/// # Errors
/// [`ErrorKind::Config`] if there is none.
pub(crate) fn path(address: &Address) -> Result<&str> {
    if address.host.is_empty() && address.port.is_none() && address.path.len() > 1 {
        return Ok(&address.path);
    }
    let message = "a device's path is needed, with three slashes: serial:///dev/ttyUSB0";
    Err(Error::new(ErrorKind::Config, message).with("address", address.authority()))
}

/// Opens a terminal without waiting for a carrier and without making it ours.
///
/// # Errors
/// [`ErrorKind::NotFound`] with the nearest name there is, [`ErrorKind::Config`] for what is no
/// terminal, [`ErrorKind::InUse`] for one that another has to itself.
pub(crate) fn open(path: &str) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // A name that is no device is not even opened: to open may already do something.
    let device = std::fs::metadata(path).map(|file| {
        use std::os::unix::fs::FileTypeExt;
        file.file_type().is_char_device()
    });
    match device {
        Ok(true) => {}
        Ok(false) => return Err(not_a_terminal(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing(path)),
        Err(error) => return Err(Error::from(error).with("device", path)),
    }
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) if isatty(&fd) => Ok(fd),
        Ok(_) => Err(not_a_terminal(path)),
        Err(Errno::BUSY) => Err(busy(path)),
        Err(Errno::NXIO | Errno::NODEV | Errno::IO) => {
            let message = "the device file exists, but no hardware is behind it";
            Err(Error::new(ErrorKind::NotFound, message).with("device", path))
        }
        Err(error) => Err(Error::from(std::io::Error::from(error)).with("device", path)),
    }
}

fn not_a_terminal(path: &str) -> Error {
    Error::new(ErrorKind::Config, "this is not a terminal device").with("device", path)
}

/// Another has the line to itself.
pub(crate) fn busy(path: &str) -> Error {
    Error::new(ErrorKind::InUse, "the line is in use").with("device", path)
}

fn missing(path: &str) -> Error {
    let error = Error::new(ErrorKind::NotFound, "there is no such device").with("device", path);
    match nearest(Path::new(path)) {
        Some(name) => error.with("nearest", name),
        None => error,
    }
}

/// The terminal in the same folder whose name is most alike.
fn nearest(path: &Path) -> Option<String> {
    let (folder, wanted) = (path.parent()?, path.file_name()?.to_str()?);
    // Only the names of lines: /dev has much else, and every console's number is alike.
    let serial = |name: &str| {
        let kind = name.strip_prefix("tty");
        kind.is_none_or(|rest| !rest.is_empty() && !rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let names = std::fs::read_dir(folder).ok()?.flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let alike = |name: &String| strsim::jaro_winkler(name, wanted);
    let best = names.filter(|name| serial(name)).map(|name| (alike(&name), name));
    let best = best.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(alike, _)| *alike >= 0.8).map(|(_, name)| folder.join(name).display().to_string())
}
