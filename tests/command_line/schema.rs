//! As much of JSON Schema as `docs/poses.schema.json` uses: type, properties, required, additionalProperties, items,
//! minItems, maxItems, minimum, exclusiveMinimum, const, oneOf and $ref. Another keyword is a violation of its own.

use serde_json::Value;

/// What in `value` is not as `schema` says; `root` is the document that its references are in.
pub fn violations(root: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |problem: String| found.push(format!("{place}: {problem}"));
    let keywords = schema.as_object().expect("a schema is an object");
    let mut inner: Vec<(Value, Value, String)> = Vec::new();
    let number = |limit: &Value| value.as_f64().zip(limit.as_f64());
    let length = |limit: &Value| value.as_array().map(Vec::len).zip(limit.as_u64().map(|v| v as usize));
    for (keyword, rule) in keywords {
        match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let path = rule.as_str().expect("a reference is a text").trim_start_matches('#');
                let target = root.pointer(path).unwrap_or_else(|| panic!("{path} is not in the schema"));
                inner.push((target.clone(), value.clone(), place.to_string()));
            }
            "type" => {
                let fits = match rule.as_str().expect("one type") {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "number" => value.is_number(),
                    "integer" => value.is_u64() || value.is_i64(),
                    other => panic!("type {other}"),
                };
                if !fits {
                    say(format!("{value} is no {rule}"));
                }
            }
            "properties" => {
                for (name, rule) in rule.as_object().expect("properties are an object") {
                    if let Some(value) = value.get(name) {
                        inner.push((rule.clone(), value.clone(), format!("{place}.{name}")));
                    }
                }
            }
            "required" => {
                for name in rule.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if value.is_object() && value.get(name).is_none() {
                        say(format!("no {name}"));
                    }
                }
            }
            "additionalProperties" => {
                let known = |name: &String| keywords["properties"].get(name).is_some();
                for name in value.as_object().into_iter().flat_map(|object| object.keys()).filter(|name| !known(name)) {
                    say(format!("{name} is not in the schema"));
                }
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    inner.push((rule.clone(), value.clone(), format!("{place}[{index}]")));
                }
            }
            "minItems" if length(rule).is_some_and(|(length, limit)| length < limit) => {
                say(format!("less than {rule}"))
            }
            "maxItems" if length(rule).is_some_and(|(length, limit)| length > limit) => {
                say(format!("more than {rule}"))
            }
            "minimum" if number(rule).is_some_and(|(value, limit)| value < limit) => say(format!("less than {rule}")),
            "exclusiveMinimum" if number(rule).is_some_and(|(value, limit)| value <= limit) => {
                say(format!("not more than {rule}"));
            }
            "minItems" | "maxItems" | "minimum" | "exclusiveMinimum" => {}
            other => say(format!("the schema's keyword {other} is not checked")),
        }
    }
    for (rule, value, place) in inner {
        found.extend(violations(root, &rule, &value, &place));
    }
    found
}
