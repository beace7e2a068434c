//! [`PeerRates`]: how often each address may connect within a time.

use super::options::ConnectionRate;
use crate::lock::IgnorePoison;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Addresses that are remembered at the same time. When there are more who come at once, those are let in.
const MOST: usize = 65_536;

/// How long a full table is left as it is before it is looked through again.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts how often addresses connect, by the generic cell rate algorithm (ITU-T I.371): so many at once, and one more
/// for each part of the time that has passed.
#[derive(Debug)]
pub(super) struct PeerRates {
    pub(super) rate: ConnectionRate,
    table: Mutex<RateTable>,
}

#[derive(Debug, Default)]
struct RateTable {
    /// When each address has all its connections again.
    whole: HashMap<IpAddr, Instant>,
    looked_through: Option<Instant>,
}

impl PeerRates {
    pub(super) fn new(rate: ConnectionRate) -> Self {
        PeerRates { rate, table: Mutex::default() }
    }

    /// Whether `address` may connect once more now. An IPv6 address is one with all of its network of 64 bits, which
    /// is what one customer has at least.
    pub(super) fn admit(&self, address: IpAddr, now: Instant) -> bool {
        let each = self.rate.per / self.rate.connections.max(1);
        let mut table = self.table.lock().ignore_poison();
        let key = key_of(address);
        let known = table.whole.get(&key).copied();
        let whole = known.unwrap_or(now).max(now) + each;
        if whole > now + self.rate.per {
            return false;
        }
        if known.is_some() || table.has_room(now) {
            table.whole.insert(key, whole);
        }
        true
    }
}

impl RateTable {
    /// Whether one more can be remembered; those that have all their connections need not be.
    fn has_room(&mut self, now: Instant) -> bool {
        let is_due = self.looked_through.is_none_or(|before| now >= before + PAUSE);
        if self.whole.len() >= MOST && is_due {
            self.whole.retain(|_, whole| *whole > now);
            self.looked_through = Some(now);
        }
        self.whole.len() < MOST
    }
}

fn key_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn rates(connections: u32, per: u64) -> PeerRates {
        PeerRates::new(ConnectionRate { connections, per: Duration::from_secs(per) })
    }

    #[test]
    fn an_address_connects_so_often_at_once_and_then_as_time_goes_by() {
        let (rates, now) = (rates(3, 30), Instant::now());
        let [one, other] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        let at = |address, seconds| rates.admit(address, now + Duration::from_secs(seconds));
        assert_eq!([0, 0, 0, 0].map(|second| at(one, second)), [true, true, true, false]);
        assert!(at(other, 0), "another address has a count of its own");
        assert_eq!([9, 10, 11, 20].map(|second| at(one, second)), [false, true, false, true]);
        assert_eq!([60, 60, 60, 60].map(|second| at(one, second)), [true, true, true, false]);
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_and_ipv4_is_ipv4() {
        let (rates, now) = (rates(1, 30), Instant::now());
        let address = |text: &str| text.parse::<IpAddr>().expect(text);
        assert!(rates.admit(address("2001:db8:0:1::1"), now));
        assert!(!rates.admit(address("2001:db8:0:1:ffff::2"), now));
        assert!(rates.admit(address("2001:db8:0:2::1"), now));
        assert!(rates.admit(address("10.0.0.1"), now));
        assert!(!rates.admit(address("::ffff:10.0.0.1"), now));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgets_who_has_been_away() {
        let (rates, now) = (rates(1, 30), Instant::now());
        let network = |number: u128| IpAddr::V6(Ipv6Addr::from_bits(number << 64));
        (0..MOST as u128).for_each(|number| assert!(rates.admit(network(number), now)));
        let one_more = network(MOST as u128);
        assert!(rates.admit(one_more, now) && rates.admit(one_more, now), "it is not remembered");
        assert!(!rates.admit(network(0), now), "the others are");
        let later = now + Duration::from_secs(31);
        assert!(rates.admit(one_more, later) && !rates.admit(one_more, later));
        assert_eq!(rates.table.lock().ignore_poison().whole.len(), 1);
    }
}
