//! [`AdminCaller`]: who sends the requests of a connection, as far as that shows before the first of them; and who sends
//! one of them.

use super::gate;
use super::problem::ApiProblem;
use super::query::pairs;
use super::remote::RemotePeer;
use super::roles::AdminPeer;
use super::server::{AdminApi, AdminSettings};
use super::tokens::TokenTable;
use hyper::header::AUTHORIZATION;
use hyper::{Request, StatusCode};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::unix::UCred;

/// Who sends the requests of a connection.
#[derive(Clone)]
pub(super) enum AdminCaller {
    /// Of this machine, as the kernel says; with what it was judged by.
    User(AdminPeer, UCred, Arc<AdminSettings>),
    /// Whom the token of each request names.
    Holder,
    /// Whom its certificate names, else the token of each request.
    Remote(Arc<RemotePeer>),
}

impl AdminCaller {
    /// Who sends `request`.
    ///
    /// # Errors
    /// Why it may not come in at all.
    pub(super) async fn peer<B>(
        self,
        api: &AdminApi,
        request: &Request<B>,
    ) -> Result<AdminPeer, ApiProblem> {
        let settings = api.settings();
        match self {
            // Roles may be others since it has connected.
            AdminCaller::User(peer, credentials, by) if !Arc::ptr_eq(&settings, &by) => {
                let now = judged(&settings, credentials).await;
                Ok(now.unwrap_or(AdminPeer { role: None, ..peer }))
            }
            AdminCaller::User(peer, ..) => Ok(peer),
            AdminCaller::Holder => holder(api, &settings, request, None).await,
            AdminCaller::Remote(remote) => {
                let known = remote.peer(&settings.roles);
                // A token that is sent is meant.
                if let Some(peer) = known.filter(|_| !request.headers().contains_key(AUTHORIZATION))
                {
                    gate::judge(request.headers(), &settings.config.hosts, remote.local())?;
                    if peer.role.is_none() {
                        let user = peer.name();
                        tracing::warn!(
                            user,
                            "refused at the admin API: this certificate has no role"
                        );
                    }
                    return Ok(peer);
                }
                holder(api, &settings, request, remote.local()).await
            }
        }
    }
}

/// Who has connected, and what it may do.
pub(super) async fn judged(settings: &Arc<AdminSettings>, credentials: UCred) -> Option<AdminPeer> {
    let settings = Arc::clone(settings);
    // The user database may be on a network.
    let judging = tokio::task::spawn_blocking(move || settings.roles.peer(credentials));
    let peer = judging.await.ok()?;
    if peer.role.is_none() {
        tracing::warn!(user = peer.name(), "refused at the admin API: this user has no role");
    }
    Some(peer)
}

/// Whose token a request has, if it may come in at all; `local` is the address of this machine that it was sent to.
async fn holder<B>(
    api: &AdminApi,
    settings: &AdminSettings,
    request: &Request<B>,
    local: Option<IpAddr>,
) -> Result<AdminPeer, ApiProblem> {
    let headers = request.headers();
    gate::judge(headers, &settings.config.hosts, local)?;
    // A page cannot send a token with a WebSocket: who attaches to a stream has a ticket.
    if request.uri().path().ends_with("/stream") {
        let query = pairs(request.uri().query().unwrap_or_default());
        let ticket = query.iter().find(|(name, _)| name == "ticket");
        if let Some(peer) = ticket.and_then(|(_, ticket)| api.tickets.holder(ticket)) {
            return Ok(peer);
        }
    }
    let Some(file) = settings.tokens.clone() else {
        tracing::warn!("refused at the admin API: no certificate, and there are no tokens");
        let text = "expected a certificate that has a role here: the keys admin.admin, admin.operator and admin.viewer \
                    give one";
        return Err(ApiProblem::new(StatusCode::UNAUTHORIZED, "unauthorized", text));
    };
    let tokens = read(file).await.map_err(|why| {
        tracing::error!(why, "admin.tokens cannot be used: nobody is let in by a token");
        let text = "the tokens of this host cannot be read; its log says why";
        ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, "no_tokens", text)
    })?;
    tokens.peer(headers).inspect_err(|_| {
        tracing::warn!("refused at the admin API over TCP: no token that is known");
    })
}

async fn read(file: PathBuf) -> Result<TokenTable, String> {
    let read = tokio::task::spawn_blocking(move || TokenTable::read(&file)).await;
    read.unwrap_or_else(|error| Err(error.to_string()))
}
