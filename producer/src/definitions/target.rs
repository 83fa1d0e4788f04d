//! A target as users write it.

use shared::limit::Key;
use shared::target::{Isolation, Target, TargetName};

use super::fields::{Fields, Located};
use super::limit::{self, Limited};
use super::node::Value;
use super::values::{absolute_path, parsed, text};
use super::{place, secret};

/// Reads a target, and notes its repository and its limit; `None` when a problem was noted.
pub(super) fn read(
    mut fields: Fields<'_, '_>,
    repositories: &mut Vec<Located<String>>,
    limits: &mut Vec<Limited>,
) -> Option<Target> {
    let name = fields.required("name", parsed::<TargetName>);
    let repository = fields.required("repository", repository);
    repositories.extend(repository.clone());
    let password = secret::read(&mut fields, "password");
    let place = place::read(&mut fields);
    let isolation = fields.optional("isolation", isolation).unwrap_or(Isolation::None);
    if let (Some(name), Some(below)) = (&name, fields.optional_below("limits")) {
        let key = Key::Target(name.value.clone());
        let limit = limit::below(below, &key);
        limits.extend(limit.map(|limit| (Located { value: key, at: name.at.clone() }, limit)));
    }
    fields.finish();
    Some(Target {
        name: name?.value,
        repository: repository?.value,
        password: password?,
        place: place?,
        isolation,
    })
}

/// A path or a REST server's URL, in the one spelling that two targets with one repository share.
fn repository(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    if let Some(url) = text.strip_prefix("rest:") {
        return rest(url);
    }
    let kind = text.split_once(':').map(|(kind, _)| kind);
    match kind {
        Some(kind) if !kind.contains('/') => {
            Err(format!("repositories of kind {kind:?} are not implemented yet"))
        }
        _ => absolute_path(value),
    }
}

fn rest(url: &str) -> Result<String, String> {
    let Some((scheme @ ("http" | "https"), rest)) = url.split_once("://") else {
        return Err("after \"rest:\" a URL that begins with http:// or https:// is needed".to_owned());
    };
    let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() {
        return Err("the URL names no server".to_owned());
    }
    if host.contains('@') {
        return Err("the URL holds a user or a password, these are never inline".to_owned());
    }
    Ok(format!("rest:{scheme}://{}", rest.trim_end_matches('/')))
}

fn isolation(value: &Value) -> Result<Isolation, String> {
    match parsed::<Isolation>(value)? {
        Isolation::Immutable => {
            Err("immutable is not implemented yet: no probe reads the locks of a storage".to_owned())
        }
        isolation => Ok(isolation),
    }
}
