//! A layer of messages: each is its length in four bytes, the highest first, and its content.

use jackfield_plugin_api::prelude::*;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

options! {
    /// Options of `template`.
    pub struct Options {
        /// The most bytes of a message; longer ones end the session.
        #[schemars(range(min = 1))]
        pub max_message: u32 = 1024 * 1024,
    }
}

struct TemplateDriver;

impl Driver for TemplateDriver {
    const INFO: DriverInfo = DriverInfo::layer("template", "Messages, their length before them")
        .schemes(&[Scheme::new("template", "template+tcp").port(7007)])
        .client()
        .server()
        .facets(Facets::MESSAGES);
    type Options = Options;
    type Endpoint = usize;

    fn new(_host: Host) -> Result<Self> {
        Ok(TemplateDriver)
    }

    fn configure(&self, options: Options, _role: Role) -> Result<usize> {
        usize::try_from(options.max_message)
            .map_err(|_| Error::option("max_message", "is more than this machine can address"))
    }

    async fn open(&self, most: &usize, mut request: Request) -> Result<Session> {
        let (carrier, info) = request.take_carrier()?;
        let codec = LengthDelimitedCodec::builder().max_frame_length(*most).new_codec();
        let (out, received) = Framed::new(carrier, codec).split();
        let received = received.map(|frame| Ok(Message::binary(frame?.freeze())));
        let out = out.sink_map_err(Error::from).with(async |message: Message| Ok(message.payload));
        Ok(Session::of_messages(info, Messages::from_parts(received, out)))
    }

    async fn accept(&self, most: &usize, request: Request) -> Result<Session> {
        self.open(most, request).await
    }
}

export_plugin! { drivers: [TemplateDriver] }

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_plugin_api::testing::{self, Script, TestHost, TestPlugin};

    /// Both ends, the near one over a carrier with these faults.
    async fn joined(script: Script, most: u32) -> Result<(Messages, Messages)> {
        let plugin = TestPlugin::of::<crate::Plugin>(&TestHost::new())?;
        let near = plugin.driver("template", Role::Client, &json!({ "max_message": most }))?;
        let far = plugin.driver("template", Role::Server, &json!({}))?;
        let (one, other) = testing::carriers(1024);
        let near = near.open(testing::over(script.over(one)?)).await?;
        let far = far.accept(testing::over(other)).await?;
        Ok((near.take_messages().unwrap(), far.take_messages().unwrap()))
    }

    #[test]
    fn messages_are_whole_over_the_worst_of_lines() -> Result<()> {
        testing::run(async {
            let (mut near, mut far) = joined(Script::slow(), 1024).await?;
            far.send(Message::binary("one")).await?;
            far.send(Message::binary("")).await?;
            far.close().await?;
            assert_eq!(near.next().await.transpose()?, Some(Message::binary("one")));
            assert_eq!(near.next().await.transpose()?, Some(Message::binary("")));
            assert_eq!(near.next().await.transpose()?, None);
            Ok(())
        })
    }

    #[test]
    fn a_line_that_is_cut_gives_no_half_message() -> Result<()> {
        testing::run(async {
            for script in Script::at_every_byte(6) {
                let (mut near, mut far) = joined(script, 1024).await?;
                far.send(Message::binary("one")).await?;
                assert!(!matches!(near.next().await, Some(Ok(_))));
            }
            Ok(())
        })
    }

    #[test]
    fn a_message_that_is_too_long_ends_the_session() -> Result<()> {
        testing::run(async {
            let (mut near, mut far) = joined(Script::new(), 2).await?;
            far.send(Message::binary("one")).await?;
            assert!(near.next().await.unwrap().is_err());
            Ok(())
        })
    }
}
