//! Where spans go, and which.

use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use super::id::Share;
use crate::settings::{Settings, key};
use crate::tls::Trust;

/// The path below an endpoint, by the OpenTelemetry protocol.
const PATH: &str = "/v1/traces";
/// The share of tasks that are traced where nobody says otherwise: at 16,000 tasks a second these are 160, with some 1,000 spans, which
/// any collector takes as it comes. Who has a thousand tasks a day sets 1.
const SHARE: f64 = 0.01;

/// Where spans go, and which.
#[derive(Debug, Clone, Default)]
pub struct TraceConfig {
    pub(super) export: Option<Export>,
}

/// Where spans go.
#[derive(Debug, Clone)]
pub(super) struct Export {
    pub(super) endpoint: Url,
    pub(super) headers: HeaderMap,
    pub(super) share: Share,
    pub(super) trust: Trust,
}

impl TraceConfig {
    /// Reads `traces.endpoint` (nothing is traced without it), `traces.sample` (the share of tasks from 0 to 1) and `traces.headers`.
    pub fn read(settings: &mut Settings, trust: &Trust) -> Self {
        let endpoint = key(
            "traces.endpoint",
            "Where spans of traces go, by OTLP over HTTP; nothing is traced when absent",
        );
        let sample = key(
            "traces.sample",
            "The share of tasks, from 0 to 1, that are traced although no trace was named for them; the same for all programs",
        );
        let named = key("traces.headers", "Headers for `traces.endpoint`, as `name=value,name=value`");
        let endpoint: Option<String> = settings.optional(endpoint.such_as("http://collector:4318"));
        let share = settings.within(sample, SHARE, 0.0..=1.0);
        let text = settings.optional_secret(named.such_as("api-key=SECRET"));
        let Some(endpoint) = endpoint else { return Self::default() };
        let read = || {
            let share = Share::new(share).map_err(|why| format!("traces.sample: {why}"))?;
            let endpoint = url(&endpoint).map_err(|why| format!("traces.endpoint: {why}"))?;
            let headers = text.as_ref().map_or_else(|| Ok(HeaderMap::new()), headers);
            let headers = headers.map_err(|why| format!("traces.headers: {why}"))?;
            Ok(Export { endpoint, headers, share, trust: trust.clone() })
        };
        match read() {
            Ok(export) => Self { export: Some(export) },
            Err(error) => {
                settings.reject(error);
                Self::default()
            }
        }
    }
}

/// The address that spans are posted to.
fn url(endpoint: &str) -> Result<Url, String> {
    let mut url: Url = endpoint.parse().map_err(|error| format!("{error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("use an address such as http://collector:4318".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err("holds what is to be in traces.headers".to_owned());
    }
    let path = url.path().trim_end_matches('/');
    let path = if path.ends_with(PATH) { path.to_owned() } else { format!("{path}{PATH}") };
    url.set_path(&path);
    Ok(url)
}

/// Reads `name=value,name=value`, as `OTEL_EXPORTER_OTLP_HEADERS` has it. What is wrong is told without what it says.
fn headers(text: &SecretString) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (number, pair) in text.expose_secret().split(',').enumerate() {
        let wrong = |what: &str| {
            format!("{what} of number {} cannot be used: write name=value,name=value", number + 1)
        };
        let (name, value) = pair.split_once('=').ok_or_else(|| wrong("the form"))?;
        let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| wrong("the value"))?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong("the name"))?;
        let mut value: HeaderValue = value.parse().map_err(|_| wrong("the value"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Sources;

    fn read(written: &[&str]) -> Result<TraceConfig, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines = written.iter().filter_map(|setting| setting.split_once('='));
        let text: Vec<String> = lines.map(|(key, value)| format!("{key} = \"{value}\"\n")).collect();
        std::fs::write(file.path(), text.concat()).unwrap();
        let mut settings =
            Settings::open(&Sources { config: Some(file.path().to_owned()), overrides: Vec::new() });
        let config = TraceConfig::read(&mut settings, &Trust::default());
        settings.finish().map(|_| config).map_err(|error| error.to_string())
    }

    #[test]
    fn an_endpoint_is_completed_as_the_protocol_says() {
        for (endpoint, whole) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://id.live.example/api/v2/otlp", "https://id.live.example/api/v2/otlp/v1/traces"),
            ("https://api.example/v1/traces", "https://api.example/v1/traces"),
        ] {
            assert_eq!(url(endpoint).unwrap().as_str(), whole);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key_and_without_secrets() {
        for (written, part) in [
            (vec!["traces.endpoint=collector:4318"], "traces.endpoint"),
            (vec!["traces.endpoint=http://me:hidden@collector"], "traces.endpoint"),
            (vec!["traces.endpoint=http://c", "traces.sample=2"], "traces.sample"),
            (vec!["traces.endpoint=http://c", "traces.headers_file=/nonexistent"], "/nonexistent"),
            (vec!["traces.endpoint=http://c", "traces.headers=hidden"], "traces.headers"),
        ] {
            let error = read(&written).unwrap_err();
            assert!(error.contains(part) && !error.contains("hidden"), "{written:?}: {error}");
        }
        assert!(read(&[]).unwrap().export.is_none());
    }

    #[test]
    fn headers_are_read_as_tracing_libraries_read_them() {
        let read = headers(&SecretString::from("api-key=abc=, Authorization=Basic%20eDp5")).unwrap();
        assert_eq!(
            (&read["api-key"], &read["authorization"]),
            (&HeaderValue::from_static("abc="), &HeaderValue::from_static("Basic eDp5"))
        );
        for wrong in ["hidden", "a b=hidden", "a=hidden%0A"] {
            let error = headers(&SecretString::from(wrong)).unwrap_err();
            assert!(error.contains("number 1") && !error.contains("hidden"), "{error}");
        }
    }
}
