//! [`RequestRates`]: how often each user may ask within a second.

use super::problem::ApiProblem;
use crate::lock::IgnorePoison;
use hyper::StatusCode;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Users that are remembered at the same time; of more, those who come last are one.
const MOST: usize = 1024;

/// A second's requests at once, and one more for each part of a second that has passed (the generic cell rate
/// algorithm, ITU-T I.371).
#[derive(Debug, Default)]
pub(super) struct RequestRates {
    /// When each user has all its requests again.
    whole: Mutex<HashMap<String, Instant>>,
}

impl RequestRates {
    /// Counts a request of `user`, who may send `most` within a second. Those whom nobody knows are one user, by the
    /// empty name.
    ///
    /// # Errors
    /// 429: it has sent them.
    pub(super) fn admit(&self, user: &str, most: u32, now: Instant) -> Result<(), ApiProblem> {
        let mut whole = self.whole.lock().ignore_poison();
        if whole.len() >= MOST && !whole.contains_key(user) {
            whole.retain(|_, whole| *whole > now);
        }
        // One place is for the rest.
        let user = if whole.len() >= MOST && !whole.contains_key(user) { "" } else { user };
        let before = whole.get(user).copied().unwrap_or(now).max(now);
        let after = before + Duration::from_secs(1) / most.max(1);
        if after > now + Duration::from_secs(1) {
            let text = format!(
                "expected at most {most} requests within a second, as admin.max_requests says; try again later"
            );
            return Err(ApiProblem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", text));
        }
        match whole.get_mut(user) {
            Some(whole) => *whole = after,
            None => drop(whole.insert(user.to_owned(), after)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_a_second_of_requests_at_once_and_then_as_time_goes_by() {
        let (rates, now) = (RequestRates::default(), Instant::now());
        let at = |user, millis| rates.admit(user, 4, now + Duration::from_millis(millis)).is_ok();
        assert_eq!([0; 5].map(|time| at("one", time)), [true, true, true, true, false]);
        assert!(at("other", 0), "another user has requests of its own");
        assert_eq!([249, 250, 251, 500].map(|time| at("one", time)), [false, true, false, true]);
        assert_eq!([9_000; 5].map(|time| at("one", time)), [true, true, true, true, false]);
    }

    #[test]
    fn users_that_are_remembered_are_bounded_and_the_rest_are_one() {
        let (rates, now) = (RequestRates::default(), Instant::now());
        for number in 0..MOST {
            rates.admit(&number.to_string(), 1, now).unwrap();
        }
        rates.admit("one more", 1, now).unwrap();
        rates.admit("and one more", 1, now).unwrap_err();
        assert_eq!(rates.whole.lock().ignore_poison().len(), MOST + 1);
        rates.admit("one more", 1, now + Duration::from_secs(2)).unwrap();
        assert_eq!(rates.whole.lock().ignore_poison().len(), 1);
    }
}
