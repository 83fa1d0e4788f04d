//! Alerts: who knows about them, and which nobody wants to be told of.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::alert::{AlertId, Matcher, Rule, Severity, SilenceId, Tag};
use shared::db;
use shared::job::JobName;
use shared::limit::Label;
use shared::target::TargetName;
use utoipa::ToSchema;

use super::Api;
use super::body::Body;
use super::openapi::{Refusals, words_or_null};
use crate::operations::alerts::{self, Acknowledgement, LONGEST};
use shared::http::Problem;
use shared::http::caller::{Operator, actor};
use shared::http::parameters::Path;

/// That somebody knows about an alert.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAcknowledgement {
    /// What they say.
    #[schema(min_length = 1, max_length = 1000)]
    note: Option<String>,
    /// For how long, in seconds; without it, until the alert is over or gets worse.
    #[schema(minimum = 1, maximum = 31_536_000)]
    seconds: Option<u64>,
}

/// Writes down that somebody knows about an open alert.
#[utoipa::path(post, path = "/alerts/{id}/acknowledge", tag = "alerts", request_body = NewAcknowledgement,
    params(("id" = i64, Path, description = "The alert's number")),
    responses((status = 204, description = "It is written down"), Refusals))]
pub(super) async fn acknowledge(
    State(api): State<Api>,
    Operator(token): Operator,
    Path(id): Path<i64>,
    Body { value, .. }: Body<NewAcknowledgement>,
) -> Result<StatusCode, Problem> {
    let lasts = value.seconds.map(length).transpose()?;
    let known = Acknowledgement { note: value.note.as_deref(), lasts };
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    alerts::acknowledge(&transaction, AlertId(id), known, &actor(&token)).await?;
    transaction.commit().await.map_err(db::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Writes down that nobody knows about an alert any more.
#[utoipa::path(post, path = "/alerts/{id}/unacknowledge", tag = "alerts",
    params(("id" = i64, Path, description = "The alert's number")),
    responses((status = 204, description = "It is written down"), Refusals))]
pub(super) async fn unacknowledge(
    State(api): State<Api>,
    Operator(token): Operator,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    alerts::unacknowledge(&transaction, AlertId(id), &actor(&token)).await?;
    transaction.commit().await.map_err(db::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Alerts of which nobody wants to be told for a while: those that match all that is given, and something is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSilence {
    /// By this rule.
    #[schema(schema_with = rules)]
    rule: Option<Rule>,
    /// About this job.
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", example = "docs")]
    job: Option<JobName>,
    /// About this target, or about a job whose first one it is.
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    target: Option<TargetName>,
    /// About jobs of this owner.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    owner: Option<Label>,
    /// About jobs with this tag.
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    tag: Option<Tag>,
    /// Exactly as bad as this.
    #[schema(schema_with = severities)]
    severity: Option<Severity>,
    /// For how long, in seconds.
    #[schema(minimum = 1, maximum = 31_536_000)]
    seconds: u64,
    /// Why.
    #[schema(min_length = 1, max_length = 1000)]
    why: String,
}

fn rules() -> utoipa::openapi::schema::Schema {
    words_or_null(Rule::ALL.iter().map(|rule| rule.as_str()))
}

fn severities() -> utoipa::openapi::schema::Schema {
    words_or_null(Severity::ALL.iter().map(|severity| severity.as_str()))
}

/// A silence that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Silenced {
    /// Its number.
    id: i64,
    /// When it ends.
    ends_at: DateTime<Utc>,
}

/// Has nobody told of some alerts for a while, from now on.
#[utoipa::path(post, path = "/silences", tag = "alerts", request_body = NewSilence,
    responses((status = 201, description = "It has begun", body = Silenced), Refusals))]
pub(super) async fn silence(
    State(api): State<Api>,
    Operator(token): Operator,
    Body { value, .. }: Body<NewSilence>,
) -> Result<(StatusCode, Json<Silenced>), Problem> {
    let NewSilence { rule, job, target, owner, tag, severity, seconds, why } = value;
    let matcher = Matcher { rule, job, target, owner, tag, severity };
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    let lasts = length(seconds)?;
    let silence = alerts::silence(&transaction, &matcher, lasts, &why, &actor(&token)).await?;
    transaction.commit().await.map_err(db::Error::from)?;
    Ok((StatusCode::CREATED, Json(Silenced { id: silence.id.0, ends_at: silence.ends_at })))
}

/// Ends a silence before its time.
#[utoipa::path(delete, path = "/silences/{id}", tag = "alerts",
    params(("id" = i64, Path, description = "The silence's number")),
    responses((status = 204, description = "It is over"), Refusals))]
pub(super) async fn unsilence(
    State(api): State<Api>,
    Operator(token): Operator,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    let mut client = api.database.client().await?;
    let transaction = client.transaction().await.map_err(db::Error::from)?;
    alerts::unsilence(&transaction, SilenceId(id), &actor(&token)).await?;
    transaction.commit().await.map_err(db::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A length of time that is said in seconds.
fn length(seconds: u64) -> Result<Duration, Problem> {
    let length = Duration::from_secs(seconds);
    if seconds > 0 && length <= LONGEST {
        return Ok(length);
    }
    let why = format!("is not from 1 to {}", LONGEST.as_secs());
    Err(Problem::field(StatusCode::UNPROCESSABLE_ENTITY, "seconds", why))
}
