//! What a task needs beside its job.

use std::error::Error;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio_postgres::types::{FromSql, IsNull, Json, ToSql, Type, to_sql_checked};
use tokio_util::bytes::BytesMut;

/// A task's parameters as JSON, which its copies share. A worker holds thousands of tasks, and as a tree of values the
/// parameters would be the largest part of each.
#[derive(Debug, Clone)]
pub struct Params(Arc<RawValue>);

impl Params {
    /// What [`crate::work::Work::parse`] reads.
    #[must_use]
    pub fn json(&self) -> &RawValue {
        &self.0
    }
}

impl From<&Value> for Params {
    fn from(value: &Value) -> Self {
        // A tree of values always has a text.
        Self(to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned()).into())
    }
}

impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl ToSql for Params {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Json(&*self.0).to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <Json<&RawValue> as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Params {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Json::<Box<RawValue>>::from_sql(ty, raw).map(|Json(json)| Self(json.into()))
    }

    fn accepts(ty: &Type) -> bool {
        <Json<Box<RawValue>> as FromSql>::accepts(ty)
    }
}
