//! A plan with its memory on a device, replayed run after run.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::resolve::{Binding, Source};
use super::store::Place;
use super::{Plan, SessionError, Step, Store};
use crate::gpu::{Buffer, Commands, Gpu, GpuError, Readback, View};
use crate::ir::{DType, Graph, Role, ValueId};

/// A plan bound to buffers of a device.
pub struct Session {
    gpu: Arc<Gpu>,
    plan: Plan,
    slots: Vec<Buffer>,
    /// Of inputs, parameters, state and flat values; parts lie in these.
    kept: HashMap<ValueId, Place>,
    /// The tables of each step's variant.
    tables: Vec<Vec<Buffer>>,
    /// The steps behind which a run can pause, in order.
    pauses: Vec<usize>,
    commands: Bound,
    /// Whether a run changes parameters or state.
    overwrites: bool,
    /// The store's count of changes, and what it was when the commands that run once last ran.
    changes: Arc<AtomicU64>,
    seen: AtomicU64,
}

/// The dispatches of a plan.
#[derive(Default)]
struct Bound {
    /// Those that depend on parameters and state alone, run where these have changed.
    once: Commands,
    /// The others, of every run: a part up to each pause, and the last.
    always: Vec<Commands>,
}

impl Session {
    /// Reserves the plan's memory and compiles its kernels. Parameters and state come from `store` by name; those
    /// that it lacks are added to it, zeroed.
    ///
    /// # Errors
    /// [`SessionError::OtherShape`] where the store has a name with another shape; [`GpuError`]s.
    pub fn new(gpu: &Arc<Gpu>, plan: Plan, store: &mut Store) -> Result<Self, SessionError> {
        Self::with_buffers(gpu, plan, store, Vec::new(), Buffer::new)
    }

