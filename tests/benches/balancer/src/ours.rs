//! Every strategy of this project.

use crate::Picker;
use jackfield_balancer::{Balancer, HealthOptions, STRATEGIES, Spec, StrategyInfo, Tried};
use std::hint::black_box;
use tokio::time::Instant;

pub(crate) fn pickers(count: usize) -> Vec<Picker> {
    let mut pickers: Vec<Picker> = STRATEGIES.iter().map(|info| picker(info, count)).collect();
    pickers.push(with_clock(&STRATEGIES[0], count));
    pickers
}

fn balancer(info: &'static StrategyInfo, count: usize) -> Balancer<usize> {
    let specs = (0..count).map(|at| Spec::new(format!("tcp://target-{at}:1"), at)).collect();
    Balancer::new(specs, info, HealthOptions::default()).expect("unique names")
}

fn picker(info: &'static StrategyInfo, count: usize) -> Picker {
    let (balancer, now, tried) = (balancer(info, count), Instant::now(), Tried::default());
    let mut key = 0_u64;
    Picker::new(info.name, move || {
        key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
        black_box(balancer.take(Some(key), now, &tried));
    })
}

fn with_clock(info: &'static StrategyInfo, count: usize) -> Picker {
    let (balancer, tried) = (balancer(info, count), Tried::default());
    Picker::new(format!("{} and the clock", info.name), move || {
        black_box(balancer.take(None, Instant::now(), &tried));
    })
}
