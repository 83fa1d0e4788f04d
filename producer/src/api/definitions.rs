//! Jobs and targets, one at a time: created, changed and taken away as by `producer apply`.

use axum::extract::State;
use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use shared::db;
use shared::db::api_token::Token;
use utoipa::ToSchema;

use super::Api;
use super::body::Body;
use super::openapi::{JobSchema, Refusals, TargetSchema};
use crate::apply::{self, Plan, Removals, Stored, Warning};
use crate::definitions::{self, Definitions};
use shared::http::Problem;
use shared::http::caller::{Admin, actor};
use shared::http::parameters::Path;

/// What a definition is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Job,
    Target,
}

/// A definition that is in effect.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Applied {
    /// The definition, with all that was left out.
    #[schema(value_type = Object)]
    definition: Value,
    /// What keeps nothing from being applied, but is likely not meant.
    warnings: Vec<Doubt>,
}

/// Something that is likely not meant.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Doubt {
    /// Which field.
    field: String,
    /// The rule that cannot be kept: `rpo`, `verify`, or one of the five.
    rule: &'static str,
    /// Why.
    detail: String,
}

/// Creates a job, or changes it.
#[utoipa::path(put, path = "/jobs/{name}", tag = "jobs", request_body = JobSchema,
    params(("name" = String, Path, description = "Its name", example = "docs"),
        ("If-Match" = Option<String>, Header, description = "The ETag of what is changed; needed where there is one"),
        ("If-None-Match" = Option<String>, Header, description = "`*` creates it, and changes nothing")),
    responses((status = 200, description = "It is changed", body = Applied, headers(("ETag" = String))),
        (status = 201, description = "It is created", body = Applied, headers(("ETag" = String), ("Location" = String))),
        Refusals))]
pub(super) async fn put_job(
    State(api): State<Api>,
    Admin(token): Admin,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body { value, .. }: Body<Map<String, Value>>,
) -> Result<Response, Problem> {
    put(&api, &token, Of::Job, &name, &Condition::of(&headers)?, value).await
}

/// Takes a job away: it takes no tasks any more, and what waits is cancelled. Its history stays, and is its own again when it
/// comes back.
#[utoipa::path(delete, path = "/jobs/{name}", tag = "jobs",
    params(("name" = String, Path, description = "Its name", example = "docs"),
        ("If-Match" = Option<String>, Header, description = "The ETag of what is taken away, or `*`; it is needed")),
    responses((status = 204, description = "It is gone"), Refusals))]
pub(super) async fn delete_job(
    State(api): State<Api>,
    Admin(token): Admin,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    delete(&api, &token, Of::Job, &name, &Condition::of(&headers)?).await
}

/// Creates a target, or changes it.
#[utoipa::path(put, path = "/targets/{name}", tag = "targets", request_body = TargetSchema,
    params(("name" = String, Path, description = "Its name", example = "disk-a"),
        ("If-Match" = Option<String>, Header, description = "The ETag of what is changed; needed where there is one"),
        ("If-None-Match" = Option<String>, Header, description = "`*` creates it, and changes nothing")),
    responses((status = 200, description = "It is changed", body = Applied, headers(("ETag" = String))),
        (status = 201, description = "It is created", body = Applied, headers(("ETag" = String), ("Location" = String))),
        Refusals))]
pub(super) async fn put_target(
    State(api): State<Api>,
    Admin(token): Admin,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body { value, .. }: Body<Map<String, Value>>,
) -> Result<Response, Problem> {
    put(&api, &token, Of::Target, &name, &Condition::of(&headers)?, value).await
}

/// Takes a target away that no job uses.
#[utoipa::path(delete, path = "/targets/{name}", tag = "targets",
    params(("name" = String, Path, description = "Its name", example = "disk-a"),
        ("If-Match" = Option<String>, Header, description = "The ETag of what is taken away, or `*`; it is needed")),
    responses((status = 204, description = "It is gone"), Refusals))]
pub(super) async fn delete_target(
    State(api): State<Api>,
    Admin(token): Admin,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    delete(&api, &token, Of::Target, &name, &Condition::of(&headers)?).await
}

