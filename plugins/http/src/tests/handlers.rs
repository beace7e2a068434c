//! The handlers behind our own server, asked by our own client.

use super::*;
use crate::{Files, FilesOptions, Reply, ReplyOptions};
use jackfield_plugin_api::Handler;
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// A client of a server whose requests `handler` answers.
async fn handled<H: Handler>(handler: H) -> Session {
    let (near, far) = testing::carriers(CAPACITY);
    let opened = open(HttpOptions::default(), near).await.unwrap();
    tokio::spawn(async move {
        let session = accept(HttpOptions::default(), far).await.unwrap();
        // How it ends is not what these tests are about.
        let _ = handler.serve(session).await;
    });
    opened
}

async fn reply(options: ReplyOptions) -> Session {
    handled(Reply::new(testing::host(), options).unwrap()).await
}

/// `top` holds a folder `root` that is served, and a secret beside it.
fn tree() -> TempDir {
    let top = tempfile::tempdir().unwrap();
    let root = top.path().join("root");
    fs::create_dir_all(root.join("sub dir")).unwrap();
    fs::create_dir(root.join("plain")).unwrap();
    fs::write(top.path().join("secret"), "secret").unwrap();
    fs::write(root.join("index.html"), "<p>index").unwrap();
    fs::write(root.join("sub dir/a&b.txt"), "0123456789").unwrap();
    fs::write(root.join("plain/<x>"), [0xff, 0xfe]).unwrap();
    fs::write(root.join(".hidden"), "hidden").unwrap();
    symlink("../secret", root.join("out")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("sub dir/a&b.txt", root.join("in")).unwrap();
    symlink("..", root.join("up")).unwrap();
    top
}

async fn files(top: &TempDir, change: impl FnOnce(&mut FilesOptions)) -> Session {
    let mut options = FilesOptions { root: top.path().join("root"), ..FilesOptions::default() };
    change(&mut options);
    handled(Files::new(testing::host(), options).unwrap()).await
}

async fn get(session: &Session, path: &str, headers: Value) -> Value {
    call(session, "get", json!({ "path": path, "headers": headers })).await.unwrap()
}

#[tokio::test]
async fn a_reply_is_what_the_options_say() {
    let headers = [("X-Own".to_owned(), Secret::new("yes"))].into();
    let text =
        ReplyOptions { status: 418, body: Some("tea".into()), headers, ..Default::default() };
    let session = reply(text).await;
    let answer = get(&session, "/", json!({})).await;
    assert_eq!((&answer["status"], &answer["body"]), (&json!(418), &json!("tea")));
    assert_eq!(answer["headers"]["x-own"], "yes");
    assert_eq!(answer["headers"]["content-length"], "3");
    let session = reply(ReplyOptions { json: Some(json!([1])), ..Default::default() }).await;
    let answer = get(&session, "/", json!({})).await;
    assert_eq!(answer["headers"]["content-type"], "application/json");
    assert_eq!(answer["body"], "[1]");
}

#[tokio::test]
async fn an_echo_tells_the_request() {
    let session = reply(ReplyOptions { echo: true, max_body: 8, ..Default::default() }).await;
    let params = json!({ "path": "/a?b", "body": "content", "headers": { "X-Own": "1" } });
    let answer = call(&session, "post", params).await.unwrap();
    let told: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!((&told["method"], &told["path"]), (&json!("POST"), &json!("/a?b")));
    assert_eq!((&told["authority"], &told["body"]), (&json!("a.test"), &json!("content")));
    assert!(told["headers"].as_array().unwrap().contains(&json!(["x-own", "1"])));
    let answer = call(&session, "post", json!({ "body": "too much of it" })).await.unwrap();
    assert_eq!(answer["status"], 413);
}

#[test]
fn options_that_cannot_be_are_refused() {
    let split = || [("X".to_owned(), Secret::new("a\r\nb: s3cret"))].into();
    for (options, name) in [
        (ReplyOptions { status: 101, ..Default::default() }, "status"),
        (ReplyOptions { echo: true, body: Some("x".into()), ..Default::default() }, "body"),
        (ReplyOptions { headers: split(), ..Default::default() }, "headers"),
    ] {
        let error = Reply::new(testing::host(), options).unwrap_err();
        assert!(error.to_string().contains(&format!("option={name}")), "{error}");
        assert!(!error.to_string().contains("s3cret"));
    }
    let root = || std::env::temp_dir();
    for (options, name) in [
        (FilesOptions { root: "/nowhere/at/all".into(), ..Default::default() }, "root"),
        (FilesOptions { root: root(), prefix: "x".into(), ..Default::default() }, "prefix"),
        (FilesOptions { root: root(), index: "a/b".into(), ..Default::default() }, "index"),
    ] {
        let error = Files::new(testing::host(), options).unwrap_err();
        assert!(error.to_string().contains(&format!("option={name}")), "{error}");
    }
}

#[tokio::test]
async fn files_are_served_whole_in_part_and_not_again() {
    let top = tree();
    let session = files(&top, |_| {}).await;
    let index = get(&session, "/", json!({})).await;
    assert_eq!(index["body"], "<p>index");
    assert_eq!(index["headers"]["content-type"], "text/html; charset=utf-8");
    let path = "/sub%20dir/a%26b.txt?query";
    let whole = get(&session, path, json!({})).await;
    assert_eq!(whole["body"], "0123456789");
    assert_eq!(whole["headers"]["content-length"], "10");
    let part = get(&session, path, json!({ "range": "bytes=2-4" })).await;
    assert_eq!((&part["status"], &part["body"]), (&json!(206), &json!("234")));
    assert_eq!(part["headers"]["content-range"], "bytes 2-4/10");
    let outside = get(&session, path, json!({ "range": "bytes=10-" })).await;
    assert_eq!(outside["status"], 416);
    assert_eq!(outside["headers"]["content-range"], "bytes */10");
    let tag = whole["headers"]["etag"].clone();
    assert_eq!(get(&session, path, json!({ "if-none-match": tag })).await["status"], 304);
    let changed = whole["headers"]["last-modified"].clone();
    assert_eq!(get(&session, path, json!({ "if-modified-since": changed })).await["status"], 304);
    assert_eq!(get(&session, path, json!({ "if-match": "\"x\"" })).await["status"], 412);
    let head = call(&session, "head", json!({ "path": path })).await.unwrap();
    assert_eq!((&head["headers"]["content-length"], &head["body"]), (&json!("10"), &json!("")));
    let put = call(&session, "put", json!({ "path": path, "body": "x" })).await.unwrap();
    assert_eq!(
        (&put["status"], &put["headers"]["allow"]),
        (&json!(405), &json!("GET, HEAD, OPTIONS"))
    );
}

#[tokio::test]
async fn a_large_file_arrives_whole() {
    let top = tree();
    let large: String = (0..200_000).map(|number| format!("{number}\n")).collect();
    fs::write(top.path().join("root/large.txt"), &large).unwrap();
    let session = files(&top, |_| {}).await;
    assert!(get(&session, "/large.txt", json!({})).await["body"] == large);
}

#[tokio::test]
async fn nothing_outside_the_folder_is_served() {
    let top = tree();
    for follow in [false, true] {
        let session = files(&top, |options| options.follow_symlinks = follow).await;
        for path in [
            "/../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/sub%20dir/../../secret",
            "/out",
            "/absolute",
            "/up/secret",
            "/up/",
            "//etc/passwd",
            "/%2fetc%2fpasswd",
            "/.hidden",
            "/index.html/",
            "/index.html%00",
            "/nowhere",
            "/plain/",
            "/sub%20dir/./../../secret",
        ] {
            let answer = get(&session, path, json!({})).await;
            assert_eq!(answer["status"], 404, "{path}: {answer}");
        }
        let inside = get(&session, "/in", json!({})).await;
        assert_eq!(inside["status"], if follow { 200 } else { 404 });
    }
}

#[tokio::test]
async fn folders_are_listed_only_where_the_options_say_so() {
    let top = tree();
    let list = |options: &mut FilesOptions| {
        options.listing = true;
        options.prefix = "/at/".into();
        options.index = String::new();
    };
    let session = files(&top, list).await;
    let page = get(&session, "/at/", json!({})).await["body"].as_str().unwrap().to_owned();
    assert!(page.contains("<li><a href=\"./sub%20dir/\">sub dir/</a>"), "{page}");
    assert!(!page.contains(".hidden"), "{page}");
    let page = get(&session, "/at/plain/", json!({})).await["body"].as_str().unwrap().to_owned();
    assert!(page.contains("<a href=\"./%3Cx%3E\">&lt;x&gt;</a>"), "{page}");
    let folder = get(&session, "//at//plain", json!({})).await;
    assert_eq!(folder["status"], 404);
    let folder = get(&session, "/at//plain?x", json!({})).await;
    assert_eq!(
        (&folder["status"], &folder["headers"]["location"]),
        (&json!(301), &json!("/at/plain/"))
    );
    assert_eq!(get(&session, "/atplain/", json!({})).await["status"], 404);
}
