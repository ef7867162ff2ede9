//! Very many clients at once.

use super::MIB;
use super::bystander::Bystander;
use super::grown;
use crate::harness::{Client, Connect, Gateway, Publish, Version};

const CROWD: usize = 2_000;

#[test]
fn two_thousand_subscribers_each_get_their_own_message() {
    let gateway = Gateway::start();
    let mut bystander = Bystander::at(&gateway);
    let before = gateway.resident();
    let mut crowd: Vec<Client> = (0..CROWD)
        .map(|n| {
            let version = if n % 2 == 0 {
                Version::V5
            } else {
                Version::V311
            };
            let connect = Connect::new(version, &format!("one-{n}"));
            let mut client = Client::connect(gateway.mqtt, connect);
            let topic = format!("crowd/{n}");
            assert_eq!(client.subscribe(&[(&topic, 1)]), [1]);
            client
        })
        .collect();
    let each = grown(&gateway, before) / CROWD as u64;
    let mut publisher = Client::connect(gateway.mqtt, Connect::v5("publisher"));
    for n in 0..CROWD {
        assert_eq!(
            publisher.publish(Publish::new(&format!("crowd/{n}"), n.to_string(), 1)),
            0
        );
    }
    for (n, client) in crowd.iter_mut().enumerate() {
        assert_eq!(client.message().text(), n.to_string());
    }
    bystander.is_served();
    assert!(each < MIB / 10, "{each} bytes for each");
}
