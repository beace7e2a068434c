//! [`ModbusMemory`]: a device inside the host, for masters of `modbus` listeners.

mod answers;
mod tables;

pub use tables::{IdentityOptions, MemoryOptions};

use crate::delivery::PDU;
use crate::pdu::{exception, function_of, loopback, refusal};
use futures_util::future::{Either, select};
use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::{
    Error, Facets, Handler, HandlerInfo, Host, Message, MessageKind, Result, Session,
};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use tables::Tables;

/// The `modbus_memory` handler.
pub struct ModbusMemory {
    host: Host,
    tables: Mutex<Tables>,
}

impl Handler for ModbusMemory {
    const INFO: HandlerInfo = HandlerInfo::new(
        "modbus_memory",
        "A device with coils, inputs and registers for the masters of modbus listeners",
        Facets::MESSAGES,
    );
    type Options = MemoryOptions;

    fn new(host: Host, options: MemoryOptions) -> Result<Self> {
        Ok(ModbusMemory { host, tables: Mutex::new(Tables::new(options)?) })
    }

    async fn serve(&self, session: Session) -> Result<()> {
        let serial = is_serial(&session)?;
        let mut messages = session.take_messages().ok_or_else(strangers)?;
        let mut stopping = pin!(self.host.stopping());
        loop {
            let request = match select(messages.next(), &mut stopping).await {
                Either::Left((Some(request), _)) => request?,
                Either::Left((None, _)) | Either::Right(_) => return session.close(0, "").await,
            };
            if let Some(answer) = self.answer(&request, serial) {
                let answer = answer.with_id(request.id).with_metadata(request.metadata);
                messages.send(answer).await?;
            }
        }
    }
}

impl ModbusMemory {
    /// The answer to a request; none to one that is for another device of a line.
    fn answer(&self, request: &Message, serial: bool) -> Option<Message> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let unit = u8::try_from(request.id).unwrap_or(u8::MAX);
        let pdu = pdu_of(request);
        let is_mine = tables.is_unit(unit) || serial && unit == crate::pdu::BROADCAST;
        let answer = match is_mine {
            true => answers::answer(&mut tables, &pdu),
            // Another device of the line answers that.
            false if serial => return None,
            false => refusal(function_of(&pdu), exception::NO_ANSWER),
        };
        (unit != crate::pdu::BROADCAST || !serial).then(|| Message::of(PDU, answer))
    }
}

/// The function and data of a request: a loopback comes as its data.
pub(crate) fn pdu_of(request: &Message) -> bytes::Bytes {
    match request.kind {
        MessageKind::BINARY => loopback(&request.payload),
        _ => request.payload.clone(),
    }
}

/// Whether a session is of a serial line, with other devices beside.
///
/// # Errors
/// It is of another driver.
pub(crate) fn is_serial(session: &Session) -> Result<bool> {
    let info = session.info();
    let framing = info.facts.get("framing").and_then(serde_json::Value::as_str);
    framing.map(|framing| framing != "tcp").ok_or_else(strangers)
}

pub(crate) fn strangers() -> Error {
    Error::unsupported("a session of another driver than modbus: expected listen = \"modbus://…\"")
}
