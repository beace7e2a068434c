//! Answers as they are sent.

use super::problem::ApiProblem;
use super::request::Reply;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, UPGRADE,
    WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use std::convert::Infallible;

/// The body of an answer.
pub(super) type ReplyBody = UnsyncBoxBody<Bytes, Infallible>;

/// What a request comes to, as it is sent.
pub(super) fn rendered(reply: Reply) -> Response<ReplyBody> {
    let (status, kind, body) = match reply {
        Reply::Json(status, body) => {
            let text = format!("{body:#}\n");
            (status, "application/json", Full::from(text).boxed_unsync())
        }
        Reply::Text(status, kind, text) => (status, kind, Full::from(text).boxed_unsync()),
        Reply::Switch(accept) => {
            let mut response = Response::new(Full::default().boxed_unsync());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let fields = [(CONNECTION, "upgrade"), (UPGRADE, "websocket")];
            for (name, value) in fields {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            // It is of letters and figures.
            let accept = HeaderValue::from_str(&accept).into_iter();
            accept.for_each(|it| drop(response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, it)));
            return response;
        }
        Reply::Events(feed) => (StatusCode::OK, "text/event-stream", feed.into_body()),
    };
    with(status, kind, body)
}

/// Why a request is not answered as wished, as it is sent.
pub(super) fn refused(problem: &ApiProblem) -> Response<ReplyBody> {
    let text = format!("{:#}\n", problem.to_json());
    let body = Full::from(text).boxed_unsync();
    let mut response = with(problem.status, "application/problem+json", body);
    let allow = problem.allow().and_then(|allow| HeaderValue::from_str(allow).ok());
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, allow);
    }
    if problem.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if problem.status == StatusCode::TOO_MANY_REQUESTS {
        // RFC 6585 §4, in seconds.
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn with(status: StatusCode, kind: &'static str, body: ReplyBody) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
