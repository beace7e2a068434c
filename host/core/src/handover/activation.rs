//! Sockets that a service manager has opened: `sd_listen_fds(3)`, by the names of `FileDescriptorName=`.

use super::{Handover, HandoverName};
use crate::nearest::did_you_mean;
use listenfd::ListenFd;
use std::os::fd::OwnedFd;

/// The variable with the names, colons between them.
const NAMES: &str = "LISTEN_FDNAMES";

/// Takes the sockets that the environment tells of. Call it before there are threads: it changes the environment.
///
/// # Errors
/// In words: a descriptor that is no listening stream socket.
pub fn received_from_service_manager(handover: &Handover) -> Result<(), String> {
    let mut given = ListenFd::from_env();
    let names = std::env::var(NAMES).unwrap_or_default();
    let mut names = names.split(':');
    for index in 0..given.len() {
        // So the service manager calls those that it has no name for.
        let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
        let socket: OwnedFd = match given.take_tcp_listener(index) {
            Ok(Some(tcp)) => tcp.into(),
            _ => match given.take_unix_listener(index) {
                Ok(Some(unix)) => unix.into(),
                _ => {
                    return Err(format!(
                        "the socket {name:?} of the service manager: expected a stream socket of TCP or Unix \
                         (ListenStream=)"
                    ));
                }
            },
        };
        if !rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or(false) {
            return Err(format!(
                "the socket {name:?} of the service manager does not listen: expected Accept=no"
            ));
        }
        handover.receive(HandoverName::Named(name.to_owned()), socket);
    }
    Ok(())
}

/// Each socket of the service manager that none of `names` takes, with what is wrong with it.
pub fn not_taken(handover: &Handover, names: &[&str]) -> Vec<String> {
    let given = handover.names();
    let left = given.iter().filter(|given| !names.contains(&given.as_str()));
    left.map(|given| {
        let near = did_you_mean(given, names.iter().copied());
        let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        format!(
            "the service manager has opened a socket {given:?}, which no key `socket` of a route and no entry \
             \"socket:{given}\" of admin.listen names{hint}"
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::unknown_name;
    use super::*;

    #[test]
    fn what_nobody_names_and_what_is_not_given_is_told_with_the_nearest_name() {
        let handover = Handover::default();
        let handle = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        handover.receive(HandoverName::Named("https".into()), handle());
        let told = not_taken(&handover, &["http"]);
        assert!(told.len() == 1 && told[0].ends_with("(did you mean \"http\"?)"), "{told:?}");
        assert!(not_taken(&handover, &["https"]).is_empty());
        let told = unknown_name("http", &handover.names());
        assert!(told.ends_with("found \"http\" (did you mean \"https\"?)"), "{told}");
        assert!(unknown_name("http", &[]).contains("has opened none"));
    }
}
