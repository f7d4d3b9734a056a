use super::*;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ditn-boxes-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    folder
}

/// The boxes of a text in a file.
fn read_as(text: &str, category: Option<i64>) -> Result<Boxes, BoxesError> {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = folder(&number.to_string());
    let path = folder.join("a.txt");
    std::fs::write(&path, text).expect("the folder is writable");
    let boxes = Boxes::read(&path, category);
    std::fs::remove_dir_all(&folder).ok();
    boxes
}

fn read(text: &str) -> Boxes {
    read_as(text, None).unwrap_or_else(|error| panic!("{text}: {error}"))
}

const SIZE: Size = Size::new(100, 200);

/// The boxes of a picture of 200 x 100 pixels.
fn people(boxes: &Boxes, picture: &str) -> Vec<[f32; 4]> {
    people_in(&boxes.of(Path::new(picture)), SIZE, None).0.into_iter().map(Into::into).collect()
}

#[test]
fn a_box_is_four_numbers_with_an_extent() {
    assert_eq!("1, 2,3.5,4".parse(), Ok(PersonBox { x: 1.0, y: 2.0, width: 3.5, height: 4.0 }));
    for wrong in ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1,2,0,4", "1,2,3,-4", "1,2,3,inf"] {
        assert!(wrong.parse::<PersonBox>().is_err(), "{wrong}");
    }
}

#[test]
fn boxes_are_found_by_path_before_file_name_whichever_way_slashes_lean() {
    let boxes = read(
        r#"[{"picture": "a/p.jpg", "box": [1, 1, 1, 1]}, {"picture": "b\\p.jpg", "box": [2, 2, 2, 2]},
            {"picture": "q", "box": [3, 3, 3, 3]}]"#,
    );
    let xs = |path: &str| people(&boxes, path).iter().map(|person| person[0]).collect::<Vec<f32>>();
    assert_eq!(xs("b/p.jpg"), [2.0]);
    assert_eq!(xs("/home/someone/a/p.jpg"), [1.0]);
    assert_eq!(xs("c/p.jpg"), [1.0, 2.0]);
    assert_eq!(xs("c\\q.png"), [3.0]);
    assert!(xs("r.jpg").is_empty());
}

#[test]
fn a_detectors_results_are_taken_by_number_and_people_alone() {
    let boxes = read(
        r#"[{"image_id": 785, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9},
            {"image_id": "785", "category_id": 1.0, "bbox": ["5", "2", 30, 40], "score": 0.1, "segmentation": []},
            {"image_id": 785, "category_id": 3, "bbox": [9, 9, 30, 40], "score": 0.8},
            {"image_id": 785, "category_id": 1, "bbox": [9, 9, 0, 40], "score": 0.8},
            {"image_id": 785, "category_id": 1, "bbox": [null, 9, 5, 40], "score": 0.8},
            {"image_id": 785, "bbox": [190, 90, 30, 40]},
            {"image_id": "street", "category_id": 1, "bbox": [7, 7, 7, 7]},
            {"image_id": null, "category_id": 1, "bbox": [1, 9, 5, 40], "score": 0.8},
            {"nothing": 0},
            {"image_id": 785, "category_id": 1, "bbox": [200, 9, 5, 40], "score": 0.8}]"#,
    );
    assert_eq!((boxes.broken, boxes.others["category 3"]), (4, 1));
    let of = boxes.of(Path::new("val/000000000785.jpg"));
    let (people_here, outside) = people_in(&of, SIZE, None);
    assert_eq!((people_here.len(), outside), (3, 1));
    let (best, _) = people_in(&of, SIZE, Some(1));
    assert_eq!(best, [PersonBox { x: 1.0, y: 2.0, width: 30.0, height: 40.0 }]);
    assert_eq!(people(&boxes, "street.jpg"), [[7.0; 4]]);
    let error = read_as(r#"[{"image_id": 1, "category_id": 0, "bbox": [1, 2, 30, 40]}]"#, None).expect_err("nobody");
    assert!(error.to_string().contains("no box is of category 1; there are 1 of category 0"), "{error}");
    let all = read_as(r#"[{"image_id": 1, "category_id": 0, "bbox": [1, 2, 30, 40]}]"#, Some(0));
    assert_eq!(all.expect("the category was chosen").len(), 1);
}

#[test]
fn annotations_give_the_boxes_of_people_and_their_pictures_sizes() {
    let boxes = read(
        r#"{"images": [{"id": "1", "file_name": "val\\a.jpg", "width": 100.0, "height": "200"}],
            "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "Person"}],
            "annotations": [{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]},
                            {"image_id": 1, "category_id": 1, "bbox": [5, 6, 7, 8]},
                            {"image_id": 1, "category_id": 2, "bbox": [5, 6, 70, 80], "iscrowd": 1}]}"#,
    );
    assert_eq!((boxes.others["category 1"], boxes.others["crowds"]), (1, 1));
    assert_eq!(people(&boxes, "a.jpg"), [[1.0, 2.0, 3.0, 4.0]]);
    assert_eq!(boxes.of(Path::new("a.jpg"))[0].picture_size(), Some(Size::new(200, 100)));
}

