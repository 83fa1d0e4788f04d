//! Where a page ends: the values by which its last row is sorted.

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Param;
use crate::db::Error;

/// What values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An identity.
    Uuid,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A text.
    Text,
    /// A moment.
    Time,
    /// Yes or no.
    Bool,
    /// Whatever JSON holds.
    Json,
    /// Several texts.
    Texts,
    /// Several identities.
    Uuids,
}

/// The values by which a row is sorted, exact to the last bit.
#[derive(Debug, Clone, PartialEq)]
pub struct Position(pub Vec<Param>);

/// The years that PostgreSQL, and people, count in: from 1 to 9999.
const MOMENTS: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

impl Position {
    /// That of a row whose values stand behind its first `skip` columns.
    pub(super) fn of(row: &Row, skip: usize, by: &[(&'static str, Kind)]) -> Result<Self, Error> {
        by.iter()
            .enumerate()
            .map(|(number, (_, kind))| {
                let column = skip + number;
                Ok(match kind {
                    Kind::Uuid => Param::Uuid(row.try_get(column)?),
                    Kind::Int => Param::Int(super::json::whole(row, column)?),
                    Kind::Float => Param::Float(row.try_get(column)?),
                    Kind::Time => Param::Time(row.try_get(column)?),
                    Kind::Text => Param::Text(row.try_get(column)?),
                    Kind::Bool | Kind::Json | Kind::Texts | Kind::Uuids => {
                        return Err(Error::Value {
                            column: "order",
                            why: "nothing is sorted by it".to_owned(),
                        });
                    }
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// As JSON that [`Position::from_json`] reads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let value = |param: &Param| match param {
            Param::Uuid(value) => Value::from(value.to_string()),
            Param::Int(value) => Value::from(*value),
            Param::Float(value) => Value::from(value.to_bits()),
            Param::Time(value) => Value::from(value.timestamp_micros()),
            Param::Text(value) => Value::from(value.as_str()),
        };
        self.0.iter().map(value).collect()
    }

    /// Reads one; `None` if it is none of this order.
    #[must_use]
    pub fn from_json(value: &Value, by: &[(&'static str, Kind)]) -> Option<Self> {
        let values = value.as_array().filter(|values| values.len() == by.len())?;
        let params = values.iter().zip(by).map(|(value, (_, kind))| param(value, *kind));
        params.collect::<Option<_>>().map(Self)
    }
}

fn param(value: &Value, kind: Kind) -> Option<Param> {
    Some(match kind {
        Kind::Uuid => Param::Uuid(Uuid::try_parse(value.as_str()?).ok()?),
        Kind::Int => Param::Int(value.as_i64()?),
        Kind::Float => Param::Float(f64::from_bits(value.as_u64()?)),
        Kind::Time => Param::Time(moment(value.as_i64()?)?),
        Kind::Text => Param::Text(value.as_str().filter(|text| !text.contains('\0'))?.to_owned()),
        Kind::Bool | Kind::Json | Kind::Texts | Kind::Uuids => return None,
    })
}

fn moment(micros: i64) -> Option<DateTime<Utc>> {
    MOMENTS.contains(&micros).then(|| DateTime::from_timestamp_micros(micros))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BY: &[(&str, Kind)] =
        &[("t", Kind::Time), ("u", Kind::Uuid), ("i", Kind::Int), ("f", Kind::Float), ("n", Kind::Text)];

    proptest! {
        #[test]
        fn a_position_is_read_as_it_was_written(
            micros in MOMENTS, id in any::<u128>(), number in any::<i64>(), float in any::<f64>(), text in "[^\0]{0,9}"
        ) {
            prop_assume!(!float.is_nan());
            let time = DateTime::from_timestamp_micros(micros).unwrap();
            let position = Position(vec![
                Param::Time(time), Param::Uuid(Uuid::from_u128(id)), Param::Int(number), Param::Float(float), Param::Text(text),
            ]);
            let text = position.to_json().to_string();
            prop_assert_eq!(Position::from_json(&serde_json::from_str(&text).unwrap(), BY), Some(position));
        }
    }

    #[test]
    fn what_is_no_position_of_the_order_is_none() {
        let by = &BY[..1];
        for text in ["[]", "[1,2]", "{}", "[\"x\"]", "[1.5]", "[253402300800000000]", "[9223372036854775807]"]
        {
            assert_eq!(Position::from_json(&serde_json::from_str(text).unwrap(), by), None, "{text}");
        }
        assert_eq!(Position::from_json(&serde_json::json!(["a\0b"]), &[("n", Kind::Text)]), None);
    }
}
