//! A virtual host for each test.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use shared::topology;
use uuid::Uuid;

use crate::Servers;

/// The test's own part of the broker.
pub struct VirtualHost {
    name: String,
    /// `amqp://..` of the virtual host.
    pub url: String,
    management: String,
    user: String,
}

/// What stands in the dead-letter queue.
#[derive(Debug)]
pub struct DeadLetter {
    /// The body.
    pub body: String,
    /// The headers that are text.
    pub headers: BTreeMap<String, String>,
}

impl DeadLetter {
    /// The stable reason.
    pub fn reason(&self) -> &str {
        self.headers.get(topology::REASON_HEADER).map_or("", String::as_str)
    }

    /// The sentence for people.
    pub fn detail(&self) -> &str {
        self.headers.get(topology::DETAIL_HEADER).map_or("", String::as_str)
    }
}

impl VirtualHost {
    /// Creates a virtual host.
    pub async fn create(servers: &Servers, name: &str) -> Self {
        let (base, _) = servers.amqp.rsplit_once('/').expect("a URL with a virtual host");
        let user = base.rsplit_once("//").and_then(|(_, rest)| rest.split(':').next()).expect("a user");
        let (management, user) = (servers.management.clone(), user.to_owned());
        let host = Self { name: name.to_owned(), url: format!("{base}/{name}"), management, user };
        host.ensure().await;
        host
    }

    /// Makes sure that the virtual host exists: a broker that was wiped has forgotten it.
    pub async fn ensure(&self) {
        let Self { name, user, .. } = self;
        self.manage(Method::PUT, &format!("vhosts/{name}"), None).await;
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        self.manage(Method::PUT, &format!("permissions/{name}/{user}"), Some(all)).await;
    }

    /// Creates a user for another system, with the rights that the document for publishers gives it; returns its URL.
    pub async fn publisher(&self, user: &str) -> String {
        let (user, password) = (format!("{}-{user}", self.name), Uuid::now_v7().simple().to_string());
        let account = json!({ "password": password, "tags": "" });
        self.manage(Method::PUT, &format!("users/{user}"), Some(account)).await;
        let [configure, write, read] = documented_rights();
        let rights = json!({ "configure": configure, "write": write, "read": read });
        self.manage(Method::PUT, &format!("permissions/{}/{user}", self.name), Some(rights)).await;
        let (_, place) = self.url.rsplit_once('@').expect("a URL with a user");
        format!("amqp://{user}:{password}@{place}")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A call of the management interface.
    pub async fn manage(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/api/{path}", self.management);
        let request = Client::new().request(method, &url).timeout(Duration::from_secs(30));
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = request.send().await.expect("calling the management interface");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap_or(Value::Null)
    }

    /// Breaks every connection of the virtual host; returns how many there were.
    pub async fn close_connections(&self) -> usize {
        let path = format!("vhosts/{}/connections", self.name);
        let connections = self.manage(Method::GET, &path, None).await;
        let connections = connections.as_array().cloned().unwrap_or_default();
        for connection in &connections {
            // Names hold spaces and arrows.
            let bytes = connection["name"].as_str().unwrap().bytes();
            let name: Vec<String> = bytes.map(|byte| format!("%{byte:02X}")).collect();
            self.manage(Method::DELETE, &format!("connections/{}", name.concat()), None).await;
        }
        connections.len()
    }

    /// A channel with confirms of its own connection, after making sure of the topology.
    pub async fn channel(&self) -> (Connection, Channel) {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        topology::declare(&channel).await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        (connection, channel)
    }

    /// Publishes bodies as another system would: each again until the broker has confirmed it. A quorum queue that was
    /// declared this moment may refuse its first message, because its members still choose their leader.
    pub async fn publish(&self, routing_key: &str, bodies: &[Vec<u8>]) {
        self.publish_with(routing_key, &[], bodies).await;
    }

    /// As [`VirtualHost::publish`], with headers.
    pub async fn publish_with(&self, routing_key: &str, headers: &[(&str, &str)], bodies: &[Vec<u8>]) {
        let (_connection, channel) = self.channel().await;
        let headers: BTreeMap<ShortString, AMQPValue> = headers
            .iter()
            .map(|(name, value)| ((*name).into(), AMQPValue::LongString((*value).into())))
            .collect();
        for body in bodies {
            crate::eventually("the broker takes a message", async || {
                let properties =
                    BasicProperties::default().with_delivery_mode(2).with_headers(headers.clone().into());
                let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
                let (exchange, key) = (topology::TASKS_EXCHANGE.into(), routing_key.into());
                let confirm = channel.basic_publish(exchange, key, options, body, properties).await.unwrap();
                confirm.await.unwrap().is_ack().then_some(())
            })
            .await;
        }
    }

    /// Messages that wait in a queue.
    pub async fn ready(&self, queue: &str) -> u32 {
        let (_connection, channel) = self.channel().await;
        let options = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
        channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap().message_count()
    }

    /// Waits for so many dead letters and reads them, in the order of their arrival.
    pub async fn dead_letters(&self, count: usize) -> Vec<DeadLetter> {
        let (_connection, channel) = self.channel().await;
        let options = BasicConsumeOptions { no_ack: false, ..BasicConsumeOptions::default() };
        let consumer = channel
            .basic_consume(topology::DEAD_QUEUE.into(), "".into(), options, FieldTable::default())
            .await
            .unwrap();
        let letters = consumer.take(count).map(|delivery| letter(&delivery.unwrap())).collect();
        tokio::time::timeout(crate::DEADLINE, letters).await.expect("waited in vain for dead letters")
    }
}

/// What a publisher may configure, write and read.
fn documented_rights() -> [&'static str; 3] {
    let document = include_str!("../../docs/publishing.md");
    let rights = document.split_once("rabbitmqctl set_permissions -p holdfast erp ").expect("the command").1;
    let rights: Vec<&str> = rights.lines().next().unwrap_or_default().split('"').skip(1).step_by(2).collect();
    rights.try_into().expect("three rights")
}

fn letter(delivery: &lapin::message::Delivery) -> DeadLetter {
    let headers = delivery.properties.headers().clone().unwrap_or_default();
    let text = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    };
    DeadLetter {
        body: String::from_utf8_lossy(&delivery.data).into_owned(),
        headers: headers
            .inner()
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), text(value)?)))
            .collect(),
    }
}
