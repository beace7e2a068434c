//! [`Client`]: what the protocol's task tells us, passed on to the channels' inboxes.

use crate::algorithms::weak;
use crate::channels::Channels;
use crate::failure::{Failure, lost, of_ssh, printable};
use crate::inbox::{End, Exit, Source};
use crate::received::Received;
use crate::trust::{Trust, fingerprint};
use jackfield_plugin_api::EventQueue;
use jackfield_plugin_api::{Error, ErrorKind, Host, Level};
use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelId, Names, Sig};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// What is learned of a server while connecting.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) fingerprint: OnceLock<String>,
    /// The identity in the certificate that the host has shown.
    pub(crate) certificate: OnceLock<String>,
    pub(crate) negotiated: OnceLock<Vec<(&'static str, String)>>,
}

/// The receiving end of a connection.
pub(crate) struct Client {
    pub(crate) trust: Trust,
    pub(crate) host: Host,
    pub(crate) server: String,
    pub(crate) received: Arc<Received>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) news: Arc<EventQueue>,
}

impl Client {
    async fn fill(&self, id: ChannelId, source: Source, data: &[u8]) {
        if let Some(inbox) = self.channels.inbox(id) {
            inbox.fill(source, data).await;
        }
    }

    fn exited(&self, id: ChannelId, exit: Exit) {
        if let Some(inbox) = self.channels.inbox(id) {
            inbox.exited(exit);
        }
    }
}

/// The protocol's task is over, whatever ended it.
impl Drop for Client {
    fn drop(&mut self) {
        self.channels.lose(lost());
        let reason = self.channels.lost().map(|error| error.to_string());
        self.news.tell("closed", json!({ "reason": reason }));
        self.news.end();
    }
}

/// Channels that a server opens towards us are refused: nothing here has asked for any, and the
/// protocol crate accepts them unless told.
macro_rules! refuse_channels {
    ($($name:ident($($argument:ty),*);)*) => {$(
        async fn $name(
            &mut self,
            _: Channel<Msg>,
            $(_: $argument,)*
            _refused_when_dropped: ChannelOpenHandle,
            _: &mut Session,
        ) -> Result<(), Failure> {
            Ok(())
        }
    )*};
}

