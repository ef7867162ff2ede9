//! JSON Web Tokens in the password field.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PSS_SHA512, RsaKeyPair,
};
use ring::{hmac, rand, signature};
use serde_json::{Value, json};

use super::*;
use crate::harness::{Agent, Publish};
use crate::tools::Tools;

const SECRET: &str = "a secret that is long enough for HS256";

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

fn claims(user: &str) -> Value {
    json!({"sub": user, "exp": now() + 3600, "roles": ["agent"], "rooms": ["lab"]})
}

/// `{header}.{claims}`, to be signed.
fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn joined(message: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{message}.{}", BASE64.encode(signature))
}

fn hs256(claims: &Value) -> String {
    let message = unsigned(&json!({"alg": "HS256", "typ": "JWT"}), claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    joined(&message, hmac::sign(&key, message.as_bytes()))
}

fn with_token(connect: Connect, token: &str) -> Connect {
    connect.by("ignored", token)
}

fn secret_site() -> Site {
    Site::bare().file("jwt_key_file", "secret", &format!("{SECRET}\n"))
}

#[test]
fn a_token_is_a_login_with_its_own_roles_and_rooms() {
    let gateway = secret_site().start();
    for connect_as in [Connect::v5("ann-1"), Connect::v311("ann-1")] {
        let mut ann = connect(&gateway, with_token(connect_as, &hs256(&claims("ann"))));
        assert_eq!(ann.subscribe(&[("rooms/lab/presence/agent/+", 1)]), [1]);
        ann.disconnect();
    }
    let mut without_user = Connect::v5("ann-1");
    without_user.password = Some(hs256(&claims("ann")).into_bytes());
    let mut ann = connect(&gateway, without_user);
    let task = r#"{"type":"x"}"#;
    assert_eq!(
        ann.publish(Publish::new("rooms/lab/handoff/dispatch/ann-1", task, 1)),
        0
    );
    assert_eq!(
        ann.publish(Publish::new("rooms/other/handoff/dispatch/ann-1", task, 1)),
        NOT_AUTHORIZED
    );
    assert_eq!(
        refused(
            &gateway,
            with_token(Connect::v5("bob"), &hs256(&claims("ann")))
        ),
        NOT_AUTHORIZED,
        "the client id is bound to the token's user"
    );
}

#[test]
fn bad_tokens_are_refused() {
    let site = secret_site()
        .with("auth.jwt_issuer", "https://issuer.example")
        .with("auth.jwt_audience", "hallward");
    let gateway = site.start();
    let good = json!({"sub": "ann", "exp": now() + 60, "iss": "https://issuer.example", "aud": ["x", "hallward"]});
    connect(&gateway, with_token(Connect::v5("ann"), &hs256(&good))).disconnect();
    let without = |claim: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("an object").remove(claim);
        hs256(&claims)
    };
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        hs256(&claims)
    };
    let token = hs256(&good);
    let (message, _) = token.rsplit_once('.').expect("three parts");
    let none = unsigned(&json!({"alg": "none"}), &good);
    let bad = [
        ("expired", with("exp", json!(now() - 10))),
        ("not yet", with("nbf", json!(now() + 1000))),
        ("no exp", without("exp")),
        ("no iss", without("iss")),
        ("other iss", with("iss", json!("https://other.example"))),
        ("other aud", with("aud", json!("other"))),
        ("no user", without("sub")),
        ("an empty user", with("sub", json!(""))),
        ("no signature", format!("{message}.")),
        ("cut", token[..token.len() - 2].to_owned()),
        ("alg none", format!("{none}.")),
        ("not a token", "eyJ.x.y".to_owned()),
    ];
    for (name, token) in bad {
        let code = refused(&gateway, with_token(Connect::v5("ann"), &token));
        assert_eq!(code, BAD_CREDENTIALS, "{name}");
    }
}

fn ec(algorithm: &'static signature::EcdsaSigningAlgorithm) -> (EcdsaKeyPair, SystemRandom) {
    let random = rand::SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("readable");
    (pair, random)
}

fn ec_jwk(pair: &EcdsaKeyPair, id: &str, curve: &str) -> Value {
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    json!({"kty": "EC", "crv": curve, "kid": id, "use": "sig", "x": BASE64.encode(x), "y": BASE64.encode(y)})
}

