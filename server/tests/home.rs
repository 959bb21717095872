//! The page at `/`, the icon, the documents on standard output, and the help.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
};

use reqwest::Method;

use crate::support::{Client, Page, TestDatabase, TestServer};

/// The values of `attribute` in a page.
fn values<'a>(page: &'a str, attribute: &str) -> BTreeSet<&'a str> {
    page.split(&format!("{attribute}=\"")).skip(1).map(|rest| rest.split_once('"').unwrap().0).collect()
}

#[tokio::test]
async fn the_page_at_the_root_links_what_the_server_has_and_nothing_of_other_sites() {
    let database = TestDatabase::create().await;
    for has_demo in [false, true] {
        let server = TestServer::start_as(database.url(), |config| config.demo = has_demo).await;
        let anybody = Client::new(server.address);
        let answer = anybody.get("/", 200).await;
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in
            [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("referrer-policy", "no-referrer")]
        {
            assert_eq!(answer.header(name), Some(value));
        }
        let page = String::from_utf8(answer.body).unwrap();
        let mut links = values(&page, "href");
        links.extend(values(&page, "src"));
        for link in ["docs/", "healthz", "readyz", "metrics", "openapi.json", "openapi-3.1.json", "asyncapi.json"] {
            assert!(links.contains(link), "{link}: {page}");
        }
        assert_eq!(links.contains("demo/"), has_demo);
        for link in links {
            assert!(
                !link.contains(':') && !link.starts_with('/'),
                "{link} leads to another site or out of a proxy's folder"
            );
            anybody.get(&format!("/{link}"), 200).await;
        }
        assert!(!page.contains("<script") && !page.contains("style="), "{page}");
        server.stop().await;
    }
}

#[tokio::test]
async fn the_icon_is_where_browsers_look_for_it_and_the_page_takes_no_other_method() {
    let database = TestDatabase::create().await;
    let server = TestServer::start(&database).await;
    let anybody = Client::new(server.address);
    let icon = anybody.get("/favicon.ico", 200).await;
    assert_eq!(icon.header("content-type"), Some("image/x-icon"));
    // The head of an ICO file with one image, which is a PNG.
    assert!(icon.body.starts_with(&[0, 0, 1, 0, 1, 0, 32, 32]) && icon.body[22..].starts_with(b"\x89PNG"));
    assert_eq!(anybody.get("/icon.svg", 200).await.header("content-type"), Some("image/svg+xml"));
    for path in ["/", "/favicon.ico", "/home.css"] {
        assert!(anybody.send(Method::HEAD, path, None, 200).await.body.is_empty());
        let refused = anybody.send(Method::POST, path, None, 405).await;
        assert_eq!(refused.header("allow"), Some("GET, HEAD"), "{path}");
    }
    for path in ["//", "/index.html", "/home.css/x"] {
        assert_eq!(anybody.get(path, 404).await.problem(), "not_found");
    }
    server.stop().await;
}

#[test]
fn each_document_goes_to_standard_output_and_is_compared_from_standard_input() {
    for name in ["openapi", "openapi-3.1", "asyncapi"] {
        let parlor = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_parlor"));
            command.env_clear().arg(name).args(arguments).current_dir("/");
            command
        };
        let committed = Page::root().join(format!("{name}.json"));
        let output = parlor(&["--output", "-"]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == fs::read(&committed).unwrap(), "{name} is not the committed document");

        let check = parlor(&["--check", "--output", "-"]).stdin(fs::File::open(&committed).unwrap()).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
        let other = parlor(&["--check", "--output", "-"]).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(other.stderr).unwrap();
        assert!(!other.status.success() && said.contains("standard input is not what"), "{said}");

        // A reader that has enough is no failure.
        let mut child = parlor(&["--output", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn the_help_shows_the_settings_in_groups() {
    for arguments in [&["--help"][..], &["-h"], &["serve", "--help"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_parlor")).env_clear().args(arguments).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let mut groups = Vec::new();
        for line in help.lines() {
            if let Some(heading) = line.strip_suffix(':').filter(|heading| !heading.contains(' ')) {
                groups.push(heading);
            }
            let Some(flag) = line.trim_start().strip_prefix("--").filter(|_| line.starts_with(' ')) else { continue };
            let expected = match flag.split([' ', '-']).next().unwrap() {
                "database" => "Database",
                "assistant" | "openai" => "Assistant",
                "demo" => "Demo",
                "log" => "Log",
                _ => "Server",
            };
            assert_eq!(groups.last(), Some(&expected), "{flag}");
        }
        groups.retain(|group| *group != "Commands");
        let shown: BTreeSet<_> = groups.iter().copied().collect();
        assert_eq!(shown, BTreeSet::from(["Assistant", "Database", "Demo", "Log", "Options", "Server"]), "{help}");
        assert_eq!(shown.len(), groups.len(), "each group is in one place: {groups:?}");
    }
}