impl Handler for Client {
    type Error = Failure;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        let key = &shown.public_key();
        // Keys are exchanged anew from time to time; the host key must stay.
        let print = fingerprint(key);
        if let Some(first) = self.facts.fingerprint.get() {
            let message = "the server changed its host key on a running connection";
            let error = || Error::new(ErrorKind::Untrusted, message).with("fingerprint", &print);
            return if *first == print { Ok(true) } else { Err(Failure::Ours(error())) };
        }
        match shown.certificate() {
            Some(certificate) => {
                self.trust.check_certificate(certificate).map_err(Failure::Ours)?;
                let _ = self.facts.certificate.set(printable(certificate.key_id()));
            }
            None => self.trust.check(key).map_err(Failure::Ours)?,
        }
        let _ = self.facts.fingerprint.set(print);
        Ok(true)
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &Names,
        session: &mut Session,
    ) -> Result<(), Failure> {
        let server = String::from_utf8_lossy(session.remote_sshid()).into_owned();
        let host_key = names.key.to_string();
        let agreed = [
            names.kex.as_ref(),
            &host_key,
            names.cipher.as_ref(),
            names.client_mac.as_ref(),
            names.server_mac.as_ref(),
        ];
        let mut old = weak(&agreed);
        old.dedup();
        let facts = vec![
            ("server", server),
            ("kex", names.kex.as_ref().to_owned()),
            ("host_key", host_key.clone()),
            ("cipher", names.cipher.as_ref().to_owned()),
            ("mac", names.server_mac.as_ref().to_owned()),
        ];
        let first = self.facts.negotiated.set(facts).is_ok();
        if first && !old.is_empty() {
            let (server, names) = (&self.server, old.join(", "));
            let text = format!("{server}: the connection is only as safe as {names}");
            self.host.log(Level::Warn, "ssh", &text);
        }
        Ok(())
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), Failure> {
        self.received.explain();
        self.news.tell("banner", json!({ "text": banner }));
        Ok(())
    }

    async fn channel_open_confirmation(
        &mut self,
        id: ChannelId,
        _: u32,
        _: u32,
        _: &mut Session,
    ) -> Result<(), Failure> {
        self.channels.opened(id);
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Failure> {
        self.fill(id, Source::Output, data).await;
        Ok(())
    }

    async fn extended_data(
        &mut self,
        id: ChannelId,
        code: u32,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Failure> {
        // RFC 4254 §5.2 has no other code than that of error output.
        if code == 1 {
            self.fill(id, Source::ErrorOutput, data).await;
        }
        Ok(())
    }

    async fn channel_success(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Failure> {
        if let Some(inbox) = self.channels.inbox(id) {
            inbox.reply(true);
        }
        Ok(())
    }

    async fn channel_failure(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Failure> {
        if let Some(inbox) = self.channels.inbox(id) {
            inbox.reply(false);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Failure> {
        if let Some(inbox) = self.channels.inbox(id) {
            inbox.eof();
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Failure> {
        if let Some(inbox) = self.channels.inbox(id) {
            inbox.end(End::Closed);
            inbox.tell_exit(&self.news);
        }
        Ok(())
    }

    async fn exit_status(
        &mut self,
        id: ChannelId,
        status: u32,
        _: &mut Session,
    ) -> Result<(), Failure> {
        self.exited(id, Exit { status: Some(status), signal: None });
        Ok(())
    }

    async fn exit_signal(
        &mut self,
        id: ChannelId,
        signal: Sig,
        _: bool,
        _: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Failure> {
        self.exited(id, Exit { status: None, signal: Some(name_of(&signal)) });
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Failure>) -> Result<(), Failure> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                let message = format!("the server disconnected: {}", printable(&info.message));
                let error = Error::new(ErrorKind::Closed, message);
                self.channels.lose(error.with_code("ssh", info.reason_code as u32));
                Ok(())
            }
            DisconnectReason::Error(failure) => {
                self.channels.lose(explain(failure));
                Err(Failure::Ssh(russh::Error::Disconnect))
            }
        }
    }

    refuse_channels! {
        server_channel_open_forwarded_tcpip(&str, u32, &str, u32);
        server_channel_open_forwarded_streamlocal(&str);
        server_channel_open_agent_forward();
        server_channel_open_session();
        server_channel_open_direct_tcpip(&str, u32, &str, u32);
        server_channel_open_direct_streamlocal(&str);
        server_channel_open_x11(&str, u32);
    }
}

/// Whatever ends an established connection makes what runs on it end as closed.
fn explain(failure: Failure) -> Error {
    let error = match failure {
        Failure::Ours(error) => return error,
        Failure::Ssh(error) => of_ssh(error),
    };
    match error.kind() {
        ErrorKind::Closed => error,
        _ => Error::new(ErrorKind::Closed, format!("the connection was lost: {error}")),
    }
}

/// A signal's name as it stands on the wire (RFC 4254 §6.10).
pub(crate) fn name_of(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    }
}

/// The signal of a name.
pub(crate) fn signal_of(name: &str) -> Sig {
    let known = [
        Sig::ABRT,
        Sig::ALRM,
        Sig::FPE,
        Sig::HUP,
        Sig::ILL,
        Sig::INT,
        Sig::KILL,
        Sig::PIPE,
        Sig::QUIT,
        Sig::SEGV,
        Sig::TERM,
        Sig::USR1,
    ];
    let name = name.strip_prefix("SIG").unwrap_or(name);
    let found = known.into_iter().find(|signal| name_of(signal) == name);
    found.unwrap_or_else(|| Sig::Custom(name.to_owned()))
}

/// What is known of how a process ended, for `info` and events.
pub(crate) fn exit_facts(exit: &Exit) -> Vec<(&'static str, Value)> {
    let status = exit.status.map(|status| ("exit_status", Value::from(status)));
    let signal = exit.signal.clone().map(|signal| ("exit_signal", Value::from(signal)));
    status.into_iter().chain(signal).collect()
}
