//! The side that has the session: a [`Control`] and the facets behind the table.

use super::{Parts, SessionTable, unreadable};
use crate::control::Control;
use crate::datagrams::DatagramsTable;
use crate::error::Result;
use crate::exchange::ExchangeTable;
use crate::facets::Facets;
use crate::messages::MessagesTable;
use crate::object::{drop_shared, give, json_buf, share};
use crate::op::{Op, OpTable, Transfer, started};
use crate::raw::{RawBuf, RawObject, RawStr, guard, home, home_of};
use crate::request::{Address, RawAddress};
use crate::stream::StreamTable;
use bytes::Bytes;
use serde_json::Value;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

struct Exported<C> {
    control: C,
    declared: Facets,
    /// What was not taken yet. Boxed: most of its life a session has given all away, and keeps no room for it.
    parts: Mutex<Option<Box<Parts>>>,
}

/// Puts a session behind a table.
pub(super) fn export<C: Control>(
    control: C,
    declared: Facets,
    parts: Parts,
) -> RawObject<SessionTable> {
    let parts = Some(parts).filter(|parts| !parts.is_empty()).map(Box::new);
    let state = Exported { control, declared, parts: Mutex::new(parts) };
    RawObject { data: give(Arc::new(state)), table: table_of::<C>() }
}

fn table_of<C: Control>() -> &'static SessionTable {
    const {
        &SessionTable {
            size: size_of::<SessionTable>(),
            home: home(inner::<C>),
            drop: drop_shared::<Exported<C>>,
            facets: facets::<C>,
            info: info::<C>,
            take_stream: take_stream::<C>,
            take_messages: take_messages::<C>,
            take_datagrams: take_datagrams::<C>,
            take_exchange: take_exchange::<C>,
            call: call::<C>,
            open_stream: open_stream::<C>,
            accept_stream: accept_stream::<C>,
            dial: dial::<C>,
            ping: ping::<C>,
            next_event: next_event::<C>,
            close: close::<C>,
            drain: drain::<C>,
            reset: reset::<C>,
        }
    }
}

/// # Safety
/// `data` is an `Exported<C>` of this table.
unsafe fn state<'a, C>(data: *mut c_void) -> &'a Exported<C> {
    // SAFETY: by this function's contract; the caller holds a share for the call.
    unsafe { &*data.cast::<Exported<C>>() }
}

unsafe extern "C" fn inner<C: 'static>(data: *mut c_void, id: *const c_void) -> *mut c_void {
    // SAFETY: `home` functions are called only after `is_home`; the answer is only read through.
    unsafe { home_of::<C>((&raw const state::<C>(data).control).cast_mut(), id) }
}

unsafe extern "C" fn facets<C>(data: *mut c_void) -> u64 {
    // SAFETY: the caller's contract.
    unsafe { state::<C>(data) }.declared.bits()
}

unsafe extern "C" fn info<C: Control>(data: *mut c_void) -> RawBuf {
    // SAFETY: the caller's contract.
    json_buf(|| unsafe { state::<C>(data) }.control.info())
}

macro_rules! take {
    ($($name:ident $field:ident $table:ty;)*) => {$(
        unsafe extern "C" fn $name<C>(data: *mut c_void) -> RawObject<$table> {
            let body = || {
                // SAFETY: the caller's contract.
                let parts = unsafe { &state::<C>(data).parts };
                // The lock is given back before the part crosses, which may run other code.
                let part = {
                    let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
                    let part = parts.as_mut().and_then(|parts| parts.$field.take());
                    drop(parts.take_if(|parts| parts.is_empty()));
                    part
                };
                part.map_or(RawObject::none(), Transfer::into_raw)
            };
            guard(body, |_| RawObject::none())
        }
    )*};
}

take! {
    take_stream stream StreamTable;
    take_messages messages MessagesTable;
    take_datagrams datagrams DatagramsTable;
    take_exchange exchange ExchangeTable;
}

/// # Safety
/// The text is alive for this call.
unsafe fn params_of(json: RawStr) -> Result<Value> {
    // SAFETY: by this function's contract.
    serde_json::from_str(unsafe { json.get() }).map_err(|error| unreadable("parameters", &error))
}

unsafe extern "C" fn call<C: Control>(
    data: *mut c_void,
    operation: RawStr,
    params: RawStr,
) -> RawObject<OpTable> {
    started(|| {
        // SAFETY: the caller owns a share; the text is alive for this call.
        let (state, operation, params) =
            unsafe { (share::<Exported<C>>(data), operation.get().to_owned(), params_of(params)) };
        Op::new(async move {
            let result = state.control.call(operation, params?).await?;
            Ok(Bytes::from(serde_json::to_vec(&result).unwrap_or_default()))
        })
    })
}

unsafe extern "C" fn open_stream<C: Control>(
    data: *mut c_void,
    params: RawStr,
) -> RawObject<OpTable> {
    started(|| {
        // SAFETY: the caller owns a share; the text is alive for this call.
        let (state, params) = unsafe { (share::<Exported<C>>(data), params_of(params)) };
        Op::new(async move { state.control.open_stream(params?).await })
    })
}

unsafe extern "C" fn dial<C: Control>(
    data: *mut c_void,
    address: *const RawAddress,
) -> RawObject<OpTable> {
    started(|| {
        // SAFETY: the caller owns a share; the address is alive for this call.
        let (state, address) = unsafe { (share::<Exported<C>>(data), Address::from_raw(address)) };
        Op::new(async move { state.control.dial(address).await })
    })
}

unsafe extern "C" fn next_event<C: Control>(data: *mut c_void) -> RawObject<OpTable> {
    started(|| {
        // SAFETY: the caller owns a share.
        let state = unsafe { share::<Exported<C>>(data) };
        Op::new(async move {
            let event = state.control.next_event().await?;
            Ok(event.map(|event| Bytes::from(serde_json::to_vec(&event).unwrap_or_default())))
        })
    })
}

unsafe extern "C" fn close<C: Control>(
    data: *mut c_void,
    code: u64,
    reason: RawStr,
) -> RawObject<OpTable> {
    started(|| {
        // SAFETY: the caller owns a share; the text is alive for this call.
        let (state, reason) = unsafe { (share::<Exported<C>>(data), reason.get().to_owned()) };
        Op::new(async move { state.control.close(code, reason).await })
    })
}

macro_rules! plain {
    ($($name:ident)*) => {$(
        unsafe extern "C" fn $name<C: Control>(data: *mut c_void) -> RawObject<OpTable> {
            started(|| {
                // SAFETY: the caller owns a share.
                let state = unsafe { share::<Exported<C>>(data) };
                Op::new(async move { state.control.$name().await })
            })
        }
    )*};
}

plain! { accept_stream ping reset drain }
