//! [`SshOptions`].

use jackfield_plugin_api::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of `ssh`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SshOptions {
    /// Account to log in to when the URI names none; then `$USER`.
    pub user: Option<String>,
    /// Password, for the methods `password` and `keyboard-interactive`.
    pub password: Option<Secret>,
    /// Answers to questions of `keyboard-interactive`, tried in this order. A question that none of them
    /// fits gets the password if it is hidden, once, the account's name if that is asked for, else nothing.
    pub answers: Vec<Answer>,
    /// File of a private key; `~` is the home of the user that runs the host. Nobody else may read it: mode
    /// 0600, or 0640 if root owns it.
    pub key_file: Option<String>,
    /// Passphrase of `key_file`.
    pub passphrase: Option<Secret>,
    /// File of an OpenSSH user certificate for `key_file`.
    pub certificate: Option<String>,
    /// Use the keys of the agent. Not set: only when neither password nor key is given.
    pub agent: Option<bool>,
    /// Socket of the agent; not set: `$SSH_AUTH_SOCK`.
    pub agent_socket: Option<String>,
    /// Which host keys to trust.
    pub host_keys: HostKeys,
    /// File of known host keys; not set: `~/.ssh/known_hosts`.
    pub known_hosts: Option<String>,
    /// The only host key to trust, as `SHA256:…`; `known_hosts` is not read then.
    pub fingerprint: Option<String>,
    /// Algorithms that are offered instead of the defaults.
    pub algorithms: AlgorithmOptions,
    /// Command whose input and output are the session's stream.
    pub exec: Option<String>,
    /// Subsystem that is the session's stream, e.g. `netconf`.
    pub subsystem: Option<String>,
    /// Give the session's stream a terminal. Not set: only a shell gets one, and goes on without it if the
    /// server has none.
    pub pty: Option<bool>,
    /// Type of the terminal.
    pub term: String,
    /// Width of the terminal in characters; at least 1.
    pub columns: u32,
    /// Height of the terminal in characters; at least 1.
    pub rows: u32,
    /// What becomes of the error output of the session's stream.
    pub stderr: Stderr,
    /// Environment variables for commands and shells; the server may ignore them.
    pub env: BTreeMap<String, String>,
    /// Seconds of silence before the server is asked whether it is there; 0: never.
    pub keepalive: u32,
    /// Questions without answer before the connection is given up; at least 1.
    pub keepalive_max: u32,
    /// Bytes a server may send on one channel before it hears from us; at least `packet_size`.
    pub window_size: u32,
    /// The most bytes in one packet of a channel; 1024 to 65535.
    pub packet_size: u32,
    /// Unread bytes kept for one channel, before its connection waits; at least 1.
    pub channel_buffer: u32,
    /// Bytes of one file that are asked for or sent before the SFTP server has answered; at least 1024.
    pub sftp_window: u32,
    /// The most bytes in one request to the SFTP server, as far as the server takes them; 1024 to 261120.
    pub sftp_block: u32,
    /// Files that are transferred at once by one connection; at least 1.
    pub sftp_transfers: u32,
    /// Seconds that the SFTP server may be silent while it owes an answer; at least 1.
    pub sftp_timeout: u32,
    /// Events kept until they are fetched; the oldest are dropped; at least 1.
    pub events: u32,
}

/// An answer to a question of `keyboard-interactive`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Regular expression that is found in the question, e.g. `(?i)one-time|token`.
    pub question: String,
    /// The answer; given once to the same question.
    pub answer: Secret,
}

/// Lists of algorithms as `ssh_config(5)` writes them: `+a,b` appends to the defaults, `-a` removes from
/// them, `^a` places before them, `a,b` replaces them; names may be patterns with `*` and `?`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlgorithmOptions {
    /// Key exchange, e.g. `+diffie-hellman-group14-sha1`.
    pub kex: Option<String>,
    /// Host keys, e.g. `+ssh-rsa`.
    pub host_key: Option<String>,
    /// Ciphers, e.g. `+aes128-cbc`.
    pub cipher: Option<String>,
    /// Message authentication, e.g. `+hmac-sha1`.
    pub mac: Option<String>,
    /// Signatures of our keys, e.g. `+ssh-rsa` for servers that know RSA keys with SHA-1 only.
    pub public_key: Option<String>,
}

/// Which host keys to trust.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostKeys {
    /// Only those in the known-hosts file.
    #[default]
    Strict,
    /// Also the first key of a host of which the file knows none; it is added to the file.
    AcceptNew,
    /// Any: a machine in the middle can read and change everything.
    DangerAny,
}

/// What becomes of the error output of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stderr {
    /// It is in the stream, in the order of arrival.
    #[default]
    Merge,
    /// It is dropped.
    Discard,
    /// It comes as events named `stderr`.
    Event,
}

impl Default for SshOptions {
    fn default() -> Self {
        SshOptions {
            user: None,
            password: None,
            answers: Vec::new(),
            key_file: None,
            passphrase: None,
            certificate: None,
            agent: None,
            agent_socket: None,
            host_keys: HostKeys::Strict,
            known_hosts: None,
            fingerprint: None,
            algorithms: AlgorithmOptions::default(),
            exec: None,
            subsystem: None,
            pty: None,
            term: "xterm-256color".to_owned(),
            columns: 80,
            rows: 24,
            stderr: Stderr::Merge,
            env: BTreeMap::new(),
            keepalive: 30,
            keepalive_max: 3,
            window_size: 2 * 1024 * 1024,
            packet_size: 32 * 1024,
            channel_buffer: 2 * 1024 * 1024,
            sftp_window: 2 * 1024 * 1024,
            sftp_block: 261_120,
            sftp_transfers: 16,
            sftp_timeout: 60,
            events: 256,
        }
    }
}
