//! Keeps drivers from writing to standard error where nothing is wrong.

/// Stops the line `error: XDG_RUNTIME_DIR is invalid or not set in the environment.` that opening an adapter otherwise
/// writes on a Linux server or in a container. Call it first thing in `main`: where the process has started a second
/// thread already, it does nothing.
///
/// Mesa's device-select layer, which the Vulkan loader puts into every program, and EGL ask the Wayland client library
/// whether a desktop is there, and the library writes that line itself. Without a runtime folder there is none, so
/// `WAYLAND_DISPLAY` is set to a socket's full path, for which the library does not ask for the folder, and at which
/// nobody listens. The layer goes on choosing devices as its own variables say, which `NODEVICE_SELECT` would turn off.
pub fn quiet_drivers() {
    #[cfg(target_os = "linux")]
    {
        let is_absolute =
            |variable: &str| std::env::var_os(variable).is_some_and(|path| path.as_encoded_bytes().starts_with(b"/"));
        if !is_absolute("XDG_RUNTIME_DIR") && !is_absolute("WAYLAND_DISPLAY") {
            set_while_alone("WAYLAND_DISPLAY", "/nonexistent/wayland");
        }
    }
}

/// Sets an environment variable where this is the only thread of the process.
///
/// `set_var` is unsafe because another thread could read the environment at the same moment.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn set_while_alone(variable: &str, value: &str) {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1) {
        // SAFETY: there is no other thread that could read or change the environment, and none starts in this line.
        unsafe { std::env::set_var(variable, value) }
    }
}
