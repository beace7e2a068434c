//! pingora-load-balancing.

use crate::Picker;
use futures_util::FutureExt;
use pingora_load_balancing::LoadBalancer;
use pingora_load_balancing::selection::{
    BackendIter, BackendSelection, Consistent, Random, RoundRobin,
};
use std::hint::black_box;

pub(crate) fn pickers(count: usize) -> Vec<Picker> {
    vec![
        picker::<RoundRobin>("pingora RoundRobin", count),
        picker::<Random>("pingora Random", count),
        picker::<Consistent>("pingora Consistent", count),
    ]
}

fn picker<S>(name: &str, count: usize) -> Picker
where
    S: BackendSelection + 'static,
    S::Iter: BackendIter,
    S::Config: Send + Sync,
{
    let addresses = (0..count).map(|at| format!("10.0.{}.{}:80", at / 250, at % 250 + 1));
    let balancer = LoadBalancer::<S>::try_from_iter(addresses).expect("addresses");
    balancer.update().now_or_never().expect("no waiting").expect("an update");
    let mut key = 0_u64;
    Picker::new(name, move || {
        key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
        black_box(balancer.select(&key.to_ne_bytes(), 256)).expect("a backend");
    })
}
