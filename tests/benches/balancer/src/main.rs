//! Picks of the balancer beside those of pingora-load-balancing and tower, in one run.
//!
//! `cargo run --release --manifest-path tests/benches/balancer/Cargo.toml`
//!
//! Rounds alternate between all of them, and medians are compared. Ours is the whole of what opening
//! a session needs: the pick, the count of what is in flight up and down again, and, where the line
//! says so, reading the clock. Theirs: `select`, which answers with a copy of the backend but counts
//! nothing; and `ready` and `call` of a service that does nothing, which counts.

#[path = "../../measure.rs"]
#[allow(dead_code, reason = "shared by several benches")]
mod measure;
mod ours;
mod pingora;
mod tower_p2c;

const TARGETS: [usize; 3] = [8, 100, 10_000];
const ROUNDS: usize = 9;
const PICKS: u32 = 200_000;

/// Something that picks once.
pub(crate) struct Picker {
    name: String,
    pick: Box<dyn FnMut()>,
}

impl Picker {
    pub(crate) fn new(name: impl Into<String>, pick: impl FnMut() + 'static) -> Self {
        Picker { name: name.into(), pick: Box::new(pick) }
    }
}

fn main() {
    for count in TARGETS {
        println!("{count} targets");
        let mut pickers = ours::pickers(count);
        pickers.extend(pingora::pickers(count));
        pickers.push(tower_p2c::picker(count));
        let mut times = vec![Vec::new(); pickers.len()];
        for _ in 0..ROUNDS {
            for (picker, times) in pickers.iter_mut().zip(&mut times) {
                // What looks at every target would take all the time.
                let slow = picker.name.contains("least_connections") && count > 1_000;
                let picks = if slow { PICKS / 100 } else { PICKS };
                times.push(measure::nanos_each(picks, &mut picker.pick));
            }
        }
        let medians: Vec<f64> = times.into_iter().map(measure::median).collect();
        for (picker, median) in pickers.iter().zip(&medians) {
            measure::line(&format!("  {}", picker.name), *median, "ns");
        }
        let of = |name: &str| {
            let found = pickers.iter().position(|picker| picker.name == name);
            medians[found.expect("a picker of that name")]
        };
        for (ours, theirs) in [
            ("round_robin", "pingora RoundRobin"),
            ("random", "pingora Random"),
            ("consistent_hash", "pingora Consistent"),
            ("power_of_two", "tower p2c"),
        ] {
            let ratio = of(ours) / of(theirs);
            measure::ratio(&format!("  {ours} / {theirs}"), ratio, "<= 0.3");
        }
    }
}
