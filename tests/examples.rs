//! The examples run and reach what they promise.

#[path = "../examples/custom_operator/main.rs"]
#[allow(dead_code)]
mod custom_operator;
#[path = "../examples/digits.rs"]
#[allow(dead_code)]
mod digits;
#[path = "../examples/heat_maps.rs"]
#[allow(dead_code)]
mod heat_maps;
#[path = "../examples/inspect.rs"]
#[allow(dead_code)]
mod inspect;

#[test]
fn digits_are_recognised_on_held_out_pictures() {
    let right = digits::run().expect("the example runs");
    assert!(right > 0.97, "{right} of the held-out pictures");
}

/// x counts from -6 to 9: the maxima are -1 (0 after ReLU), 1, 7 and 9, the last three in the second, third and fourth
/// window.
#[test]
fn inspect_computes_what_its_graph_says() {
    let (y, dx) = inspect::run().expect("the example runs");
    assert_eq!(y, [17.0 / 4.0]);
    let mut expected = [0.0; 16];
    for place in [7, 13, 15] {
        expected[place] = 0.25;
    }
    assert_eq!(dx, expected);
}

#[test]
fn heat_maps_of_pictures_are_in_a_file_with_the_crops_and_the_joints() {
    let folder = std::env::temp_dir().join(format!("ditn-heat-maps-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let pictures = ["a.png", "b.png"].map(|name| folder.join(name));
    for (n, path) in pictures.iter().enumerate() {
        image::RgbImage::from_fn(60, 90, |x, y| image::Rgb([x as u8, (y + 40 * n as u32) as u8, 7]))
            .save(path)
            .unwrap();
    }
    let (trained, out) = (ditn::predict::TrainedNetwork::shipped().unwrap(), folder.join("maps.safetensors"));
    heat_maps::run(&trained, &out, &pictures).unwrap_or_else(|error| panic!("{error}"));
    let file = ditn::nn::WeightFile::open(&out).unwrap();
    let [image, maps, bones, joints] =
        ["image", "heat_maps", "bone_maps", "joints"].map(|name| file.read(name).unwrap());
    assert_eq!((&image.shape[..], &maps.shape[..]), (&[2, 3, 128, 128][..], &[2, 14, 32, 32][..]));
    assert_eq!((&bones.shape[..], &joints.shape[..]), (&[2, 14, 32, 32][..], &[2, 14, 3][..]));
    for (map, joint) in maps.data.chunks(32 * 32).zip(joints.data.chunks(3)) {
        let largest = (0..map.len()).max_by(|&a, &b| map[a].total_cmp(&map[b])).unwrap();
        assert_eq!(map[largest], joint[2]);
        // A quarter of a heat map's pixel is one of the crop's.
        let off = [joint[0] - 4.0 * (largest % 32) as f32, joint[1] - 4.0 * (largest / 32) as f32];
        assert!(joint[2] <= 0.0 || off.iter().all(|off| off.abs() <= 1.0), "{joint:?}, {largest}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_operator_from_outside_the_crate_is_checked_and_trained() {
    custom_operator::run().unwrap_or_else(|error| panic!("{error}"));
}
