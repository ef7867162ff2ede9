//! Enhanced authentication (MQTT 5 section 4.12), of which the gateway knows no method: it is
//! refused as it must be.

use super::wire::{Wire, connect, frame, text};
use super::{cut_off, gateway, join};
use crate::harness::{Value, Version};

/// 5.0: MQTT-4.12.0-1, MQTT-4.12.0-4.
#[test]
fn mqtt_4_12_0_1_a_method_that_is_not_known_is_refused() {
    let gateway = gateway();
    for method in ["SCRAM-SHA-1", "", "x"] {
        let method = [&[0x15][..], &text(method)].concat();
        for data in [&[][..], &[0x16, 0, 2, 1, 2]] {
            let mut wire = Wire::open(&gateway);
            wire.send(&connect(5, 2, &[&method, data], &[&text("auth")]));
            let (first, body) = wire.expect();
            assert_eq!((first, &body[..2]), (0x20, &[0, 0x8C][..]));
            wire.expect_end();
        }
    }
}

/// 5.0: MQTT-4.12.0-6, MQTT-4.12.0-7, MQTT-3.15.2-1.
#[test]
fn mqtt_4_12_0_7_auth_without_a_method_is_a_protocol_error() {
    let gateway = gateway();
    let method = [&[0x15][..], &text("x")].concat();
    let length = [u8::try_from(method.len()).expect("short")];
    for packet in [
        frame(0xF0, &[]),
        frame(0xF0, &[&[0x18, 0]]),
        frame(0xF0, &[&[0x19], &length, &method]),
        frame(0xF0, &[&[0x00]]),
    ] {
        assert_eq!(
            cut_off(&gateway, Version::V5, &packet),
            Some(0x82),
            "{packet:02x?}"
        );
    }
    // And we never begin: neither AUTH nor a method in CONNACK.
    let mut client = join(&gateway, Version::V5, "no-auth");
    assert_eq!(
        client
            .granted
            .find(0x15)
            .map(|value| matches!(value, Value::Text(_))),
        None
    );
    client.ping();
}
