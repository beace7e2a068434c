//! tower's power of two choices by pending requests.

use crate::Picker;
use futures_util::FutureExt;
use std::convert::Infallible;
use std::hint::black_box;
use std::task::{Context, Waker};
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PendingRequests};
use tower::{Service, service_fn};

pub(crate) fn picker(count: usize) -> Picker {
    let service = || service_fn(|(): ()| std::future::ready(Ok::<(), Infallible>(())));
    let services = (0..count).map(|_| PendingRequests::new(service(), CompleteOnResponse::default()));
    let mut balance = Balance::new(ServiceList::new(services.collect::<Vec<_>>()));
    Picker::new("tower p2c", move || {
        let mut context = Context::from_waker(Waker::noop());
        assert!(balance.poll_ready(&mut context).is_ready());
        let _ = black_box(balance.call(()).now_or_never()).expect("an answer at once");
    })
}
