//! A body with clothes, skin and hair as shapes to be painted.

use super::body::{Body, joint};
use super::random::{between, chance, pick, spread};
use super::shapes::{Ellipsoid, Front, Shape, Skin, Sleeve, Tube};
use super::surface::{Cloth, Colour, Face, Pattern, mix};
use super::vector::{Vec3, add, along, scaled};
use rand::Rng;

/// How points of the scene come into the picture.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Where the origin of the scene is seen, pixels.
    pub origin: [f32; 2],
    /// Pixels a metre spans at the origin's depth.
    pub zoom: f32,
    /// Distance of the viewer from the origin, metres.
    pub distance: f32,
}

impl View {
    /// Pixels a metre spans at a depth.
    fn factor(&self, depth: f32) -> f32 {
        // Nothing comes nearer than a third of the distance.
        self.zoom * self.distance / (self.distance + depth).max(self.distance / 3.0)
    }

    /// A point of the scene in picture pixels, with its depth in pixels.
    pub fn project(&self, point: Vec3) -> Vec3 {
        let factor = self.factor(point[2]);
        [self.origin[0] + factor * point[0], self.origin[1] + factor * point[1], self.zoom * point[2]]
    }
}

/// What a person looks like.
#[derive(Clone, Copy, Debug)]
pub struct Outfit {
    skin: Colour,
    face: Face,
    shirt: Cloth,
    front: Front,
    /// How far down the arm the shirt reaches: 1 at the elbow, 2 at the wrist.
    sleeves: f32,
    trousers: Cloth,
    /// How far down the leg the trousers reach: 1 at the knee, 2 at the ankle.
    trouser_legs: f32,
    shoes: Colour,
    gloves: Option<Colour>,
    hat: Option<Colour>,
    long_hair: bool,
    backpack: Option<Colour>,
    seat: Colour,
}

/// A colour of clothes: any hue, from black over strong colours to white.
pub fn clothes_colour(rng: &mut impl Rng) -> Colour {
    let hue = between(rng, 0.0, 6.0);
    let strength = between(rng, 0.0, 1.0).powf(1.3) * 0.85;
    let value = between(rng, 0.08, 0.98);
    let pure = [0.0, 2.0, 4.0].map(|shift: f32| {
        let d = ((hue + shift).rem_euclid(6.0) - 3.0).abs() - 1.0;
        d.clamp(0.0, 1.0)
    });
    scaled(mix([1.0; 3], pure, strength), value)
}

fn cloth(rng: &mut impl Rng, zoom: f32) -> Cloth {
    let colour = clothes_colour(rng);
    let other = clothes_colour(rng);
    let period = zoom * between(rng, 0.05, 0.12);
    let pattern = match between(rng, 0.0, 1.0) {
        p if p < 0.55 => Pattern::Plain,
        p if p < 0.70 => Pattern::Stripes(other, period),
        p if p < 0.80 => Pattern::Checks(other, 1.3 * period),
        p if p < 0.90 => Pattern::Blots(other, period),
        _ => Pattern::Blots(mix(colour, other, 0.3), 0.6 * period),
    };
    Cloth { colour, pattern }
}

