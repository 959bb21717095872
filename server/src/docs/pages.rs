//! The documents for programs at `/openapi.json`, `/openapi-3.1.json` and `/asyncapi.json`, and the first for people as
//! Swagger UI at `/docs/`.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use poem::{Endpoint, Request, Response, endpoint::make_sync, http::header, web::Redirect};
use serde_json::{Value, json};
use utoipa_swagger_ui::Config;

use super::openapi;
use crate::{
    base::error::Cause,
    http::{
        named::{named, shared},
        problem::{Code, Problem},
    },
};

/// Where the document is served.
pub(crate) const OPENAPI: &str = "/openapi.json";
/// The path of the same document in OpenAPI 3.1.
pub(crate) const OPENAPI_31: &str = "/openapi-3.1.json";
/// Where the one about live messaging is.
pub(crate) const ASYNCAPI: &str = "/asyncapi.json";
/// Where Swagger UI is served.
pub(crate) const SWAGGER_UI: &str = "/docs/";
/// Makes Swagger UI fill in what an answer's links name.
const FOLLOW_LINKS: &str = include_str!("follow_links.js");

/// A document, byte for byte as it is committed, under the name of an operation.
pub(crate) fn document(operation: &'static str, document: &Value) -> impl Endpoint + use<> {
    let document = Bytes::from(openapi::render(document));
    make_sync(move |_| named(operation, shared_json(&document)))
}

/// The files of Swagger UI. It remembers the key that was entered, its forms are open for input, and those of a chat have the
/// id of the one that was created last.
pub(crate) fn swagger_ui(document: &Value) -> impl Endpoint + use<> {
    // The interface asks the first server of the document, so it gets one whose first server is the one it came from.
    let mut local = document.clone();
    if let Some(servers) = local["servers"].as_array_mut() {
        servers.insert(0, json!({ "url": "/", "description": "This server" }));
    }
    let local = Bytes::from(local.to_string());
    let config = Config::from("./openapi.json").persist_authorization(true).try_it_out_enabled(true).deep_linking(true);
    let config = Arc::new(config);
    make_sync(move |request: Request| match request.raw_path_param("file").unwrap_or("index.html") {
        "openapi.json" => Ok(named("swagger_ui", shared_json(&local))),
        file => swagger_ui_file(file, &config),
    })
}

/// `GET /docs`, from where relative links would lead astray.
pub(crate) fn to_swagger_ui() -> impl Endpoint {
    make_sync(|_| Redirect::see_other(SWAGGER_UI))
}

fn shared_json(json: &Bytes) -> Response {
    shared(Response::builder().content_type("application/json").body(json.clone()))
}

fn swagger_ui_file(name: &str, config: &Arc<Config<'static>>) -> poem::Result<Response> {
    match utoipa_swagger_ui::serve(name, config.clone()) {
        Ok(Some(file)) => {
            let bytes = match file.bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                // The script that starts Swagger UI with this configuration, which is small.
                Cow::Owned(start) => [&start, FOLLOW_LINKS.as_bytes()].concat().into(),
            };
            let response = Response::builder()
                .content_type(&file.content_type)
                // No site frames the page that holds a key, and no browser guesses what a file is.
                .header(header::X_FRAME_OPTIONS, "DENY")
                .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
                .body(bytes);
            Ok(named("swagger_ui", shared(response)))
        }
        Ok(None) => Err(Problem::new(Code::NotFound).into()),
        Err(error) => Err(Problem::because(Code::Internal, Cause::new(error.to_string())).into()),
    }
}
