//! Who may ask a listener, and what a client tells again.

use super::*;
use crate::{Reply, ReplyOptions};
use jackfield_plugin_api::Handler;
use std::sync::Arc;

/// A server that knows `lab` and `odd`.
fn guarded() -> HttpOptions {
    let users = [("lab", "s3cret"), ("odd", "col:on é")];
    let users = users.map(|(name, password)| (name.to_owned(), Secret::new(password))).into();
    HttpOptions { users, ..HttpOptions::default() }
}

/// What the server answers to a client that says `authorization`, if anything.
async fn asked_with(version: Version, authorization: &[&str]) -> Value {
    let options = HttpOptions { version, ..HttpOptions::default() };
    let session = served(options, guarded()).await;
    let exchange = session.take_exchange().unwrap();
    let mut fields = vec![(":method", "GET"), (":path", "/")];
    fields.extend(authorization.iter().map(|value| ("authorization", *value)));
    let answer = exchange.send(asked(&fields, Body::empty())).await.unwrap();
    let shown = |name: &str| field(&answer.head, name);
    json!([shown(":status"), shown("www-authenticate"), shown("was-authorization")])
}

#[tokio::test]
async fn only_those_who_are_known_may_ask() {
    let basic = |pair: &str| format!("basic {}", data_encoding::BASE64.encode(pair.as_bytes()));
    let admitted = json!(["200", "-", "-"]);
    let challenge = "Basic realm=\"jackfield\", charset=\"UTF-8\"";
    let refused = json!(["401", challenge, "-"]);
    for version in [Version::Http1, Version::Http2] {
        for pair in ["lab:s3cret", "odd:col:on é"] {
            assert_eq!(asked_with(version, &[&basic(pair)]).await, admitted, "{pair}");
        }
        assert_eq!(asked_with(version, &[]).await, refused);
        for pair in ["lab:s3cre", "lab:s3crett", "lab:", "lab", ":", "", "odd:s3cret", "LAB:s3cret"]
        {
            assert_eq!(asked_with(version, &[&basic(pair)]).await, refused, "{pair}");
        }
        let good = basic("lab:s3cret");
        for wrong in ["Basic", "Basic %%%", "Bearer s3cret", &good.replace("basic ", "bearer ")] {
            assert_eq!(asked_with(version, &[wrong]).await, refused, "{wrong}");
        }
        let both = asked_with(version, &[&good, &basic("x:y")]).await;
        assert_eq!(both, refused, "which of them would it be?");
    }
}

#[test]
fn users_that_cannot_be_are_refused() {
    let driver = HttpDriver::new(testing::host()).unwrap();
    let one = |name: &str, password: &str| HttpOptions {
        users: [(name.to_owned(), Secret::new(password))].into(),
        ..HttpOptions::default()
    };
    for options in [one("", "s3cret"), one("a:b", "s3cret"), one("a\n", "s3cret"), one("a", "")] {
        let error = driver.configure(options, Role::Server).unwrap_err().to_string();
        assert!(error.contains("option=users") && !error.contains("s3cret"), "{error}");
    }
    let cookies = HttpOptions { cookies: true, ..HttpOptions::default() };
    for (options, role, name) in
        [(guarded(), Role::Client, "users"), (cookies, Role::Server, "cookies")]
    {
        let error = driver.configure(options, role).unwrap_err().to_string();
        assert!(error.contains(&format!("option={name}")), "{error}");
    }
    let endpoint = driver.configure(guarded(), Role::Server).unwrap();
    assert!(!format!("{endpoint:?}").contains("s3cret"));
}

/// The cookies that a server of `a.test` which sets one is told by a call with `params`.
async fn told_by_call(endpoint: &Arc<crate::HttpEndpoint>, params: &[Value]) -> Vec<Value> {
    let (near, far) = testing::carriers(CAPACITY);
    let headers = [("Set-Cookie".to_owned(), Secret::new("id=7; HttpOnly; Path=/"))].into();
    let options = ReplyOptions { echo: true, headers, ..ReplyOptions::default() };
    let handler = Reply::new(testing::host(), options).unwrap();
    tokio::spawn(async move {
        let session = accept(HttpOptions::default(), far).await.unwrap();
        // How it ends is not what these tests are about.
        let _ = handler.serve(session).await;
    });
    let driver = HttpDriver::new(testing::host()).unwrap();
    let request = Request::new(Address::new("a.test", 80), testing::DEADLINE).with_carrier(near);
    let session = driver.open(endpoint, request).await.unwrap();
    let mut found = Vec::new();
    for params in params {
        let answer = call(&session, "get", params.clone()).await.unwrap();
        let told: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        let headers = told["headers"].as_array().unwrap();
        let cookie = headers.iter().find(|pair| pair[0] == "cookie");
        found.push(cookie.map_or(Value::Null, |pair| pair[1].clone()));
    }
    found
}

#[tokio::test]
async fn cookies_are_told_again_only_where_that_is_wanted() {
    let driver = HttpDriver::new(testing::host()).unwrap();
    for cookies in [true, false] {
        let options = HttpOptions { cookies, ..HttpOptions::default() };
        let endpoint = driver.configure(options, Role::Client).unwrap();
        let own = json!({ "headers": { "Cookie": "own=1" } });
        let told = told_by_call(&endpoint, &[json!({}), json!({}), own]).await;
        let again = if cookies { json!("id=7") } else { Value::Null };
        assert_eq!(told, [Value::Null, again.clone(), json!("own=1")]);
        let told = told_by_call(&endpoint, &[json!({ "path": "/other" })]).await;
        assert_eq!(told, [again], "over another connection");
    }
}
