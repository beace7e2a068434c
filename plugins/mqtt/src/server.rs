//! Accepting (§3.1.4).

use crate::conversation::Conversation;
use crate::endpoint::MqttEndpoint;
use crate::engine::{Engine, Received};
use crate::link::Link;
use crate::packet::{Connack, Connect, Version};
use crate::reason;
use crate::users::Login;
use jackfield_plugin_api::{Error, ErrorKind, Host, Info, Origin, Result, Role, Stream};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// The fact by which a handler of this plugin finds the connection of a session.
pub(crate) const LINK: &str = "link";

static LAST: AtomicU64 = AtomicU64::new(0);

/// Connections of listeners, by the number in their facts: the broker speaks with them packet by packet.
static ACCEPTED: LazyLock<Mutex<HashMap<u64, Weak<Conversation>>>> = LazyLock::new(Mutex::default);

/// The connection of a session with these facts.
pub(crate) fn conversation_of(info: &Info) -> Option<Arc<Conversation>> {
    let number = info.facts.get(LINK)?.as_u64()?;
    ACCEPTED.lock().unwrap_or_else(PoisonError::into_inner).get(&number)?.upgrade()
}

/// Takes the CONNECT of a client. Its answer waits until somebody serves the session; one that is not admitted
/// is answered here.
///
/// # Errors
/// The client is none of MQTT, or is not admitted.
pub(crate) async fn accept(
    endpoint: &Arc<MqttEndpoint>,
    (carrier, below): (Stream, Info),
    asks: bool,
    host: Host,
) -> Result<Arc<Conversation>> {
    let mut engine = Engine::new(Role::Server, Version::V311, endpoint.limits, host.now());
    let events = endpoint.events_of(&mut engine);
    let link = Link::start(engine, carrier, host, events);
    let connect = asked(&link).await?;
    let login = match login(endpoint, &connect, host).await {
        Ok(Login::Anonymous) if endpoint.certificates && below.identity.is_some() => {
            Ok(Login::Admitted)
        }
        login => login,
    };
    if let Some((code, error)) = objection(&connect, login) {
        let connack = Connack { code, ..Connack::default() };
        let now = link.now();
        link.with(|engine| engine.answer(&connect, connack, None, now));
        link.gone().await;
        return Err(error.with_origin(Origin::Downstream));
    }
    let assigned =
        connect.client_id.is_empty().then(|| format!("jackfield-{:016x}", fastrand::u64(..)));
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    let client_id = assigned.as_ref().unwrap_or(&connect.client_id);
    let mut info = Info::new()
        .with("role", "server")
        .with("version", connect.version.as_str())
        .with("client_id", client_id.as_str())
        .with("clean_start", connect.clean)
        .with("keepalive", connect.keepalive)
        .with(LINK, number);
    if let Some(user) = &connect.user {
        // Where nobody is asked for a password, anybody may say any name.
        info = match endpoint.users.is_open() {
            true => info.with("user", user.as_str()),
            false => info.identity(user.clone()),
        };
    }
    let info = info.over(&below);
    let mut conversation = Conversation::new(link, Arc::clone(endpoint), info, host, Role::Server);
    conversation.connect = Some(connect);
    conversation.assigned = assigned;
    conversation.asks = asks;
    let conversation = Arc::new(conversation);
    let mut accepted = ACCEPTED.lock().unwrap_or_else(PoisonError::into_inner);
    if accepted.len() == accepted.capacity() {
        accepted.retain(|_, known| known.strong_count() > 0);
    }
    accepted.insert(number, Arc::downgrade(&conversation));
    Ok(conversation)
}

async fn asked(link: &Link) -> Result<Connect> {
    match link.received().await {
        Some(Received::Connect(connect)) => Ok(*connect),
        _ => {
            link.gone().await;
            let error = link.with(|engine| engine.ended().and_then(|ended| ended.error.clone()));
            let text = "the client ended the connection before CONNECT";
            let error = error.unwrap_or_else(|| Error::new(ErrorKind::Closed, text));
            Err(error.with_origin(Origin::Downstream))
        }
    }
}

/// Who a client is; hashes are looked at where that keeps nobody.
async fn login(endpoint: &Arc<MqttEndpoint>, connect: &Connect, host: Host) -> Result<Login> {
    let (user, password) = (connect.user.clone(), connect.password.clone());
    if !endpoint.users.is_slow() {
        return Ok(endpoint.users.login(user.as_deref(), password.as_deref()));
    }
    let endpoint = Arc::clone(endpoint);
    host.blocking(move || endpoint.users.login(user.as_deref(), password.as_deref())).await
}

/// Why a client may not connect.
fn objection(connect: &Connect, login: Result<Login>) -> Option<(u8, Error)> {
    if connect.enhanced {
        let error = Error::new(ErrorKind::Unsupported, "the client wants an enhanced login (AUTH)");
        return Some((reason::BAD_METHOD, error));
    }
    match login {
        Ok(Login::Admitted) => {}
        Ok(Login::Anonymous) => {
            let error = Error::new(ErrorKind::Denied, "the client does not prove who it is");
            return Some((reason::NOT_AUTHORIZED, error));
        }
        Ok(Login::Wrong) => {
            let error = Error::new(ErrorKind::Denied, "the client's user or password is wrong");
            let error = error.with("user", connect.user.as_deref().unwrap_or("-"));
            return Some((reason::BAD_USER, error));
        }
        Err(error) => return Some((reason::BUSY, error)),
    }
    // By 5.0 it is given a name (§3.1.3.1), and a session that is new.
    let old = connect.version == Version::V311;
    if old && connect.client_id.is_empty() && !connect.clean {
        let error =
            Error::new(ErrorKind::Refused, "the client has no name and wants its session back");
        return Some((reason::BAD_CLIENT_ID, error));
    }
    None
}
