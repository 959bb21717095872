//! The page at `/`, which links what else the server has for people and programs, and the icon of all pages.

use bytes::Bytes;
use poem::{Endpoint, Route, endpoint::make_sync, get};

use crate::http::static_file::static_file;

/// The paths of the page and its files, as they are spelt here.
pub(crate) const PATHS: &[&str] = &["/", STYLE, ICON, FAVICON];

const STYLE: &str = "/home.css";
const ICON: &str = "/icon.svg";
/// The path that browsers ask for the icon of a page that names none.
const FAVICON: &str = "/favicon.ico";
/// The operation's name in the log and the metrics.
const OPERATION: &str = "home_page";
/// The line of the page that is left out of a server without a demo.
const DEMO: &str = "  <li><a href=\"demo/\">Demo</a> a page to chat with</li>\n";

/// Adds the page to `routes`.
pub(crate) fn route(routes: Route, has_demo: bool) -> Route {
    let page = include_str!("index.html").replace("{version}", env!("CARGO_PKG_VERSION"));
    let page = if has_demo { page } else { page.replace(DEMO, "") };
    routes
        .at("/", get(file("text/html; charset=utf-8", page)))
        .at(STYLE, get(file("text/css; charset=utf-8", include_str!("home.css"))))
        .at(ICON, get(file("image/svg+xml", include_str!("../../../examples/web/icon.svg"))))
        .at(FAVICON, get(file("image/x-icon", &include_bytes!("favicon.ico")[..])))
}

fn file(content_type: &'static str, content: impl Into<Bytes>) -> impl Endpoint {
    let content = content.into();
    make_sync(move |_| static_file(OPERATION, content_type, content.clone()))
}
