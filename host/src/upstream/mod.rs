//! Upstreams: named sets of targets. Which one serves is decided here, round robin by weight; one
//! that cannot be reached is passed over for the next within the same deadline.

use crate::connection::Target;
use jackfield_plugin_api::{Error, ErrorKind, Result, Session};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A target and how often it is to serve.
#[derive(Debug)]
pub struct Weighted {
    /// Where to.
    pub target: Target,
    /// Its share; at least 1.
    pub weight: u32,
}

/// A named set of targets.
#[derive(Debug)]
pub struct Upstream {
    name: String,
    targets: Vec<Weighted>,
    /// Target numbers in the order of serving, for one round.
    round: Vec<u32>,
    turn: AtomicUsize,
    connect_timeout: Duration,
}

/// The longest round; larger weights are scaled down to it.
const MAX_ROUND: u64 = 4096;

impl Upstream {
    /// An upstream over `targets`, of which there is at least one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without a target.
    pub fn new(name: &str, targets: Vec<Weighted>, connect_timeout: Duration) -> Result<Self> {
        if targets.is_empty() {
            let text = format!("upstream {name:?} has no targets");
            return Err(Error::new(ErrorKind::Config, text));
        }
        let weights: Vec<u32> = targets.iter().map(|target| target.weight).collect();
        let round = smooth_round(&weights);
        Ok(Upstream {
            name: name.to_owned(),
            targets,
            round,
            turn: AtomicUsize::new(0),
            connect_timeout,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its targets.
    pub fn targets(&self) -> &[Weighted] {
        &self.targets
    }

    /// Opens a session to the target whose turn it is, or to the next ones as long as they cannot be
    /// reached, each once, all within the connect timeout. Cancel safe.
    ///
    /// # Errors
    /// The last target's, saying how many were tried.
    pub async fn open(&self) -> Result<Session> {
        let deadline = Instant::now() + self.connect_timeout;
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.round.len();
        let mut tried: Vec<u32> = Vec::new();
        for step in 0..self.round.len() {
            let number = self.round[(first + step) % self.round.len()];
            if tried.contains(&number) {
                continue;
            }
            tried.push(number);
            let left = deadline.saturating_duration_since(Instant::now());
            let target = &self.targets[number as usize].target;
            match target.open(left).await {
                Ok(session) => return Ok(session),
                Err(error) => {
                    let last = tried.len() == self.targets.len();
                    // Our own mistakes are the same everywhere; a target's are its own.
                    let hopeless =
                        matches!(error.kind(), ErrorKind::Config | ErrorKind::Unsupported);
                    if last || hopeless || deadline <= Instant::now() {
                        let tried = tried.len();
                        return Err(error.with("upstream", &self.name).with("tried", tried));
                    }
                    tracing::warn!(upstream = self.name, %error, "trying the next target");
                }
            }
        }
        Err(Error::new(ErrorKind::Unreachable, "no target left").with("upstream", &self.name))
    }
}

/// One round of smooth weighted round robin: shares are exact and no target serves in bursts.
fn smooth_round(weights: &[u32]) -> Vec<u32> {
    let total: u64 = weights.iter().map(|weight| u64::from((*weight).max(1))).sum();
    let scale = total.div_ceil(MAX_ROUND).max(1);
    let weights: Vec<i64> = weights
        .iter()
        .map(|weight| i64::try_from((u64::from(*weight) / scale).max(1)).unwrap_or(1))
        .collect();
    let total: i64 = weights.iter().sum();
    let mut credit = vec![0_i64; weights.len()];
    (0..total)
        .filter_map(|_| {
            for (credit, weight) in credit.iter_mut().zip(&weights) {
                *credit += weight;
            }
            // The first of equals, so that the order of the file is kept.
            let best = (0..credit.len()).rev().max_by_key(|index| credit[*index])?;
            credit[best] -= total;
            u32::try_from(best).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_gives_exact_shares_without_bursts() {
        assert_eq!(smooth_round(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(smooth_round(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(smooth_round(&[1, 2]), [1, 0, 1]);
    }

    #[test]
    fn large_weights_keep_their_proportion_in_a_bounded_round() {
        let round = smooth_round(&[3_000_000, 1_000_000]);
        assert!(round.len() as u64 <= MAX_ROUND + 2);
        let heavy = round.iter().filter(|index| **index == 0).count();
        assert!((heavy * 100 / round.len()).abs_diff(75) <= 1, "{heavy} of {}", round.len());
    }
}
