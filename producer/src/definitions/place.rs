//! The fields that say where data lives, beside the others of a target or a source.

use shared::job::Place;

use super::fields::Fields;
use super::values::{parsed, text};

/// Reads the place; `None` when a problem was noted.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<Place> {
    let site = fields.required("site", text);
    let failure_domain = fields.required("failure_domain", text);
    let media = fields.required("media", parsed);
    let region = fields.optional("region", text);
    let account = fields.optional("account", text);
    Some(Place {
        site: site?.value,
        region,
        account,
        failure_domain: failure_domain?.value,
        media: media?.value,
    })
}
