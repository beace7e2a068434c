//! A layer: turns letters on their way. `template://host:port` is `template+tcp://host:port`.

use jackfield_plugin_api::bytes::BytesMut;
use jackfield_plugin_api::prelude::*;

options! {
    /// Options of `template`.
    pub struct Options {
        /// How far letters are turned, 1 to 25.
        #[schemars(range(min = 1, max = 25))]
        pub places: u8 = 13,
    }
}

struct TemplateDriver;

impl Driver for TemplateDriver {
    const INFO: DriverInfo = DriverInfo::layer("template", "Turns letters on their way")
        .schemes(&[Scheme::new("template", "template+tcp")])
        .client()
        .server()
        .facets(Facets::STREAM);
    type Options = Options;
    type Endpoint = u8;

    fn new(_host: Host) -> Result<Self> {
        Ok(TemplateDriver)
    }

    fn configure(&self, options: Options, _role: Role) -> Result<u8> {
        Ok(options.places % 26)
    }

    async fn open(&self, places: &u8, mut request: Request) -> Result<Session> {
        let (carrier, info) = request.take_carrier()?;
        Ok(Session::of_stream(info, carrier.transformed(Letters { places: *places })))
    }

    /// A listener's side does the same: it turns back what the other has turned.
    async fn accept(&self, places: &u8, request: Request) -> Result<Session> {
        self.open(places, request).await
    }
}

struct Letters {
    places: u8,
}

impl Transform for Letters {
    fn encode(&mut self, from: &[u8], to: &mut BytesMut) -> Result<()> {
        to.extend(from.iter().map(|byte| turn(*byte, self.places)));
        Ok(())
    }

    fn decode(&mut self, from: &[u8], to: &mut BytesMut) -> Result<()> {
        to.extend(from.iter().map(|byte| turn(*byte, 26 - self.places)));
        Ok(())
    }
}

fn turn(byte: u8, places: u8) -> u8 {
    match byte {
        b'a'..=b'z' => (byte - b'a' + places) % 26 + b'a',
        b'A'..=b'Z' => (byte - b'A' + places) % 26 + b'A',
        _ => byte,
    }
}

export_plugin! { drivers: [TemplateDriver] }

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_plugin_api::testing::{self, Script, TestHost, TestPlugin};

    #[test]
    fn letters_are_turned_and_turned_back() -> Result<()> {
        testing::run(async {
            let plugin = TestPlugin::of::<crate::Plugin>(&TestHost::new())?;
            let near = plugin.driver("template", Role::Client, &json!({ "places": 1 }))?;
            let far = plugin.driver("template", Role::Server, &json!({ "places": 1 }))?;
            let (one, other) = testing::carriers(1024);
            let near = near.open(testing::over(Script::slow().over(one)?)).await?;
            let far = far.accept(testing::over(other)).await?;
            let (mut near, mut far) = (near.take_stream().unwrap(), far.take_stream().unwrap());
            near.write_all(b"Hello, zoo").await?;
            near.shutdown().await?;
            let mut heard = String::new();
            far.read_to_string(&mut heard).await?;
            assert_eq!(heard, "Hello, zoo");
            Ok(())
        })
    }
}