impl Outfit {
    /// `zoom`: pixels a metre spans, for the size of patterns.
    pub fn random(rng: &mut impl Rng, zoom: f32) -> Outfit {
        let dark = [0.23, 0.14, 0.10];
        let light = pick(rng, &[[0.96, 0.80, 0.69], [0.90, 0.70, 0.56], [0.87, 0.67, 0.45]]);
        let skin = mix(light, dark, between(rng, 0.0, 1.0).powi(2) * 0.95);
        let hairs = [
            [0.06, 0.05, 0.05],
            [0.16, 0.10, 0.07],
            [0.33, 0.20, 0.11],
            [0.72, 0.55, 0.30],
            [0.55, 0.53, 0.50],
            [0.50, 0.20, 0.08],
        ];
        let hair = scaled(pick(rng, &hairs), between(rng, 0.8, 1.2));
        let long_hair = chance(rng, 0.35);
        let face = Face {
            skin,
            hair,
            iris: pick(rng, &[[0.08, 0.06, 0.05], [0.15, 0.25, 0.35], [0.2, 0.15, 0.08]]),
            lips: mix(skin, [0.62, 0.16, 0.18], 0.55),
            hair_line: if !long_hair && chance(rng, 0.1) { 2.0 } else { spread(rng, 0.62, 0.12, 0.25) },
            hair_back: if long_hair { -0.9 } else { spread(rng, -0.35, 0.2, 0.4) },
            beard: !long_hair && chance(rng, 0.25),
            glasses: chance(rng, 0.15),
        };
        let shirt = cloth(rng, zoom);
        let front =
            Front { neckline: (between(rng, 0.04, 0.3), skin), line: chance(rng, 0.45).then(|| clothes_colour(rng)) };
        let sleeves = match between(rng, 0.0, 1.0) {
            p if p < 0.15 => -1.0,
            p if p < 0.55 => between(rng, 0.35, 0.8),
            p if p < 0.65 => between(rng, 1.0, 1.5),
            _ => 1.95,
        };
        let trouser_legs = match between(rng, 0.0, 1.0) {
            p if p < 0.35 => between(rng, 0.3, 0.95),
            p if p < 0.45 => between(rng, 1.2, 1.6),
            _ => 1.95,
        };
        Outfit {
            skin,
            face,
            shirt,
            front,
            sleeves,
            trousers: cloth(rng, zoom),
            trouser_legs,
            shoes: clothes_colour(rng),
            gloves: chance(rng, 0.06).then(|| clothes_colour(rng)),
            hat: chance(rng, 0.18).then(|| clothes_colour(rng)),
            long_hair,
            backpack: chance(rng, 0.08).then(|| clothes_colour(rng)),
            seat: clothes_colour(rng),
        }
    }
}

/// A body in an outfit somewhere in the scene.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    pub body: Body,
    pub outfit: Outfit,
    /// Where the pelvis is, metres in camera axes.
    pub place: Vec3,
}

impl Figure {
    /// Where a point of the body is seen.
    fn seen(&self, view: &View, point: Vec3) -> Vec3 {
        view.project(add(self.place, point))
    }

    /// The 16 joints in picture pixels.
    pub fn joints(&self, view: &View) -> [Vec3; 16] {
        self.body.joints.map(|point| self.seen(view, point))
    }

    /// Left, top, right, bottom of the whole body in the picture.
    pub fn bounds(&self, view: &View) -> [f32; 4] {
        let body = &self.body;
        let points = body.joints.iter().chain(&body.hands).chain(&body.toes);
        points.fold([f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY], |[l, t, r, b], &point| {
            let [x, y, _] = self.seen(view, point);
            let margin = 0.04 * view.factor(self.place[2] + point[2]);
            [l.min(x - margin), t.min(y - margin), r.max(x + margin), b.max(y + margin)]
        })
    }

    /// Left, top, right, bottom of the head in the picture.
    pub fn head_box(&self, view: &View) -> [f32; 4] {
        Shape::Ellipsoid(self.head(view)).bounds()
    }

    fn head(&self, view: &View) -> Ellipsoid {
        let (body, head) = (&self.body, &self.body.head);
        let neck = body.joints[joint::UPPER_NECK];
        let middle = along(along(neck, head.up, 0.5 * body.build.head), head.forward, 0.012);
        let factor = view.factor(self.place[2] + middle[2]);
        let axes = [
            scaled(head.left, 0.078 * factor),
            scaled(head.up, 0.5 * body.build.head * factor),
            scaled(head.forward, 0.096 * factor),
        ];
        Ellipsoid::new(self.seen(view, middle), axes, Skin::Face(self.outfit.face))
    }

    /// Everything there is to paint of the person, in no particular order.
    pub fn shapes(&self, view: &View) -> Vec<Shape> {
        let mut shapes = Vec::with_capacity(32);
        self.add_trunk(view, &mut shapes);
        self.add_head(view, &mut shapes);
        for side in 0..2 {
            self.add_arm(view, side, &mut shapes);
            self.add_leg(view, side, &mut shapes);
        }
        if self.body.seated {
            self.add_seat(view, &mut shapes);
        }
        shapes
    }

    fn tube(&self, view: &View, from: Vec3, to: Vec3, radii: [f32; 2], sleeve: Sleeve) -> Shape {
        let factor = |point: Vec3| self.body.build.girth * view.factor(self.place[2] + point[2]);
        let radii = [radii[0] * factor(from), radii[1] * factor(to)];
        Shape::Tube(Tube::round(self.seen(view, from), self.seen(view, to), radii, sleeve))
    }

