//! [`Buckets`]: how many answers each client may have now.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has its answer.
    Answer,
    /// It is the first one too many: the client is told so.
    Kiss,
    /// It is dropped.
    Drop,
}

/// A bucket of answers for each address, which fills with time.
#[derive(Debug)]
pub(crate) struct Buckets {
    /// Answers in a second; 0: any number.
    pub(crate) rate: f64,
    pub(crate) burst: f64,
    /// The most addresses.
    pub(crate) most: usize,
    clients: HashMap<IpAddr, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    answers: f64,
    at: Duration,
    kissed: Option<Duration>,
}

/// The least time between two kisses for one client, so that they are no more than its requests.
const KISSES: Duration = Duration::from_secs(1);

impl Buckets {
    pub(crate) fn new(rate: f64, burst: u32, most: usize) -> Self {
        Buckets { rate, burst: f64::from(burst), most, clients: HashMap::new() }
    }

    /// A request has come from `client`.
    pub(crate) fn take(&mut self, client: IpAddr, now: Duration) -> Verdict {
        if self.rate <= 0.0 {
            return Verdict::Answer;
        }
        let client = network(client);
        let (rate, burst) = (self.rate, self.burst);
        let filled = |bucket: &Bucket| {
            let since = now.saturating_sub(bucket.at).as_secs_f64();
            (bucket.answers + since * rate).min(burst)
        };
        if !self.clients.contains_key(&client) && self.clients.len() >= self.most {
            // Those whose buckets are full are as if they had never come.
            self.clients.retain(|_, bucket| filled(bucket) < burst);
            if self.clients.len() >= self.most {
                return Verdict::Drop;
            }
        }
        let fresh = Bucket { answers: burst, at: now, kissed: None };
        let bucket = self.clients.entry(client).or_insert(fresh);
        (bucket.answers, bucket.at) = (filled(bucket), now);
        if bucket.answers >= 1.0 {
            bucket.answers -= 1.0;
            return Verdict::Answer;
        }
        if bucket.kissed.is_some_and(|kissed| now.saturating_sub(kissed) < KISSES) {
            return Verdict::Drop;
        }
        bucket.kissed = Some(now);
        Verdict::Kiss
    }
}

/// One client may have any address of its /64.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_client_that_asks_too_often_is_told_once_and_then_dropped() {
        let mut buckets = Buckets::new(1.0, 2, 10);
        let heard: Vec<_> = (0..4).map(|_| buckets.take(A, at(1))).collect();
        assert_eq!(heard, [Verdict::Answer, Verdict::Answer, Verdict::Kiss, Verdict::Drop]);
        assert_eq!(buckets.take(A, at(2)), Verdict::Answer);
        assert_eq!(buckets.take(A, at(2)), Verdict::Kiss);
    }

    #[test]
    fn clients_are_bounded_and_those_at_rest_make_room() {
        let mut buckets = Buckets::new(1.0, 2, 2);
        let client = |last| IpAddr::from([10, 0, 0, last]);
        for last in 1..=2 {
            assert_eq!(buckets.take(client(last), at(1)), Verdict::Answer);
        }
        assert_eq!(buckets.take(client(3), at(1)), Verdict::Drop);
        assert_eq!(buckets.take(client(3), at(9)), Verdict::Answer);
        assert_eq!(buckets.clients.len(), 1);
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let mut buckets = Buckets::new(1.0, 1, 10);
        let client = |text: &str| text.parse().expect("an address");
        assert_eq!(buckets.take(client("2001:db8::1"), at(1)), Verdict::Answer);
        assert_eq!(buckets.take(client("2001:db8::2"), at(1)), Verdict::Kiss);
        assert_eq!(buckets.take(client("2001:db8:0:1::1"), at(1)), Verdict::Answer);
        assert_eq!(buckets.take(client("::ffff:10.0.0.1"), at(1)), Verdict::Answer);
        assert_eq!(buckets.take(client("10.0.0.1"), at(1)), Verdict::Kiss);
    }
}
