//! Table `api_token`: who may call over HTTP.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::statement::statement;
use super::{Error, parsed};
use crate::access::{Bearer, Holder, Role};

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Its identity, which is part of the token.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Who holds it.
    pub holder: Holder,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: String,
    /// From when on it is not good any more; never when absent.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What a new token is to be.
#[derive(Debug)]
pub struct New<'a> {
    /// What people call it; no other one that is not revoked has this name.
    pub name: &'a str,
    /// What its holder may do.
    pub role: Role,
    /// Who holds it.
    pub holder: Holder,
    /// From when on it is not good any more.
    pub expires_at: Option<DateTime<Utc>>,
    /// Who makes it.
    pub by: &'a str,
}

const COLUMNS: &str = "id, name, role, holder, created_at, created_by, expires_at, revoked_at";

/// Stores a new token; says whether its name was free.
pub async fn insert<C: GenericClient>(client: &C, bearer: &Bearer, new: &New<'_>) -> Result<bool, Error> {
    let statement = statement!(
        "api_token.insert",
        "insert into api_token (id, name, role, holder, secret_sha256, created_by, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (name) where revoked_at is null do nothing"
    );
    let (role, holder) = (new.role.as_str(), new.holder.as_str());
    let inserted = statement
        .execute(client, &[&bearer.id, &new.name, &role, &holder, &bearer.hash(), &new.by, &new.expires_at])
        .await?;
    Ok(inserted == 1)
}

/// The token of a bearer, if it is good now.
pub async fn good<C: GenericClient>(client: &C, bearer: &Bearer) -> Result<Option<Token>, Error> {
    let statement = statement!(
        "api_token.good",
        format!(
            "select {COLUMNS} from api_token
         where id = $1 and secret_sha256 = $2 and revoked_at is null and (expires_at is null or expires_at > now())"
        )
    );
    statement.query_opt(client, &[&bearer.id, &bearer.hash()]).await?.as_ref().map(token).transpose()
}

/// All tokens, the newest first.
pub async fn all<C: GenericClient>(client: &C) -> Result<Vec<Token>, Error> {
    let statement =
        statement!("api_token.all", format!("select {COLUMNS} from api_token order by created_at desc"));
    statement.query(client, &[]).await?.iter().map(token).collect()
}

/// Ends a token; returns it if it was not ended before.
pub async fn revoke<C: GenericClient>(client: &C, name: &str, by: &str) -> Result<Option<Token>, Error> {
    let statement = statement!(
        "api_token.revoke",
        format!(
            "update api_token set revoked_at = now(), revoked_by = $2 where name = $1 and revoked_at is null
         returning {COLUMNS}"
        )
    );
    statement.query_opt(client, &[&name, &by]).await?.as_ref().map(token).transpose()
}

fn token(row: &Row) -> Result<Token, Error> {
    Ok(Token {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        role: parsed(row, "role")?,
        holder: parsed(row, "holder")?,
        created_at: row.try_get("created_at")?,
        created_by: row.try_get("created_by")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}
