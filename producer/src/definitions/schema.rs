//! The JSON Schema of definition files, for editors: made from the types in which definitions are [`written`](super::written).

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use serde_json::Value;

use super::written::File;

/// The schema, of the draft that editors know best.
#[must_use]
pub fn schema() -> Schema {
    SchemaSettings::draft07().with_transform(plain).into_generator().into_root_schema_for::<File>()
}

/// Descriptions are sentences, not lines of our sources; and the width of a number is nobody else's business.
fn plain(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    schema.remove("format");
    transform_subschemas(&mut plain, schema);
}

#[cfg(test)]
pub(super) mod tests;
