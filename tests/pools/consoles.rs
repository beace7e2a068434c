//! Consoles behind login prompts, pooled and balanced: a dialogue is a call like others.

use futures_util::stream::{self, StreamExt};
use serde_json::{Map, Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};

use super::*;

/// A console that asks for a name and a password, and answers each line. It may be told to die: it then
/// ends all its sessions at once and listens no more.
struct Console {
    port: u16,
    /// Lines it has answered.
    answered: Arc<AtomicUsize>,
    logins: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
    die: watch::Sender<bool>,
}

impl Console {
    /// `dies_after` answers, if at all.
    async fn start(name: &'static str, dies_after: Option<usize>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answered, logins) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let die = watch::channel(false).0;
        let (counts, dying) = ((Arc::clone(&answered), Arc::clone(&logins)), die.clone());
        let serving = tokio::spawn(async move {
            let mut dead = dying.subscribe();
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    _ = dead.wait_for(|dead| *dead) => return,
                };
                let (counts, dying) = (counts.clone(), dying.clone());
                tokio::spawn(async move {
                    let mut dead = dying.subscribe();
                    tokio::select! {
                        _ = serve(stream, name, counts, dies_after, &dying) => {}
                        _ = dead.wait_for(|dead| *dead) => {}
                    }
                });
            }
        });
        Console { port, answered, logins, serving, die }
    }

    fn uri(&self) -> String {
        format!("telnet://127.0.0.1:{}", self.port)
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.die.send_replace(true);
        self.serving.abort();
    }
}

async fn serve(
    stream: TcpStream,
    name: &str,
    (answered, logins): (Arc<AtomicUsize>, Arc<AtomicUsize>),
    dies_after: Option<usize>,
    die: &watch::Sender<bool>,
) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).split(b'\r');
    // What a line is without the bytes that are not its text, such as what telnet agrees on.
    let mut line = async || -> std::io::Result<String> {
        let line = lines.next_segment().await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let plain = line.into_iter().filter(|byte| byte.is_ascii_graphic() || *byte == b' ');
        Ok(plain.map(char::from).collect())
    };
    write.write_all(b"login: ").await?;
    let user = line().await?;
    write.write_all(b"Password: ").await?;
    let password = line().await?;
    if !user.ends_with("lab") || password != "secret" {
        return write.write_all(b"Login incorrect\r\n").await;
    }
    logins.fetch_add(1, Ordering::SeqCst);
    write.write_all(format!("{name}# ").as_bytes()).await?;
    loop {
        let asked = line().await?;
        if dies_after.is_some_and(|most| answered.load(Ordering::SeqCst) >= most) {
            die.send_replace(true);
            return Ok(());
        }
        answered.fetch_add(1, Ordering::SeqCst);
        write.write_all(format!("{asked} by {name}\r\n{name}# ").as_bytes()).await?;
    }
}

/// One line to whichever console, and its answer.
async fn ask(host: &TestHost, number: usize) -> jackfield_plugin_api::Result<String> {
    let params = json!({
        "text": format!("show {number}"), "pattern": format!("show {number} by (.)\r\n.# $"),
        "timeout": "50s",
    });
    let manager = host.manager();
    let heard: Value = manager.call("upstreams.u", &Map::new(), "send_expect", &params).await?;
    Ok(heard["groups"][0].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_at_the_other_consoles_when_one_dies() {
    let (a, b) = (Console::start("a", None).await, Console::start("b", None).await);
    let dying = Console::start("c", Some(40)).await;
    // Named in each of the ways that a target may be.
    let host = TestHost::start(&format!(
        "[credentials.lab]\nusername = \"lab\"\npassword = \"secret\"\n\
         [connections.b]\nuri = \"{}\"\nlogin = {{ username = \"lab\", password = \"secret\" }}\n\
         [devices.c]\ncredentials = \"lab\"\npaths.console = {{ uri = \"{}\", login = {{}} }}\n\
         [upstreams.u]\nbalance = \"least_connections\"\npool = {{ max_size = 4 }}\n\
         targets = [{{ uri = \"{}\", login = {{}}, credentials = \"lab\" }}, \"connections.b\", \
         \"devices.c\"]\n",
        b.uri(),
        dying.uri(),
        a.uri()
    ))
    .await;
    let asking = stream::iter(0..500).map(|number| ask(&host, number)).buffer_unordered(9);
    let answers: Vec<_> = timeout(DEADLINE, asking.collect()).await.expect("in time");
    let lost: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(lost.len() <= 4, "no more than the sessions that it had: {lost:?}");
    let by = |name: &str| answers.iter().flatten().filter(|by| *by == name).count();
    assert_eq!(by("a") + by("b") + by("c") + lost.len(), 500);
    assert!(by("c") <= 40 && by("a") >= 100 && by("b") >= 100, "{} {}", by("a"), by("b"));
    assert_eq!((by("a"), by("b")), (a.answered(), b.answered()), "each answer is for who asked");
    for console in [&a, &b] {
        assert!(console.logins.load(Ordering::SeqCst) <= 4, "sessions are used again");
    }
    let names: Vec<String> = (0..3).map(|at| target(&host, at).name.clone()).collect();
    assert_eq!(names, [a.uri().as_str(), "connections.b", "devices.c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialogue_that_is_broken_off_leaves_no_answer_for_the_next_one() {
    let console = Console::start("a", None).await;
    let host = host(&format!(
        "targets = [{{ uri = \"{}\", login = {{ username = \"lab\", password = \"secret\" }} }}]\n\
         pool = {{ max_size = 1 }}",
        console.uri()
    ))
    .await;
    assert_eq!(ask(&host, 1).await.unwrap(), "a");
    let never = json!({ "text": "show 2", "pattern": "never", "timeout": "50ms" });
    let manager = host.manager();
    let late = manager.call("upstreams.u", &Map::new(), "send_expect", &never).await;
    assert!(late.is_err());
    assert_eq!(ask(&host, 3).await.unwrap(), "a");
    assert_eq!(console.logins.load(Ordering::SeqCst), 2, "the session was not used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusive_console_has_one_pooled_session_and_gives_its_turn_back_with_it() {
    let console = Console::start("a", None).await;
    let host = TestHost::start(&format!(
        "[devices.c.paths.console]\nuri = \"{}\"\nexclusive = true\n\
         login = {{ username = \"lab\", password = \"secret\" }}\n\
         [upstreams.u]\ntargets = [\"devices.c.console\"]\npool = {{ max_size = 4 }}\n",
        console.uri()
    ))
    .await;
    let asking = stream::iter(0..20).map(|number| ask(&host, number)).buffer_unordered(5);
    let answers: Vec<_> = timeout(DEADLINE, asking.collect()).await.expect("in time");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!((console.logins.load(Ordering::SeqCst), pool(&host).max_size), (1, 1));
    let device = host.manager().device("c").unwrap();
    let holder = || device.path(None).unwrap().lease().unwrap().snapshot().holder;
    assert!(holder().is_some());
    host.manager().remove_target("u", "devices.c.console").unwrap();
    let free = async {
        while holder().is_some() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, free).await.expect("the turn is given back");
}