async fn put(
    api: &Api,
    token: &Token,
    of: Of,
    name: &str,
    condition: &Condition,
    mut fields: Map<String, Value>,
) -> Result<Response, Problem> {
    if fields.get("name").is_some_and(|inner| inner != name) {
        let why = format!("is another than that of the path, {name:?}; it may be left out");
        return Err(Problem::field(StatusCode::UNPROCESSABLE_ENTITY, "name", why));
    }
    fields.insert("name".to_owned(), json!(name));
    let mut definitions = Definitions::default();
    // JSON is YAML.
    definitions.add("body", &json!({ of.list(): [fields] }).to_string());

    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    let stored = Stored::lock(&transaction).await?;
    let before = of.written(&stored, name);
    condition.check(before.as_ref())?;
    let plan = Plan::of(&transaction, &definitions, &Removals::default(), &stored).await;
    let plan = plan.map_err(|refused| of.refused(name, refused, StatusCode::UNPROCESSABLE_ENTITY))?;
    plan.apply(&transaction, &actor(token)).await?;
    let after = of.written(&Stored::read(&transaction).await?, name).unwrap_or_default();
    let warnings = plan.warnings.iter().map(|warning| of.doubt(name, warning)).collect();
    transaction.commit().await.map_err(db::Error::from)?;

    let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let tag = etag(&after);
    let mut response = (status, axum::Json(Applied { definition: after, warnings })).into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    if before.is_none()
        && let Ok(location) = HeaderValue::from_str(&format!("/api/v1/{}/{name}", of.list()))
    {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

async fn delete(
    api: &Api,
    token: &Token,
    of: Of,
    name: &str,
    condition: &Condition,
) -> Result<StatusCode, Problem> {
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    let stored = Stored::lock(&transaction).await?;
    let Some(before) = of.written(&stored, name) else {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("no {} is named {name:?}", of.word())));
    };
    condition.check(Some(&before))?;
    let definitions = Definitions::default();
    let plan = Plan::of(&transaction, &definitions, &of.removal(name), &stored).await;
    let plan = plan.map_err(|refused| of.refused(name, refused, StatusCode::CONFLICT))?;
    plan.apply(&transaction, &actor(token)).await?;
    transaction.commit().await.map_err(db::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}

impl Of {
    const fn list(self) -> &'static str {
        match self {
            Self::Job => "jobs",
            Self::Target => "targets",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Target => "target",
        }
    }

    /// What is stored, as users write it.
    fn written(self, stored: &Stored, name: &str) -> Option<Value> {
        match self {
            Self::Job => serde_json::to_value(stored.written_job(&name.parse().ok()?)?).ok(),
            Self::Target => serde_json::to_value(stored.written_target(&name.parse().ok()?)?).ok(),
        }
    }

    fn removal(self, name: &str) -> Removals {
        match self {
            Self::Job => Removals { jobs: name.parse().into_iter().collect(), ..Removals::default() },
            Self::Target => Removals { targets: name.parse().into_iter().collect(), ..Removals::default() },
        }
    }

    /// The path of a field below the definition itself.
    fn field(self, name: &str, origin: &definitions::Origin) -> String {
        let own = format!("{}.{name}", self.list());
        let below = origin.field.strip_prefix(&own).map(|rest| rest.trim_start_matches('.').to_owned());
        below.unwrap_or_else(|| origin.field.clone())
    }

    fn refused(self, name: &str, refused: apply::Refused, status: StatusCode) -> Problem {
        match refused {
            apply::Refused::Problems(problems) => {
                let wrong = problems.into_iter().map(|problem| {
                    let field = self.field(name, &problem.origin);
                    (if field.is_empty() { "name".to_owned() } else { field }, problem.message)
                });
                Problem::fields(status, wrong.collect())
            }
            apply::Refused::Failed(error) => error.into(),
        }
    }

    fn doubt(self, name: &str, warning: &Warning) -> Doubt {
        let field = self.field(name, &warning.origin);
        Doubt { field, rule: warning.rule, detail: warning.message.clone() }
    }
}

/// A strong tag of a definition: equal definitions have equal tags, in this process and every other.
fn etag(definition: &Value) -> String {
    let hash = hex::encode(Sha256::digest(definition.to_string()));
    format!("\"{}\"", hash.get(..32).unwrap_or(&hash))
}

/// Under which condition somebody wants a change.
#[derive(Debug, Default)]
struct Condition {
    /// Tags of what is to be there; `*` is any.
    matches: Option<String>,
    /// Nothing is to be there.
    is_new: bool,
}

impl Condition {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let text =
            |name| headers.get(&name).map(|value| value.to_str().unwrap_or_default().trim().to_owned());
        let matches = text(IF_MATCH);
        let is_new = match text(IF_NONE_MATCH).as_deref() {
            None => false,
            Some("*") => true,
            Some(_) => {
                return Err(Problem::field(StatusCode::BAD_REQUEST, "If-None-Match", "only * is understood"));
            }
        };
        Ok(Self { matches, is_new })
    }

    fn check(&self, stored: Option<&Value>) -> Result<(), Problem> {
        let (status, why) = match (stored, &self.matches) {
            (Some(_), _) if self.is_new => (StatusCode::PRECONDITION_FAILED, "it is there already"),
            (None, Some(_)) => (StatusCode::PRECONDITION_FAILED, "it is not there"),
            (None, None) => return Ok(()),
            (Some(_), None) => (
                StatusCode::PRECONDITION_REQUIRED,
                "send If-Match with the ETag of what is changed, so that nobody's change is overwritten unseen",
            ),
            (Some(stored), Some(tags)) => {
                let tag = etag(stored);
                if tags == "*" || tags.split(',').any(|meant| meant.trim() == tag) {
                    return Ok(());
                }
                (StatusCode::PRECONDITION_FAILED, "it was changed meanwhile: its ETag is another")
            }
        };
        let problem = Problem::new(status, why);
        Err(match stored {
            Some(stored) => problem.etag(&etag(stored)),
            None => problem,
        })
    }
}
