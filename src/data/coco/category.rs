//! Which category of a file has the joints.

use serde_json::Value as Json;

use super::tolerant::{Id, Value};

/// The category whose objects are meant, or all those that have the same joints (kinds of animals, say), taken as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Category {
    /// Numbers, the one for results first.
    pub ids: Vec<Id>,
    /// Name of the first.
    pub name: String,
    /// Names of its joints as the file gives them; empty where it gives none.
    pub joints: Vec<String>,
    /// Pairs of joints as the file counts them, from 1 or from 0; empty where it gives none.
    pub bones: Vec<[i64; 2]>,
}

impl Category {
    /// Category 1, `person`, with joints that are not named.
    pub fn person() -> Category {
        Category { ids: vec![Id::Number(1)], name: "person".into(), joints: Vec::new(), bones: Vec::new() }
    }

    /// Whether an object of this category is meant.
    pub fn has(&self, id: &Id) -> bool {
        self.ids.contains(id)
    }

    /// For messages: `category 1 (person)`.
    pub fn label(&self) -> String {
        let ids: Vec<String> = self.ids.iter().take(5).map(Id::to_string).collect();
        let more = if self.ids.len() > 5 { ", ..." } else { "" };
        let word = if self.ids.len() == 1 { "category" } else { "categories" };
        let name = if self.name.is_empty() { String::new() } else { format!(" ({})", self.name) };
        format!("{word} {}{more}{name}", ids.join(", "))
    }

    /// The category that is `wanted` by number or name, or else the one with joints: of several with different ones that
    /// named `person`. `used` are the categories of the objects, for a file without such a table.
    ///
    /// # Errors
    /// No category of that number or name, or several with joints of their own and none to prefer.
    pub(super) fn choose(table: &Json, wanted: Option<&Id>, used: &[Id]) -> Result<Category, String> {
        let table: Vec<Category> = table.as_array().into_iter().flatten().filter_map(category).collect();
        if let Some(wanted) = wanted {
            let named = |category: &&Category| category.ids.contains(wanted) || category.name == wanted.to_string();
            let unnamed =
                || used.contains(wanted).then(|| Category { ids: vec![wanted.clone()], ..Category::nameless() });
            return table
                .iter()
                .find(named)
                .cloned()
                .or_else(unnamed)
                .ok_or_else(|| format!("there is no category {wanted}; the file has {}", listed(&table, used)));
        }
        let with_joints: Vec<&Category> = table.iter().filter(|category| !category.joints.is_empty()).collect();
        let is_person = |category: &&&Category| category.name.eq_ignore_ascii_case("person");
        match with_joints.as_slice() {
            [] => Ok(without_joints(&table, used)),
            [one] => Ok((*one).clone()),
            [first, others @ ..] if others.iter().all(|other| other.joints == first.joints) => {
                let ids = with_joints.iter().flat_map(|category| category.ids.clone()).collect();
                Ok(Category { ids, ..(*first).clone() })
            }
            several => match several.iter().find(is_person) {
                Some(person) => Ok((**person).clone()),
                None => Err(format!(
                    "several categories have joints of their own: {}; name one with data.category (`ditn score`: \
                     --category)",
                    listed(&table, used)
                )),
            },
        }
    }

    fn nameless() -> Category {
        Category { name: String::new(), ..Category::person() }
    }
}

/// A category of a file that names no joints: the one called `person`, number 1, or the only one that is used.
fn without_joints(table: &[Category], used: &[Id]) -> Category {
    if let Some(person) = table.iter().find(|category| category.name.eq_ignore_ascii_case("person")) {
        return person.clone();
    }
    match used {
        [only] => {
            let in_table = table.iter().find(|category| category.ids.contains(only)).cloned();
            in_table.unwrap_or_else(|| Category { ids: vec![only.clone()], ..Category::nameless() })
        }
        _ => table.iter().find(|category| category.has(&Id::Number(1))).cloned().unwrap_or_else(Category::person),
    }
}