#[test]
fn yolos_lines_are_shares_of_the_picture_around_the_centre() {
    let text = "0 0.5 0.5 0.25 0.5\n0 0.25 0.5 0.1 0.2 0.9\n\n2 0.5 0.5 1 1\r\n0 0.1 0.1 0.2 0.2 0.3 0.3 2\n";
    let boxes = read(&format!("{text}a line of text\n"));
    assert_eq!(boxes.broken, 1);
    assert_eq!(people(&boxes, "a.png")[..2], [[75.0, 25.0, 50.0, 50.0], [40.0, 40.0, 20.0, 20.0]]);
    assert_eq!((boxes.len(), boxes.others["class 2"]), (3, 1));
    for (wrong, part) in [
        ("0 120 80 40 60", "line 1: a value is more than 1"),
        ("0 0.5 0.5 0.25", "line 1: 4 numbers"),
        ("0 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9", "9 numbers"),
        ("0 0.5 0.5 0.25 no", "not only numbers"),
        ("0 0.5 0.5 0 0", "none of the 1 boxes can be used: a.txt, line 1: the box's width and height"),
        ("1 0.5 0.5 0.1 0.1", "there are 1 of class 1"),
    ] {
        let error = read_as(wrong, None).expect_err(wrong).to_string();
        assert!(error.contains(part), "{error}");
    }

    let folder = folder("yolo");
    std::fs::create_dir_all(folder.join("labels")).expect("the folder is writable");
    for (name, text) in [("a.txt", "0 0.5 0.5 1 1"), ("b.txt", ""), ("classes.txt", "person")] {
        std::fs::write(folder.join("labels").join(name), text).expect("the folder is writable");
    }
    let boxes = Boxes::read(&folder, None).expect("the folder has labels");
    assert_eq!(people(&boxes, "x/a.jpeg"), [[0.0, 0.0, 200.0, 100.0]]);
    assert!(people(&boxes, "b.jpg").is_empty());
    std::fs::remove_dir_all(&folder).ok();
}

#[test]
fn tables_are_read_by_the_names_of_their_columns() {
    let boxes = read("Image;xmin;ymin;xmax;ymax;conf\na.jpg;1;2;11;22;0.5\na.jpg;3;4;3;9;0.9\n");
    assert_eq!(people(&boxes, "a.jpg"), [[1.0, 2.0, 10.0, 20.0]]);
    assert_eq!(boxes.broken, 1);
    let boxes = read("frame,person,left,top,width,height,score\n4,1,1,2,3,4,0.5\n");
    assert_eq!((boxes.of_frame(4).len(), boxes.of_frame(0).len()), (1, 0));
    assert!(read_as("a,b\n1,2\n", None).expect_err("no picture").to_string().contains("no column `picture`"));
}

#[test]
fn the_largest_are_kept_where_there_is_no_score() {
    let boxes = read(
        r#"[{"picture": "a.jpg", "box": [0, 0, 9, 9]}, {"picture": "a.jpg", "box": [0, 0, 50, 50]},
            {"picture": "a.jpg", "box": [0, 0, 20, 20]}]"#,
    );
    let (kept, _) = people_in(&boxes.of(Path::new("a.jpg")), SIZE, Some(2));
    assert_eq!(kept.iter().map(|person| person.width).collect::<Vec<f32>>(), [50.0, 20.0]);
}

#[test]
fn what_is_no_file_of_boxes_is_told_what_is() {
    for (text, part) in [
        ("{\"a\": 1}", "without `images` and `annotations`"),
        ("[{\"image_id\": 1, \"keypoints\": []}]", "these are poses"),
        ("[{\"box\": [1, 2, 3, 4]}]", "record 0: it has no `picture`"),
        ("[1", "EOF"),
        ("<html>", "line 1: not only numbers"),
    ] {
        let error = read_as(text, None).expect_err(text).to_string();
        assert!(error.contains(part), "{error}");
    }
}
