//! A session with every facet.

use crate::data::{EchoBytes, EchoDatagrams, EchoMessages, body};
use crate::fault::{Fault, OnDrop, Place};
use crate::mode;
use jackfield_plugin_api::{
    Address, Answer, Body, BodyPart, Control, Datagrams, Envelope, Error, Event, Exchange,
    Exchanger, Facets, HeaderBlock, Incoming, Info, Messages, Result, Session, Stream,
};
use serde_json::Value;
use std::time::Duration;

/// A session that fails at the given place.
pub(crate) fn new(fault: Fault) -> Session {
    let control = FaultyControl { fault, _dropped: fault.on_drop(Place::DropSession) };
    let stream = Stream::with_fd(EchoBytes::new(fault), |echo| {
        echo.fault.at(Place::TakeFd);
        None
    });
    let exchange = FaultyExchange { fault, _dropped: fault.on_drop(Place::DropExchange) };
    Session::builder(control)
        .facets(Facets::CALL | Facets::PING | Facets::EVENTS | Facets::OPEN_STREAM | Facets::DIAL)
        .stream(stream)
        .messages(Messages::new(EchoMessages::new(fault)))
        .datagrams(Datagrams::new(EchoDatagrams::new(fault)))
        .exchange(Exchange::new(exchange))
        .build()
}

struct FaultyControl {
    fault: Fault,
    _dropped: OnDrop,
}

impl Control for FaultyControl {
    fn info(&self) -> Info {
        self.fault.at(Place::Info);
        Info::new().peer("faulty")
    }

    async fn call(&self, operation: String, _params: Value) -> Result<Value> {
        self.fault.reach(Place::Call).await;
        match operation.as_str() {
            "mode" => Ok(mode::mode().into()),
            _ => Err(Error::unsupported("another operation")),
        }
    }

    async fn open_stream(&self, _params: Value) -> Result<Session> {
        self.fault.reach(Place::OpenStream).await;
        Ok(new(self.fault))
    }

    async fn accept_stream(&self) -> Result<Option<Session>> {
        self.fault.reach(Place::AcceptStream).await;
        Ok(None)
    }

    async fn dial(&self, _address: Address) -> Result<Session> {
        self.fault.reach(Place::Dial).await;
        Ok(new(self.fault))
    }

    async fn ping(&self) -> Result<Duration> {
        self.fault.reach(Place::Ping).await;
        Ok(Duration::from_millis(1))
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        self.fault.reach(Place::Event).await;
        Ok(None)
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        self.fault.reach(Place::Close).await;
        Ok(())
    }

    async fn drain(&self) -> Result<()> {
        self.fault.reach(Place::Drain).await;
        Ok(())
    }
}

struct FaultyExchange {
    fault: Fault,
    _dropped: OnDrop,
}

impl Exchanger for FaultyExchange {
    async fn send(&self, _request: Envelope) -> Result<Envelope> {
        self.fault.reach(Place::ExchangeSend).await;
        Ok(Envelope::new(HeaderBlock::new([(":status", "200")])?, body(self.fault)))
    }

    async fn accept(&self) -> Result<Option<Incoming>> {
        self.fault.reach(Place::ExchangeAccept).await;
        let fault = self.fault;
        let request = Envelope::new(HeaderBlock::new([(":method", "GET")])?, Body::empty());
        let answer = Answer::new(move |_response| {
            fault.at(Place::Answer);
            async { Ok(()) }
        });
        Ok(Some(Incoming::new(request, answer)))
    }
}

/// One part of a body, in bytes that may fail when they are freed.
pub(crate) fn part(fault: Fault) -> BodyPart {
    struct Owned(OnDrop);
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            let _ = &self.0;
            b"body"
        }
    }
    BodyPart::Data(bytes::Bytes::from_owner(Owned(fault.on_drop(Place::DropBytes))))
}
