use super::*;

fn options(value: Value) -> Options {
    serde_json::from_value(value).unwrap()
}

fn credentials() -> Credentials {
    let all = json!({
        "lab": {
            "username": "lab", "password": { "env": "LAB" },
            "roles": {
                "enable": { "password": { "env": "ENABLE" } },
                "bmc": { "username": "admin" },
            },
        },
        "console": { "user": "port7", "password": { "env": "CONSOLE" } },
    });
    Credentials(serde_json::from_value(all).unwrap())
}

#[test]
fn a_role_stands_in_the_place_of_what_it_says() {
    let all = credentials();
    let bmc = all.get("lab", Some("bmc")).unwrap();
    assert_eq!(*bmc, options(json!({ "username": "admin", "password": { "env": "LAB" } })));
    assert_eq!(all.get("lab", None).unwrap()["username"], "lab");
    let error = all.get("lab", Some("enabel")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().ends_with("(did you mean \"enable\"?)"), "{error}");
}

#[test]
fn a_login_has_the_names_and_passwords_that_it_names() {
    let all = credentials();
    let login = options(json!({
        "first": ["console", { "username": "menu" }],
        "then": ["term len 0", { "line": "enable", "role": "enable" }, { "line": "x", "role": "no" }],
    }));
    let own = all.get("lab", None).unwrap();
    let known = all.login(&login, Some(("lab", &own))).unwrap();
    let expected = json!({
        "username": "lab", "password": { "env": "LAB" },
        "first": [{ "username": "port7", "password": { "env": "CONSOLE" } }, { "username": "menu" }],
        "then": [
            "term len 0",
            { "line": "enable", "role": "enable", "password": { "env": "ENABLE" } },
            { "line": "x", "role": "no" },
        ],
    });
    assert_eq!(known, options(expected));
    let other = options(json!({ "first": ["consol"] }));
    let error = all.login(&other, None).unwrap_err();
    assert!(error.message().contains("did you mean \"console\"?"), "{error}");
}
