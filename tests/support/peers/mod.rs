//! One file per peer. Each value owns its process or task and ends it when dropped.

pub(crate) mod curl;
pub(crate) mod echo;
pub(crate) mod http;
pub(crate) mod modbus;
pub(crate) mod mqtt;
pub(crate) mod names;
pub(crate) mod netconf_python;
pub(crate) mod netconfd;
pub(crate) mod node;
pub(crate) mod proxies;
pub(crate) mod python;
pub(crate) mod quic;
pub(crate) mod secsgem;
pub(crate) mod snmp;
pub(crate) mod socat;
pub(crate) mod ssh_client;
pub(crate) mod ssh_python;
pub(crate) mod sshd;
pub(crate) mod telnet;
pub(crate) mod time;
pub(crate) mod tls_openssl;
pub(crate) mod webtransport;
pub(crate) mod ws;
pub(crate) mod ws_node;
pub(crate) mod ws_python;
