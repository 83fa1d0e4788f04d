//! Requests to receivers: no redirects, no proxies, no private networks unless the channel says so.
//!
//! A name is resolved here, every address is looked at, and the connection goes to one of these addresses: another answer of
//! the name server, a moment later, counts for nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode, Url};
use rustls::ClientConfig;
use shared::tls::{self, Checks, Trust};
use tokio::time::timeout;

use super::attempt::Attempted;
use super::guard;

/// How long a request may take, with the answer.
const LONGEST: Duration = Duration::from_secs(10);
/// How long a name may take to be resolved.
const RESOLVING: Duration = Duration::from_secs(5);
/// How much of an answer is read, in bytes.
const ANSWER: usize = 4096;
/// How much of it is told where it tells why, in characters.
const TOLD: usize = 200;

/// What is sent where.
#[derive(Debug)]
pub(super) struct Request {
    /// `http://..` or `https://..`.
    pub(super) url: String,
    /// The URL is a secret: it appears in no error.
    pub(super) secret: bool,
    /// The address may be in a private network.
    pub(super) allow_private: bool,
    /// How.
    pub(super) method: Method,
    /// Beside those that say what the body is.
    pub(super) headers: Vec<(&'static str, String)>,
    /// JSON, or nothing.
    pub(super) body: Option<Vec<u8>>,
}

/// Sends it, and says what came of it.
pub(super) async fn send(request: Request, trust: &Trust) -> Attempted {
    let url = match Url::parse(&request.url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        Ok(_) => return Attempted::refused("url: neither http:// nor https://"),
        Err(error) => return Attempted::refused(format!("url: {error}")),
    };
    let addresses = match addresses(&url).await {
        Ok(addresses) => addresses,
        Err(failed) => return failed,
    };
    if !request.allow_private
        && let Some(private) = addresses.iter().find(|address| !guard::is_public(address.ip()))
    {
        let host = url.host_str().unwrap_or_default();
        let to = if request.secret { "the host".to_owned() } else { host.to_owned() };
        let ip = private.ip();
        let hint = "allow_private: true allows that";
        return Attempted::refused(format!("{to} is at {ip}, which is no address of the internet: {hint}"));
    }
    let hidden = request.secret.then(|| url.clone());
    let tls = match trust.client(Checks::Everything) {
        Ok(tls) => tls,
        Err(error) => return Attempted::failed(error.to_string()),
    };
    match exchange(url, &addresses, request, tls).await {
        // A receiver may repeat any part of a URL that is a secret.
        Ok((status, headers, _)) if hidden.is_some() => judge(status, &headers, ""),
        Ok((status, headers, body)) => judge(status, &headers, &body),
        Err(error) => Attempted::failed(hide(chain(&error.without_url()), hidden.as_ref())),
    }
}

/// Every address of the URL's host.
async fn addresses(url: &Url) -> Result<Vec<SocketAddr>, Attempted> {
    let host = url.host_str().ok_or_else(|| Attempted::refused("url: names no host"))?;
    let port = url.port_or_known_default().unwrap_or(443);
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let resolved = match timeout(RESOLVING, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(Attempted::failed(format!("the host's name: {error}"))),
        Err(_) => return Err(Attempted::failed("the host's name: not resolved in time")),
    };
    if resolved.is_empty() { Err(Attempted::failed("the host's name: has no address")) } else { Ok(resolved) }
}

async fn exchange(
    url: Url,
    addresses: &[SocketAddr],
    request: Request,
    tls: ClientConfig,
) -> Result<(StatusCode, HeaderMap, String), reqwest::Error> {
    let host = url.host_str().unwrap_or_default().to_owned();
    let client = Client::builder()
        .resolve_to_addrs(&host, addresses)
        .redirect(Policy::none())
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .referer(false)
        .timeout(LONGEST)
        .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")))
        .build()?;
    let mut call = client.request(request.method, url);
    for (name, value) in request.headers {
        call = call.header(name, value);
    }
    if let Some(body) = request.body {
        call = call.header("Content-Type", "application/json").body(body);
    }
    let answer = call.send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok((status, headers, beginning(answer).await))
}

/// What is read of an answer; that its end does not come changes nothing.
async fn beginning(mut answer: Response) -> String {
    let mut body = Vec::new();
    while body.len() < ANSWER {
        match answer.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(ANSWER);
    String::from_utf8_lossy(&body).into_owned()
}

fn judge(status: StatusCode, headers: &HeaderMap, body: &str) -> Attempted {
    let code = status.as_u16();
    if status.is_success() {
        return Attempted::delivered(code);
    }
    let said = super::message::shortened(body.trim(), TOLD);
    let why = if said.is_empty() { format!("answered {code}") } else { format!("answered {code}: {said}") };
    let temporary = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if temporary {
        let after = headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.trim().parse().ok());
        return Attempted {
            retry_after: after.map(Duration::from_secs),
            ..Attempted::failed(why).with_status(code)
        };
    }
    let why = if status.is_redirection() { format!("{why}; redirects are not followed") } else { why };
    Attempted::refused(why).with_status(code)
}

/// Without what of a secret URL would give it away.
fn hide(text: String, url: Option<&Url>) -> String {
    let Some(url) = url else { return text };
    let path = url.path().trim_matches('/');
    let text = text.replace(url.as_str(), "..");
    if path.is_empty() { text } else { text.replace(path, "..") }
}

/// An error with its causes.
fn chain(error: &reqwest::Error) -> String {
    if let Some(why) = tls::explain(error) {
        return why;
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use shared::db::delivery::Outcome;

    use super::*;

    fn answer(status: u16, after: Option<&str>) -> Attempted {
        let mut headers = HeaderMap::new();
        headers.extend(after.map(|after| (RETRY_AFTER, after.parse().unwrap())));
        judge(StatusCode::from_u16(status).unwrap(), &headers, "why\nnot")
    }

    #[test]
    fn what_may_succeed_later_is_told_from_what_is_refused_for_ever() {
        for (status, outcome) in [
            (200, Outcome::Delivered),
            (202, Outcome::Delivered),
            (204, Outcome::Delivered),
            (301, Outcome::Refused),
            (307, Outcome::Refused),
            (400, Outcome::Refused),
            (401, Outcome::Refused),
            (404, Outcome::Refused),
            (410, Outcome::Refused),
            (408, Outcome::Failed),
            (429, Outcome::Failed),
            (500, Outcome::Failed),
            (503, Outcome::Failed),
        ] {
            let attempted = answer(status, None);
            assert_eq!((attempted.outcome, attempted.status), (outcome, Some(status)));
        }
        assert_eq!(answer(400, None).error.unwrap(), "answered 400: why not");
        assert_eq!(answer(429, Some("120")).retry_after, Some(Duration::from_mins(2)));
        assert_eq!(answer(429, Some("tomorrow")).retry_after, None);
    }

    fn request(url: &str) -> Request {
        Request {
            url: url.to_owned(),
            secret: false,
            allow_private: false,
            method: Method::POST,
            headers: Vec::new(),
            body: None,
        }
    }

    #[tokio::test]
    async fn private_addresses_are_refused_however_they_are_written() {
        for url in [
            "http://127.0.0.1:9/",
            "http://localhost:9/",
            "http://2130706433:9/",
            "http://0x7f.1:9/",
            "http://0177.0.0.1:9/",
            "http://[::1]:9/",
            "http://[::ffff:127.0.0.1]:9/",
            "http://169.254.169.254/latest/meta-data",
            "http://10.1.2.3/",
        ] {
            let attempted = send(request(url), &Trust::default()).await;
            assert_eq!(attempted.outcome, Outcome::Refused, "{url}: {attempted:?}");
            assert!(attempted.error.unwrap().contains("no address of the internet"), "{url}");
        }
    }

    #[tokio::test]
    async fn a_url_that_is_none_is_refused() {
        for url in ["", "ftp://example.org/", "file:///etc/passwd", "http://", "http://host:99999/"] {
            let attempted = send(Request { allow_private: true, ..request(url) }, &Trust::default()).await;
            assert_eq!(attempted.outcome, Outcome::Refused, "{url}: {attempted:?}");
        }
    }

    #[tokio::test]
    async fn an_error_does_not_give_a_secret_url_away() {
        let url = "http://127.0.0.1:1/services/T000/B000/secret".to_owned();
        let attempted =
            send(Request { url, secret: true, allow_private: true, ..request("") }, &Trust::default()).await;
        assert_eq!(attempted.outcome, Outcome::Failed, "{attempted:?}");
        let error = attempted.error.unwrap();
        assert!(!error.contains("secret") && !error.contains("T000"), "{error}");
        let url = Url::parse("https://hooks.example/services/T000/secret").unwrap();
        let said = "no such hook: /services/T000/secret of https://hooks.example/services/T000/secret";
        assert_eq!(hide(said.to_owned(), Some(&url)), "no such hook: /.. of ..");
    }
}
