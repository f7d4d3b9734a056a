//! `ditn web`: what a bundle holds, what it refuses, and that it is served.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::harness::{Folder, ditn, json, printed_json, refused, succeed};

/// The texts of all fields of this name in a value.
fn texts_of<'a>(value: &'a Value, field: &str, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == field => drop(found.insert(text)),
                    _ => texts_of(value, field, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| texts_of(value, field, found)),
        _ => {}
    }
}

#[test]
fn a_bundle_is_whole_and_written_over_by_the_next() {
    let folder = Folder::new("web");
    let site = folder.join("site");
    let printed = printed_json(&succeed(&mut ditn(&folder, &["web", "site", "--json"])).stdout);
    assert!(printed["kernel_cases"].as_u64().is_some_and(|cases| cases > 500), "{printed}");
    let contents = json(&site.join("bundle.json"));
    assert_eq!(contents["inference"]["weights"]["dtype"], "f16");
    let mut files = BTreeSet::new();
    for field in ["file", "sheet", "vectors", "kernels", "benchmark"] {
        texts_of(&contents, field, &mut files);
    }
    let listed = |value: &Value| -> Vec<String> {
        value.as_array().expect("a list").iter().map(|it| it.as_str().expect("a text").to_owned()).collect()
    };
    let mut plans = listed(&contents["inference"]["plans"]);
    plans.extend(contents["training"]["plans"].as_object().expect("plans").values().flat_map(listed));
    let (kernels, benchmark) = (json(&site.join("kernels.json")), json(&site.join("benchmark.json")));
    let networks = benchmark["networks"].as_array().expect("a list").iter();
    plans.extend(networks.map(|network| network["plan"].as_str().expect("a text").to_owned()));
    for file in files.into_iter().chain(plans.iter().map(String::as_str)) {
        assert!(site.join(file).is_file(), "{file}");
    }
    // Every kernel of every plan is there, and WebGPU's guaranteed limits suffice for all but the plans that say otherwise.
    for plan in plans.iter().map(|plan| json(&site.join(plan))).chain([kernels, benchmark]) {
        let mut kernels = BTreeSet::new();
        texts_of(&plan, "kernel", &mut kernels);
        assert!(!kernels.is_empty());
        for kernel in kernels {
            assert!(site.join(format!("shaders/{kernel}.wgsl")).is_file(), "{kernel}");
        }
        for dispatch in plan["dispatches"].as_array().into_iter().flatten() {
            assert!(dispatch["bindings"].as_array().is_some_and(|bindings| bindings.len() <= 8), "{dispatch}");
        }
    }
    let page = fs::read_to_string(site.join("index.html")).expect("a page");
    assert!(!page.contains("http://") && !page.contains("https://"), "the pages load nothing from elsewhere");

    succeed(&mut ditn(&folder, &["web", "site", "--weights", "f32"]));
    let rewritten = json(&site.join("bundle.json"));
    assert_eq!(rewritten["inference"]["weights"]["dtype"], "f32");
    let bytes = |contents: &Value| contents["inference"]["weights"]["bytes"].as_f64().expect("a number");
    assert!((1.9..2.0).contains(&(bytes(&rewritten) / bytes(&contents))));
}

#[test]
fn a_folder_of_something_else_a_file_and_a_taken_port_are_refused() {
    let folder = Folder::new("web-refused");
    fs::create_dir(folder.join("photos")).expect("a writable folder");
    fs::write(folder.join("photos/a.jpg"), "x").expect("a writable folder");
    refused(&mut ditn(&folder, &["web", "photos"]), &["photos is not empty and holds no bundle"]);
    assert_eq!(fs::read_dir(folder.join("photos")).expect("a folder").count(), 1);
    refused(&mut ditn(&folder, &["web", "photos/a.jpg"]), &["ditn web photos/a.jpg DIR"]);
    refused(&mut ditn(&folder, &["web", "mistyped.safetensors"]), &["ditn web mistyped.safetensors DIR"]);
    refused(&mut ditn(&folder, &["web"]), &["--serve"]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    refused(&mut ditn(&folder, &["web", "site", "--serve", "--port", &port]), &["--port"]);
    assert!(!folder.join("site").exists());
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_bundle_is_served_on_localhost() {
    let folder = Folder::new("web-serve");
    let mut command = ditn(&folder, &["web", "--serve", "--port", "0"]);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().expect("the program"));
    let lines = BufReader::new(running.0.stdout.take().expect("its output")).lines();
    let address = lines.map_while(Result::ok).find_map(|line| {
        let port = line.split("http://127.0.0.1:").nth(1)?.split('/').next()?.to_owned();
        port.parse::<u16>().ok()
    });
    let mut stream = TcpStream::connect(("127.0.0.1", address.expect("an address"))).expect("a server");
    stream.write_all(b"GET /bundle.json HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a server that reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("application/json"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(body).expect("JSON")["format"], 1);
}
