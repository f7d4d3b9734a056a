//! Vulkan devices without the driver's checks of buffer accesses.
//!
//! wgpu opens devices with robustBufferAccess and robustBufferAccess2 where they are there: every access is compared with the
//! end of its binding. Some compilers then make scalar loads of vector loads. The kernels of this crate need no such checks;
//! any other shader does, because wgpu leaves its own checks of buffers out where it believes that the driver makes them.
//! Whoever opens a device here refuses other shaders.

use super::GpuError;

/// Opens `adapter` without the checks; `None` where its interface is not Vulkan.
///
/// # Errors
/// [`GpuError::NoDevice`] where the driver refuses.
#[cfg(not(target_vendor = "apple"))]
#[allow(unsafe_code)]
pub(super) fn open(
    adapter: &wgpu::Adapter,
    name: &str,
    descriptor: &wgpu::DeviceDescriptor,
) -> Result<Option<(wgpu::Device, wgpu::Queue)>, GpuError> {
    use ash::vk;
    use wgpu::hal::api::Vulkan;

    // The family that wgpu takes.
    const QUEUE_FAMILY: u32 = 0;
    let refused = |reason: String| GpuError::NoDevice { adapter: name.to_string(), reason };
    // SAFETY: the handle is not destroyed.
    let Some(hal) = (unsafe { adapter.as_hal::<Vulkan>() }) else { return Ok(None) };
    let features = descriptor.required_features;
    let extensions = hal.required_device_extensions(features);
    let names: Vec<_> = extensions.iter().map(|extension| extension.as_ptr()).collect();
    let mut wanted = hal.physical_device_features(&extensions, features);
    let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(QUEUE_FAMILY).queue_priorities(&[1.0])];
    let info = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
    let info = wanted.add_to_device_create(info);
    // SAFETY: wgpu-hal has set the pointer to a structure in `wanted`, which lives on.
    let mut core = unsafe { *info.p_enabled_features };
    core.robust_buffer_access = vk::FALSE;
    let info = info.enabled_features(&core);
    let mut next = info.p_next.cast_mut().cast::<vk::BaseOutStructure>();
    // SAFETY: wgpu-hal has chained structures in `wanted` by mutable references, which live on and which nobody else reads
    // before the device is created; each begins as BaseOutStructure does, and its type says what it is.
    while let Some(structure) = unsafe { next.as_mut() } {
        if structure.s_type == vk::StructureType::PHYSICAL_DEVICE_ROBUSTNESS_2_FEATURES_EXT {
            let robustness = next.cast::<vk::PhysicalDeviceRobustness2FeaturesEXT>();
            // SAFETY: as above.
            unsafe { (*robustness).robust_buffer_access2 = vk::FALSE };
        }
        next = structure.p_next;
    }
    // SAFETY: the adapter is of this instance; everything that `info` points to lives until the call returns.
    let device = unsafe { hal.shared_instance().raw_instance().create_device(hal.raw_physical_device(), &info, None) };
    let device = device.map_err(|error| refused(error.to_string()))?;
    // SAFETY: the device is of this adapter, with the extensions, the queue family and the features that wgpu-hal asks for,
    // but for the two checks of buffers. wgpu-hal then leaves its own checks out of shaders; only shaders get to such a
    // device that do without them anyway (`PipelineCache::module`). It owns the device from here on.
    let open = unsafe {
        let limits = &descriptor.required_limits;
        hal.device_from_raw(device, None, &extensions, features, limits, &descriptor.memory_hints, QUEUE_FAMILY, 0)
    };
    let open = open.map_err(|error| refused(error.to_string()))?;
    drop(hal);
    // SAFETY: it was created from this adapter, with the features of the descriptor.
    let opened = unsafe { adapter.create_device_from_hal::<Vulkan>(open, descriptor) };
    opened.map(Some).map_err(|error| refused(error.to_string()))
}

/// There is no Vulkan here.
#[cfg(target_vendor = "apple")]
pub(super) fn open(
    _: &wgpu::Adapter,
    _: &str,
    _: &wgpu::DeviceDescriptor,
) -> Result<Option<(wgpu::Device, wgpu::Queue)>, GpuError> {
    Ok(None)
}
