//! `ditn compare`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::common::{Common, Status, print, print_json, save_picture};
use super::progress::Progress;
use super::train::stop_on_interrupt;
use crate::metrics::Score;
use crate::predict::places;
use crate::predict::sheet::{self, Found};
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::config::{self, Config};
use crate::train::evaluate::{Evaluator, Prediction, network_of, poses_of};
use crate::train::people::People;

/// People in a row of the sheet, three cells each.
const ACROSS: usize = 3;

const EXAMPLES: &str = "\
Examples:
  ditn compare runs/hrnet_tiny-001/best.safetensors runs/ditn_tiny-001/best.safetensors
  ditn compare hrnet.safetensors ditn.safetensors --sheet beside.png --order gain --people 48

Both networks see the evaluation split of the run that wrote A, unless --set says otherwise. The sheet shows a person in
three cells: A, B, truth. What is drawn below a skeleton is the mean distance of its joints from the true ones, in parts
of the person's box.";

/// Arguments of `ditn compare`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A checkpoint of `ditn train`, the baseline
    #[arg(value_name = "A")]
    a: PathBuf,
    /// A checkpoint of `ditn train` on people of the same joints
    #[arg(value_name = "B")]
    b: PathBuf,
    /// Change a value of both configurations, such as evaluate.people=100; may be given many times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The folder that holds the data sets' folders [default: data.root, then the environment variable DITN_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Draw people with both predicted skeletons and the true one
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Whom the sheet shows first
    #[arg(long, value_enum, default_value_t = Order::Worst, requires = "sheet")]
    order: Order,
    /// How many people the sheet shows
    #[arg(long, default_value_t = 24, requires = "sheet")]
    people: usize,
}

/// An order of people.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Order {
    /// Those whom both networks together find worst
    Worst,
    /// Those whom B finds better than A by most
    Gain,
    /// Those whom B finds worse than A by most
    Loss,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    networks: [Network; 2],
    people: usize,
    data: String,
    /// People whose joints the first network finds nearer the truth on average, and the second.
    nearer: [usize; 2],
}

#[derive(Serialize)]
struct Network {
    checkpoint: PathBuf,
    metric: &'static str,
    value: f64,
    scores: Score,
}

/// Scores both networks on the same people.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let Arguments { a, b, overrides, data, sheet, order, people: shown } = arguments;
    let [first, second] = [checkpoint::load(&a)?, checkpoint::load(&b)?];
    let first_config = adjusted(first.header.config.clone(), &overrides, data)?;
    let second_config = Config {
        data: first_config.data.clone(),
        evaluate: first_config.evaluate.clone(),
        ..config::with_overrides(second.header.config.clone(), &overrides)?
    };
    second_config.validate()?;
    let people = People::open_for_scoring(&first_config)?;
    let gpu = common.gpu()?;

    let mut progress = Progress::new();
    let stop = stop_on_interrupt()?;
    let mut found = Vec::new();
    for (path, config, Checkpoint { state, .. }) in [(&a, &first_config, &first), (&b, &second_config, &second)] {
        let network = network_of(&gpu, config, people.skeleton(), config.train.batch, path, state)?;
        match Evaluator::new(config, network).predict(&people, &mut progress, stop)? {
            Some(predictions) => found.push(predictions),
            None => {
                eprintln!("Stopped before all people were scored.");
                return Ok(Status::Interrupted);
            }
        }
    }
    progress.finished();
    let pairs: Vec<(&Prediction, &Prediction)> = found[0].iter().zip(&found[1]).collect();
    if let Some(path) = &sheet {
        let (set, sorted) = (&**people.evaluation(), sorted(&pairs, order, shown));
        save_picture(path, &sheet::people(set, first_config.train.size, &sorted, ACROSS)?)?;
    }
    let network = |checkpoint: &Path, predictions: &[Prediction]| -> anyhow::Result<Network> {
        let scores = people.score(&poses_of(predictions), first_config.train.size)?.score;
        Ok(Network { checkpoint: checkpoint.to_owned(), metric: scores.name(), value: scores.value(), scores })
    };
    let nearer = |nearer: fn(f64, f64) -> bool| pairs.iter().filter(|(a, b)| nearer(a.error(), b.error())).count();
    let report = Report {
        networks: [network(&a, &found[0])?, network(&b, &found[1])?],
        people: pairs.len(),
        data: people.evaluation().name().into(),
        nearer: [nearer(|a, b| a < b), nearer(|a, b| b < a)],
    };
    if common.json {
        print_json(&report)?
    } else {
        print(&table(&report))?
    }
    Ok(Status::Done)
}

fn adjusted(config: Config, overrides: &[String], root: Option<PathBuf>) -> anyhow::Result<Config> {
    let mut config = config::with_overrides(config, overrides)?;
    if let Some(root) = root {
        config.data.root = Some(root);
    }
    config.validate()?;
    Ok(config)
}

/// The first people in the order, with what both networks found of them.
fn sorted(pairs: &[(&Prediction, &Prediction)], order: Order, people: usize) -> Vec<(usize, Vec<Found>)> {
    let key = |(a, b): &(&Prediction, &Prediction)| match order {
        Order::Worst => a.error() + b.error(),
        Order::Gain => a.error() - b.error(),
        Order::Loss => b.error() - a.error(),
    };
    let mut pairs = pairs.to_vec();
    pairs.sort_by(|x, y| key(y).total_cmp(&key(x)));
    pairs.truncate(people);
    let found = |name: &str, prediction: &Prediction| {
        (places(&prediction.pose), format!("{name}: {:.1}% off", 100.0 * prediction.error()))
    };
    pairs.iter().map(|(a, b)| (a.person.index, vec![found("A", a), found("B", b)])).collect()
}

fn table(report: &Report) -> String {
    let Report { networks: [a, b], people, data, nearer } = report;
    let mut text = format!(
        "{} of {people} people of {data}\n  A  {}\n  B  {}\n\n  {:<20} {:>6} {:>6} {:>7}\n",
        a.metric,
        a.checkpoint.display(),
        b.checkpoint.display(),
        "",
        "A",
        "B",
        "B - A"
    );
    for ((name, a), (_, b)) in a.scores.rows().into_iter().zip(b.scores.rows()) {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        let difference = a.zip(b).map_or("-".to_owned(), |(a, b)| format!("{:+.1}", b - a));
        text += &format!("  {name:<20} {:>6} {:>6} {difference:>7}\n", number(a), number(b));
    }
    text + &format!("\nNearer the truth on average: A for {} people, B for {}\n", nearer[0], nearer[1])
}