fn category(entry: &Json) -> Option<Category> {
    let id = serde_json::from_value::<Value>(entry.get("id")?.clone()).ok()?.id().ok()?;
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let list = |key: &str| entry.get(key).and_then(Json::as_array).into_iter().flatten();
    let end = |pair: &Json, end: usize| {
        let value = pair.get(end)?;
        value.as_i64().or_else(|| value.as_f64().map(|v| v as i64)).or_else(|| value.as_str()?.trim().parse().ok())
    };
    Some(Category {
        ids: vec![id],
        name: entry.get("name").map(text).unwrap_or_default(),
        joints: list("keypoints").map(text).collect(),
        bones: list("skeleton").filter_map(|pair| Some([end(pair, 0)?, end(pair, 1)?])).collect(),
    })
}

fn listed(table: &[Category], used: &[Id]) -> String {
    let known = |id: &&Id| !table.iter().any(|category| category.has(id));
    let mut names: Vec<String> = table
        .iter()
        .map(|category| match category.joints.len() {
            0 => category.label(),
            joints => format!("{} with {joints} joints", category.label()),
        })
        .collect();
    names.extend(used.iter().filter(known).map(|id| format!("category {id}")));
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(table: Json, wanted: Option<Id>, used: &[i64]) -> Result<Vec<Id>, String> {
        let used: Vec<Id> = used.iter().copied().map(Id::Number).collect();
        Category::choose(&table, wanted.as_ref(), &used).map(|category| category.ids)
    }

    #[test]
    fn the_category_with_joints_is_meant() {
        let numbers = |ids: &[i64]| Ok(ids.iter().copied().map(Id::Number).collect::<Vec<Id>>());
        let of = |table: &Json| choose(table.clone(), None, &[1, 2]);
        let roboflow = serde_json::json!([
            {"id": 0, "name": "hands", "supercategory": "none"},
            {"id": "1", "name": "hand", "supercategory": "hands", "keypoints": ["a", "b"], "skeleton": [[1, 2]]}
        ]);
        assert_eq!(of(&roboflow), numbers(&[1]));
        let animals = serde_json::json!([
            {"id": 3, "name": "dog", "keypoints": ["a", "b"]}, {"id": 5, "name": "cat", "keypoints": ["a", "b"]}
        ]);
        assert_eq!(of(&animals), numbers(&[3, 5]));
        assert_eq!(choose(animals.clone(), Some(Id::Text("cat".into())), &[]), numbers(&[5]));
        assert_eq!(choose(animals, Some(Id::Number(3)), &[]), numbers(&[3]));
        let two = serde_json::json!([
            {"id": 3, "name": "dog", "keypoints": ["a"]}, {"id": 5, "name": "Person", "keypoints": ["b", "c"]}
        ]);
        assert_eq!(of(&two), numbers(&[5]));
        let neither = serde_json::json!([
            {"id": 3, "name": "dog", "keypoints": ["a"]}, {"id": 5, "name": "cat", "keypoints": ["b", "c"]}
        ]);
        let message = of(&neither).expect_err("either could be meant");
        assert!(message.contains("category 3 (dog) with 1 joints, category 5 (cat) with 2"), "{message}");
        let message = choose(neither, Some(Id::Text("cow".into())), &[9]).expect_err("there are no cows");
        assert!(message.contains("no category cow") && message.contains("category 9"), "{message}");
    }

    #[test]
    fn without_named_joints_it_is_person_or_1_or_the_only_one() {
        let ids = |table: Json, used: &[i64]| choose(table, None, used).expect("there is no choice");
        assert_eq!(ids(Json::Null, &[1, 2]), [Id::Number(1)]);
        assert_eq!(ids(Json::Null, &[0]), [Id::Number(0)]);
        assert_eq!(ids(serde_json::json!([{"id": 4, "name": "person"}]), &[2, 4]), [Id::Number(4)]);
        assert_eq!(ids(serde_json::json!([{"name": "no id"}, 7]), &[]), [Id::Number(1)]);
    }
}
