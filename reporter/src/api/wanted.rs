//! What is to be read, on whichever server.

use axum::body::Bytes;
use deadpool_postgres::Client;
use shared::db::Error;
use shared::db::cache_version::Version;
use shared::db::page::{self, Asked, Param};

use super::answer::Answer;
use super::entity::{Entity, Kept, Lasting};
use super::{query, summary as kept_summary};
use crate::summary::{self, Replica};

/// What is to be read.
#[derive(Debug)]
pub(super) enum Wanted<'a> {
    /// A page of a list; of one job's, if a job is named.
    Page(&'static Entity, &'a Asked, Option<&'a str>),
    /// One thing by its key, with some of its fields.
    One(&'static Entity, &'a [Param], &'a [usize]),
    /// Where things stand.
    Summary(Option<Replica>),
}

impl Wanted<'_> {
    /// As what it is kept.
    pub(super) const fn kept(&self) -> Kept {
        match self {
            Self::Page(Entity { of_job: Some(kept), .. }, _, Some(_))
            | Self::One(Entity { single: Some(kept), .. }, ..) => *kept,
            Self::Page(entity, ..) | Self::One(entity, ..) => entity.kept(),
            Self::Summary(_) => kept_summary::KEPT,
        }
    }

    /// What changes whenever it does; `None` where nothing says so.
    pub(super) const fn version(&self) -> Option<Version<'_>> {
        match (self.kept().lasting, self) {
            (Lasting::Version(name, _), _) => Some(Version::Counted(name)),
            (Lasting::Judgement(_), Self::Page(_, _, Some(job))) => Some(Version::Judgement(job)),
            _ => None,
        }
    }

    /// What one is called.
    pub(super) const fn one(&self) -> &'static str {
        match self {
            Self::Page(entity, ..) | Self::One(entity, ..) => entity.one,
            Self::Summary(_) => "summary",
        }
    }

    /// What there is to be shown of it: another version of the program may show other fields.
    pub(super) fn form(&self) -> String {
        match self {
            Self::Page(entity, ..) | Self::One(entity, ..) => {
                entity.listing.fields.iter().map(|field| field.name).collect::<Vec<_>>().join(",")
            }
            Self::Summary(_) => String::new(),
        }
    }

    /// Reads it; `None` if it is not there.
    pub(super) async fn read(&self, client: &Client) -> Result<Option<Answer>, Error> {
        match *self {
            Self::Page(entity, asked, _) => {
                let page = page::list(client, &entity.listing, asked).await?;
                let next = page.next.map(|next| query::cursor(entity, asked.sort, asked.descending, &next));
                Ok(Some(Answer::page(&page.items, next)))
            }
            Self::One(entity, key, fields) => {
                let item = page::one(client, &entity.listing, key, fields).await?;
                Ok(item.map(|item| Answer::new(Bytes::from(item), None)))
            }
            Self::Summary(replica) => {
                let summary = summary::read(client, replica).await?;
                let body = serde_json::to_vec(&summary)
                    .map_err(|error| Error::Value { column: "summary", why: error.to_string() })?;
                Ok(Some(Answer::new(body.into(), None)))
            }
        }
    }
}