    fn plain_tube(&self, view: &View, from: Vec3, to: Vec3, radii: [f32; 2], colour: Colour) -> Shape {
        let cloth = Cloth::plain(colour);
        self.tube(view, from, to, radii, Sleeve { cloth, bare: cloth, length: 2.0 })
    }

    fn ball(&self, view: &View, center: Vec3, axes: [Vec3; 3], colour: Colour) -> Shape {
        let factor = view.factor(self.place[2] + center[2]);
        let axes = axes.map(|axis| scaled(axis, factor));
        Shape::Ellipsoid(Ellipsoid::new(self.seen(view, center), axes, Skin::Cloth(Cloth::plain(colour))))
    }

    fn add_trunk(&self, view: &View, shapes: &mut Vec<Shape>) {
        let (body, outfit) = (&self.body, &self.outfit);
        let (pelvis, chest, build) = (&body.pelvis, &body.chest, &body.build);
        let (thorax, neck) = (body.joints[joint::THORAX], body.joints[joint::UPPER_NECK]);
        let factor = |point: Vec3| build.girth * view.factor(self.place[2] + point[2]);
        let mut oval = |from: Vec3, to: Vec3, left: [Vec3; 2], forward: [Vec3; 2], caps: [f32; 2], cloth, front| {
            let sized = |pair: [Vec3; 2]| [scaled(pair[0], factor(from)), scaled(pair[1], factor(to))];
            let caps = [caps[0] * factor(from), caps[1] * factor(to)];
            let (from, to) = (self.seen(view, from), self.seen(view, to));
            shapes.push(Shape::Tube(Tube::oval(from, to, sized(left), sized(forward), caps, cloth, front)));
        };
        let hips = scaled(pelvis.up, -0.05);
        let waist = scaled(pelvis.up, 0.30 * build.torso);
        let broad = build.shoulder / 0.175;
        oval(
            hips,
            along(hips, pelvis.up, 0.17),
            [scaled(pelvis.left, 0.155), scaled(pelvis.left, 0.140)],
            [scaled(pelvis.forward, 0.112), scaled(pelvis.forward, 0.102)],
            [0.07, 0.03],
            outfit.trousers,
            None,
        );
        let belly = along(scaled(pelvis.up, 0.10), pelvis.forward, 0.0);
        oval(
            belly,
            along(waist, chest.up, 0.06),
            [scaled(pelvis.left, 0.138), scaled(chest.left, 0.138)],
            [scaled(pelvis.forward, 0.106), scaled(chest.forward, 0.106)],
            [0.04, 0.05],
            outfit.shirt,
            outfit.front.line.map(|line| Front { neckline: (0.0, line), line: Some(line) }),
        );
        oval(
            waist,
            along(thorax, chest.up, -0.045),
            [scaled(chest.left, 0.136), scaled(chest.left, 0.158 * broad)],
            [scaled(chest.forward, 0.104), scaled(chest.forward, 0.098)],
            [0.04, 0.06],
            outfit.shirt,
            Some(outfit.front),
        );
        for shoulder in [joint::LEFT_SHOULDER, joint::RIGHT_SHOULDER] {
            let sleeve = Sleeve { cloth: outfit.shirt, bare: outfit.shirt, length: 2.0 };
            let from = along(thorax, chest.up, -0.01);
            shapes.push(self.tube(view, from, body.joints[shoulder], [0.060, 0.056], sleeve));
        }
        shapes.push(self.plain_tube(view, along(thorax, chest.up, -0.02), neck, [0.054, 0.048], outfit.skin));
        if let Some(colour) = outfit.backpack {
            let center = along(along(thorax, chest.up, -0.2), chest.forward, -0.17);
            let axes = [scaled(chest.left, 0.15), scaled(chest.up, 0.22), scaled(chest.forward, 0.11)];
            shapes.push(self.ball(view, center, axes, colour));
        }
    }

