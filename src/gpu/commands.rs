//! Dispatches bound to buffers, ready to be submitted again and again.

use std::sync::Arc;

use super::{Buffer, Gpu, GpuError, View};
use crate::ir::{Dispatch, F16Bindings};

/// One dispatch with its pipeline and bind group.
struct Command {
    pipeline: Arc<wgpu::ComputePipeline>,
    bindings: wgpu::BindGroup,
    workgroups: [u32; 3],
    label: String,
}

/// A list of dispatches that is recorded and submitted as one command buffer.
#[derive(Default)]
pub struct Commands {
    commands: Vec<Command>,
}

impl Commands {
    /// Appends a dispatch; `views` are bound in order of `@binding`, those of `f16` as F16.
    ///
    /// # Errors
    /// [`GpuError::Kernel`] where the kernel does not compile or the views do not fit its bindings.
    pub fn push(
        &mut self,
        gpu: &Gpu,
        (dispatch, f16): (&Dispatch, F16Bindings),
        views: &[View],
        label: &str,
    ) -> Result<(), GpuError> {
        let pipeline = gpu.pipelines.pipeline(dispatch, f16)?;
        let command = Command::new(gpu, pipeline, dispatch, views, label)?;
        self.commands.push(command);
        Ok(())
    }

    /// Number of dispatches.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Records and submits everything; returns at once.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`].
    pub fn submit(&self, gpu: &Gpu) -> Result<(), GpuError> {
        gpu.check_lost()?;
        if self.is_empty() {
            return Ok(());
        }
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for command in &self.commands {
                command.record(&mut pass);
            }
        }
        gpu.queue.submit([encoder.finish()]);
        Ok(())
    }

    /// Runs everything once with a time stamp after each dispatch: the label and the seconds of each.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`]. The list is empty where the adapter has no time stamps.
    pub fn profile(&self, gpu: &Arc<Gpu>) -> Result<Vec<(String, f64)>, GpuError> {
        /// A query set holds at most 4096 time stamps.
        const CHUNK: usize = 4095;
        if !gpu.capabilities().timestamps {
            return Ok(Vec::new());
        }
        let period = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
        let mut times = Vec::with_capacity(self.commands.len());
        for commands in self.commands.chunks(CHUNK) {
            let stamps = time_stamps(gpu, commands)?;
            for (command, pair) in commands.iter().zip(stamps.windows(2)) {
                times.push((command.label.clone(), pair[1].saturating_sub(pair[0]) as f64 * period));
            }
        }
        Ok(times)
    }
}

impl Command {
    fn new(
        gpu: &Gpu,
        pipeline: Arc<wgpu::ComputePipeline>,
        dispatch: &Dispatch,
        views: &[View],
        label: &str,
    ) -> Result<Self, GpuError> {
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let entries: Vec<_> = views
            .iter()
            .enumerate()
            .map(|(binding, view)| wgpu::BindGroupEntry { binding: binding as u32, resource: view.binding() })
            .collect();
        let bindings = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            let kernel = format!("{} (for {label})", dispatch.kernel.name);
            return Err(GpuError::Kernel { kernel, reason: error.to_string() });
        }
        Ok(Self { pipeline, bindings, workgroups: dispatch.workgroups, label: label.to_string() })
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        let [x, y, z] = self.workgroups;
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

/// Ticks before the first and after each command.
fn time_stamps(gpu: &Arc<Gpu>, commands: &[Command]) -> Result<Vec<u64>, GpuError> {
    let count = commands.len() as u32 + 1;
    let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
        label: Some("time stamps"),
        ty: wgpu::QueryType::Timestamp,
        count,
    });
    let resolved = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("time stamps"),
        size: u64::from(count) * 8,
        usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let target = Buffer::new(gpu, "time stamps", count as usize * 2)?;
    let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.write_timestamp(&queries, 0);
        for (number, command) in commands.iter().enumerate() {
            command.record(&mut pass);
            pass.write_timestamp(&queries, number as u32 + 1);
        }
    }
    encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
    encoder.copy_buffer_to_buffer(&resolved, 0, &target.raw, target.offset, u64::from(count) * 8);
    gpu.queue.submit([encoder.finish()]);
    gpu.read(target.whole())
}
