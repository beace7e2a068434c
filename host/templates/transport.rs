//! A transport: reaches the outside world by itself, here over TCP, and says a word first.

use jackfield_plugin_api::prelude::*;
use jackfield_plugin_api::{Accept, Socket, SocketKind};

options! {
    /// Options of `template`.
    pub struct Options {
        /// What is said to the peer at the beginning.
        pub hello: String = "hello".to_owned(),
    }
}

struct TemplateDriver {
    host: Host,
}

impl Driver for TemplateDriver {
    const INFO: DriverInfo = DriverInfo::transport("template", "TCP with a word at the beginning")
        .schemes(&[Scheme::new("template", "template").port(7007)])
        .client()
        .server()
        .facets(Facets::STREAM);
    type Options = Options;
    type Endpoint = String;

    fn new(host: Host) -> Result<Self> {
        Ok(TemplateDriver { host })
    }

    fn configure(&self, options: Options, _role: Role) -> Result<String> {
        if options.hello.contains('\n') {
            return Err(Error::option("hello", "must be one line"));
        }
        Ok(options.hello + "\n")
    }

    async fn open(&self, hello: &String, request: Request) -> Result<Session> {
        let opened = self.host.connect(&socket(&request.address)).await?;
        greeted(opened, hello).await
    }

    async fn listen(&self, hello: &String, request: Request) -> Result<Listener> {
        let listener = self.host.listen(&socket(&request.address)).await?;
        Ok(Listener::new(Greeting { listener, hello: hello.clone() }))
    }
}

fn socket(address: &Address) -> Socket {
    Socket::new(SocketKind::Tcp, address.host.clone(), address.port.unwrap_or(7007))
}

async fn greeted(session: Session, hello: &str) -> Result<Session> {
    let mut stream = session.take_stream().ok_or_else(|| Error::unsupported("no stream"))?;
    stream.write_all(hello.as_bytes()).await?;
    stream.flush().await?;
    Ok(Session::of_stream(session.info(), stream))
}

struct Greeting {
    listener: Listener,
    hello: String,
}

impl Accept for Greeting {
    fn info(&self) -> Info {
        self.listener.info()
    }

    async fn accept(&self) -> Result<Session> {
        greeted(self.listener.accept().await?, &self.hello).await
    }
}

export_plugin! { drivers: [TemplateDriver] }

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_plugin_api::testing::{self, TestHost, TestPlugin};

    #[test]
    fn both_ends_say_their_word() -> Result<()> {
        testing::run(async {
            let plugin = TestPlugin::of::<crate::Plugin>(&TestHost::new())?;
            let server = plugin.driver("template", Role::Server, &json!({ "hello": "welcome" }))?;
            let client = plugin.driver("template", Role::Client, &json!({}))?;
            let at = |port| Request::new(Address::new("127.0.0.1", port), testing::DEADLINE);
            let listener = server.listen(at(0)).await?;
            let local = listener.info().local.unwrap_or_default();
            let port = local.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
            let near = client.open(at(port)).await?;
            let far = listener.accept().await?;
            for (session, word) in [(near, &b"welcome\n"[..]), (far, b"hello\n")] {
                let mut heard = vec![0; word.len()];
                session.take_stream().unwrap().read_exact(&mut heard).await?;
                assert_eq!(heard, word);
            }
            Ok(())
        })
    }

    #[test]
    fn a_word_of_two_lines_is_refused() {
        let plugin = TestPlugin::of::<crate::Plugin>(&TestHost::new()).unwrap();
        let error = plugin.driver("template", Role::Client, &json!({ "hello": "a\nb" }));
        assert!(error.unwrap_err().to_string().contains("option=hello"));
    }
}
