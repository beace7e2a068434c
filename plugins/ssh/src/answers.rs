//! [`Answers`] to questions of `keyboard-interactive` (RFC 4256), and [`Questions`], one login with them.

use crate::failure::printable;
use crate::options::Answer;
use jackfield_plugin_api::{Error, ErrorKind, Result, Secret};
use regex::Regex;
use std::sync::LazyLock;

/// The option `answers`, checked.
#[derive(Debug, Default)]
pub(crate) struct Answers(Vec<(Regex, Secret)>);

impl Answers {
    /// # Errors
    /// A question that is no regular expression.
    pub(crate) fn new(answers: &[Answer]) -> Result<Self> {
        let compiled = answers.iter().enumerate().map(|(at, Answer { question, answer })| {
            let question = Regex::new(question).map_err(|error| {
                Error::option("answers", format!("question {}: {error}", at + 1))
            })?;
            Ok((question, answer.clone()))
        });
        compiled.collect::<Result<_>>().map(Answers)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What servers say of a password that must be changed before anything else, and how they ask for a new one.
static EXPIRED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)new (unix )?password|password (has |is )?expired|(change|changing) (your )?password",
    )
    .ok()
});
/// A question for the name of the account.
static ACCOUNT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)^\s*(user ?name|user|login|account)\s*:?\s*$").ok());

fn says(pattern: &Option<Regex>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

/// One login by questions: knows what was answered already.
pub(crate) struct Questions<'a> {
    answers: &'a Answers,
    password: Option<&'a Secret>,
    user: &'a str,
    password_given: bool,
    answered: Vec<String>,
    /// The last hidden question that no answer fits.
    pub(crate) open: Option<String>,
}

impl<'a> Questions<'a> {
    pub(crate) fn new(answers: &'a Answers, password: Option<&'a Secret>, user: &'a str) -> Self {
        Questions {
            answers,
            password,
            user,
            password_given: false,
            answered: Vec::new(),
            open: None,
        }
    }

    /// The answers to one round of questions, each with whether it may be shown while it is typed. `notice` is what
    /// the server says about the round.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`]: an answer was not accepted, or the password has expired.
    pub(crate) fn round(
        &mut self,
        notice: &str,
        questions: &[(&str, bool)],
    ) -> Result<Vec<String>> {
        questions.iter().map(|(question, shown)| self.answer(notice, question, *shown)).collect()
    }

    fn answer(&mut self, notice: &str, question: &str, shown: bool) -> Result<String> {
        let found = self.answers.0.iter().find(|(pattern, _)| pattern.is_match(question));
        if let Some((_, answer)) = found {
            if self.answered.iter().any(|before| before == question) {
                let message = "the server asks again: the answer was not accepted";
                return Err(Error::new(ErrorKind::Denied, message)
                    .with("question", printable(question.trim())));
            }
            self.answered.push(question.to_owned());
            return Ok(answer.expose().to_owned());
        }
        if says(&EXPIRED, question) || (!shown && self.password_given && says(&EXPIRED, notice)) {
            let message = "the password has expired: the server wants a new one; change it with another client";
            return Err(
                Error::new(ErrorKind::Denied, message).with("question", printable(question.trim()))
            );
        }
        if shown {
            return Ok(if says(&ACCOUNT, question) { self.user } else { "" }.to_owned());
        }
        match self.password.filter(|_| !self.password_given) {
            Some(password) => {
                self.password_given = true;
                Ok(password.expose().to_owned())
            }
            None => {
                self.open = Some(printable(question.trim()));
                Ok(String::new())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(list: &[(&str, &str)]) -> Answers {
        let list: Vec<_> = list
            .iter()
            .map(|(question, answer)| Answer {
                question: (*question).to_owned(),
                answer: Secret::new(*answer),
            })
            .collect();
        Answers::new(&list).expect("answers")
    }

    #[test]
    fn each_question_gets_the_answer_that_fits_it() {
        let answers = answers(&[("(?i)token", "123456"), ("yes/no", "yes")]);
        let password = Secret::new("pw");
        let mut login = Questions::new(&answers, Some(&password), "lab");
        let round = login.round("", &[("Press Enter: ", true), ("Username: ", true)]);
        assert_eq!(round.expect("answers"), ["", "lab"]);
        let round = login
            .round("", &[("Password: ", false), ("Token: ", false), ("Sure (yes/no)? ", true)]);
        assert_eq!(round.expect("answers"), ["pw", "123456", "yes"]);
        let again = login.round("", &[("Token: ", false)]).expect_err("a denial");
        assert_eq!((again.kind(), login.open.as_deref()), (ErrorKind::Denied, None));
    }

    #[test]
    fn the_password_is_given_once_and_what_has_no_answer_is_remembered() {
        let (none, password) = (Answers::default(), Secret::new("pw"));
        let mut login = Questions::new(&none, Some(&password), "lab");
        assert_eq!(login.round("", &[("Password: ", false)]).expect("answers"), ["pw"]);
        assert_eq!(login.round("", &[("OTP: ", false)]).expect("answers"), [""]);
        assert_eq!(login.open.as_deref(), Some("OTP:"));
    }

    #[test]
    fn a_password_that_must_be_changed_is_told_at_once() {
        let (none, password) = (Answers::default(), Secret::new("pw"));
        for (notice, question) in [
            ("Your password has expired", "Current password: "),
            ("", "New password: "),
            ("", "(current) UNIX password: Changing password for lab"),
        ] {
            let mut login = Questions::new(&none, Some(&password), "lab");
            login.round("", &[("Password: ", false)]).expect("answers");
            let error = login.round(notice, &[(question, false)]).expect_err("a denial");
            assert!(
                error.message().contains("expired") && !error.to_string().contains("pw"),
                "{error}"
            );
        }
        let answers = answers(&[("New password", "n3w")]);
        let mut login = Questions::new(&answers, Some(&password), "lab");
        assert_eq!(login.round("", &[("New password: ", false)]).expect("answers"), ["n3w"]);
    }

    #[test]
    fn a_question_that_is_no_expression_is_refused_by_its_place() {
        let wrong = [Answer { question: "(".to_owned(), answer: Secret::new("s3cret") }];
        let error = Answers::new(&wrong).expect_err("a refusal").to_string();
        assert!(error.contains("option=answers") && error.contains("question 1"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
