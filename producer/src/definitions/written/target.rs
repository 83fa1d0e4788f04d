//! Targets as users write them, and the places where data lives.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use shared::job;
use shared::limit::Limit;
use shared::target::{self, Isolation, Media, TargetName};

use super::TargetLimits;
use super::secret::Secret;
use super::values::{name, repository, text, words};

/// A place that holds copies.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Target {
    /// The name that jobs, commands and messages use.
    #[schemars(schema_with = "name")]
    name: TargetName,
    /// An absolute path, or `rest:https://..`.
    #[schemars(schema_with = "repository")]
    repository: String,
    /// Where workers find the repository's password: never inline.
    password: Secret,
    #[serde(flatten)]
    place: Place,
    /// How it is kept out of an attacker's reach: not at all, or because it is taken away after it was written.
    #[schemars(default = "none", schema_with = "isolations")]
    isolation: Isolation,
    /// What the tasks on it are limited to, over all workers together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "TargetLimits")]
    limits: Option<TargetLimits>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Place {
    /// The class of medium.
    #[schemars(schema_with = "media")]
    media: Media,
    /// The building; two places of one name burn down together.
    #[schemars(schema_with = "text")]
    site: String,
    /// What fails together: an array, a host.
    #[schemars(schema_with = "text")]
    failure_domain: String,
    /// The cloud region, when the place is in a cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "text")]
    region: Option<String>,
    /// The cloud account, when the place is in a cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "text")]
    account: Option<String>,
}

impl Target {
    /// A target with what it is limited to.
    #[must_use]
    pub fn new(target: &target::Target, limits: Option<&Limit>) -> Self {
        let target::Target { name, repository, password, place, isolation } = target;
        Self {
            name: name.clone(),
            repository: repository.clone(),
            password: password.into(),
            place: place.into(),
            isolation: *isolation,
            limits: limits.map(TargetLimits::from),
        }
    }
}

impl From<&job::Place> for Place {
    fn from(place: &job::Place) -> Self {
        let job::Place { site, region, account, failure_domain, media } = place.clone();
        Self { media, site, failure_domain, region, account }
    }
}

fn none() -> Isolation {
    Isolation::None
}

fn isolations(_: &mut SchemaGenerator) -> Schema {
    // No probe reads the locks of a storage yet.
    words([Isolation::None, Isolation::Detached])
}

fn media(_: &mut SchemaGenerator) -> Schema {
    words(Media::ALL)
}
