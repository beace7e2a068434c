//! [`Grants`]: what a client of a listener has subscribed to, and what waits for the destination's answer.

use crate::asked::Answering;
use crate::packet::{Filter, Publication};
use crate::topic::{matches, shared};
use std::collections::HashMap;

/// The most subscriptions of one client.
const MOST: usize = 1024;

/// The most questions to the destination at the same time.
const QUESTIONS: usize = 64;

/// What the destination was asked about: a SUBSCRIBE, an UNSUBSCRIBE, an operation.
pub(crate) enum Question {
    Subscribe { id: u16, filters: Vec<Filter>, number: Option<u32> },
    Unsubscribe { id: u16, filters: Vec<String> },
    Call(Answering),
}

/// Subscriptions of one client.
#[derive(Default)]
pub(crate) struct Grants {
    granted: Vec<(Filter, Option<u32>)>,
    /// Whether it has ever subscribed: what comes before waits for that.
    pub(crate) begun: bool,
    questions: HashMap<u64, Question>,
    last: u64,
}

impl Grants {
    /// A question's number; `None` if too many wait.
    pub(crate) fn ask(&mut self, question: Question) -> Option<u64> {
        if self.questions.len() >= QUESTIONS {
            return None;
        }
        self.last += 1;
        self.questions.insert(self.last, question);
        Some(self.last)
    }

    /// The question with that number; once.
    pub(crate) fn answered(&mut self, number: u64) -> Option<Question> {
        self.questions.remove(&number)
    }

    /// Whether one more fits.
    pub(crate) fn has_room(&self, filter: &str) -> bool {
        self.granted.len() < MOST || self.granted.iter().any(|(known, _)| known.filter == filter)
    }

    /// Notes a subscription, in the place of one with the same filter.
    pub(crate) fn grant(&mut self, filter: Filter, number: Option<u32>) {
        self.granted.retain(|(known, _)| known.filter != filter.filter);
        self.granted.push((filter, number));
        self.begun = true;
    }

    /// Ends a subscription; whether there was one.
    pub(crate) fn end(&mut self, filter: &str) -> bool {
        let before = self.granted.len();
        self.granted.retain(|(known, _)| known.filter != filter);
        self.granted.len() < before
    }

    /// A message as the client is to have it: with the highest quality of service that was granted. `None` if it
    /// has not subscribed to it.
    pub(crate) fn fit(&self, mut publication: Publication) -> Option<Publication> {
        let fits = |filter: &Filter| matches(shared(&filter.filter).1, &publication.topic);
        let granted = self.granted.iter().filter(|(filter, _)| fits(filter));
        let (mut qos, mut numbers) = (None, Vec::new());
        for (filter, number) in granted {
            qos = Some(qos.unwrap_or(0).max(filter.qos));
            numbers.extend(number);
        }
        publication.qos = publication.qos.min(qos?);
        publication.properties.subscriptions = numbers;
        Some(publication)
    }
}
