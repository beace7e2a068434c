//! The handler `files`, asked by curl.

use super::answering;
use crate::support::{peers::curl::curl, process::tempdir};

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_files() {
    let folder = tempdir();
    let large: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(folder.path().join("large.bin"), &large).unwrap();
    std::fs::write(folder.path().join("page.html"), "<p>page").unwrap();
    let handler = format!("handler = \"files\"\noptions = {{ root = {:?} }}", folder.path());
    let host = answering("http", &handler, "").await;
    let url = |name: &str| format!("http://{}/{name}", host.address(0));
    for flag in ["--http1.1", "--http2-prior-knowledge"] {
        let ran = curl(None, &[flag, &url("large.bin")]).await.ok();
        assert!(ran.stdout == large, "{flag}: {} bytes", ran.stdout.len());
        let ran = curl(None, &[flag, "-r", "1000000-1000003", &url("large.bin")]).await.ok();
        assert_eq!(ran.stdout, &large[1_000_000..1_000_004]);
        let several = ["-r", "9000000-9000003,0-3,-4", "-D", "-"];
        let ran = curl(None, &[&[flag][..], &several, &[&url("large.bin")]].concat()).await.ok();
        assert_eq!(
            parts(&ran.stdout),
            [
                ("bytes 9000000-9000003/12000000".to_owned(), large[9_000_000..9_000_004].to_vec()),
                ("bytes 0-3/12000000".to_owned(), large[..4].to_vec()),
                ("bytes 11999996-11999999/12000000".to_owned(), large[11_999_996..].to_vec()),
            ]
        );
        let ran = curl(None, &[flag, "-r", "0-9,5-", &url("large.bin")]).await.ok();
        assert!(ran.stdout == large, "{flag}: {} bytes", ran.stdout.len());
        let ran = curl(None, &[flag, "-I", &url("page.html")]).await.ok();
        assert!(ran.text().contains("content-length: 7\r\n"), "{}", ran.text());
        let ran = curl(None, &[flag, "--path-as-is", "-f", &url("../../etc/passwd")]).await;
        assert_eq!(ran.code, Some(22), "{}", ran.stderr);
    }
}

/// The parts of an answer with several, with its head before it: what they are of, and their bytes.
/// Each is four bytes long.
fn parts(answer: &[u8]) -> Vec<(String, Vec<u8>)> {
    let find = |text: &str, from: usize| {
        let found = answer[from..].windows(text.len()).position(|part| part == text.as_bytes());
        found.map(|at| from + at)
    };
    let text = String::from_utf8_lossy(answer).into_owned();
    let head = find("\r\n\r\n", 0).expect("a head") + 4;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).trim().to_owned()
    };
    let boundary = field("content-type: multipart/byteranges; boundary=");
    assert_eq!(field("content-length: "), (answer.len() - head).to_string());
    let delimiter = format!("\r\n--{boundary}\r\n");
    let mut parts = Vec::new();
    let mut at = head;
    while let Some(start) = find(&delimiter, at) {
        let name = "content-range: ";
        let named = find(name, start).expect("a range") + name.len();
        let end = find("\r\n\r\n", named).expect("the end of a head");
        let range = String::from_utf8_lossy(&answer[named..end]).into_owned();
        parts.push((range, answer[end + 4..end + 8].to_vec()));
        at = end + 8;
    }
    assert_eq!(&answer[at..], format!("\r\n--{boundary}--\r\n").as_bytes());
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_files_that_lie_compressed_beside_themselves() {
    let folder = tempdir();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("page.html"), "<p>page").unwrap();
    // What lies there is sent as it is.
    std::fs::write(at("page.html.gz"), "packed").unwrap();
    std::fs::write(at("old.css"), "now").unwrap();
    let before = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let old = std::fs::File::create(at("old.css.gz")).unwrap();
    old.set_modified(before).unwrap();
    let handler = format!(
        "handler = \"files\"\noptions = {{ root = {:?}, precompressed = [\"br\", \"gzip\"] }}",
        folder.path()
    );
    let host = answering("http", &handler, "").await;
    let got = async |name: &str, accepts: &str, more: &str| {
        let url = format!("http://{}/{name}", host.address(0));
        let accepts = format!("Accept-Encoding: {accepts}");
        curl(None, &["-D", "-", "-H", &accepts, "-H", more, &url]).await.ok().text()
    };
    let packed = got("page.html", "br, gzip", "").await;
    assert!(packed.contains("content-encoding: gzip\r\n"), "{packed}");
    assert!(packed.contains("content-type: text/html; charset=utf-8\r\n"), "{packed}");
    assert!(packed.contains("vary: accept-encoding\r\n"), "{packed}");
    assert!(packed.ends_with("\r\n\r\npacked"), "{packed}");
    let tag = packed.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").trim();
    let same = got("page.html", "gzip", &format!("If-None-Match: {tag}")).await;
    assert!(same.starts_with("HTTP/1.1 304"), "{same}");
    for (name, accepts, content) in [
        ("page.html", "identity, gzip;q=0", "<p>page"),
        ("page.html", "br", "<p>page"),
        ("old.css", "gzip", "now"),
    ] {
        let plain = got(name, accepts, &format!("If-None-Match: {tag}")).await;
        assert!(!plain.contains("content-encoding"), "{plain}");
        assert!(plain.contains("vary: accept-encoding\r\n"), "{plain}");
        assert!(plain.ends_with(&format!("\r\n\r\n{content}")), "{plain}");
    }
    let plain =
        answering("http", &handler.replace(", precompressed = [\"br\", \"gzip\"]", ""), "").await;
    let url = format!("http://{}/page.html", plain.address(0));
    let ran = curl(None, &["-D", "-", "-H", "Accept-Encoding: gzip", &url]).await.ok();
    assert!(ran.text().ends_with("\r\n\r\n<p>page") && !ran.text().contains("vary"));
}