    /// As [`Session::new`], to be [run in parts](Session::run_part): each ends behind a step of the plan that `is_pause` tells,
    /// the last at the end.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn in_parts(
        gpu: &Arc<Gpu>,
        plan: Plan,
        store: &mut Store,
        is_pause: impl Fn(&Step) -> bool,
    ) -> Result<Self, SessionError> {
        let steps = plan.steps.iter().enumerate();
        let pauses = steps.filter(|(_, step)| is_pause(step)).map(|(number, _)| number).collect();
        Self::with_buffers(gpu, plan, store, pauses, Buffer::new)
    }

    /// As [`Session::new`] with guard words around every slot, for tests.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn guarded(gpu: &Arc<Gpu>, plan: Plan, store: &mut Store) -> Result<Self, SessionError> {
        Self::with_buffers(gpu, plan, store, Vec::new(), Buffer::guarded)
    }

    fn with_buffers(
        gpu: &Arc<Gpu>,
        plan: Plan,
        store: &mut Store,
        pauses: Vec<usize>,
        reserve: fn(&Arc<Gpu>, &str, usize) -> Result<Buffer, GpuError>,
    ) -> Result<Self, SessionError> {
        let slots = plan
            .memory
            .slots
            .iter()
            .enumerate()
            .map(|(number, &elements)| reserve(gpu, &format!("memory slot {number}"), elements))
            .collect::<Result<Vec<_>, _>>()?;
        let mut kept = HashMap::new();
        let values = |is_flat: bool| {
            let values = plan.graph.value_ids().filter(|(_, value)| value.part.is_none());
            values.filter(move |(_, value)| (value.role == Role::Flat) == is_flat)
        };
        // Flat ones first: the store moves what nobody uses yet.
        for (id, value) in values(true).chain(values(false)) {
            let place = match value.role {
                Role::Input => Place::whole(reserve(gpu, &value.name, value.words())?),
                Role::Parameter | Role::State => store.entry(&value.name, &value.shape)?,
                Role::Flat => flat_value(&plan.graph, id, store, |name, words| reserve(gpu, name, words))?,
                Role::Computed => continue,
            };
            kept.insert(id, place);
        }
        let upload = |name: &str, words: &Vec<u32>| -> Result<Buffer, GpuError> {
            let table = reserve(gpu, &format!("table of {name}"), words.len())?;
            gpu.write(table.whole(), words)?;
            Ok(table)
        };
        let tables = plan
            .steps
            .iter()
            .map(|step| step.variant.tables.iter().map(|words| upload(&step.node.name, words)).collect())
            .collect::<Result<Vec<Vec<_>>, _>>()?;
        let (changes, seen) = (Arc::clone(store.changes()), AtomicU64::new(u64::MAX));
        let (commands, overwrites) = (Bound::default(), plan.overwrites());
        let gpu_of_session = Arc::clone(gpu);
        let mut session =
            Self { gpu: gpu_of_session, plan, slots, kept, tables, pauses, commands, overwrites, changes, seen };
        gpu.compile(session.plan.steps.iter().flat_map(Step::dispatches))?;
        session.commands = session.bind()?;
        Ok(session)
    }

    /// Binds every dispatch of the plan.
    fn bind(&self) -> Result<Bound, SessionError> {
        let mut bound = Bound::default();
        bound.always.resize_with(self.pauses.len() + 1, Commands::default);
        for resolved in self.plan.dispatches() {
            let kept = |binding: usize| match resolved.bindings[binding].source {
                Source::Kept(value) => Some(Arc::as_ptr(&self.kept[&value].buffer)),
                Source::Slot(_) | Source::Table { .. } => None,
            };
            if resolved.dispatch.reads_and_writes(kept).is_some() {
                return Err(SessionError::ReadsAndWrites(resolved.label));
            }
            let views = resolved.bindings.iter().map(|binding| self.bound(binding)).collect::<Result<Vec<_>, _>>()?;
            let part = self.pauses.partition_point(|&pause| pause < resolved.step);
            let commands = if resolved.once { &mut bound.once } else { &mut bound.always[part] };
            commands.push(&self.gpu, (resolved.dispatch, resolved.f16), &views, &resolved.label)?;
        }
        Ok(bound)
    }

    fn bound(&self, binding: &Binding) -> Result<View<'_>, GpuError> {
        match binding.source {
            Source::Slot(slot) => self.slots[slot].part(binding.offset, binding.words),
            // Inputs may have grown.
            Source::Kept(value) if self.plan.graph.value(value).role == Role::Input => {
                Ok(self.kept[&value].buffer.whole())
            }
            Source::Kept(value) => {
                let Place { buffer, first } = &self.kept[&value];
                buffer.part(first + binding.offset, binding.words)
            }
            Source::Table { step, number } => Ok(self.tables[step][number].whole()),
        }
    }

    fn view(&self, id: ValueId) -> Result<View<'_>, GpuError> {
        self.bound(&self.plan.value_binding(id))
    }

    /// The plan that runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Number of dispatches of a run, without those that run again only where parameters have changed.
    pub fn dispatches(&self) -> usize {
        self.commands.always.iter().map(Commands::len).sum()
    }

    /// The steps of the plan behind which its parts but the last end, in order.
    pub fn pauses(&self) -> impl Iterator<Item = &Step> {
        self.pauses.iter().map(|&number| &self.plan.steps[number])
    }

    /// Uploads an input before the next run, in the words that it is stored in; fewer words than the input has leave the
    /// rest as it was.
    ///
    /// # Errors
    /// [`GpuError::Length`] where there are more words than the input has.
    pub fn write<T: bytemuck::NoUninit>(&self, input: ValueId, words: &[T]) -> Result<(), SessionError> {
        if self.plan.graph.value(input).role != Role::Input {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.gpu.write(self.view(input)?, words)?)
    }

    /// Uploads numbers to an input before the next run, rounded where it is stored as F16.
    ///
    /// # Errors
    /// As [`Session::write`].
    pub fn upload(&self, input: ValueId, numbers: &[f32]) -> Result<(), SessionError> {
        match self.plan.graph.value(input).dtype {
            DType::F32 => self.write(input, numbers),
            DType::F16 => {
                let padding = [0.0].iter().take(numbers.len() % 2);
                let rounded: Vec<half::f16> = numbers.iter().chain(padding).map(|&x| half::f16::from_f32(x)).collect();
                self.write(input, &rounded)
            }
        }
    }

    /// Makes room for `elements` in an input whose contents vary in length; what it held is lost.
    ///
    /// # Errors
    /// [`GpuError::BindingTooLarge`], [`GpuError::OutOfMemory`].
    pub fn grow(&mut self, input: ValueId, elements: usize) -> Result<(), SessionError> {
        if self.view(input)?.bytes() >= 4 * elements as u64 {
            return Ok(());
        }
        let name = self.plan.graph.value(input).name.clone();
        let larger = Buffer::new(&self.gpu, &name, elements.next_power_of_two())?;
        self.kept.insert(input, Place::whole(larger));
        self.commands = self.bind()?;
        Ok(())
    }

    /// Submits one run; returns at once.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`].
    pub fn run(&self) -> Result<(), SessionError> {
        (0..self.commands.always.len()).try_for_each(|part| self.run_part(part))
    }

    /// Submits one part of a run, of as many as there are [pauses](Session::pauses) and one; returns at once. A run takes all of
    /// them, in order.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`].
    pub fn run_part(&self, part: usize) -> Result<(), SessionError> {
        let changes = self.changes.load(Ordering::Relaxed);
        if part == 0 && self.seen.swap(changes, Ordering::Relaxed) != changes {
            self.commands.once.submit(&self.gpu)?;
        }
        self.commands.always[part].submit(&self.gpu)?;
        if part == self.pauses.len() && self.overwrites {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The memory of any value: of a computed one only until the run goes on over the next part.
    pub(crate) fn memory(&self, value: ValueId) -> Result<View<'_>, SessionError> {
        Ok(self.view(value)?)
    }

    /// Waits for submitted runs and returns an output, a parameter, state or a flat value, row-major.
    ///
    /// # Errors
    /// [`SessionError::NotAnOutput`], [`GpuError`]s.
    pub fn read(&self, value: ValueId) -> Result<Vec<f32>, SessionError> {
        let readback = self.read_later(value)?;
        let held = self.plan.graph.value(value);
        let mut data: Vec<f32> = match held.dtype {
            DType::F32 => readback.wait()?,
            DType::F16 => readback.wait()?.into_iter().map(half::f16::to_f32).collect(),
        };
        data.truncate(held.shape.elements());
        Ok(data)
    }

    /// Asks for an output, as it is stored, without waiting for it. What comes past the value's own elements is to be
    /// ignored.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub fn read_later(&self, value: ValueId) -> Result<Readback, SessionError> {
        if self.plan.graph.value(value).role == Role::Computed && !self.plan.outputs.contains(&value) {
            return Err(SessionError::NotAnOutput(self.plan.graph.value(value).name.clone()));
        }
        Ok(Readback::start(&self.gpu, self.view(value)?)?)
    }

    /// Fills all memory slots and all computed parts of flat values with NaN, so that whatever reads what nobody wrote shows.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`].
    pub fn poison(&self) -> Result<(), SessionError> {
        for slot in &self.slots {
            let words = vec![f32::NAN; slot.bytes() as usize / 4];
            self.gpu.write(slot.whole(), &words)?;
        }
        let values = self.plan.graph.value_ids();
        for (id, value) in values.filter(|(_, value)| value.role == Role::Computed && value.part.is_some()) {
            self.gpu.write(self.view(id)?, &vec![f32::NAN; value.words()])?;
        }
        Ok(())
    }

    /// Whether the guard words around all slots, tables, inputs and flat values that are not the store's are as they were.
    ///
    /// # Errors
    /// [`GpuError::GuardBroken`].
    pub fn check_guards(&self) -> Result<(), SessionError> {
        let kept = self.kept.values().map(|place| place.buffer.as_ref());
        for buffer in self.slots.iter().chain(self.tables.iter().flatten()).chain(kept) {
            buffer.check_guards()?;
        }
        Ok(())
    }

    /// Runs with time stamps: seconds of each of [`Session::dispatches`] with its node and kernel.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`].
    pub fn profile(&self) -> Result<Vec<(String, f64)>, SessionError> {
        let mut times = Vec::with_capacity(self.dispatches());
        for part in &self.commands.always {
            times.extend(part.profile(&self.gpu)?);
        }
        Ok(times)
    }
}

/// The memory of a flat value: the store's where its parts are kept, new where they are computed.
fn flat_value(
    graph: &Graph,
    id: ValueId,
    store: &mut Store,
    reserve: impl Fn(&str, usize) -> Result<Buffer, GpuError>,
) -> Result<Place, SessionError> {
    let flat = graph.value(id);
    let parts =
        graph.values().iter().filter_map(|value| Some((value, value.part.filter(|part| part.of == id)?.offset)));
    let kept = parts.filter(|(value, _)| value.role != Role::Computed);
    let kept: Vec<_> = kept.map(|(value, offset)| (value.name.as_str(), &value.shape, offset)).collect();
    if kept.is_empty() {
        return Ok(Place::whole(reserve(&flat.name, flat.words())?));
    }
    Ok(Place { buffer: store.flat(&flat.name, flat.words(), &kept)?, first: 0 })
}
