//! What the README tells a newcomer to do works.

use std::fs;

use crate::support::{
    jackfield::{Jackfield, ran},
    ports,
};

fn documented(file: &str) -> String {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(top.join(file)).unwrap()
}

#[tokio::test]
async fn the_demo_answers_a_websocket_through_its_upstream() {
    let toml = documented("config/demo.toml");
    let (first, second) = (ports::free(), ports::free());
    let set = [
        format!("routes.0.listen=tcp://127.0.0.1:{first}"),
        format!("routes.1.listen=tcp://127.0.0.1:{second}"),
        "routes.2.listen=ws://127.0.0.1:0/echo".to_owned(),
        format!(
            "upstreams.echo.targets=[\"tcp://127.0.0.1:{first}\", \"tcp://127.0.0.1:{second}\"]"
        ),
    ];
    let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
    let host = Jackfield::run_with(&toml, &set).await;
    let uri = format!("ws://{}/echo", host.address(2));
    // Once through each target.
    for _ in 0..2 {
        assert_eq!(ran(&["connect", &uri], "hello\n").await.ok().text(), "hello\n");
    }
}
