//! Pipelines on a Vulkan device, and what the driver tells about them.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};

use anyhow::{Context, Result, ensure};
use ash::{khr, vk};

use crate::spirv::Shader;

/// A device with `VK_KHR_pipeline_executable_properties`.
pub struct Device {
    pub name: String,
    pub driver: String,
    device: ash::Device,
    properties: khr::pipeline_executable_properties::Device,
    // They must outlive the device.
    _instance: ash::Instance,
    _entry: ash::Entry,
}

/// What the driver says of one pipeline.
pub struct Compiled {
    pub subgroup_size: u32,
    /// As the driver names them.
    pub statistics: BTreeMap<String, f64>,
    /// Its assembly.
    pub listing: String,
}

impl Device {
    /// The first adapter, with the features that wgpu asks for. `robust`: with robustBufferAccess and robustBufferAccess2,
    /// which wgpu switches on where they are there.
    pub fn open(robust: bool, f16: bool) -> Result<Self> {
        // SAFETY: calls in the order that Vulkan asks for, on handles that live until the process ends.
        unsafe {
            let entry = ash::Entry::load().context("no Vulkan loader (Debian's package libvulkan1)")?;
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let info = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&info, None).context("vkCreateInstance")?;
            let adapter = *instance.enumerate_physical_devices()?.first().context("the driver offers no adapter")?;
            let mut driver = vk::PhysicalDeviceDriverProperties::default();
            let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
            instance.get_physical_device_properties2(adapter, &mut properties);
            let name = text(&properties.properties.device_name);
            let driver = format!("{} {}", text(&driver.driver_name), text(&driver.driver_info));
            let extensions = instance.enumerate_device_extension_properties(adapter)?;
            let has = |wanted: &CStr| extensions.iter().any(|it| it.extension_name_as_c_str() == Ok(wanted));
            ensure!(has(khr::pipeline_executable_properties::NAME), "{name} tells nothing about its pipelines");
            let robust2 = robust && has(ash::ext::robustness2::NAME);
            let mut names = vec![khr::pipeline_executable_properties::NAME.as_ptr()];
            names.extend(robust2.then_some(ash::ext::robustness2::NAME.as_ptr()));
            let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
            let core = vk::PhysicalDeviceFeatures::default().robust_buffer_access(robust);
            let mut executable =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let mut subgroups = vk::PhysicalDeviceSubgroupSizeControlFeatures::default().subgroup_size_control(true);
            let mut robustness2 = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
            let mut float16 = vk::PhysicalDeviceShaderFloat16Int8Features::default().shader_float16(true);
            let mut storage16 = vk::PhysicalDevice16BitStorageFeatures::default()
                .storage_buffer16_bit_access(true)
                .uniform_and_storage_buffer16_bit_access(true);
            let mut info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&names)
                .enabled_features(&core)
                .push_next(&mut executable)
                .push_next(&mut subgroups);
            if robust2 {
                info = info.push_next(&mut robustness2);
            }
            if f16 {
                info = info.push_next(&mut float16).push_next(&mut storage16);
            }
            let device = instance.create_device(adapter, &info, None).context("vkCreateDevice")?;
            let properties = khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Self { name, driver, device, properties, _instance: instance, _entry: entry })
        }
    }

    /// Compiles a compute pipeline.
    pub fn compile(&self, shader: &Shader) -> Result<Compiled> {
        // SAFETY: the structures live as long as the calls that read them; nothing is destroyed before the process ends.
        unsafe {
            let binding = |&number: &u32| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(number)
                    .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            };
            let bindings: Vec<_> = shader.bindings.iter().map(binding).collect();
            let layout = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let sets = [self.device.create_descriptor_set_layout(&layout, None)?];
            let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = self.device.create_pipeline_layout(&layout, None)?;
            let module = vk::ShaderModuleCreateInfo::default().code(&shader.spirv);
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(self.device.create_shader_module(&module, None)?)
                .name(c"main");
            let flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let info = vk::ComputePipelineCreateInfo::default().flags(flags).stage(stage).layout(layout);
            let created = self.device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let pipeline = created.map_err(|(_, error)| error).context("vkCreateComputePipelines")?[0];
            let of = vk::PipelineInfoKHR::default().pipeline(pipeline);
            let executables = self.properties.get_pipeline_executable_properties(&of)?;
            let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
            let statistics = self.properties.get_pipeline_executable_statistics(&executable)?;
            Ok(Compiled {
                subgroup_size: executables.first().map_or(0, |it| it.subgroup_size),
                statistics: statistics.iter().map(|it| (text(&it.name), number(it))).collect(),
                listing: self.listing(&executable)?,
            })
        }
    }

    /// The driver's last representation that it calls assembly.
    unsafe fn listing(&self, executable: &vk::PipelineExecutableInfoKHR) -> Result<String> {
        // SAFETY: the first call tells how many there are, the second how long each is, the third fills the memory.
        unsafe {
            let get = self.properties.fp().get_pipeline_executable_internal_representations_khr;
            let mut count = 0;
            get(self.device.handle(), executable, &mut count, std::ptr::null_mut()).result()?;
            let mut all = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            get(self.device.handle(), executable, &mut count, all.as_mut_ptr()).result()?;
            let mut room: Vec<Vec<u8>> = all.iter().map(|it| vec![0; it.data_size + 1]).collect();
            for (it, room) in all.iter_mut().zip(&mut room) {
                it.p_data = room.as_mut_ptr().cast();
            }
            get(self.device.handle(), executable, &mut count, all.as_mut_ptr()).result()?;
            let assembly = all.iter().zip(&room).rfind(|(it, _)| text(&it.name).contains("ssembly"));
            let (_, bytes) = assembly.context("the driver gives no assembly")?;
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
        }
    }
}

fn number(statistic: &vk::PipelineExecutableStatisticKHR) -> f64 {
    // SAFETY: the format says which field of the union was written.
    unsafe {
        match statistic.format {
            vk::PipelineExecutableStatisticFormatKHR::UINT64 => statistic.value.u64 as f64,
            vk::PipelineExecutableStatisticFormatKHR::INT64 => statistic.value.i64 as f64,
            vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => statistic.value.f64,
            _ => f64::from(statistic.value.b32),
        }
    }
}

fn text(raw: &[c_char]) -> String {
    let bytes: Vec<u8> = raw.iter().map(|&byte| byte as u8).collect();
    CStr::from_bytes_until_nul(&bytes).unwrap_or_default().to_string_lossy().into_owned()
}
