//! The kernels.

use crate::ops::shaders::kernels;

kernels! { "decode":
    FORWARD, "forward", "points = place of the largest value, a quarter pixel towards the larger neighbours, and that value";
    DARK, "dark", "points -= Hessian^-1 gradient of the log of the Gaussian-smoothed map at the place of the largest value";
    BLUR, "blur", "y = x in a border of zeros, blurred along one axis and mirrored at the edge";
    BLUR_VEC4, "blur_vec4", "the same, four elements an invocation";
    SECOND_MAXIMUM, "second_maximum", "points = place of the largest value, a quarter pixel towards the second largest, and a score";
}
