//! Which paths there are, as a rule read off the document: how each is spelt, and which methods it takes.

use poem::{Endpoint, IntoResponse, Middleware, Request, Response, http::Uri};

use super::problem::Problem;

/// The paths that are routed.
#[derive(Debug, Clone)]
pub(crate) struct Paths(Vec<Template>);

#[derive(Debug, Clone)]
struct Template {
    segments: Vec<Segment>,
    /// Whether it ends in a slash; `None`: the two spellings are different routes.
    slash: Option<bool>,
    allow: String,
}

#[derive(Debug, Clone)]
enum Segment {
    Literal(String),
    Parameter,
}

impl Paths {
    /// Reads the `paths` of an OpenAPI document.
    pub(crate) fn of(document: &serde_json::Value) -> Self {
        let templates = document["paths"].as_object().into_iter().flatten().map(|(path, operations)| {
            let methods = operations.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase());
            Template::of(path, methods.collect())
        });
        Self(templates.collect())
    }

    /// Adds paths that take GET.
    pub(crate) fn and_get(mut self, paths: &[&str]) -> Self {
        self.0.extend(paths.iter().map(|path| Template::of(path, vec!["GET".to_owned()])));
        self
    }

    /// Adds paths that take GET under this spelling only.
    pub(crate) fn and_get_exactly(mut self, paths: &[&str]) -> Self {
        let templates = paths.iter().map(|path| Template::of(path, vec!["GET".to_owned()]));
        self.0.extend(templates.map(|template| Template { slash: None, ..template }));
        self
    }

    /// Adds paths that take POST.
    pub(crate) fn and_post(mut self, paths: &[&str]) -> Self {
        self.0.extend(paths.iter().map(|path| Template::of(path, vec!["POST".to_owned()])));
        self
    }

    fn find(&self, path: &str) -> Option<&Template> {
        let path = path.strip_prefix('/')?;
        let segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
        self.0.iter().find(|template| template.matches(&segments))
    }

    /// The spelling under which `path` is routed, when that is the other one.
    fn respell(&self, path: &str) -> Option<String> {
        match (self.find(path)?.slash?, path.strip_suffix('/')) {
            (true, None) => Some(format!("{path}/")),
            (false, Some(trimmed)) => Some(trimmed.to_owned()),
            _ => None,
        }
    }

    /// The methods that `path` takes, as the value of `Allow` (RFC 9110, section 10.2.1).
    fn allow(&self, path: &str) -> String {
        self.find(path).map_or_else(String::new, |template| template.allow.clone())
    }
}

impl Template {
    fn of(path: &str, mut methods: Vec<String>) -> Self {
        let segment = |segment: &str| {
            if segment.starts_with('{') { Segment::Parameter } else { Segment::Literal(segment.to_owned()) }
        };
        // Whatever can be got can be asked for its head.
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".to_owned());
        }
        Self {
            segments: path.trim_matches('/').split('/').map(segment).collect(),
            slash: Some(path.ends_with('/')),
            allow: methods.join(", "),
        }
    }

    fn matches(&self, segments: &[&str]) -> bool {
        self.segments.len() == segments.len()
            && self.segments.iter().zip(segments).all(|(expected, segment)| match expected {
                Segment::Literal(literal) => literal == segment,
                Segment::Parameter => !segment.is_empty(),
            })
    }
}

/// Takes every path with and without a slash at its end, without a redirect, which would lose a body (contract: REST).
/// Turns the router's 405 into one that says what is allowed.
impl<E: Endpoint> Middleware<E> for Paths {
    type Output = Spelling<E>;

    fn transform(&self, inner: E) -> Self::Output {
        Spelling { paths: self.clone(), inner }
    }
}

/// See [`Paths`].
#[derive(Debug)]
pub(crate) struct Spelling<E> {
    paths: Paths,
    inner: E,
}

impl<E: Endpoint> Endpoint for Spelling<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if let Some(path) = self.paths.respell(request.uri().path())
            && let Some(uri) = with_path(request.uri(), &path)
        {
            *request.uri_mut() = uri;
        }
        let path = request.uri().path().to_owned();
        match self.inner.call(request).await {
            Err(error) if error.is::<poem::error::MethodNotAllowedError>() => {
                Err(Problem::not_allowed(self.paths.allow(&path)).into())
            }
            outcome => outcome.map(IntoResponse::into_response),
        }
    }
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.try_into().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths() -> Paths {
        let document = json!({ "paths": {
            "/api/v1/chats/": { "get": {}, "post": {} },
            "/api/v1/chats/{chat_id}": { "delete": {} },
        } });
        Paths::of(&document).and_get(&["/healthz"]).and_get_exactly(&["/docs/", "/docs/{file}"])
    }

    #[test]
    fn either_spelling_becomes_the_routed_one() {
        let paths = paths();
        assert_eq!(paths.respell("/api/v1/chats").as_deref(), Some("/api/v1/chats/"));
        assert_eq!(paths.respell("/api/v1/chats/7/").as_deref(), Some("/api/v1/chats/7"));
        assert_eq!(paths.respell("/healthz/").as_deref(), Some("/healthz"));
        for kept in ["/api/v1/chats/", "/docs", "/docs/", "/", "//", "/healthz//", "/api/v1/chats//", "*"] {
            assert_eq!(paths.respell(kept), None, "{kept}");
        }
    }

    #[test]
    fn allow_lists_what_the_path_takes() {
        let paths = paths();
        assert_eq!(paths.allow("/api/v1/chats/"), "GET, POST, HEAD");
        assert_eq!(paths.allow("/api/v1/chats/7"), "DELETE");
        assert_eq!(paths.allow("/docs/swagger-ui.css"), "GET, HEAD");
        assert_eq!(paths.allow("/nowhere"), "");
    }
}