#[test]
fn a_key_set_knows_rsa_and_both_curves() {
    let (p256, random) = ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let (p384, _) = ec(&ECDSA_P384_SHA384_FIXED_SIGNING);
    let key = rsa_key();
    // Versions of openssl differ in how they wrap it.
    let rsa = RsaKeyPair::from_pkcs8(&key)
        .or_else(|_| RsaKeyPair::from_der(&key))
        .expect("readable");
    let public = rsa.public().clone();
    let components = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(&public);
    let set = json!({"keys": [
        ec_jwk(&p256, "small", "P-256"),
        ec_jwk(&p384, "large", "P-384"),
        {"kty": "RSA", "kid": "rsa", "n": BASE64.encode(&components.n), "e": BASE64.encode(&components.e)},
        {"kty": "RSA", "kid": "other", "use": "enc", "n": "AQAB", "e": "AQAB"},
    ]});
    let site = Site::bare().file("jwt_jwks_file", "jwks.json", &set.to_string());
    let gateway = site.start();
    let ec_token = |pair: &EcdsaKeyPair, algorithm: &str, id: &str| {
        let message = unsigned(&json!({"alg": algorithm, "kid": id}), &claims("ann"));
        joined(
            &message,
            pair.sign(&random, message.as_bytes()).expect("signed"),
        )
    };
    let rsa_token = |padding: &'static dyn signature::RsaEncoding, algorithm: &str, id: &str| {
        let message = unsigned(&json!({"alg": algorithm, "kid": id}), &claims("ann"));
        let mut signature = vec![0; public.modulus_len()];
        rsa.sign(padding, &random, message.as_bytes(), &mut signature)
            .expect("signed");
        joined(&message, signature)
    };
    for token in [
        ec_token(&p256, "ES256", "small"),
        ec_token(&p384, "ES384", "large"),
        rsa_token(&RSA_PKCS1_SHA256, "RS256", "rsa"),
        rsa_token(&RSA_PSS_SHA512, "PS512", "rsa"),
    ] {
        connect(&gateway, with_token(Connect::v5("ann"), &token)).disconnect();
    }
    // The public key as an HMAC secret, the oldest trick of all.
    let message = unsigned(&json!({"alg": "HS256", "kid": "rsa"}), &claims("ann"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, &components.n);
    let confused = joined(&message, hmac::sign(&key, message.as_bytes()));
    for token in [
        confused,
        ec_token(&p256, "ES256", "large"),
        ec_token(&p256, "ES256", "nobody"),
        rsa_token(&RSA_PKCS1_SHA256, "RS256", "small"),
    ] {
        let code = refused(&gateway, with_token(Connect::v5("ann"), &token));
        assert_eq!(code, BAD_CREDENTIALS, "{token}");
    }
    // A key that is taken out ends what it opened.
    let token = ec_token(&p256, "ES256", "small");
    let mut ann = connect(&gateway, with_token(Connect::v5("ann"), &token));
    let mut other = connect(
        &gateway,
        with_token(Connect::v5("ann-2"), &ec_token(&p384, "ES384", "large")),
    );
    site.write(
        "jwks.json",
        &json!({"keys": [ec_jwk(&p384, "large", "P-384")]}).to_string(),
    );
    assert!(reload(&gateway));
    assert_eq!(ann.expect_disconnect(), NOT_AUTHORIZED);
    other.ping();
    site.write("jwks.json", "{\n\"keys\": [\n");
    assert!(!reload(&gateway));
    logged(&gateway, "jwks.json:3: expected a JSON Web Key Set");
    other.ping();
}

/// Any RSA key; `openssl` makes one quicker than a page of numbers would read.
fn rsa_key() -> Vec<u8> {
    // Sees that it is installed.
    Tools::get();
    let output = std::process::Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-outform",
            "DER",
        ])
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn a_session_ends_with_its_token() {
    let gateway = secret_site().start();
    let brief = |user: &str| {
        let mut claims = claims(user);
        claims["exp"] = json!(now() + 4);
        hs256(&claims)
    };
    let mut ann = connect(&gateway, with_token(Connect::v5("ann"), &brief("ann")));
    let mut old = connect(&gateway, with_token(Connect::v311("bob"), &brief("bob")));
    let mut long = Agent::join_as(
        &gateway,
        "lab",
        with_token(Connect::v5("eve"), &hs256(&claims("eve"))),
    );
    assert_eq!(ann.expect_disconnect(), 0xA0);
    old.expect_closed();
    long.ping();
    assert_eq!(refusals(&gateway, "expired"), 2);
}

#[test]
fn files_of_users_go_on_where_the_token_is_silent() {
    let site = secret_site().file("users_file", "users.toml", USERS);
    let gateway = site.start();
    let bare = hs256(&json!({"sub": "wes", "exp": now() + 60}));
    let mut wes = connect(&gateway, with_token(Connect::v5("wes"), &bare));
    assert_eq!(wes.subscribe(&[("rooms/lab/handoff/work/x", 1)]), [1]);
    let words = hs256(
        &json!({"sub": "wes", "exp": now() + 60, "roles": "observer jester", "rooms": "dev-1 a/b"}),
    );
    let mut wes = connect(&gateway, with_token(Connect::v5("wes-2"), &words));
    let no = NOT_AUTHORIZED;
    let filters = [
        ("rooms/lab/presence/agent/+", 1),
        ("rooms/dev-1/presence/agent/+", 1),
        ("rooms/dev-1/handoff/work/x", 1),
    ];
    assert_eq!(wes.subscribe(&filters), [no, 1, no]);
}