    /// A stool under the pelvis.
    fn add_seat(&self, view: &View, shapes: &mut Vec<Shape>) {
        let (pelvis, seat) = (&self.body.pelvis, self.outfit.seat);
        let top = along(scaled(pelvis.up, -0.19), pelvis.forward, 0.06);
        let axes = [scaled(pelvis.left, 0.21), scaled(pelvis.up, 0.05), scaled(pelvis.forward, 0.19)];
        shapes.push(self.ball(view, top, axes, seat));
        let foot = along(top, pelvis.up, -0.36);
        shapes.push(self.plain_tube(view, top, foot, [0.04, 0.06], scaled(seat, 0.7)));
    }

    fn add_head(&self, view: &View, shapes: &mut Vec<Shape>) {
        let (body, outfit, head) = (&self.body, &self.outfit, &self.body.head);
        let neck = body.joints[joint::UPPER_NECK];
        let size = body.build.head;
        let at = |up: f32, forward: f32, left: f32| {
            along(along(along(neck, head.up, up * size), head.forward, forward), head.left, left)
        };
        shapes.push(Shape::Ellipsoid(self.head(view)));
        let small = |left: f32, up: f32, forward: f32| {
            [scaled(head.left, left), scaled(head.up, up), scaled(head.forward, forward)]
        };
        shapes.push(self.ball(view, at(0.46, 0.105, 0.0), small(0.016, 0.026, 0.022), scaled(outfit.skin, 1.06)));
        for side in [0.079, -0.079] {
            shapes.push(self.ball(view, at(0.5, 0.0, side), small(0.014, 0.032, 0.022), scaled(outfit.skin, 0.92)));
        }
        if outfit.long_hair {
            let back = along(at(0.1, -0.06, 0.0), body.chest.up, -0.1);
            shapes.push(self.plain_tube(view, at(0.6, -0.035, 0.0), back, [0.088, 0.07], outfit.face.hair));
        }
        if let Some(colour) = outfit.hat {
            shapes.push(self.ball(view, at(0.76, 0.0, 0.0), small(0.088, 0.075, 0.106), colour));
            shapes.push(self.ball(view, at(0.76, 0.09, 0.0), small(0.07, 0.012, 0.08), scaled(colour, 0.8)));
        }
    }

    fn add_arm(&self, view: &View, side: usize, shapes: &mut Vec<Shape>) {
        let (body, outfit) = (&self.body, &self.outfit);
        let [shoulder, elbow, wrist] = [
            [joint::LEFT_SHOULDER, joint::LEFT_ELBOW, joint::LEFT_WRIST],
            [joint::RIGHT_SHOULDER, joint::RIGHT_ELBOW, joint::RIGHT_WRIST],
        ][side]
            .map(|index| body.joints[index]);
        let sleeve = Sleeve { cloth: outfit.shirt, bare: Cloth::plain(outfit.skin), length: outfit.sleeves };
        shapes.push(self.tube(view, shoulder, elbow, [0.052, 0.041], sleeve));
        let lower = Sleeve { length: outfit.sleeves - 1.0, ..sleeve };
        shapes.push(self.tube(view, elbow, wrist, [0.041, 0.029], lower));
        let hand = outfit.gloves.unwrap_or(outfit.skin);
        shapes.push(self.plain_tube(view, wrist, body.hands[side], [0.029, 0.030], hand));
    }

    fn add_leg(&self, view: &View, side: usize, shapes: &mut Vec<Shape>) {
        let (body, outfit) = (&self.body, &self.outfit);
        let [hip, knee, ankle] = [
            [joint::LEFT_HIP, joint::LEFT_KNEE, joint::LEFT_ANKLE],
            [joint::RIGHT_HIP, joint::RIGHT_KNEE, joint::RIGHT_ANKLE],
        ][side]
            .map(|index| body.joints[index]);
        let sleeve = Sleeve { cloth: outfit.trousers, bare: Cloth::plain(outfit.skin), length: outfit.trouser_legs };
        shapes.push(self.tube(view, hip, knee, [0.083, 0.055], sleeve));
        let lower = Sleeve { length: outfit.trouser_legs - 1.0, ..sleeve };
        shapes.push(self.tube(view, knee, ankle, [0.055, 0.037], lower));
        let down = along(ankle, along(ankle, knee, -1.0), 0.06 / body.build.shin);
        shapes.push(self.plain_tube(view, down, body.toes[side], [0.044, 0.032], outfit.shoes));
    }
}
