//! A secret by reference, as users write it.

use shared::target::SecretRef;

use super::fields::Fields;
use super::values::{absolute_path, variable};

/// Reads where a secret is found; `None` when a problem was noted.
pub(super) fn read(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<SecretRef> {
    let mut secret = fields.required_below(key, "is never inline: use file or env")?;
    if secret.has("file") == secret.has("env") {
        secret.reject("needs either file or env");
    }
    let file = secret.optional("file", absolute_path);
    let env = secret.optional("env", variable);
    secret.finish();
    file.map(|file| SecretRef::File(file.into())).or(env.map(SecretRef::Env))
}
