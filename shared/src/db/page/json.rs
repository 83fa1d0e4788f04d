//! Rows as JSON, without a type between them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

use crate::db::{Error, JsonText};

/// Writes some columns of a row as an object, in the order in which they are given.
pub(super) fn object(row: &Row, columns: &[(usize, &str)], out: &mut Vec<u8>) -> Result<(), Error> {
    out.push(b'{');
    for (number, (column, name)) in columns.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write(name, out)?;
        out.push(b':');
        value(row, *column, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// A whole number of whatever size its column has.
pub(super) fn whole(row: &Row, column: usize) -> Result<i64, Error> {
    Ok(match *row.columns()[column].type_() {
        Type::INT2 => i64::from(row.try_get::<_, i16>(column)?),
        Type::INT4 => i64::from(row.try_get::<_, i32>(column)?),
        _ => row.try_get(column)?,
    })
}

fn value(row: &Row, column: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    match *row.columns()[column].type_() {
        Type::BOOL => plain::<bool>(row, column, out),
        Type::INT2 => plain::<i16>(row, column, out),
        Type::INT4 => plain::<i32>(row, column, out),
        Type::INT8 => plain::<i64>(row, column, out),
        Type::FLOAT8 => plain::<f64>(row, column, out),
        Type::TEXT => plain::<&str>(row, column, out),
        Type::UUID => plain::<Uuid>(row, column, out),
        Type::TIMESTAMPTZ => plain::<DateTime<Utc>>(row, column, out),
        Type::TEXT_ARRAY => plain::<Vec<&str>>(row, column, out),
        Type::UUID_ARRAY => plain::<Vec<Uuid>>(row, column, out),
        Type::JSON | Type::JSONB => {
            let text: Option<JsonText<'_>> = row.try_get(column)?;
            out.extend_from_slice(text.map_or(b"null", |text| text.0));
            Ok(())
        }
        ref other => {
            Err(Error::Value { column: "page", why: format!("columns of type {other} are not shown") })
        }
    }
}

fn plain<'a, T: FromSql<'a> + Serialize>(
    row: &'a Row,
    column: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let value: Option<T> = row.try_get(column)?;
    write(&value, out)
}

fn write<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Error> {
    serde_json::to_writer(out, value).map_err(|error| Error::Value { column: "page", why: error.to_string() })
}
