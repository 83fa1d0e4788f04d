//! The document that describes the interface.

use shared::task::TaskKind;
use utoipa::openapi::OpenApi;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify};

use super::problem::Problem;

/// What is said of the interface as a whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Holdfast: commands",
        description = "Every change to Holdfast. A token is needed (`producer token create`): its role says what it may do. \
            Answers tell what is left of its pace in RateLimit headers. Errors are problem+json and name the field.",
        version = "1",
    ),
    tags(
        (name = "tasks", description = "Have work done, and stop it."),
        (name = "dead tasks", description = "Decide about what will not be tried again by itself."),
        (name = "schedules", description = "Pause, resume and run what is enqueued again and again."),
        (name = "pools", description = "Tell pools of workers what to do while they run."),
        (name = "limits", description = "Limit what goes on, in the place of what the definitions say."),
    ),
    modifiers(&Bearer),
    security(("bearer" = [])),
)]
pub(super) struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let bearer =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("hf_<id>_<secret>").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// What any command may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it only describes")]
pub(super) enum Refusals {
    /// What was sent cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    Unreadable(Problem),
    /// No good token.
    #[response(status = 401, content_type = "application/problem+json")]
    NoToken(Problem),
    /// The token's role is not enough.
    #[response(status = 403, content_type = "application/problem+json")]
    NotAllowed(Problem),
    /// What it is about is not there.
    #[response(status = 404, content_type = "application/problem+json")]
    Missing(Problem),
    /// It cannot be done as things are.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// Too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// Not JSON.
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(Problem),
    /// A field is wrong.
    #[response(status = 422, content_type = "application/problem+json")]
    Wrong(Problem),
    /// Too many requests; Retry-After says when to come again.
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(Problem),
    /// The database cannot be used now; Retry-After says when to come again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// The kinds of tasks that workers execute.
pub(super) fn kinds() -> Schema {
    let kinds = TaskKind::ALL.iter().filter(|kind| kind.is_implemented()).map(|kind| kind.as_str());
    words(kinds)
}

/// One of some words.
pub(super) fn words(words: impl IntoIterator<Item = &'static str>) -> Schema {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build().into()
}
