//! The query of a request: its pairs, and whether its endpoint takes them.

use super::endpoints::Endpoint;
use super::problem::ApiProblem;
use crate::nearest::did_you_mean;
use percent_encoding::percent_decode_str;

/// The parameter that may be there several times.
const REPEATED: &str = "filter";

/// The pairs of a query.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let parts = query.split('&').filter(|part| !part.is_empty());
    let split = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
    split.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

/// Whether `endpoint` takes all pairs of a query, each once.
///
/// # Errors
/// A parameter that it does not have, with the nearest that it has, and one that is there twice. What is not below
/// `/v1` is asked by programs of others, which may add to a query what they like.
pub(super) fn judge(endpoint: &Endpoint, query: &[(String, String)]) -> Result<(), ApiProblem> {
    if !endpoint.path.starts_with("/v1/") {
        return Ok(());
    }
    let known = || endpoint.query.iter().map(|(name, _)| *name);
    for (index, (name, _)) in query.iter().enumerate() {
        if !known().any(|it| it == name) {
            let near = did_you_mean(name, known());
            let expected = match known().collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => "expected no query".to_owned(),
                names => format!("expected one of {names}"),
            };
            let problem = ApiProblem::of_parameter(name, format!("unknown parameter; {expected}"));
            return Err(problem.near(near));
        }
        if name != REPEATED && query.iter().take(index).any(|(before, _)| before == name) {
            return Err(ApiProblem::of_parameter(name, "expected it once"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::endpoints::ENDPOINTS;
    use super::*;

    #[test]
    fn every_endpoint_takes_its_own_parameters_once_and_no_others() {
        for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.path.starts_with("/v1/")) {
            let one = |name: &str| (name.to_owned(), "x".to_owned());
            for (name, _) in endpoint.query {
                assert!(judge(endpoint, &[one(name)]).is_ok(), "{} {name}", endpoint.path);
                let twice = judge(endpoint, &[one(name), one(name)]);
                assert_eq!(twice.is_ok(), *name == REPEATED, "{} {name}", endpoint.path);
                let mistyped = judge(endpoint, &[one(&format!("{name}x"))]).unwrap_err().to_json();
                assert_eq!(mistyped["nearest"], *name, "{} {mistyped}", endpoint.path);
            }
            let unknown = judge(endpoint, &[one("qqqqqq")]).unwrap_err().to_json();
            assert_eq!(unknown["parameter"], "qqqqqq", "{} {unknown}", endpoint.path);
        }
    }

    #[test]
    fn a_query_is_read_as_forms_write_it() {
        let expected = [("a b", "1&2"), ("c", "")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(pairs("a+b=1%262&&c"), expected);
    }
}
